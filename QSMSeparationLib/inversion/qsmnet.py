"""QSMnet (Yoon et al., NeuroImage 2018;179:199): a U-net from the local field to net chi.

Ours sees the closed-form (L2) inversion beside the field and corrects it: the dipole couples
voxels farther apart than the convolutions reach. Own weights; see their model card.
"""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from QSMSeparationLib.data.maps import Maps
from QSMSeparationLib.inversion.by_network import invert_by_network
from QSMSeparationLib.networks.tiles import Note, ignore
from QSMSeparationLib.runtime.progress import Report, silent
from QSMSeparationLib.solvers.refine import DEFAULT_REFINEMENT_STEPS


def qsmnet(
    maps: Maps,
    *,
    weights: Path | None = None,
    refinement: float = DEFAULT_REFINEMENT_STEPS,
    note: Note = ignore,
    report: Report = silent,
) -> Tensor:
    """Return net susceptibility in ppm, mean 0 over the mask, 0 outside.

    Parameters
    ----------
    maps : Maps
        With ``local_field``.
    weights : Path, optional
        Weights of the user.
    refinement : float
        Steps towards the field after the network.
    note : callable
        Takes what the user should read.
    report : callable
        Progress.
    """
    return invert_by_network(
        "qsmnet", maps, weights=weights, refinement=refinement, note=note, report=report
    )
