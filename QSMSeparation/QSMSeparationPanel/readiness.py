"""Whether a run can start: what is known of the chosen inputs, and what stands in the way."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from slicer.i18n import tr as _

from QSMSeparationPanel.checks import Finding, Inputs, Inspector
from QSMSeparationPanel.dicom_database import inspect_series
from QSMSeparationPanel.methods import method_problems
from QSMSeparationPanel.packages import unsupported
from QSMSeparationPanel.parameters import InputKind, QSMSeparationParameterNode
from QSMSeparationPanel.request import chosen_maps


def inputs_of(parameters: QSMSeparationParameterNode, inspector: Inspector) -> Inputs:
    """Return what is known of the inputs, wherever they are."""
    if parameters.inputKind is InputKind.MAPS:
        return inspector.inspect_maps(
            chosen_maps(parameters),
            parameters.mask,
            parameters.b0Tesla,
            excitation_known=parameters.trMs > 0 and parameters.flipDeg > 0,
        )
    if parameters.inputKind is InputKind.DATABASE:
        found = inspect_series(parameters.dicomSeries)
    else:
        found = inspector.inspect_folder(Path(parameters.scanFolder))
    if parameters.mask is not None:
        mask = inspector.inspect_mask(parameters.mask, None)
        found = replace(found, findings=(*found.findings, *mask))
    return found


def problems_of(
    parameters: QSMSeparationParameterNode, inputs: Inputs, lesions: Iterable[Finding]
) -> list[str]:
    """Return why a run cannot start; empty when it can."""
    if reason := unsupported():
        return [reason]
    methods = method_problems(parameters.method, parameters.inversion, inputs)
    others = []
    if parameters.subject and not re.fullmatch(r"sub-[A-Za-z0-9]{1,64}", parameters.subject):
        others.append(_("write the subject as sub-01 (letters and digits only)"))
    weights = parameters.weightsFile
    if weights and not Path(weights).is_file():
        others.append(_("there is no weights file {path}").format(path=weights))
    return [*inputs.problems, *methods, *(f.text for f in lesions if not f.ok), *others]
