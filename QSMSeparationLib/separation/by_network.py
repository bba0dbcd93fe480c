"""Separation by a network that corrects the guided closed form.

``chi-sepnet`` (Kim et al., Hum Brain Mapp 2025;46:e70136) is a U-net, ``susep-net`` (Li et al.,
arXiv:2506.13293) a dual-branch network trained with a contrastive term. Both are our own, trained
on our own simulation; what differs from the papers stands in their model cards.
"""

from __future__ import annotations

import torch
from torch import Tensor

from QSMSeparationLib.data.maps import Maps
from QSMSeparationLib.inversion.by_network import linear_start
from QSMSeparationLib.networks.grid import NetworkGrid, upright_maps
from QSMSeparationLib.networks.inputs import NET_PPM, fitted, separation_inputs
from QSMSeparationLib.networks.susep import SusepOutput
from QSMSeparationLib.networks.tiles import infer, note_fallback
from QSMSeparationLib.networks.weights import load_weights
from QSMSeparationLib.physics.two_sources import guided_closed_form, prepare_inputs
from QSMSeparationLib.runtime.context import Context
from QSMSeparationLib.separation.guided import guided_pair
from QSMSeparationLib.solvers.misfit import field_misfit_ppm
from QSMSeparationLib.solvers.refine import refine


def separate_by_network(maps: Maps, context: Context, *, refinement: int) -> tuple[Tensor, Tensor]:
    """Return chi+ >= 0 and chi- <= 0 in ppm.

    Parameters
    ----------
    maps : Maps
        ``local_field``, ``net``, ``r2prime``, with ``dr_para`` and ``dr_dia``.
    context : Context
        The network, weights of the user, progress and notes.
    refinement : int
        Steps of :func:`QSMSeparationLib.solvers.refine.refine` after the network.
    """
    name = context.networks[0]
    loaded = load_weights(name, context.weights.get(name))
    grid = NetworkGrid(maps)
    if grid.resampled:
        context.note(
            f"{name}: maps were resampled to {grid.spacing_mm:.2f} mm along B0 and back, "
            "as the scan is oblique or its voxels are not cubes"
        )
    upright = upright_maps(maps, grid, "local_field", "net", "r2prime")
    net, rate, mask = prepare_inputs(upright)
    asymmetry = maps.dr_asymmetry
    linear = linear_start(upright)[None, None]
    (field,) = upright.need("local_field")
    misfit_ppm = field_misfit_ppm(upright)
    inputs = fitted(
        separation_inputs(net, field[None, None], rate, asymmetry, linear, mask, misfit_ppm),
        loaded.network,
    )
    correction, run = infer(loaded.network, inputs[0], 2, context.report, pick=_sources)
    note_fallback(run, name, context.note)
    start = guided_closed_form(net, rate, asymmetry, mask)[0]
    sources = (start + NET_PPM * correction).clamp_(min=0) * mask[0]
    if refinement:
        sources = refine(sources, upright, refinement)
    if grid.resampled:
        # Only the change is interpolated: the start is as sharp as the scan.
        change = grid.from_network(sources.sub_(start))
        para, dia = guided_pair(maps)
        sources = torch.stack([para, -dia]).nan_to_num_().add_(change)
    else:
        sources = grid.from_network(sources)
    para, dia = sources.clamp_(min=0).mul_(maps.mask)
    return para, dia.neg_()


def _sources(output: Tensor | SusepOutput) -> Tensor:
    """Return the map among what a network gives."""
    return output.sources if isinstance(output, SusepOutput) else output
