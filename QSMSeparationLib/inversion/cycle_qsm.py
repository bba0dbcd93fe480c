"""CycleQSM (Oh et al., arXiv:2012.03842): a U-net trained without pairs of field and map.

It sees fields of some people and maps of others; the dipole closes both cycles, and a critic
tells made maps from true ones (:mod:`QSMSeparationLib.training.cycle_qsm`). Like our QSMnet it
corrects the closed-form (L2) inversion. Own weights; see their model card.
"""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from QSMSeparationLib.data.maps import Maps
from QSMSeparationLib.inversion.by_network import invert_by_network
from QSMSeparationLib.networks.tiles import Note, ignore
from QSMSeparationLib.runtime.progress import Report, silent
from QSMSeparationLib.solvers.refine import DEFAULT_REFINEMENT_STEPS


def cycle_qsm(
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
        "cycle-qsm", maps, weights=weights, refinement=refinement, note=note, report=report
    )
