"""chi-sepnet without a spin echo: R2PRIMEnet estimates R2' from R2* alone (Kim et al. 2025)."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from QSMSeparationLib.data.maps import Maps
from QSMSeparationLib.data.separated import Separated
from QSMSeparationLib.networks.grid import NetworkGrid
from QSMSeparationLib.networks.inputs import NET_PPM, rate_inputs, starting_rate
from QSMSeparationLib.networks.tiles import infer, note_fallback
from QSMSeparationLib.networks.weights import load_weights
from QSMSeparationLib.physics.constants import DR_HZ_PER_PPM, R2PRIME_ESTIMATE_B0_T
from QSMSeparationLib.runtime.context import Context
from QSMSeparationLib.runtime.errors import InputError
from QSMSeparationLib.separation.by_network import separate_by_network

_NETWORK = "r2primenet"


def separate_with_estimated_r2prime(maps: Maps, context: Context, *, refinement: int) -> Separated:
    """Return chi+ >= 0 and chi- <= 0 in ppm from field, net chi and R2*; R2' is estimated.

    Parameters
    ----------
    maps : Maps
        ``local_field``, ``net``, ``r2star``, with ``dr_para`` and ``dr_dia``.
    context : Context
        The networks, weights of the user, progress and notes.
    refinement : int
        Steps of :func:`QSMSeparationLib.solvers.refine.refine` after the network.
    """
    estimated = replace(maps, r2prime=estimate_r2prime(maps, context))
    # The SDs of the network are those with a measured R2': they would promise too much.
    return Separated(*separate_by_network(estimated, context, refinement=refinement))


def estimate_r2prime(maps: Maps, context: Context) -> Tensor:
    """Return R2' in Hz as a network guesses it from R2*, at 3 T only.

    Parameters
    ----------
    maps : Maps
        With ``r2star``.
    context : Context
        Weights of the user, notes.
    """
    (r2star,) = maps.need("r2star")
    lowest, highest = R2PRIME_ESTIMATE_B0_T
    if not lowest <= maps.b0_tesla <= highest:
        raise InputError(
            f"R2' can be estimated from R2* at 3 T only, not at {maps.b0_tesla:g} T; "
            "measure R2 with a spin echo"
        )
    loaded = load_weights(_NETWORK, context.weights.get(_NETWORK))
    grid = NetworkGrid(maps)
    mask = grid.to_network(maps.mask.float())
    upright = grid.to_network(r2star) * (mask > 0.5)
    correction, run = infer(loaded.network, rate_inputs(upright)[None], 1)
    note_fallback(run, _NETWORK, context.note)
    estimated = starting_rate(upright) + NET_PPM * DR_HZ_PER_PPM * correction[0]
    return grid.from_network(estimated.clamp_(min=0)) * maps.mask
