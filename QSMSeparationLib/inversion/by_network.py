"""Dipole inversion by a network that corrects another inversion.

``qsmnet`` (Yoon et al., NeuroImage 2018;179:199) is a U-net trained on pairs of fields and maps,
``cycle-qsm`` (Oh et al., arXiv:2012.03842) one trained without pairs, against a critic that tells
made maps from true ones (:mod:`QSMSeparationLib.training.cycle_qsm`). The dipole couples voxels
farther apart than convolutions reach, so ours see an inversion beside the field and correct it:
``qsmnet`` that of tv, told how much of the field no source explains, ``cycle-qsm`` the closed-form
one (L2). The weights are our own; see their model cards.
"""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from QSMSeparationLib.catalogue import find
from QSMSeparationLib.data.maps import Maps
from QSMSeparationLib.inversion.l2 import l2
from QSMSeparationLib.networks.grid import NetworkGrid, upright_maps
from QSMSeparationLib.networks.inputs import (
    NET_PPM,
    QSM_INPUTS,
    input_channels,
    linear_inputs,
    qsm_inputs,
)
from QSMSeparationLib.networks.tiles import infer, note_fallback
from QSMSeparationLib.networks.weights import load_weights
from QSMSeparationLib.physics.two_sources import BRAIN_MEAN_PPM, referenced
from QSMSeparationLib.runtime.context import Context
from QSMSeparationLib.solvers.misfit import field_misfit_ppm
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
    sees_tv = input_channels(loaded.network) == QSM_INPUTS
    own_start = _tv_start(maps) if sees_tv else linear_start(maps)
    upright = upright_maps(replace(maps, net=own_start), grid, "local_field", "net")
    inputs = _inputs_with_tv(upright) if sees_tv else _inputs_with_linear(upright)
    correction, run = infer(loaded.network, inputs[0], 1, context.report)
    note_fallback(run, name, context.note)
    (start,) = upright.need("net")
    net = (start + NET_PPM * correction[0]) * upright.mask
    if refinement:
        net = refine_net(net, upright, refinement)
    # Only the change is interpolated: the start is as sharp as the scan.
    return referenced(own_start + grid.from_network(net - start), maps.mask)


def _tv_start(maps: Maps) -> Tensor:
    """Return tv's net chi at the level of brains in training."""
    return (find("tv", "inversion").run(maps) + BRAIN_MEAN_PPM) * maps.mask


def _inputs_with_tv(upright: Maps) -> Tensor:
    """Return what ``qsmnet`` sees of maps whose net chi is tv's."""
    field, start = (m[None, None] for m in upright.need("local_field", "net"))
    linear = linear_start(upright)[None, None]
    mask = upright.mask[None, None].float()
    return qsm_inputs(field, linear, start, field_misfit_ppm(upright), mask)


def _inputs_with_linear(upright: Maps) -> Tensor:
    """Return what ``cycle-qsm`` sees of maps whose net chi is the closed-form one."""
    return linear_inputs(*(m[None, None] for m in upright.need("local_field", "net")))


def linear_inversion(maps: Maps) -> Tensor:
    """Return the L2 inversion that the networks see, mean 0 over the mask."""
    return l2(maps, Context(), regularisation=_TRAINED_REGULARISATION)


def linear_start(maps: Maps) -> Tensor:
    """Return :func:`linear_inversion` at the level of brains in training."""
    return (linear_inversion(maps) + BRAIN_MEAN_PPM) * maps.mask
