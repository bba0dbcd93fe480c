"""What each network is, sees and is trained for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from QSMSeparationLib.networks.architectures import create
from QSMSeparationLib.networks.inputs import (
    NET_PPM,
    QSM_INPUTS,
    qsm_inputs,
    rate_inputs,
    starting_rate,
)
from QSMSeparationLib.networks.weights import build
from QSMSeparationLib.physics.constants import DR_HZ_PER_PPM
from QSMSeparationLib.runtime.errors import InputError
from QSMSeparationLib.training import (
    anatomies,
    anatomy_net,
    anatomy_shapes,
    cycle_qsm,
    losses,
    two_sources,
)
from QSMSeparationLib.training.anatomy_pool import ShapePool
from QSMSeparationLib.training.pool import PatchSource, Pool, fill
from QSMSeparationLib.training.scan_noise import Batch, measure, measure_following, measure_usual
from QSMSeparationLib.training.slots import Fill
from QSMSeparationLib.training.switches import Switches, Terms


@dataclass(frozen=True)
class Recipe:
    """How a network is trained.

    Parameters
    ----------
    name : str
        Name of its weights.
    terms : callable
        ``terms(network, batch, switches) -> dict`` of loss terms.
    steps, batch, patch : int
        Default length, patches a step, and their side.
    rate : float
        Highest learning rate (AdamW, cosine).
    weights : dict
        Weight of each term.
    network : callable, optional
        Makes what is trained, where that is more than the network that is kept.
    kept : callable
        Takes the network that is kept from what is trained.
    pool, measure : callable
        Where patches come from, and how they become a batch.
    critic_terms : callable, optional
        Terms of a second network that is trained against the first one: a descent of its own
        after each step.
    prepare, fill : callable
        Store the people; fill the pool with their heads.
    size : tuple, optional
        Architecture and its parameters; those of the shipped weights without.
    """

    name: str
    terms: Callable[[Any, Any, Switches], Terms]
    steps: int = 3000
    batch: int = 2
    patch: int = 48
    rate: float = 2e-3
    weights: dict[str, float] = field(default_factory=lambda: dict(losses.WEIGHTS))
    network: Callable[[], nn.Module] | None = None
    kept: Callable[[Any], nn.Module] = lambda trained: trained
    pool: Callable[..., PatchSource] = Pool
    measure: Callable[[Tensor, torch.Generator, bool], Any] = measure
    critic_terms: Callable[[Any, Any, Switches], Terms] | None = None
    prepare: Callable[..., list[Path]] = anatomies.prepare
    fill: Fill = fill
    size: tuple[str, dict[str, Any]] | None = None

    def build(self) -> nn.Module:
        """Return what is trained, untrained."""
        if self.network is not None:
            return self.network()
        return build(self.name) if self.size is None else create(*self.size)


QSMNET_SIZE: tuple[str, dict[str, Any]] = (
    "unet",
    {"inputs": QSM_INPUTS, "outputs": 1, "widths": [16, 32, 64, 96], "fold": 1},
)


def _qsm_terms(network: nn.Module, batch: Batch, switches: Switches) -> Terms:
    start = batch.net_tv_ppm
    inputs = qsm_inputs(batch.field_ppm, batch.net_l2_ppm, start, batch.misfit_ppm, batch.mask)
    correction = network(inputs).float()
    true = batch.sources_ppm[:, :1] - batch.sources_ppm[:, 1:]
    # The field knows no mean: errors are compared without that of the patch.
    mask = batch.mask
    error = (start + NET_PPM * correction - true) * mask
    mean = error.sum((2, 3, 4), keepdim=True) / mask.sum((2, 3, 4), keepdim=True).clamp(min=1)
    error = (error - mean) * mask
    terms = losses.error_terms(error, batch.importance, switches.lesion_weight)
    field_error = losses.field_of(error / NET_PPM)
    terms["field"] = (field_error.abs() * mask).sum() / mask.sum().clamp(min=1)
    return terms


def _rate_terms(network: nn.Module, batch: Batch, switches: Switches) -> Terms:
    # In Hz over Dr, so that the same loss serves; R2PRIMEnet does not know Dr.
    correction = network(rate_inputs(batch.r2star_hz)).float()
    predicted = NET_PPM * correction + starting_rate(batch.r2star_hz) / DR_HZ_PER_PPM
    error = predicted - batch.true_r2prime_hz / DR_HZ_PER_PPM
    return losses.error_terms(error, batch.importance, switches.lesion_weight)


RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe("chi-sepnet", two_sources.with_r2prime, size=two_sources.CHI_SEPNET_SIZE),
        Recipe("susep-net", two_sources.with_r2prime),
        Recipe(
            "joint-net",
            two_sources.joint,
            measure=measure_following,
            size=two_sources.JOINT_NET_SIZE,
        ),
        Recipe("qsmnet", _qsm_terms, size=QSMNET_SIZE),
        Recipe("r2primenet", _rate_terms, steps=1500, measure=measure_usual),
        Recipe(
            "cycle-qsm",
            cycle_qsm.terms,
            batch=1,
            weights=cycle_qsm.WEIGHTS,
            network=cycle_qsm.CycleNetworks,
            kept=lambda trained: trained.generator,
            pool=cycle_qsm.UnpairedPool,
            measure=cycle_qsm.measure,
            critic_terms=cycle_qsm.critic_terms,
        ),
        Recipe(
            "anatomy-net",
            anatomy_net.terms,
            steps=20000,
            batch=1,
            weights=anatomy_net.WEIGHTS,
            pool=ShapePool,
            measure=anatomy_net.measure,
            prepare=anatomy_shapes.prepare,
            fill=anatomy_shapes.fill,
            size=anatomy_net.SIZE,
        ),
    )
}
"""Recipes by the name of the weights."""


def find(name: str) -> Recipe:
    """Return a recipe, or raise InputError with the names there are."""
    if name not in RECIPES:
        raise InputError(f"there is no recipe '{name}'; choose one of: {', '.join(RECIPES)}")
    return RECIPES[name]


def total(terms: Terms, recipe: Recipe) -> Tensor:
    """Return the loss of a recipe from its terms."""
    loss = losses.weighted_sum(terms, recipe.weights)
    if not torch.isfinite(loss):
        raise InputError(f"{recipe.name}: the loss is not finite; lower the learning rate")
    return loss
