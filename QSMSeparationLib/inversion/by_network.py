"""Dipole inversion by a network that corrects the closed-form (L2) inversion."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from QSMSeparationLib.data.maps import Maps
from QSMSeparationLib.inversion.l2 import l2
from QSMSeparationLib.networks.grid import NetworkGrid, upright_maps
from QSMSeparationLib.networks.inputs import NET_PPM, qsm_inputs
from QSMSeparationLib.networks.tiles import Note, ignore, infer, tell
from QSMSeparationLib.networks.weights import load_weights
from QSMSeparationLib.physics.two_sources import BRAIN_MEAN_PPM
from QSMSeparationLib.runtime.progress import Report, silent
from QSMSeparationLib.solvers.refine import DEFAULT_REFINEMENT_STEPS, refine_net


def invert_by_network(
    name: str,
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
    name : str
        Which network.
    maps : Maps
        With ``local_field``.
    weights : Path, optional
        Weights of the user.
    refinement : float
        Steps of :func:`QSMSeparationLib.solvers.refine.refine_net` after the network.
    note : callable
        Takes what the user should read.
    report : callable
        Progress.
    """
    loaded = load_weights(name, weights)
    grid = NetworkGrid(maps)
    upright = upright_maps(maps, grid, "local_field")
    # Brains have this mean in training; the result is referenced to the mask at the end.
    linear = (l2(upright) + BRAIN_MEAN_PPM) * upright.mask
    inputs = qsm_inputs(upright.local_field[None, None], linear[None, None])[0]
    correction, run = infer(loaded.network, inputs, 1, report)
    tell(run, name, note)
    net = (linear + NET_PPM * correction[0]) * upright.mask
    if refinement >= 1:
        net = refine_net(net, upright, int(refinement))
    net = grid.from_network(net)
    return (net - net[maps.mask].mean()) * maps.mask
