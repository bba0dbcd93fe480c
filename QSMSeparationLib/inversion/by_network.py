"""Dipole inversion by a network that corrects the closed-form (L2) inversion.

``qsmnet`` (Yoon et al., NeuroImage 2018;179:199) is a U-net trained on pairs of fields and maps,
``cycle-qsm`` (Oh et al., arXiv:2012.03842) one trained without pairs, against a critic that tells
made maps from true ones (:mod:`QSMSeparationLib.training.cycle_qsm`). Ours see the closed-form
inversion beside the field and correct it: the dipole couples voxels farther apart than the
convolutions reach. The weights are our own; see their model cards.
"""

from __future__ import annotations

from torch import Tensor

from QSMSeparationLib.data.maps import Maps
from QSMSeparationLib.inversion.l2 import l2
from QSMSeparationLib.networks.grid import NetworkGrid, upright_maps
from QSMSeparationLib.networks.inputs import NET_PPM, qsm_inputs
from QSMSeparationLib.networks.tiles import infer, note_fallback
from QSMSeparationLib.networks.weights import load_weights
from QSMSeparationLib.physics.two_sources import BRAIN_MEAN_PPM, referenced
from QSMSeparationLib.runtime.context import Context
from QSMSeparationLib.solvers.refine import refine_net

_TRAINED_REGULARISATION = 0.05
"""Weight of the L2 inversion that the networks were trained with; other weights need a training."""


def invert_by_network(maps: Maps, context: Context, *, refinement: int) -> Tensor:
    """Return net susceptibility in ppm, mean 0 over the mask, 0 outside.

    Parameters
    ----------
    maps : Maps
        With ``local_field``.
    context : Context
        The network, weights of the user, progress.
    refinement : int
        Steps of :func:`QSMSeparationLib.solvers.refine.refine_net` after the network.
    """
    name = context.networks[0]
    loaded = load_weights(name, context.weights.get(name))
    grid = NetworkGrid(maps)
    upright = upright_maps(maps, grid, "local_field")
    linear = linear_start(upright)
    (field,) = upright.need("local_field")
    inputs = qsm_inputs(field[None, None], linear[None, None])[0]
    correction, run = infer(loaded.network, inputs, 1, context.report)
    note_fallback(run, name, context.note)
    net = (linear + NET_PPM * correction[0]) * upright.mask
    if refinement:
        net = refine_net(net, upright, refinement)
    return referenced(grid.from_network(net), maps.mask)


def linear_inversion(maps: Maps) -> Tensor:
    """Return the L2 inversion that the networks see, mean 0 over the mask."""
    return l2(maps, Context(), regularisation=_TRAINED_REGULARISATION)


def linear_start(maps: Maps) -> Tensor:
    """Return :func:`linear_inversion` at the level of brains in training."""
    return (linear_inversion(maps) + BRAIN_MEAN_PPM) * maps.mask
