"""Separation without a spin echo by a network that estimates both sources and R2' at once.

``joint-net`` sees net chi, the local field, R2* and, where it is known, the magnitude at TE 0, which
tells water and T1. It corrects the linear estimate of chi+ and |chi-| with an R2 that follows its
sources (:func:`QSMSeparationLib.physics.two_sources.r2star_closed_form`), and says how sure it is: where
R2 departs from what tissue and lesions usually have, nothing in a gradient echo can tell. Ours alone.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from QSMSeparationLib.data.maps import Maps
from QSMSeparationLib.data.separated import Separated
from QSMSeparationLib.inversion.by_network import linear_start
from QSMSeparationLib.networks.grid import NetworkGrid, upright_maps
from QSMSeparationLib.networks.inputs import NET_PPM, MagnitudeAtTE0, joint_inputs
from QSMSeparationLib.networks.tiles import infer, note_fallback
from QSMSeparationLib.physics.constants import R2PRIME_ESTIMATE_B0_T
from QSMSeparationLib.physics.two_sources import prepare_net, r2star_closed_form
from QSMSeparationLib.runtime.context import Context
from QSMSeparationLib.runtime.errors import InputError
from QSMSeparationLib.separation.by_network import network_and_grid, on_scan, sds_on_scan
from QSMSeparationLib.separation.r2star_joint import expect, setting_of
from QSMSeparationLib.solvers.misfit import field_misfit_ppm
from QSMSeparationLib.solvers.refine import refine

_OUTPUTS = 6
"""Corrections of chi+, |chi-| and R2'/Dr, then the logarithms of their SDs."""


def joint_net(maps: Maps, context: Context, *, refinement: int) -> Separated:
    """Return chi+ >= 0 and chi- <= 0 in ppm with R2' in Hz, and the SDs of all three.

    Parameters
    ----------
    maps : Maps
        ``local_field``, ``net``, ``r2star``, with ``dr_para`` and ``dr_dia``; ``s0`` with ``tr_s`` and
        ``flip_deg`` if they are known.
    context : Context
        The network, weights of the user, progress and notes.
    refinement : int
        Steps of :func:`QSMSeparationLib.solvers.refine.refine` after the network.
    """
    _require_3t(maps)
    loaded, grid = network_and_grid(maps, context)
    upright = upright_maps(maps, grid, "local_field", "net", "r2star")
    if not maps.has_te0:
        context.note(
            f"{context.networks[0]}: without the magnitude at TE 0 (with TR and flip angle), which "
            "tells water and T1"
        )
    inputs = _inputs(upright, magnitude_at_te0(maps, grid, upright.mask))
    output, run = infer(loaded.network, inputs[0], _OUTPUTS, context.report)
    note_fallback(run, context.networks[0], context.note)
    start = _start(upright)
    found = (start + NET_PPM * output[:3]).clamp_(min=0).mul_(upright.mask)
    if refinement:
        estimated = replace(upright, r2prime=maps.mean_dr * found[2])
        found[:2] = refine(found[:2], estimated, refinement)
    own_start = _start(maps) if grid.resampled else start
    para, dia, rate_ppm = on_scan(found, start, own_start, grid, maps)
    distance = _distance(maps)
    sds = sds_on_scan(output[3:], grid, maps) * distance.clamp(min=1)
    return Separated(
        para,
        -dia,
        chi_para_sd=sds[0],
        chi_dia_sd=sds[1],
        r2prime=maps.mean_dr * rate_ppm,
        r2prime_sd=maps.mean_dr * sds[2],
        unusual=(distance > 1) & maps.mask,
    )


def _require_3t(maps: Maps) -> None:
    """Refuse other field strengths: R2 follows other laws there, which it has not seen."""
    lowest, highest = R2PRIME_ESTIMATE_B0_T
    if not lowest <= maps.b0_tesla <= highest:
        raise InputError(
            f"joint-net was trained for 3 T, not for {maps.b0_tesla:g} T; choose r2star-joint"
        )


def magnitude_at_te0(maps: Maps, grid: NetworkGrid, upright_mask: Tensor) -> MagnitudeAtTE0:
    """Return what the magnitude at TE 0 tells, on the grid of the network."""
    mask = upright_mask[None, None].float()
    if maps.s0 is None or not maps.tr_s or not maps.flip_deg:
        return MagnitudeAtTE0.none(mask)
    s0 = maps.s0.nan_to_num()
    own = MagnitudeAtTE0.of(s0, maps.mask, maps.spacing_kji, maps.tr_s, maps.flip_deg)
    # Its logarithm is interpolated, of which 0 is the usual: a magnitude would darken at borders.
    known = (grid.to_network(own.known) > 0.5) * mask
    return MagnitudeAtTE0(
        grid.to_network(own.log_ratio) * known, own.weighting.amax() * known, known
    )


def _inputs(maps: Maps, te0: MagnitudeAtTE0) -> Tensor:
    """Return the inputs of the network from maps on its grid."""
    net, mask = prepare_net(maps)
    field, r2star = (m[None, None].float() for m in maps.need("local_field", "r2star"))
    return joint_inputs(
        net,
        field,
        r2star,
        linear_start(maps)[None, None],
        _start(maps)[None, :2],
        (maps.dr_para, maps.dr_dia),
        field_misfit_ppm(maps),
        te0,
        mask,
    )


def _start(maps: Maps) -> Tensor:
    """Return what the network corrects: chi+, |chi-| and R2' over the mean Dr, (3, k, j, i)."""
    net, mask = prepare_net(maps)
    (r2star,) = maps.need("r2star")
    r2star = r2star[None, None].float()
    para, dia = r2star_closed_form(net, r2star, maps.dr_para, maps.dr_dia, mask)[0]
    return torch.stack([para, dia, (maps.dr_para * para + maps.dr_dia * dia) / maps.mean_dr])


def _distance(maps: Maps) -> Tensor:
    """Return how far the measurements lie from what tissue holds; 1 is the border of the usual."""
    (r2star,) = maps.need("r2star")
    net, _ = prepare_net(maps)
    return expect(net[0, 0], r2star.float(), setting_of(maps)).distance
