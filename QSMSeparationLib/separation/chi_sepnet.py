"""chi-sepnet (Kim et al., Hum Brain Mapp 2025;46:e70136): from R2', or from R2* alone.

With R2* alone, R2PRIMEnet estimates R2' first and the same network separates. Both networks are
our own, trained on our own simulation; what differs from the paper stands in their model cards.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from torch import Tensor

from QSMSeparationLib.data.maps import Maps
from QSMSeparationLib.networks.tiles import Note, ignore
from QSMSeparationLib.runtime.progress import Report, silent
from QSMSeparationLib.separation.by_network import separate_by_network
from QSMSeparationLib.separation.r2primenet import estimate_r2prime
from QSMSeparationLib.solvers.refine import DEFAULT_REFINEMENT_STEPS


def chi_sepnet_r2prime(
    maps: Maps,
    *,
    refinement: float = DEFAULT_REFINEMENT_STEPS,
    weights: Path | None = None,
    note: Note = ignore,
    report: Report = silent,
) -> tuple[Tensor, Tensor]:
    """Return chi+ >= 0 and chi- <= 0 in ppm from field, net chi and R2'."""
    return separate_by_network(
        "chi-sepnet", maps, weights=weights, refinement=refinement, note=note, report=report
    )


def chi_sepnet_r2star(
    maps: Maps,
    *,
    refinement: float = DEFAULT_REFINEMENT_STEPS,
    weights: Path | None = None,
    note: Note = ignore,
    report: Report = silent,
) -> tuple[Tensor, Tensor]:
    """Return chi+ >= 0 and chi- <= 0 in ppm from field, net chi and R2*; R2' is estimated."""
    estimated = replace(maps, r2prime=estimate_r2prime(maps, note=note))
    return chi_sepnet_r2prime(
        estimated, refinement=refinement, weights=weights, note=note, report=report
    )
