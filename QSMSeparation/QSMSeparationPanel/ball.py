"""A ball of tissue with an iron-rich and a myelin-rich part, whose separation is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer

from QSMSeparationLib.mrml.convert import volume_of
from QSMSeparationLib.mrml.runs import Run
from QSMSeparationLib.physics.constants import DR_HZ_PER_PPM

ALLOWED_ERROR = 0.05
"""Of the largest value: the closed form is exact where R2' and net chi are."""
_SHAPE, _RADIUS = (24, 24, 24), 10
_TISSUE_PPM, _IRON_PPM, _MYELIN_PPM = 0.02, 0.06, -0.06  # their mean is the reference: 0


def sources() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return mask, chi+ and chi- in ppm."""
    k, j, i = np.indices(_SHAPE) - (_SHAPE[0] - 1) / 2
    mask = k**2 + j**2 + i**2 < _RADIUS**2
    para = np.where(i > 2, _IRON_PPM, _TISSUE_PPM) * mask
    dia = np.where(i < -2, _MYELIN_PPM, -_TISSUE_PPM) * mask
    return mask, para.astype(np.float32), dia.astype(np.float32)


def choose(parameters: Any) -> None:
    """Load the ball and choose it as the input of a run."""
    mask, para, dia = sources()
    add = slicer.util.addVolumeFromArray
    parameters.method = "closed-form"
    parameters.drPara = parameters.drDia = DR_HZ_PER_PPM
    parameters.qsm = add(para + dia, name="self test net chi")
    parameters.r2prime = add(DR_HZ_PER_PPM * (para - dia), name="self test R2prime")
    parameters.mask = add(
        mask.astype(np.uint8), name="self test mask", nodeClassName="vtkMRMLLabelMapVolumeNode"
    )


def error_of(run: Run) -> float:
    """Return how far a run is from the known sources, as a share of the largest value."""
    mask, para, dia = sources()
    errors = []
    for role, known in (("chi_para", para), ("chi_dia", dia)):
        found = volume_of(run.need(role)).array
        errors.append(float(np.abs(found - known)[mask].max()))
    return max(errors) / _IRON_PPM
