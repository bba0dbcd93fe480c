"""SUSEP-Net (Li et al., arXiv:2506.13293): simulation-supervised, contrastive, dual branch.

Our own weights, trained on our own simulation; see their model card.
"""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from QSMSeparationLib.maps import Maps
from QSMSeparationLib.networks.refine import STEPS
from QSMSeparationLib.networks.separate import Note, ignore, separate_by_network
from QSMSeparationLib.progress import Report, silent


def susep_net(
    maps: Maps,
    *,
    refinement: float = STEPS,
    weights: Path | None = None,
    note: Note = ignore,
    report: Report = silent,
) -> tuple[Tensor, Tensor]:
    """Return chi+ >= 0 and chi- <= 0 in ppm from field, net chi and R2'."""
    return separate_by_network(
        "susep-net", maps, weights=weights, refinement=refinement, note=note, report=report
    )
