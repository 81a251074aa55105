"""Digest of the code that decides what a stage makes: its script and the Seamark modules that the script imports."""

import ast
import hashlib
from functools import cache
from pathlib import Path

PACKAGE_ROOT = Path(__file__).parents[1]
PACKAGE_NAME = "seamark"
NEVER_DECIDE = (
    "seamark.errors",
    "seamark.repair",
    "seamark.running",
    "seamark.weights.published",
    "seamark.weights.finding",
)
"""Modules and rooms of which no result depends: messages, the runner, and where weights come from. Bytes of weights are
compared with their digest whenever they are read, and recorded with the model."""
SEEDS = "seamark.settings.seeds"
"""What the runner takes a job's seed from; it counts for every script that reads the seed."""
LOG_METHODS = {"debug", "info", "warning", "error", "exception"}


def code_digest(script: Path, extra_modules: tuple[str, ...] = ()) -> str:
    """Return a digest that changes when, and only when, code changes that decides what a stage makes.

    Comments, docstrings, layout, what errors and logs say, and descriptions of settings do not count. Files that are no
    Python (templates, style sheets) count when they lie in the package folder of an imported module.

    Parameters
    ----------
    script : Path
        The stage script.
    extra_modules : tuple of str
        Modules that the script imports by name at run time, e.g. its detector.

    Returns
    -------
    str
        16 hexadecimal digits.
    """
    digest = hashlib.sha256(_source(script).encode())
    seeds = (SEEDS,) if ".seed" in _source(script) else ()
    for module in sorted(_closure(script, (*extra_modules, *seeds))):
        path = _module_path(module)
        if path is not None:
            digest.update(f"\n{module}\n{_source(path)}".encode())
            for companion in _companions(path):
                digest.update(companion.read_bytes())
    return digest.hexdigest()[:16]


def _closure(script: Path, extra_modules: tuple[str, ...]) -> set[str]:
    """Names of all Seamark modules that decide, reachable from a script and from modules named by hand."""
    found: set[str] = set()
    waiting = [*_imported(script), *extra_modules]
    while waiting:
        module = waiting.pop()
        path = _module_path(module)
        if module in found or path is None or f"{module}.".startswith(tuple(f"{name}." for name in NEVER_DECIDE)):
            continue
        found.add(module)
        waiting.extend(_imported(path))
    return found


def _module_path(module: str) -> Path | None:
    base = PACKAGE_ROOT.joinpath(*module.split(".")[1:])
    candidates = (base.with_name(f"{base.name}.py"), base / "__init__.py")
    return next((path for path in candidates if path.is_file()), None)


def _imported(path: Path) -> tuple[str, ...]:
    """Seamark modules that a file names in its imports, whether at its top or inside a function."""
    return _parsed(path.read_text(encoding="utf-8"))[0]


def _source(path: Path) -> str:
    """Source of a file without layout and without what only people read."""
    return _parsed(path.read_text(encoding="utf-8"))[1]


@cache
def _parsed(text: str) -> tuple[tuple[str, ...], str]:
    tree, names = ast.parse(text), []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    ours = tuple(name for name in names if name.split(".")[0] == PACKAGE_NAME)
    return ours, ast.unparse(_WithoutWords().visit(tree))


class _WithoutWords(ast.NodeTransformer):
    """Takes out of a tree what only people read."""

    def _without_docstring(self, node: ast.AST) -> ast.AST:
        self.generic_visit(node)
        node.body = [part for part in node.body if not _is_bare_string(part)] or [ast.Pass()]  # type: ignore[attr-defined]
        return node

    visit_Module = visit_ClassDef = visit_FunctionDef = visit_AsyncFunctionDef = _without_docstring  # noqa: N815

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        """Keep the class of an error and drop its message."""
        if isinstance(node.exc, ast.Call):
            node.exc = node.exc.func
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        """Drop what a log is told, and the description of a setting."""
        self.generic_visit(node)
        called = node.func
        if isinstance(called, ast.Attribute) and called.attr in LOG_METHODS:
            node.args, node.keywords = [], []
        elif isinstance(called, ast.Name) and called.id == "Field":
            node.keywords = [keyword for keyword in node.keywords if keyword.arg != "description"]
        return node


def _is_bare_string(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _companions(path: Path) -> list[Path]:
    """Files beside a sub-package's modules that are no Python."""
    if path.parent == PACKAGE_ROOT:
        return []
    files = (file for file in path.parent.rglob("*") if file.is_file())
    return sorted(file for file in files if file.suffix not in {".py", ".typed"} and "__pycache__" not in file.parts)
