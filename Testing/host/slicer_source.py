"""Slicer's own Python layer in place of our imitation, where a checkout of Slicer is at hand.

``SLICER_SOURCE`` names the checkout (5.12 or newer); only its ``Base/Python/slicer`` is used:
``util``, ``i18n``, ``packaging``, ``parameterNodeWrapper`` and ``ScriptedLoadableModule`` run then as
they are, over the stand-ins of ``qt``, ``ctk`` and the application.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import types
from pathlib import Path

import slicer

VARIABLE = "SLICER_SOURCE"
_MODULES = ("i18n", "packaging", "parameterNodeWrapper", "ScriptedLoadableModule")


def folder() -> Path | None:
    """Return the folder of the package ``slicer`` in the checkout, or None without a checkout."""
    given = os.environ.get(VARIABLE)
    if not given:
        return None
    found = Path(given).expanduser() / "Base" / "Python" / "slicer"
    if not (found / "util.py").is_file():
        raise FileNotFoundError(f"{VARIABLE}={given} holds no Base/Python/slicer/util.py")
    return found


def install_util() -> None:
    """Load ``slicer.util``, before anything else uses the one of the wheel."""
    if folder() is not None:
        _load("util")


def install() -> bool:
    """Load all else; returns whether there is a checkout."""
    if folder() is None:
        return False
    for name in _MODULES:
        _load(name)
    return True


def _load(name: str) -> types.ModuleType:
    package, file = folder() / name / "__init__.py", folder() / f"{name}.py"
    path = package if package.is_file() else file
    inner = [str(package.parent)] if path == package else None
    spec = importlib.util.spec_from_file_location(
        f"slicer.{name}", path, submodule_search_locations=inner
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    setattr(slicer, name, module)
    spec.loader.exec_module(module)
    return module
