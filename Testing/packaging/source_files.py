"""What the Python files of the extension import and do at file scope, read without running them."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_MODULE = ROOT / "QSMSeparation"
_PACKAGES = {"QSMSeparationLib": ROOT, "QSMSeparation": _MODULE, "QSMSeparationPanel": _MODULE}


def tree(path: Path) -> ast.Module:
    """Return the syntax tree of a file."""
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def run_at_import(body: list[ast.stmt]) -> list[ast.stmt]:
    """Return the statements that run when a file is imported, those of nested blocks included."""
    statements = []
    for statement in body:
        if _is_for_type_checkers_or_scripts(statement):
            continue
        statements.append(statement)
        if not isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)):
            for field in ("body", "orelse", "handlers", "finalbody"):
                statements += run_at_import(getattr(statement, field, []))
    return statements


def _is_for_type_checkers_or_scripts(statement: ast.stmt) -> bool:
    test = ast.unparse(statement.test) if isinstance(statement, ast.If) else ""
    return test.endswith("TYPE_CHECKING") or test.startswith("__name__ ==")


def imports(path: Path) -> set[str]:
    """Return the absolute names that a file imports when it is imported itself."""
    package = path.relative_to(ROOT).with_suffix("").parts[:-1]
    names = set()
    for statement in run_at_import(tree(path).body):
        if isinstance(statement, ast.Import):
            names |= {alias.name for alias in statement.names}
        elif isinstance(statement, ast.ImportFrom):
            base = list(package[: len(package) - statement.level + 1]) if statement.level else []
            base += [statement.module] if statement.module else []
            names.add(".".join(base))
            names |= {".".join([*base, alias.name]) for alias in statement.names}
    return names


def file_of(name: str) -> Path | None:
    """Return the file of a module of the extension, or None for other modules."""
    root = _PACKAGES.get(name.split(".")[0])
    if root is None:
        return None
    path = root.joinpath(*name.split("."))
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None


def reached(paths: list[Path]) -> tuple[set[Path], dict[str, Path]]:
    """Follow imports at file scope from `paths` through the extension.

    Returns
    -------
    tuple
        The files of the extension that are imported, and the other modules by their top name, each
        with a file that imports it.
    """
    files, others, waiting = set(), {}, list(paths)
    while waiting:
        path = waiting.pop()
        if path in files:
            continue
        files.add(path)
        for name in imports(path):
            own = file_of(name)
            if own is not None:
                waiting += [own, *_packages_above(name)]
            elif name.split(".")[0] not in _PACKAGES:
                others.setdefault(name.split(".")[0], path)
    return files, others


def _packages_above(name: str) -> list[Path]:
    parts = name.split(".")
    above = (file_of(".".join(parts[:count])) for count in range(1, len(parts)))
    return [path for path in above if path is not None]
