"""What the worker needs of Python packages, and installing what is missing once the user agrees.

PyTorch comes through Slicer's PyTorch extension, which chooses the right build for the computer.
That extension imports PyTorch into the application once it has installed it; this module does not.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import platform
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import slicer
import slicer.packaging
import slicer.util
from slicer.i18n import tr as _

REQUESTER = "QSM Separation"
TORCH, IMAGE = "torch", "scikit-image"
NEEDED = {
    # The lowest versions that the library runs with, as in pyproject.toml.
    TORCH: "2.4", IMAGE: "0.22", "numpy": "1.26", "scipy": "1.11", "SimpleITK": "2.3",
    "pydicom": "3.0",
}  # fmt: skip
HIGHDICOM = "highdicom"
_FOR_DICOM = ("highdicom>=0.28,<0.29", "pyjpegls>=1.5")  # as the extra "dicom" of pyproject.toml
LEAST_APPLICATION = (5, 12)
"""Older ones lose observers of parameter nodes and bring an older pydicom."""
Tell = Callable[[str], None]


def version_of(package: str) -> str:
    """Return the version of an installed package without importing it; empty when missing."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def versions() -> dict[str, str]:
    """Return the versions of all packages that the worker needs; empty where one is missing."""
    return {name: version_of(name) for name in NEEDED}


def missing_packages() -> list[str]:
    """Return what has to be installed, or is too old, before a run."""
    return [name for name, least in NEEDED.items() if not is_enough(version_of(name), least)]


def is_enough(version: str, least: str) -> bool:
    """Return whether a version such as ``2.8.0+cu128`` is not below another."""
    numbers = version.split("+")[0].split(".")[:2]
    wanted = [int(n) for n in least.split(".")]
    return all(n.isdecimal() for n in numbers) and [int(n) for n in numbers] >= wanted


def unsupported() -> str:
    """Return why this application can never run the module; empty when it can."""
    found = (slicer.app.majorVersion, slicer.app.minorVersion)
    if found < LEAST_APPLICATION:
        text = _("Slicer {found} is too old; QSM Separation needs {least} or newer")
        return text.format(found="{}.{}".format(*found), least="{}.{}".format(*LEAST_APPLICATION))
    if sys.platform == "darwin" and platform.machine() == "x86_64":
        return _(
            "there is no PyTorch for this application on Macs with Intel processors (or under "
            "Rosetta): use Slicer for Apple Silicon, or another computer"
        )
    return ""


def ensure_packages(tell: Tell = lambda text: None) -> str:
    """Install what is missing if the user agrees; return why it is still missing, or nothing.

    Parameters
    ----------
    tell : callable
        Gets what is being installed, in words.
    """
    importlib.invalidate_caches()
    missing = missing_packages()
    if not missing:
        return ""
    if reason := unsupported() or _why_not_here(missing):
        return reason
    question = _(
        "{names} must be downloaded and installed into this application: some minutes, and up to "
        "some GB for PyTorch. Install now?"
    ).format(names=_in_words(missing))
    if not slicer.util.confirmOkCancelDisplay(question, REQUESTER):
        text = _(
            "{names} was not installed, so nothing was computed; press Separate again when you "
            "want to install it"
        )
        return text.format(names=_in_words(missing))
    before = versions()
    for name in missing:
        tell(_("Installing {name}; this may take some minutes ...").format(name=_in_words([name])))
        if reason := _attempt(name):
            return reason
    return _restart_reason(before)


def has_highdicom() -> bool:
    """Return whether all kinds of DICOM objects can be made, not maps for reading alone."""
    return is_enough(version_of(HIGHDICOM), "0.28")


def offer_highdicom(tell: Tell = lambda text: None) -> None:
    """Install highdicom if it is missing and the user agrees; without it less is written.

    Parameters
    ----------
    tell : callable
        Gets what is being installed, in words.
    """
    importlib.invalidate_caches()
    if has_highdicom() or slicer.app.testingEnabled():
        return
    question = _(
        "highdicom (some MB) adds exact maps, segments and the lesion report to maps for reading "
        "and the summary. Install it into this application?"
    )
    if not slicer.util.confirmYesNoDisplay(question, REQUESTER):
        return
    tell(_("Installing {name}; this may take some minutes ...").format(name=HIGHDICOM))
    try:
        with slicer.util.WaitCursor():
            _install(_FOR_DICOM)
    except Exception as error:
        slicer.util.errorDisplay(_not_installed(HIGHDICOM, error))
    importlib.invalidate_caches()


def _not_installed(name: str, error: Exception) -> str:
    text = _("{name} could not be installed: {reason}")
    return text.format(name=name, reason=" ".join(str(error).split())[:300])


def _why_not_here(missing: list[str]) -> str:
    """Return why nothing can be installed, before the user is asked."""
    if slicer.app.testingEnabled():
        return _("{names} is missing; tests install nothing").format(names=_in_words(missing))
    for name in missing:
        if name not in (TORCH, IMAGE):
            text = _(
                "{name} {found} of this application is too old (needed: {least}); update Slicer"
            )
            return text.format(name=name, found=version_of(name), least=NEEDED[name])
    if TORCH not in missing:
        return ""
    try:
        import PyTorchUtils  # noqa: F401
    except ImportError:
        return _(
            "PyTorch is missing: install the extension 'PyTorch' in the Extensions Manager, "
            "restart the application and press Separate again"
        )
    if found := version_of(TORCH):
        text = _(
            "PyTorch {found} is too old (needed: {least}); uninstall it in the module "
            "'PyTorch Utils', restart the application and press Separate again"
        )
        return text.format(found=found, least=NEEDED[TORCH])
    return ""


def _attempt(name: str) -> str:
    """Install one package; return why that failed."""
    try:
        with slicer.util.WaitCursor():
            _install_torch() if name == TORCH else _install([f"{IMAGE}>={NEEDED[IMAGE]}"])
    except Exception as error:
        return _not_installed(_in_words([name]), error)
    importlib.invalidate_caches()
    if name in missing_packages():
        text = _("{name} was installed but is not found; restart the application")
        return text.format(name=_in_words([name]))
    return ""


def _install_torch() -> None:
    import PyTorchUtils

    PyTorchUtils.PyTorchUtilsLogic().installTorch(
        askConfirmation=False, torchVersionRequirement=f">={NEEDED[TORCH]}"
    )


def _install(requirements: Iterable[str]) -> None:
    with _present_versions() as constraints:
        slicer.packaging.pip_ensure(
            list(requirements),
            constraints=constraints,
            prompt_install=False,
            requester=REQUESTER,
        )


@contextlib.contextmanager
def _present_versions() -> Iterator[str]:
    """Hold the packages that the application brings at their versions while one is installed."""
    held = {name: version for name, version in versions().items() if version}
    held.pop(TORCH, None)  # its version has a suffix of the build, which the index lacks
    path = Path(slicer.app.temporaryPath) / "QSMSeparation-constraints.txt"
    path.write_text("".join(f"{n}=={v}\n" for n, v in held.items()), encoding="utf-8")
    try:
        yield str(path)
    finally:
        path.unlink(missing_ok=True)


def _restart_reason(before: dict[str, str]) -> str:
    """Offer a restart where a package was replaced that the application uses already."""
    imported = {"scikit-image": "skimage"}
    replaced = [
        name
        for name, version in before.items()
        if version and version != version_of(name) and imported.get(name, name) in sys.modules
    ]
    if not replaced:
        return ""
    names = ", ".join(replaced)
    question = _("{names} was replaced while in use. Restart the application now?")
    if slicer.util.confirmYesNoDisplay(question.format(names=names), REQUESTER):
        slicer.util.restart()
    text = _("{names} was replaced while in use: restart the application, then press Separate")
    return text.format(names=names)


def _in_words(names: list[str]) -> str:
    return ", ".join("PyTorch" if name == TORCH else name for name in names)
