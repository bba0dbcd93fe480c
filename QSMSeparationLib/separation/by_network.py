"""Separation by a network: maps of any geometry in, chi+ and chi- out."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from QSMSeparationLib.data.maps import Maps
from QSMSeparationLib.inversion.l2 import l2
from QSMSeparationLib.networks.grid import NetworkGrid, upright_maps
from QSMSeparationLib.networks.inputs import NET_PPM, separation_inputs
from QSMSeparationLib.networks.susep import SusepOutput
from QSMSeparationLib.networks.tiles import Note, ignore, infer, tell
from QSMSeparationLib.networks.weights import load_weights
from QSMSeparationLib.physics.two_sources import BRAIN_MEAN_PPM, guided_closed_form, prepare_inputs
from QSMSeparationLib.runtime.progress import Report, silent
from QSMSeparationLib.separation.guided import closed_form_guided
from QSMSeparationLib.solvers.refine import DEFAULT_REFINEMENT_STEPS, refine


def separate_by_network(
    name: str,
    maps: Maps,
    *,
    weights: Path | None = None,
    refinement: float = DEFAULT_REFINEMENT_STEPS,
    note: Note = ignore,
    report: Report = silent,
) -> tuple[Tensor, Tensor]:
    """Return chi+ >= 0 and chi- <= 0 in ppm.

    Parameters
    ----------
    name : str
        Which network.
    maps : Maps
        ``local_field``, ``net``, ``r2prime``, with ``dr_para`` and ``dr_dia``.
    weights : Path, optional
        Weights of the user.
    refinement : float
        Steps of :func:`QSMSeparationLib.solvers.refine.refine` after the network.
    note : callable
        Takes what the user should read.
    report : callable
        Progress.
    """
    loaded = load_weights(name, weights)
    grid = NetworkGrid(maps)
    if grid.resampled:
        note(
            f"{name}: maps were resampled to {grid.spacing_mm:.2f} mm along B0 and back, "
            "as the scan is oblique or its voxels are not cubes"
        )
    upright = upright_maps(maps, grid, "local_field", "net", "r2prime")
    net, rate, mask = prepare_inputs(upright)
    asymmetry = maps.dr_asymmetry
    linear = (l2(upright) + BRAIN_MEAN_PPM)[None, None] * mask
    inputs = separation_inputs(net, upright.local_field[None, None], rate, asymmetry, linear, mask)
    correction, run = infer(loaded.network, inputs[0], 2, report, pick=_sources)
    tell(run, name, note)
    start = guided_closed_form(net, rate, asymmetry, mask)[0]
    sources = (start + NET_PPM * correction).clamp_(min=0) * mask[0]
    if refinement >= 1:
        sources = refine(sources, upright, int(refinement))
    if grid.resampled:
        # Only the change is interpolated: the start is as sharp as the scan.
        change = grid.from_network(sources.sub_(start))
        para, dia = closed_form_guided(maps)
        sources = torch.stack([para, -dia]).nan_to_num_().add_(change)
    else:
        sources = grid.from_network(sources)
    para, dia = sources.clamp_(min=0).mul_(maps.mask)
    return para, dia.neg_()


def _sources(output: object) -> Tensor:
    """The map among what a network returns."""
    return output.sources if isinstance(output, SusepOutput) else output
