"""``qsmsep train``: people, pool, run, and the weights that come out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from QSMSeparationLib.networks.cards import FOLDER, read_card
from QSMSeparationLib.networks.weights import read_weights, save_weights
from QSMSeparationLib.runtime.device import choose_device, describe_device
from QSMSeparationLib.runtime.errors import InputError
from QSMSeparationLib.runtime.progress import Progress
from QSMSeparationLib.training import loop, recipes
from QSMSeparationLib.training.slots import start_workers
from QSMSeparationLib.training.switches import Switches

FIRST_PERSON = 1001
"""Seeds of drawn people in training start here; lower ones are kept for evaluation."""

_SLOTS = 80
_HEAD_SEED = 1000
_READY = 8
_PATCH_MULTIPLE = 8


@dataclass(frozen=True)
class Plan:
    """Arguments of ``qsmsep train`` (see ``qsmsep train --help``)."""

    network: str
    run: Path
    pool: Path
    label_maps: list[Path]
    people: int
    heads: int
    workers: int
    steps: int | None
    minutes: float
    batch: int | None
    patch: int | None
    rate: float | None
    seed: int
    bf16: bool
    without: list[str]
    device: str
    held_out: Path | None
    start: Path | None
    export: Path | None


def run_training(plan: Plan, progress: Progress) -> dict[str, str]:
    """Make heads, train, and write weights if asked to; returns what was written."""
    recipe = recipes.find(plan.network)
    settings = _settings(plan, recipe)
    device = choose_device(plan.device)
    if plan.export is not None and plan.export.suffix != ".pt":
        raise InputError(f"--export {plan.export}: give a file that ends with .pt")
    held_out = (
        None if plan.held_out is None else recipe.pool(plan.held_out, wait_s=0.0, device=device)
    )
    start = None
    if plan.start is not None:
        start = read_weights(plan.network, plan.start).network.state_dict()
    workers = []
    if plan.workers > 0:
        with progress.stage("people"):
            seeds = range(FIRST_PERSON, FIRST_PERSON + plan.people)
            people = recipe.prepare(plan.pool / "people", plan.label_maps, seeds)
        if not people:
            raise InputError("there is nobody to train on; give --label-maps or --people")
        count = min(plan.workers, plan.heads)
        workers = start_workers(
            recipe.fill, plan.pool, people, _HEAD_SEED, _SLOTS, plan.heads, count
        )
    try:
        with progress.stage("first heads"):
            least = min(plan.heads, _READY) if workers else 1
            pool = recipe.pool(plan.pool, least=least, device=device)
        with progress.stage(f"training {plan.network}") as report:
            network = loop.train(
                recipe, settings, pool, held_out, plan.run, device, start, report=report
            )
    finally:
        for worker in workers:
            worker.terminate()
    written = {"run": str(plan.run)}
    if plan.export is not None:
        save_weights(network, plan.export, card_of(plan.network, plan.run, device))
        written |= {"weights": str(plan.export), "card": str(plan.export.with_suffix(".json"))}
    return written


def card_of(name: str, run: Path, device: torch.device) -> dict[str, Any]:
    """Return the part of a model card that the run knows."""
    import json

    facts = json.loads((run / "run.json").read_text(encoding="utf-8"))
    architecture, parameters = recipes.find(name).size or _shipped_size(name)
    return {
        "name": name,
        "architecture": architecture,
        "parameters": parameters,
        "licence": "Apache-2.0",
        "training": facts | {"device": describe_device(device)},
    }


def _shipped_size(name: str) -> tuple[str, dict[str, Any]]:
    shipped = read_card(FOLDER / f"{name}.pt")
    return shipped["architecture"], shipped["parameters"]


def _settings(plan: Plan, recipe: recipes.Recipe) -> loop.Settings:
    """Return the recipe's settings, changed by what the user gave."""
    for name in ("steps", "batch", "patch", "rate"):
        value = getattr(plan, name)
        if value is not None and value <= 0:
            raise InputError(f"--{name} {value:g} must be positive")
    if plan.patch is not None and plan.patch % _PATCH_MULTIPLE:
        raise InputError(f"--patch {plan.patch} must be a multiple of {_PATCH_MULTIPLE}")
    switches = Switches(
        contrast="contrast" not in plan.without,
        know_dr="dr" not in plan.without,
        critic="critic" not in plan.without,
        lesion_weight=0.0 if "lesions" in plan.without else recipes.losses.LESION_WEIGHT,
    )
    return loop.Settings(
        steps=plan.steps or recipe.steps,
        batch=plan.batch or recipe.batch,
        patch=plan.patch or recipe.patch,
        rate=plan.rate or recipe.rate,
        seed=plan.seed,
        minutes=plan.minutes,
        bf16=plan.bf16,
        switches=switches,
    )
