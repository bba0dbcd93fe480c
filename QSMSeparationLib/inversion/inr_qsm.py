"""INR-QSM (Zhang et al., Med Image Anal 2024;95:103173): a coordinate network fitted to one scan.

No training data: net chi is a function of the place, and its weights are fitted to the local
field by the dipole, with total variation and a penalty on the gradient of the misfit that both
spare edges. Two presets:

``fast`` (the default) fits what weighted total variation leaves, on the whole volume, by
:class:`~QSMSeparationLib.solvers.implicit.GridEncoded`: a start from the closed form (L2) takes
three times as many steps and ends with a larger error. Edges are taken from its own map, three
times on the way, and from R2* where there is one. Large misfits (fields beside veins and
calcifications) count less, and two in a hundred voxels tell when to stop.

``paper`` has 10 layers of 512 sines and goes through patches of 96 x 96 x 48 voxels. The field
in a patch also comes from sources outside it: every few rounds their part is computed from the
map so far and taken off (phase compensation). Weights start at random, as those of the authors
may not be used; on a processor it takes hours.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product

import torch
from torch import Tensor

from QSMSeparationLib.catalogue import find
from QSMSeparationLib.data.axes import Box, Shape
from QSMSeparationLib.data.maps import Maps
from QSMSeparationLib.networks.inputs import NET_PPM
from QSMSeparationLib.physics.dipole import DipoleOperator
from QSMSeparationLib.physics.fourier import inverse_rfftn
from QSMSeparationLib.physics.two_sources import BRAIN_MEAN_PPM
from QSMSeparationLib.runtime.context import Context
from QSMSeparationLib.runtime.progress import Report, silent
from QSMSeparationLib.solvers.implicit import CoordinateMaps, GridEncoded, Siren
from QSMSeparationLib.solvers.implicit_terms import (
    FieldTerm,
    Stopper,
    edge_guides,
    flat_tissue,
    misfit_gradient,
    set_rate,
    tv_gradient,
)
from QSMSeparationLib.solvers.misfit import field_power, misfit_share
from QSMSeparationLib.solvers.window import Window

_TV_OVER_NOISE = 0.2
_LEAST_EXPLAINED = 0.2
"""Of the power of a field, for steps and smoothing: the rest may be misfit."""
_EDGES = (0.6, 0.9)
_RATE = 0.03
_CONSISTENCY = 0.1
"""Weight of the gradient of the misfit in patches; on the whole volume it only adds noise."""
_PATIENCE = 10


@dataclass(frozen=True)
class Patchwise:
    """How a network of sines is fitted patch by patch.

    Parameters
    ----------
    depth, width, omega
        Of :class:`~QSMSeparationLib.solvers.implicit.Siren`.
    patch : tuple of int
        Sides (k, j, i); patches start a third of a side apart.
    rate : float
        Highest learning rate.
    tissue : float
        Patches with a smaller share of brain are left out.
    renew : int
        Rounds between two phase compensations.
    compensate : bool
        Whether the field of sources outside a patch is taken off (False: an ablation).
    """

    depth: int = 10
    width: int = 512
    omega: float = 40.0
    patch: Shape = (48, 96, 96)
    rate: float = 1e-4
    tissue: float = 0.3
    renew: int = 5
    compensate: bool = True


def inr_qsm(
    maps: Maps,
    context: Context,
    *,
    paper: bool,
    regularisation: float,
    iterations: int,
) -> Tensor:
    """Return net susceptibility in ppm, mean 0 over the mask, 0 outside.

    Parameters
    ----------
    maps : Maps
        With ``local_field``; ``trust`` (0 to 1) says how far each voxel is trusted.
    context : Context
        Progress.
    paper : bool
        Take the network and the patches of the paper in place of the fast preset.
    regularisation : float
        Multiplies the weight of the total variation.
    iterations : int
        Most steps of the fast preset, on a field without misfit; rounds through all patches of the paper's.
    """
    maps.need("local_field")
    if paper:
        return fit_patches(maps, Patchwise(), regularisation, iterations, context.report)
    return fit_whole(maps, regularisation, iterations, context.report)


def fit_whole(
    maps: Maps, regularisation: float, iterations: int, report: Report = silent
) -> Tensor:
    """Fit the whole volume in every step, starting from total variation."""
    report(0, iterations)
    window = Window(maps)
    power = field_power(maps, window)
    explained = max(1 - misfit_share(maps, power) ** 2, _LEAST_EXPLAINED)
    steps = max(1, round(iterations * explained))
    term = FieldTerm(maps, window, power=power)
    start = window.embed(find("tv", "inversion").run(replace(maps, local_field=term.known_field())))
    guides = edge_guides(maps, window)
    inside = window.embed(maps.mask.float())
    start += BRAIN_MEAN_PPM * inside
    torch.manual_seed(0)
    network = GridEncoded(tuple(s.stop for s in window.inner), maps.spacing_kji)
    volume = CoordinateMaps(network.to(inside.device), window)
    optimizer = torch.optim.Adam(network.groups(_RATE), betas=(0.9, 0.99))
    renew = (0, steps // 3, 2 * steps // 3)
    stop = Stopper(_PATIENCE)
    for done in range(steps):
        set_rate(optimizer, done, steps)
        chi = volume.evaluate()[0].mul_(NET_PPM).add_(start)
        if done in renew:
            flat = flat_tissue(window, [chi, *guides], *_EDGES)
        gradient, held = term.gradient(chi, flat)
        if stop(held):
            break
        strength = regularisation * _TV_OVER_NOISE / (explained * term.noise_ppm)
        gradient.add_(tv_gradient([chi], flat, window.step_weights)[0], alpha=strength)
        gradient.mul_(inside).mul_(NET_PPM / float(inside.sum()))
        optimizer.zero_grad(set_to_none=True)
        volume.descend(gradient[None])
        optimizer.step()
        report(done + 1, iterations)
    report(iterations, iterations)
    return window.extract(volume.evaluate()[0].mul_(NET_PPM).add_(start))


def fit_patches(
    maps: Maps, preset: Patchwise, regularisation: float, rounds: int, report: Report = silent
) -> Tensor:
    """Fit patch by patch, with the field of what lies outside the patch taken off."""
    window = Window(maps)
    term = FieldTerm(maps, window, _CONSISTENCY)
    flat = flat_tissue(window, [window.embed(find("l2", "inversion").run(maps))], *_EDGES)
    torch.manual_seed(0)
    network = Siren(
        tuple(s.stop for s in window.inner), maps.spacing_kji,
        depth=preset.depth, width=preset.width, omega=preset.omega,
    ).to(window.mask.device)  # fmt: skip
    volume = CoordinateMaps(network, window)
    patches = [
        _Patch(box, maps, window, flat) for box in _boxes(window, preset.patch, preset.tissue)
    ]
    optimizer = torch.optim.Adam(network.groups(preset.rate))
    fields, stop = [term.field[patch.box] for patch in patches], Stopper(2)
    strength = regularisation * _TV_OVER_NOISE / term.noise_ppm
    steps = rounds * len(patches)
    report(0, steps)
    for done in range(rounds):
        set_rate(optimizer, done, rounds)
        if done % preset.renew == 0:
            chi = volume.evaluate()[0].mul_(NET_PPM)
            modeled = inverse_rfftn(torch.fft.rfftn(chi) * window.dipole, window.padded)
            held = (modeled - term.field)[term.held].square().mean().sqrt()
            if stop(float(held)):
                break
            if preset.compensate:
                fields = [
                    term.field[p.box] - modeled[p.box] + p.dipole(chi[p.box]) for p in patches
                ]
        for number, (patch, field) in enumerate(zip(patches, fields, strict=True)):
            optimizer.zero_grad(set_to_none=True)
            patch.descend(network, field, term, strength)
            optimizer.step()
            report(done * len(patches) + number + 1, steps)
    report(steps, steps)
    return window.extract(volume.evaluate()[0].mul_(NET_PPM))


class _Patch:
    """A box within the window: its voxels, its dipole without wrap-around, its edges."""

    def __init__(self, box: Box, maps: Maps, window: Window, flat: list[Tensor]) -> None:
        self.box, self.step_weights = box, window.step_weights
        inside = window.mask[window.box][box]
        self.local = inside.flatten().nonzero()[:, 0]
        k, j, i = inside.nonzero().T
        j_size, i_size = (s.stop for s in window.inner[1:])
        self.index = (k * j_size + j + box[1].start) * i_size + i + box[2].start
        self.dipole = DipoleOperator(
            tuple(inside.shape), maps.spacing_kji, maps.b0_kji, pad=1.0, device=inside.device
        )
        self.flat = [share[box].clone() for share in flat]
        for axis, share in enumerate(self.flat):
            share.select(axis, -1).zero_()  # steps must not wrap around the patch

    def descend(self, network: Siren, field: Tensor, term: FieldTerm, strength: float) -> None:
        """Add the gradient of the weights for this patch."""
        planes, chunks = self.box[0], network.at_once
        chi = torch.zeros_like(field).flatten()
        with torch.no_grad():
            values = [network(planes, some)[0] for some in self.index.split(chunks)]
        chi[self.local] = NET_PPM * torch.cat(values)
        chi = chi.view(field.shape)
        weight = term.weight[self.box]
        misfit = (self.dipole(chi) - field) * weight
        pull = misfit_gradient(misfit, weight, self.flat, term.consistency)
        gradient = self.dipole(pull).div(term.noise_ppm**2)
        gradient.add_(tv_gradient([chi], self.flat, self.step_weights)[0], alpha=strength)
        gradient = gradient.flatten()[self.local].mul_(NET_PPM / len(self.local))
        for some, part in zip(self.index.split(chunks), gradient.split(chunks), strict=True):
            network(planes, some).backward(part[None])


def _boxes(window: Window, sides: Shape, tissue: float) -> list[Box]:
    """Return overlapping boxes with enough brain; with all brain where none has enough."""
    inside = window.mask[window.box]
    lines = []
    for n, side in zip(inside.shape, sides, strict=True):
        last = max(0, n - side)
        starts = sorted({*range(0, last, max(1, side // 3)), last})
        lines.append([slice(a, min(a + side, n)) for a in starts])
    boxes = list(product(*lines))
    full = [box for box in boxes if float(inside[box].float().mean()) >= tissue]
    return full or boxes
