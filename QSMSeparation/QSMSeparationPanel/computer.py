"""What this computer has: packages and their versions, memory, a graphics card; and a bug report."""

from __future__ import annotations

import ctypes.util
import getpass
import platform
import re
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

import QSMSeparationLib
from QSMSeparationLib.catalogue import methods
from QSMSeparationLib.data.method import Method
from QSMSeparationLib.runtime.memory import available_gib
from QSMSeparationLib.runtime.run_time import seconds_of
from QSMSeparationPanel import packages
from QSMSeparationPanel.checks import Inputs, method_problem
from QSMSeparationPanel.methods import chosen_methods

LEAST_GIB = 4.0
"""Free memory that a whole head of 1 mm needs, as the tutorial says."""
SLOW_S = 30.0
"""A method that takes longer on one core (a head of 1.5 mm) is worth a warning without a GPU."""
_LOG_LINES = 200


class ComputerControls:
    """Shows versions and warnings, offers what is faster, and copies a bug report.

    Parameters
    ----------
    ui : object
        Widgets of the panel by name.
    changed : callable
        Called with the name and the value of a parameter that is to be changed.
    """

    def __init__(self, ui: Any, changed: Any) -> None:
        self._ui, self._changed = ui, changed
        self._faster: dict[str, str] = {}
        self._private: list[str] = []
        ui.fasterButton.connect("clicked(bool)", lambda *_unused: self._choose_faster())
        ui.bugReportButton.connect("clicked(bool)", lambda *_unused: self.copy_bug_report())
        self.show_versions()

    def show_versions(self) -> None:
        """Show what is installed, without importing it."""
        lines = [f"QSMSeparation {QSMSeparationLib.__version__}"]
        for name, version in packages.versions().items():
            shown = "PyTorch" if name == packages.TORCH else name
            if not version:
                version = _("missing; Separate offers to install it")
            elif name in packages.missing_packages():
                version += _(" (too old: {least} is needed)").format(least=packages.NEEDED[name])
            lines.append(f"{shown} {version}")
        self._ui.versionsLabel.text = "\n".join(lines)

    def show(self, parameters: Any, inputs: Inputs) -> None:
        """Warn of what will be slow or too large here, and of weights that are not ours."""
        chosen = chosen_methods(parameters.method, parameters.inversion, inputs)
        self._faster = faster(chosen, inputs)
        warnings = warnings_for(chosen, parameters.device)
        ui = self._ui
        ui.warningLabel.text = "\n".join(warnings)
        ui.warningLabel.visible = bool(warnings)
        ui.fasterButton.visible = bool(warnings and self._faster)
        self._private = private_words(parameters)
        weights = parameters.weightsFile
        ui.weightsLabel.text = _("Own weights: {file}").format(file=Path(weights).name)
        ui.weightsLabel.toolTip = weights
        ui.weightsLabel.visible = bool(weights)

    def _choose_faster(self) -> None:
        for name, value in self._faster.items():
            self._changed(name, value)

    def copy_bug_report(self) -> str:
        """Put a report into the clipboard that says nothing of a person."""
        log, stage = self._ui.logTextEdit.plainText, self._ui.stageLabel.text
        text = bug_report(log, stage, self._private)
        slicer.app.clipboard().setText(text)
        self._ui.stageLabel.text = _("The bug report is in the clipboard; paste it where you ask")
        return text


def warnings_for(chosen: list[Method], device: str) -> list[str]:
    """Return in words what will be slow here, or may use up the memory."""
    found = []
    free = available_gib()
    if free is not None and free < LEAST_GIB:
        text = _("Only {free} GB of memory are free; a whole head needs about {least} GB.")
        found.append(text.format(free=f"{free:.1f}", least=f"{LEAST_GIB:.0f}"))
    slow = [m.title for m in chosen if seconds_of(m.stage, m.name) > SLOW_S]
    if slow and not uses_graphics_card(device):
        text = _("Without a graphics card {methods} takes minutes.")
        found.append(text.format(methods=_(" and ").join(slow)))
    return found


def faster(chosen: list[Method], inputs: Inputs) -> dict[str, str]:
    """Return the fastest methods that these inputs allow, where they are not chosen already."""
    changes = {}
    for one in chosen:
        possible = [m for m in methods(one.stage) if not method_problem(m, inputs)]
        best = min(possible, key=lambda m: seconds_of(m.stage, m.name), default=one)
        if seconds_of(best.stage, best.name) < seconds_of(one.stage, one.name):
            changes["inversion" if one.stage == "inversion" else "method"] = best.name
    return changes


def uses_graphics_card(device: str) -> bool:
    """Return whether a run would compute on a graphics card; PyTorch is not asked."""
    if device == "cpu":
        return False
    if device == "mps":
        return sys.platform == "darwin"
    return bool(shutil.which("nvidia-smi") or ctypes.util.find_library("cuda"))


def private_words(parameters: Any) -> list[str]:
    """Return what the parameters hold that may name a person: paths, the subject, nodes."""
    nodes = [getattr(parameters, name) for name in parameters.allParameters]
    names = [node.GetName() for node in nodes if isinstance(node, slicer.vtkMRMLNode)]
    return [parameters.scanFolder, parameters.weightsFile, parameters.subject, *names]


def bug_report(log: str, stage: str, private: Iterable[str] = ()) -> str:
    """Return versions, computer and log, without names of persons, computers or folders.

    Parameters
    ----------
    log, stage : str
        What the panel shows of the last run.
    private : iterable of str
        What must not be in it.
    """
    free = available_gib()
    lines = [
        *version_lines(),
        f"graphics card: {'yes' if uses_graphics_card('auto') else 'none found'}; "
        f"free memory: {'unknown' if free is None else f'{free:.1f} GB'}",
        f"state: {stage}",
        "log:",
        *log.splitlines()[-_LOG_LINES:],
    ]
    return without_identity("\n".join(lines), private)


def version_lines() -> list[str]:
    """Return the versions of all that a run depends on."""
    return [
        f"QSMSeparation {QSMSeparationLib.__version__}",
        f"Slicer {slicer.app.applicationVersion}, revision {slicer.app.revision}",
        f"Python {platform.python_version()}, {platform.system()} {platform.release()}, "
        f"{platform.machine()}",
        *(f"{name} {version or 'missing'}" for name, version in packages.versions().items()),
    ]


def without_identity(text: str, private: Iterable[str] = ()) -> str:
    """Return a text without given words, subjects, paths, the user and the computer."""
    for word in sorted({str(Path.home()), *private}, key=len, reverse=True):
        if len(word) > 1:
            text = text.replace(word, "PATH" if re.search(r"[\\/]", word) else "NAME")
    text = re.sub(r"(?:[A-Za-z]:)?(?:[\\/][^\\/\s'\":;,]+)+[\\/]?", "PATH", text)
    text = re.sub(r"\bsub-[A-Za-z0-9]+", "sub-XX", text)
    text = re.sub(r"'[^'\n]*'", "'...'", text)  # names of nodes and files
    for name in (getpass.getuser(), platform.node()):
        if len(name) > 1:
            text = re.sub(rf"\b{re.escape(name)}\b", "X", text)
    return text
