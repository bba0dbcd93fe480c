"""What the worker needs beside Slicer's own Python packages, and asking to install it.

PyTorch comes through Slicer's PyTorch extension, which chooses the right build and asks first.
"""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Callable

import slicer

TORCH = ">=2.4"
_IMAGE_PACKAGE = "scikit-image"
_IMAGE = f"{_IMAGE_PACKAGE}>=0.22"


def version_of(package: str) -> str:
    """Return the version of an installed package without importing it; empty when missing."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def missing_packages() -> list[str]:
    """Return what has to be installed before a run."""
    found = [] if _is_new_enough(version_of("torch")) else ["torch"]
    return found if version_of(_IMAGE_PACKAGE) else [*found, _IMAGE_PACKAGE]


def ensure_packages() -> str:
    """Offer to install what is missing; return why it is still missing, or an empty text."""
    missing = missing_packages()
    importlib.invalidate_caches()
    for package, install in (("torch", _install_torch), (_IMAGE_PACKAGE, _install_image_package)):
        if package in missing and (reason := _attempt(package, install)):
            return reason
    return ""


def _attempt(package: str, install: Callable[[], str]) -> str:
    try:
        reason = install()
    except Exception as error:
        return f"{package} could not be installed: {_one_line(error)}"
    if reason:
        return reason
    importlib.invalidate_caches()
    if package in missing_packages():
        return f"{package} was installed but is not found; restart the application"
    return ""


def _install_torch() -> str:
    try:
        import PyTorchUtils
    except ImportError:
        return (
            "PyTorch is missing: install the extension 'PyTorch' in the Extensions Manager, "
            "restart the application and press Separate again"
        )
    if version := version_of("torch"):
        return (
            f"PyTorch {version} is too old (needed: {TORCH}); uninstall it in the module "
            "'PyTorch Utils', restart the application and press Separate again"
        )
    logic = PyTorchUtils.PyTorchUtilsLogic()
    if logic.installTorch(askConfirmation=True, torchVersionRequirement=TORCH) is None:
        return (
            "PyTorch was not installed, so nothing was computed; "
            "press Separate again when you want to install it"
        )
    return ""


def _install_image_package() -> str:
    question = f"The package {_IMAGE_PACKAGE} is needed to unwrap phase. Download and install it?"
    if not slicer.util.confirmOkCancelDisplay(question):
        return f"{_IMAGE_PACKAGE} was not installed, so nothing was computed"
    slicer.util.pip_install(_IMAGE)
    return ""


def _is_new_enough(version: str) -> bool:
    wanted = [int(n) for n in TORCH.strip(">=").split(".")]
    numbers = version.split("+")[0].split(".")[:2]
    return all(n.isdecimal() for n in numbers) and [int(n) for n in numbers] >= wanted


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
