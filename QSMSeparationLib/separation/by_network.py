"""Separation by a network that corrects the guided closed form.

``chi-sepnet`` (Kim et al., Hum Brain Mapp 2025;46:e70136) is a U-net, ``susep-net`` (Li et al.,
arXiv:2506.13293) a dual-branch network trained with a contrastive term. Both are our own, trained
on our own simulation; what differs from the papers stands in their model cards. Networks with more
than two outputs tell the SD of each source, too.
"""

from __future__ import annotations

from torch import Tensor

from QSMSeparationLib.data.maps import Maps
from QSMSeparationLib.data.separated import Separated
from QSMSeparationLib.inversion.by_network import linear_start
from QSMSeparationLib.networks.grid import NetworkGrid, upright_maps
from QSMSeparationLib.networks.inputs import NET_PPM, fitted, sd_of, separation_inputs
from QSMSeparationLib.networks.susep import SusepOutput
from QSMSeparationLib.networks.tiles import infer, note_fallback
from QSMSeparationLib.networks.weights import Weights, load_weights
from QSMSeparationLib.physics.two_sources import guided_closed_form, prepare_inputs
from QSMSeparationLib.runtime.context import Context
from QSMSeparationLib.solvers.misfit import field_misfit_ppm
from QSMSeparationLib.solvers.refine import refine


def separate_by_network(maps: Maps, context: Context, *, refinement: int) -> Separated:
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
    loaded, grid = network_and_grid(maps, context)
    upright = upright_maps(maps, grid, "local_field", "net", "r2prime")
    net, rate, mask = prepare_inputs(upright)
    linear = linear_start(upright)[None, None]
    (field,) = upright.need("local_field")
    inputs = separation_inputs(
        net, field[None, None], rate, maps.dr_asymmetry, linear, mask, field_misfit_ppm(upright)
    )
    outputs = loaded.card["parameters"].get("outputs", 2)
    found, run = infer(
        loaded.network, fitted(inputs, loaded.network)[0], outputs, context.report, pick=_sources
    )
    note_fallback(run, context.networks[0], context.note)
    start = _start(upright)
    sources = (start + NET_PPM * found[:2]).clamp_(min=0) * mask[0]
    if refinement:
        sources = refine(sources, upright, refinement)
    para, dia = on_scan(sources, start, _start(maps) if grid.resampled else start, grid, maps)
    para_sd, dia_sd = sds_on_scan(found[2:], grid, maps) if outputs > 2 else (None, None)
    return Separated(para, -dia, para_sd, dia_sd)


def network_and_grid(maps: Maps, context: Context) -> tuple[Weights, NetworkGrid]:
    """Return the network of a method, and its grid; says so where maps are interpolated."""
    name = context.networks[0]
    grid = NetworkGrid(maps)
    if grid.resampled:
        context.note(
            f"{name}: maps were resampled to {grid.spacing_mm:.2f} mm along B0 and back, "
            "as the scan is oblique or its voxels are not cubes"
        )
    return load_weights(name, context.weights.get(name)), grid


def on_scan(
    found: Tensor, start: Tensor, own_start: Tensor, grid: NetworkGrid, maps: Maps
) -> Tensor:
    """Return maps that a network corrected, each at least 0, on the grid of the scan.

    Parameters
    ----------
    found, start : Tensor
        What a network made and what it started from, on its grid, (n, k, j, i).
    own_start : Tensor
        The start from the maps of the scan; used where these were interpolated.
    grid : NetworkGrid
        The grid of the network.
    maps : Maps
        The maps of the scan.
    """
    if grid.resampled:
        # Only the change is interpolated: the start is as sharp as the scan.
        found = own_start.nan_to_num().add_(grid.from_network(found - start))
    else:
        found = grid.from_network(found)
    return found.clamp_(min=0).mul_(maps.mask)


def sds_on_scan(output: Tensor, grid: NetworkGrid, maps: Maps) -> Tensor:
    """Return SDs in ppm on the grid of the scan, from what a network gives for them."""
    return grid.from_network(sd_of(output)).mul_(maps.mask)


def _start(maps: Maps) -> Tensor:
    """Return what the networks correct, (2, k, j, i)."""
    net, rate, mask = prepare_inputs(maps)
    return guided_closed_form(net, rate, maps.dr_asymmetry, mask)[0]


def _sources(output: Tensor | SusepOutput) -> Tensor:
    """Return the map among what a network gives."""
    return output.sources if isinstance(output, SusepOutput) else output
