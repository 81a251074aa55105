"""Digest of the code that a stage runs: its script and every Seamark module that the script imports."""

import ast
import hashlib
from functools import cache
from pathlib import Path

PACKAGE_ROOT = Path(__file__).parents[1]
PACKAGE_NAME = "seamark"


def code_digest(script: Path, extra_modules: tuple[str, ...] = ()) -> str:
    """Return a digest that changes when, and only when, code that a stage runs changes.

    Comments, docstrings and layout do not count. Files that are no Python (templates, style sheets) count when they
    lie in the package folder of an imported module.

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
    digest = hashlib.sha256(_stripped_source(script).encode())
    for module in sorted(_closure(script, extra_modules)):
        path = _module_path(module)
        if path is not None:
            digest.update(f"\n{module}\n{_stripped_source(path)}".encode())
            for companion in _companions(path):
                digest.update(companion.read_bytes())
    return digest.hexdigest()[:16]


def _closure(script: Path, extra_modules: tuple[str, ...]) -> set[str]:
    """Names of all Seamark modules reachable from a script and from modules named by hand."""
    found: set[str] = set()
    waiting = [*_imported(script), *extra_modules]
    while waiting:
        module = waiting.pop()
        path = _module_path(module)
        if module in found or path is None:
            continue
        found.add(module)
        waiting.extend(_imported(path))
    return found


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


@cache
def _imported(path: Path) -> tuple[str, ...]:
    """Seamark modules that a file names in its imports, whether at its top or inside a function."""
    names = []
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return tuple(name for name in names if name.split(".")[0] == PACKAGE_NAME)


@cache
def _module_path(module: str) -> Path | None:
    base = PACKAGE_ROOT.joinpath(*module.split(".")[1:])
    candidates = (base.with_name(f"{base.name}.py"), base / "__init__.py")
    return next((path for path in candidates if path.is_file()), None)


@cache
def _stripped_source(path: Path) -> str:
    """Source without comments, docstrings and layout.

    Docstrings are blanked in the parsed tree itself, which is not used for anything else but import names.
    """
    tree = _tree(path)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [part for part in node.body if not _is_bare_string(part)] or [ast.Pass()]
    return ast.unparse(tree)


def _is_bare_string(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _companions(path: Path) -> list[Path]:
    """Files beside a sub-package's modules that are no Python."""
    if path.parent == PACKAGE_ROOT:
        return []
    files = (file for file in path.parent.rglob("*") if file.is_file())
    return sorted(file for file in files if file.suffix not in {".py", ".typed"} and "__pycache__" not in file.parts)
