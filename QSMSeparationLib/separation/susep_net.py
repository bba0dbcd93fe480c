"""SUSEP-Net (Li et al., arXiv:2506.13293): simulation-supervised, contrastive, dual branch.

Our own weights, trained on our own simulation; see their model card.
"""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from QSMSeparationLib.data.maps import Maps
from QSMSeparationLib.networks.tiles import Note, ignore
from QSMSeparationLib.runtime.progress import Report, silent
from QSMSeparationLib.separation.by_network import separate_by_network
from QSMSeparationLib.solvers.refine import DEFAULT_REFINEMENT_STEPS


def susep_net(
    maps: Maps,
    *,
    refinement: float = DEFAULT_REFINEMENT_STEPS,
    weights: Path | None = None,
    note: Note = ignore,
    report: Report = silent,
) -> tuple[Tensor, Tensor]:
    """Return chi+ >= 0 and chi- <= 0 in ppm from field, net chi and R2'."""
    return separate_by_network(
        "susep-net", maps, weights=weights, refinement=refinement, note=note, report=report
    )
