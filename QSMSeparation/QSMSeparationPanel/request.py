"""What the panel's parameters mean for the command line."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import slicer

from QSMSeparationPanel.checks import MAPS, Inputs
from QSMSeparationPanel.dicom_database import files_of
from QSMSeparationPanel.job import Request
from QSMSeparationPanel.methods import chosen_methods, parameter_options


def chosen_maps(parameters: Any) -> dict[str, Any]:
    """Return the volumes that were chosen as maps, by the names of the maps."""
    chosen = {name: getattr(parameters, parameter) for name, parameter in MAPS.items()}
    return {name: node for name, node in chosen.items() if node is not None}


def request_of(parameters: Any, inputs: Inputs) -> Request:
    """Return what a run is asked for.

    Parameters
    ----------
    parameters : QSMSeparationParameterNode
        What the user chose.
    inputs : Inputs
        What is known of the inputs.
    """
    maps: dict[str, Any] = {}
    command: tuple[str, ...] = ("run", parameters.scanFolder)
    if parameters.inputKind.value == "maps":
        maps, command = chosen_maps(parameters), ("separate",)
    files: tuple[Path, ...] = ()
    if parameters.inputKind.value == "database":
        files = files_of(parameters.dicomSeries)
        command = ("run", slicer.app.temporaryPath)  # the files are listed, wherever they lie
    labels = {"--mask": parameters.mask, "--lesions": parameters.lesions}
    return Request(
        command=command,
        options=tuple(_options(parameters, maps, inputs)),
        maps={f"--{MAPS[name]}": node for name, node in maps.items()},
        labels={option: node for option, node in labels.items() if node is not None},
        reference=next(iter(maps.values()), None),
        files=files,
    )


def _options(parameters: Any, maps: dict[str, Any], inputs: Inputs) -> list[str]:
    chosen = chosen_methods(parameters.method, parameters.inversion, inputs)
    options = ["--method", parameters.method] if parameters.method else []
    options += ["--inversion", parameters.inversion, "--device", parameters.device]
    options += ["--dr-para", f"{parameters.drPara:g}", "--dr-dia", f"{parameters.drDia:g}"]
    if parameters.drAuto and "r2prime" in inputs.available:
        options.append("--dr-auto")
    options += parameter_options(parameters.settings, chosen)
    if parameters.keepIntermediate:
        options.append("--keep")
    if parameters.weightsFile:
        options += ["--weights", parameters.weightsFile]
    subject = parameters.subject
    if maps:
        options += ["--b0", f"{parameters.b0Tesla:g}"]
        if "s0" in maps:
            options += ["--tr", f"{parameters.trMs / 1000:g}"]
            options += ["--flip-angle", f"{parameters.flipDeg:g}"]
        found = re.search(r"sub-[A-Za-z0-9]+", next(iter(maps.values())).GetName())
        subject = subject or (found[0] if found else "")
    return [*options, "--name", subject] if subject else options
