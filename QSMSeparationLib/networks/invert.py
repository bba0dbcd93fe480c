"""Dipole inversion by a network that corrects the closed-form (L2) inversion."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from QSMSeparationLib.inversion.l2 import l2
from QSMSeparationLib.maps import Maps
from QSMSeparationLib.networks.grid import NetworkGrid, upright_maps
from QSMSeparationLib.networks.inputs import NET_PPM, qsm_inputs
from QSMSeparationLib.networks.refine import STEPS, refine_net
from QSMSeparationLib.networks.separate import Note, ignore, tell
from QSMSeparationLib.networks.tiles import infer
from QSMSeparationLib.networks.weights import load_weights
from QSMSeparationLib.progress import Report, silent
from QSMSeparationLib.separation.guided import BRAIN_MEAN_PPM


def invert_by_network(
    name: str,
    maps: Maps,
    *,
    weights: Path | None = None,
    refinement: float = STEPS,
    note: Note = ignore,
    report: Report = silent,
) -> Tensor:
    """Return net susceptibility in ppm, mean 0 over the mask, 0 outside.

    Parameters
    ----------
    name : str
        Which network.
    maps : Maps
        With ``field_ppm``.
    weights : Path, optional
        Weights of the user.
    refinement : float
        Steps of :func:`QSMSeparationLib.networks.refine.refine_net` after the network.
    note : callable
        Takes what the user should read.
    report : callable
        Progress.
    """
    loaded = load_weights(name, weights)
    grid = NetworkGrid(maps)
    upright = upright_maps(maps, grid, "field_ppm")
    # Brains have this mean in training; the result is referenced to the mask at the end.
    linear = (l2(upright) + BRAIN_MEAN_PPM) * upright.mask
    inputs = qsm_inputs(upright.field_ppm[None, None], linear[None, None])[0]
    correction, run = infer(loaded.network, inputs, 1, report)
    tell(run, name, note)
    net = (linear + NET_PPM * correction[0]) * upright.mask
    if refinement >= 1:
        net = refine_net(net, upright, int(refinement))
    net = grid.from_network(net)
    return (net - net[maps.mask].mean()) * maps.mask
