"""Separation by a network: maps of any geometry in, chi+ and chi- out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from QSMSeparationLib.inversion.l2 import l2
from QSMSeparationLib.maps import Maps
from QSMSeparationLib.networks.grid import NetworkGrid, upright_maps
from QSMSeparationLib.networks.inputs import NET_PPM, separation_inputs
from QSMSeparationLib.networks.refine import STEPS, refine
from QSMSeparationLib.networks.susep import SusepOutput
from QSMSeparationLib.networks.tiles import Run, infer
from QSMSeparationLib.networks.weights import load_weights
from QSMSeparationLib.progress import Report, silent
from QSMSeparationLib.separation.guided import (
    BRAIN_MEAN_PPM,
    closed_form_guided,
    known_terms,
    starting_sources,
)

Note = Callable[[str], None]


def ignore(text: str) -> None:
    """Drop a note."""


def separate_by_network(
    name: str,
    maps: Maps,
    *,
    weights: Path | None = None,
    refinement: float = STEPS,
    note: Note = ignore,
    report: Report = silent,
) -> tuple[Tensor, Tensor]:
    """Return chi+ >= 0 and chi- <= 0 in ppm.

    Parameters
    ----------
    name : str
        Which network.
    maps : Maps
        ``field_ppm``, ``qsm_ppm``, ``r2prime_hz``, with ``dr_para`` and ``dr_dia``.
    weights : Path, optional
        Weights of the user.
    refinement : float
        Steps of :func:`QSMSeparationLib.networks.refine.refine` after the network.
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
    upright = upright_maps(maps, grid, "field_ppm", "qsm_ppm", "r2prime_hz")
    net, rate, mask = known_terms(upright)
    asymmetry = maps.dr_asymmetry
    linear = (l2(upright) + BRAIN_MEAN_PPM)[None, None] * mask
    inputs = separation_inputs(net, upright.field_ppm[None, None], rate, asymmetry, linear, mask)
    correction, run = infer(loaded.network, inputs[0], 2, report, pick=_sources)
    tell(run, name, note)
    start = starting_sources(net, rate, asymmetry, mask)[0]
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


def tell(run: Run, name: str, note: Note) -> None:
    """Say it when a network could not be run as asked for."""
    if run.note:
        note(
            f"{name}: {run.note}; it was computed {'in tiles ' if run.tiled else ''}on {run.device}"
        )


def _sources(output: object) -> Tensor:
    """The map among what a network returns."""
    return output.sources if isinstance(output, SusepOutput) else output
