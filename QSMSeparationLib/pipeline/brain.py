"""The brain of a scan: its mask and, by ``anatomy-net``, its structures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from QSMSeparationLib.anatomy.mask import anatomy_mask
from QSMSeparationLib.anatomy.segment import ROUGH, WEIGHTS, Segmentation, labels_on, segment
from QSMSeparationLib.data.scan import Scan
from QSMSeparationLib.data.volume import Volume
from QSMSeparationLib.preprocess import checks
from QSMSeparationLib.preprocess.mask import brain_mask, clean_mask
from QSMSeparationLib.runtime.errors import InputError
from QSMSeparationLib.runtime.progress import Progress, Report

MASK_METHODS = ("anatomy", "threshold")
"""``anatomy``: by anatomy-net, which also labels the brain; ``threshold``: by magnitude and its
decay alone."""


@dataclass(frozen=True, eq=False)
class Brain:
    """Where the brain of a scan is.

    Parameters
    ----------
    mask : Tensor
        On the device of the magnitude.
    labels : ndarray of int16, optional
        Structures by label number within the mask.
    checks : tuple
        Data checks of the mask.
    notes : tuple of str
        To be read by the user.
    facts : dict
        For the sidecars.
    """

    mask: torch.Tensor
    labels: NDArray[np.int16] | None
    checks: tuple[checks.Check, ...]
    notes: tuple[str, ...]
    facts: dict[str, Any]


def find_brain(scan: Scan, magnitude: torch.Tensor, method: str, progress: Progress) -> Brain:
    """Return the brain: by the mask that came with the scan, or by a method.

    Parameters
    ----------
    scan : Scan
        Its ``mask``, where it has one, is used.
    magnitude : Tensor
        Echoes.
    method : {"anatomy", "threshold"}
        How to find a mask; ``anatomy`` also labels the brain, in a given mask too.
    progress : Progress
        Receives the stages.
    """
    if method not in MASK_METHODS:
        raise InputError(f"--mask-method {method}: choose one of {', '.join(MASK_METHODS)}")
    given = None if scan.mask is None else _given(scan)
    if method == "threshold":
        with progress.stage("brain mask") as report:
            mask = _by_threshold(scan, magnitude, report) if given is None else given
        return _brain(mask, magnitude, "given" if given is not None else method)
    combined = Volume(
        magnitude.square().mean(dim=0).sqrt_().cpu().numpy(), scan.geometry, "magnitude"
    )
    with progress.stage("anatomy") as report:
        try:
            found = segment(combined, report)
        except InputError as error:
            if given is None:
                raise
            note = f"the brain was not labeled: {error}"
            return _brain(given, magnitude, "given", notes=(note,))
        mask = anatomy_mask(found, combined) if given is None else given
    with progress.stage("check of the mask") as report:
        checked = _checked(mask, scan, magnitude, report)
    return _brain(mask, magnitude, "given" if given is not None else method, found, scan, checked)


def _given(scan: Scan) -> NDArray[np.bool_]:
    assert scan.mask is not None
    Volume(scan.mask.array, scan.geometry, "scan").require_same_grid(scan.mask)
    return clean_mask(scan.mask.array, scan.geometry.shape, scan.mask.source)


def _by_threshold(scan: Scan, magnitude: torch.Tensor, report: Report) -> NDArray[np.bool_]:
    spacing = scan.geometry.spacing_kji
    return brain_mask(magnitude, scan.echo_times_s, spacing, report=report)


def _checked(
    mask: NDArray[np.bool_], scan: Scan, magnitude: torch.Tensor, report: Report
) -> tuple[checks.Check, ...]:
    """Compare a mask with that of thresholds, which knows no shape but sees each voxel."""
    try:
        other = _by_threshold(scan, magnitude, report)
    except InputError:
        other = np.zeros_like(mask)
    return (checks.check_masks_agree(mask, other),)


def _brain(
    mask: NDArray[np.bool_],
    magnitude: torch.Tensor,
    method: str,
    found: Segmentation | None = None,
    scan: Scan | None = None,
    checked: tuple[checks.Check, ...] = (),
    notes: tuple[str, ...] = (),
) -> Brain:
    labels, facts = None, {"MaskMethod": method}
    if found is not None:
        facts |= {"WeightsSha256": {WEIGHTS: found.sha256}}
    if found is not None and found.rough:
        notes = (*notes, f"{ROUGH} (--tissue, --regions)")
    elif found is not None and scan is not None:
        labels = labels_on(found, Volume(mask.astype(np.uint8), scan.geometry, "mask")).array
    on_device = torch.as_tensor(mask).to(magnitude.device)
    return Brain(on_device, labels, checked, notes, facts)
