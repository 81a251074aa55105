"""Digest of the code that decides the results of a stage: of its script and of every Seamark module that it imports."""

import ast
import hashlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import NamedTuple

from seamark.weights.finding import WeightsSource

PACKAGE_ROOT = Path(__file__).parents[1]
PACKAGE_NAME = "seamark"

NEVER_DECIDE = (
    "seamark.running",  # what a job has around it; seeds are derived in seamark.settings.seed
    "seamark.errors",
    "seamark.repair",  # commands in texts of errors
    "seamark.weights.finding",  # where a file of weights lies; what is in it is compared with its digest
    "seamark.weights.published",  # licences, origins, addresses; the digest of the file in use counts by itself
)
"""Modules and packages that decide no result: they do not count, nor does what only they import."""

ALTERNATIVES = {"seamark.backbones.families": "seamark.networks", "seamark.backbones.registry": "seamark.networks"}
"""Modules that import all alternatives of a package, of which a job runs one: these imports do not count."""

NETWORKS = {
    "dinov2": "seamark.networks.vision_transformer",
    "efficientnet": "seamark.networks.efficientnet_lite",
    "resnet": "seamark.networks.resnet",
    "wide_resnet": "seamark.networks.resnet",
}
"""Module of the network by the beginning of the name of its published file of weights."""

SPEAKERS = {"LOG", "log", "logging", "warnings"}
PROGRESS_CALLS = {"map", "map_items", "track"}
"""Calls whose last argument, where it is a text, says in the progress line what is counted."""


@cache
def code_digest(
    script: Path,
    modules: tuple[str, ...] = (),
    weights: tuple[WeightsSource, ...] = (),
    loops: tuple[tuple[str, str], ...] = (),
) -> str:
    """Return a digest that changes when code changes that can decide what a stage writes.

    Comments, docstrings, layout, annotations of functions, texts of errors, logs and progress, and descriptions of
    settings do not count. Files that are no Python (templates, style sheets) count when an imported module beside
    their folder names them.

    Parameters
    ----------
    script : Path
        The stage script.
    modules : tuple of str
        Modules that the job gets by name, such as its detector.
    weights : tuple of WeightsSource
        Published weights that the job reads: their digests count, and the networks that they belong to.
    loops : tuple of (str, str)
        Variables that pin the loops of libraries, and their values.

    Returns
    -------
    str
        16 hexadecimal digits.
    """
    modules += tuple(_network_of(file) for file in weights)
    digest = hashlib.sha256("\n".join([_source(script).deciding, *(str(file.sha256) for file in weights)]).encode())
    sources = {
        module: (path, _source(path).deciding)
        for module in sorted(_closure(script, modules))
        if (path := _module_path(module)) is not None
    }
    for module, (_, source) in sources.items():
        digest.update(f"\n{module}\n{source}".encode())
    for file in sorted({file for path, source in sources.values() for file in _named_files(path, source)}):
        digest.update(file.read_bytes())
    digest.update("".join(f"\n{name}={value}" for name, value in loops).encode())
    return digest.hexdigest()[:16]


def _network_of(weights: WeightsSource) -> str:
    """Return the module of a network, empty for one that is imported by those who run it."""
    return weights.network or next((module for start, module in NETWORKS.items() if weights.file.startswith(start)), "")


def _closure(script: Path, modules: Iterable[str]) -> set[str]:
    """Names of all Seamark modules that count: reachable from a script and from modules named by hand."""
    found: set[str] = set()
    waiting = [*_source(script).imported, *modules]
    while waiting:
        module = waiting.pop()
        path = _module_path(module)
        if module in found or path is None or _within(module, *NEVER_DECIDE):
            continue
        found.add(module)
        alternatives = ALTERNATIVES.get(module)
        waiting += [name for name in _source(path).imported if not (alternatives and _within(name, alternatives))]
    return found


def _within(module: str, *packages: str) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


@cache
def _module_path(module: str) -> Path | None:
    base = PACKAGE_ROOT.joinpath(*module.split(".")[1:])
    candidates = (base.with_name(f"{base.name}.py"), base / "__init__.py")
    return next((path for path in candidates if path.is_file()), None)


class _Source(NamedTuple):
    """What counts of a file."""

    deciding: str
    """Source of what decides."""
    imported: tuple[str, ...]
    """Seamark modules that it names in its imports, whether at its top or inside a function."""


@cache
def _source(path: Path) -> _Source:
    visitor = _Deciding()
    deciding = ast.unparse(visitor.visit(ast.parse(path.read_text(encoding="utf-8"), filename=str(path))))
    return _Source(deciding, tuple(name for name in visitor.imported if _within(name, PACKAGE_NAME)))


class _Deciding(ast.NodeTransformer):
    """Takes out of a syntax tree what decides no result, and notes the names of what is imported."""

    def __init__(self) -> None:
        self.imported: list[str] = []

    def visit_Import(self, node: ast.Import) -> ast.AST:
        self.imported += [alias.name for alias in node.names]
        return node

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST:
        if node.module and node.level == 0:
            self.imported += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        return node

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        if isinstance(node.value, ast.Constant) or (isinstance(node.value, ast.Call) and _only_speaks(node.value)):
            return None
        return self.generic_visit(node)

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        return ast.Raise(node.exc.func if isinstance(node.exc, ast.Call) else node.exc)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        name = _last_name(node.func)
        if name == "Field":
            node.keywords = [keyword for keyword in node.keywords if keyword.arg != "description"]
        if name in PROGRESS_CALLS and node.args and _is_text(node.args[-1]):
            node.args.pop()
        return self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self.generic_visit(node)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        return ast.arg(node.arg)


def _only_speaks(call: ast.Call) -> bool:
    """Whether a call on a line of its own writes a log, warns, or adds a note to an error."""
    if isinstance(call.func, ast.Name):
        return call.func.id in SPEAKERS
    return isinstance(call.func, ast.Attribute) and (
        call.func.attr in {"add_note", "say"}
        or (isinstance(call.func.value, ast.Name) and call.func.value.id in SPEAKERS)
    )


def _last_name(function: ast.expr) -> str | None:
    return getattr(function, "attr", getattr(function, "id", None))


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def _named_files(path: Path, source: str) -> set[Path]:
    """Files beside or below a sub-package's module that are no Python and that it names, or that such a file names."""
    named: set[Path] = set()
    waiting = [source] if path.parent != PACKAGE_ROOT else []
    while waiting:
        text = waiting.pop()
        new = {file for file in _other_files(path.parent) if file.name in text} - named
        named |= new
        waiting += [file.read_text(encoding="utf-8") for file in new]
    return named


@cache
def _other_files(folder: Path) -> tuple[Path, ...]:
    files = (file for file in folder.rglob("*") if file.is_file() and "__pycache__" not in file.parts)
    return tuple(file for file in files if file.suffix not in {".py", ".typed"})
