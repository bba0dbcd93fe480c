"""``slicer.packaging`` as far as scripted modules use it: what is there, and asking to install.

Written from the behavior of Slicer 5.12's ``packaging.py``. Nothing is ever installed: see
``dialogs.Dialogs``.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterable
from pathlib import Path

import slicer.util
from packaging.requirements import Requirement


def load_requirements(path: str | Path) -> list[Requirement]:
    """Return the requirements of a file; comments and options of pip are left out."""
    lines = (line.strip() for line in Path(path).read_text(encoding="utf-8").splitlines())
    return [Requirement(line) for line in lines if line and not line.startswith(("#", "-"))]


def pip_check(requirement: str | Requirement | Iterable[str | Requirement]) -> bool:
    """Return whether what is installed satisfies one or several requirements."""
    return all(_is_there(one) for one in _as_list(requirement))


def pip_ensure(
    requirements: str | Requirement | Iterable[str | Requirement],
    requester: str | None = None,
    skip_in_testing: bool = True,
    **options: object,
) -> None:
    """Install what is missing after asking; nothing in testing mode."""
    missing = [one for one in _as_list(requirements) if not _is_there(one)]
    if not missing or (skip_in_testing and slicer.app.testingEnabled()):
        return
    text = f"{len(missing)} Python package(s) to be installed: {', '.join(map(str, missing))}"
    if not slicer.util.confirmOkCancelDisplay(text, requester):
        raise RuntimeError("User declined package installation")
    slicer.packaging.pip_install([str(one) for one in missing])


def _as_list(given: str | Requirement | Iterable[str | Requirement]) -> list[Requirement]:
    if isinstance(given, Requirement):
        return [given]
    texts = given.split() if isinstance(given, str) else given
    return [one if isinstance(one, Requirement) else Requirement(one) for one in texts]


def _is_there(requirement: Requirement) -> bool:
    if requirement.marker is not None and not requirement.marker.evaluate():
        return True
    try:
        return importlib.metadata.version(requirement.name) in requirement.specifier
    except importlib.metadata.PackageNotFoundError:
        return False
