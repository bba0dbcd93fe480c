"""The one training loop: resumes, averages weights, writes curves, runs on one or more processes.

A run folder holds ``checkpoint.pt`` (everything to go on from), ``curves.csv``, ``curves.png``
and ``run.json``. Every step draws its patches and noise from the run's seed, the step and the
process, so an interrupted run that is resumed sees the same data as one that was not.
"""

from __future__ import annotations

import csv
import json
import math
import os
import pickle
import platform
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from QSMSeparationLib.io.files import written_whole
from QSMSeparationLib.networks.weights import channels_last, start_with
from QSMSeparationLib.runtime.errors import InputError
from QSMSeparationLib.runtime.progress import Report, silent
from QSMSeparationLib.training import recipes
from QSMSeparationLib.training.pool import PatchPlan, PatchSource
from QSMSeparationLib.training.recipes import Recipe
from QSMSeparationLib.training.switches import Switches

CHECKPOINT = "checkpoint.pt"


@dataclass(frozen=True)
class Settings:
    """How long and how a network is trained.

    Parameters
    ----------
    steps, batch, patch : int
        Steps, patches a step (of each process), and their side.
    rate : float
        Highest learning rate.
    seed : int
        Of weights, patches and noise.
    minutes : float
        Stop (with a checkpoint) after this time; 0 for no limit. The learning rate falls with
        the larger of the shares of steps and of time that are gone.
    ema : float
        Decay of the averaged weights, which are the ones that are kept.
    clip : float
        Largest norm of the gradient.
    bf16 : bool
        Compute in bfloat16 (fast on processors and GPUs with matrix units for it).
    save_every, validate_every : int
        Steps between checkpoints, and between scores on the held-out pool.
    switches : Switches
        What is turned off.
    """

    steps: int
    batch: int
    patch: int
    rate: float
    seed: int = 0
    minutes: float = 0.0
    ema: float = 0.998
    clip: float = 1.0
    bf16: bool = False
    save_every: int = 100
    validate_every: int = 250
    switches: Switches = field(default_factory=Switches)


@dataclass
class _State:
    """What a checkpoint holds."""

    network: nn.Module
    average: nn.Module
    optimizer: torch.optim.Optimizer
    step: int = 0
    seconds: float = 0.0


def train(
    recipe: Recipe,
    settings: Settings,
    pool: PatchSource,
    validation: PatchSource | None,
    folder: Path,
    device: torch.device,
    start_from: dict[str, Tensor] | None = None,
    report: Report = silent,
) -> nn.Module:
    """Train a network, or go on with a run; returns the averaged network.

    Parameters
    ----------
    recipe : Recipe
        Network and losses.
    settings : Settings
        How long and how.
    pool, validation : PatchSource
        Heads to train on, and held-out ones.
    folder : Path
        Of the run.
    device : torch.device
        Where.
    start_from : dict, optional
        Weights to start from.
    report : callable
        Progress.
    """
    rank, world = _join_processes()
    # Patches have one size: the fastest kernels are worth finding.
    torch.backends.cudnn.benchmark = True
    state = _start(recipe, settings, device, start_from)
    _resume(state, folder, settings, device)
    model = state.network
    if world > 1 and recipe.critic_terms is not None:
        raise InputError(f"{recipe.name} is trained by one process; start it without torchrun")
    if world > 1:
        model = nn.parallel.DistributedDataParallel(state.network)
    curves = _Curves(folder, rank == 0)
    plan = PatchPlan(settings.patch)
    begin = time.monotonic() - state.seconds
    with ThreadPoolExecutor(1) as ahead:
        cut = ahead.submit(_patches, pool, plan, settings, state.step, rank)
        while state.step < settings.steps:
            share = _share_done(state, settings)
            if share >= 1.0:
                break
            batch = _batch(cut.result(), recipe, settings, state.step, rank).to(device)
            cut = ahead.submit(_patches, pool, plan, settings, state.step + 1, rank)
            terms = _step(model, state, batch, recipe, settings, share)
            state.step += 1
            state.seconds = time.monotonic() - begin
            curves.add(state, terms)
            if state.step % settings.validate_every == 0 and validation is not None and rank == 0:
                curves.validate(state, score(state.average, recipe, validation, settings, device))
            if state.step % settings.save_every == 0 and rank == 0:
                _save(state, settings, recipe, folder)
                curves.write()
                pool.refresh()
            report(*_progress(state, settings))
    if rank == 0:
        if state.step % settings.validate_every and validation is not None:
            curves.validate(state, score(state.average, recipe, validation, settings, device))
        _save(state, settings, recipe, folder)
        curves.write()
        curves.figure(recipe.name)
    return recipe.kept(state.average)


def score(
    network: nn.Module, recipe: Recipe, pool: PatchSource, settings: Settings, device: torch.device
) -> dict[str, float]:
    """Return the mean terms over the same 24 patches of a pool, whenever it is called."""
    network.eval()
    sums: dict[str, float] = {}
    rounds = 6
    with torch.no_grad():
        for number in range(rounds):
            fixed = Settings(**{**_plain(settings), "batch": 4, "seed": 99})
            patches = _patches(pool, PatchPlan(settings.patch), fixed, number, 0)
            batch = _batch(patches, recipe, fixed, number, 0).to(device)
            for name, value in recipe.terms(network, batch, settings.switches).items():
                sums[name] = sums.get(name, 0.0) + float(value) / rounds
    return sums


def _plain(settings: Settings) -> dict[str, object]:
    return {name: getattr(settings, name) for name in settings.__dataclass_fields__}


def _start(
    recipe: Recipe,
    settings: Settings,
    device: torch.device,
    start_from: dict[str, Tensor] | None,
) -> _State:
    """Return a fresh state, drawn from the seed."""
    torch.manual_seed(settings.seed)
    network = recipe.build()
    if start_from is not None:
        start_with(recipe.kept(network), start_from)
    network = channels_last(network).to(device)
    average = channels_last(recipe.build()).to(device)
    average.load_state_dict(network.state_dict())
    average.requires_grad_(False)
    optimizer = torch.optim.AdamW(network.parameters(), lr=settings.rate, weight_decay=1e-4)
    return _State(network, average, optimizer)


def _resume(state: _State, folder: Path, settings: Settings, device: torch.device) -> None:
    """Load the checkpoint of the folder, if there is one, from the same run."""
    file = folder / CHECKPOINT
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        return
    try:
        saved = torch.load(file, map_location=device, weights_only=True)
        if saved["seed"] != settings.seed:
            raise InputError(
                f"{folder} holds a run with seed {saved['seed']}; use that seed or another folder"
            )
        state.network.load_state_dict(saved["network"])
        state.average.load_state_dict(saved["average"])
        state.optimizer.load_state_dict(saved["optimiser"])
    except (RuntimeError, KeyError, ValueError, EOFError, pickle.UnpicklingError) as error:
        reason = " ".join(str(error).split())[:150]
        raise InputError(f"{file} can't be resumed ({reason}); remove it to start anew") from None
    state.step, state.seconds = int(saved["step"]), float(saved["seconds"])


def _save(state: _State, settings: Settings, recipe: Recipe, folder: Path) -> None:
    """Write the checkpoint and the facts of the run; each replaces the former when complete."""
    saved = {
        "network": state.network.state_dict(),
        "average": state.average.state_dict(),
        "optimiser": state.optimizer.state_dict(),
        "step": state.step,
        "seconds": state.seconds,
        "seed": settings.seed,
    }
    with written_whole(folder / CHECKPOINT) as partial:
        torch.save(saved, partial)
    facts = asdict(settings) | {
        "recipe": recipe.name,
        "loss_weights": recipe.weights,
        "steps_done": state.step,
        "seconds": round(state.seconds, 1),
        "processor": platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }
    (folder / "run.json").write_text(json.dumps(facts, indent=2), encoding="utf-8")


def _patches(
    pool: PatchSource, plan: PatchPlan, settings: Settings, step: int, rank: int
) -> Tensor:
    return pool.patches(settings.batch, plan, np.random.default_rng([settings.seed, step, rank, 5]))


def _batch(patches: Tensor, recipe: Recipe, settings: Settings, step: int, rank: int) -> Any:
    seed = np.random.SeedSequence([settings.seed, step, rank, 6]).generate_state(1)[0]
    generator = torch.Generator(patches.device).manual_seed(int(seed))
    return recipe.measure(patches, generator, settings.switches.know_dr)


def _share_done(state: _State, settings: Settings) -> float:
    """Return the share of the run that is gone, by steps or by time."""
    by_time = state.seconds / (60 * settings.minutes) if settings.minutes else 0.0
    return max(state.step / settings.steps, by_time)


def _progress(state: _State, settings: Settings) -> tuple[int, int]:
    return round(1000 * min(1.0, _share_done(state, settings))), 1000


def _step(
    model: nn.Module,
    state: _State,
    batch: Any,
    recipe: Recipe,
    settings: Settings,
    share: float,
) -> dict[str, float]:
    """Do one step: losses, gradient, weights (the critic's after those), averaged weights."""
    model.train()
    warm = min(1.0, (state.step + 1) / 100)
    for group in state.optimizer.param_groups:
        group["lr"] = settings.rate * warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * share)))
    parts = [recipe.terms]
    if recipe.critic_terms is not None and settings.switches.critic:
        parts.append(recipe.critic_terms)
    found: dict[str, float] = {}
    for part in parts:
        # Parameters without a gradient (of the other part) are left as they are.
        state.optimizer.zero_grad(set_to_none=True)
        with torch.autocast(
            next(model.parameters()).device.type, torch.bfloat16, enabled=settings.bf16
        ):
            terms = part(model, batch, settings.switches)
        loss = recipes.total(terms, recipe)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), settings.clip)
        state.optimizer.step()
        found |= {"loss": float(loss.detach())} if part is recipe.terms else {}
        found |= {name: float(value.detach()) for name, value in terms.items()}
    decay = min(settings.ema, (1 + state.step) / (10 + state.step))
    with torch.no_grad():
        for kept, new in zip(state.average.parameters(), state.network.parameters(), strict=True):
            kept.lerp_(new, 1 - decay)
        for kept, new in zip(state.average.buffers(), state.network.buffers(), strict=True):
            kept.copy_(new)  # statistics of the normalization are averages already
    return found


def _join_processes() -> tuple[int, int]:
    """Join the processes that ``torchrun`` started; returns rank and count (0, 1 without it)."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world > 1 and not torch.distributed.is_initialized():
        backend = "nccl" if torch.cuda.is_available() else "gloo"
        torch.distributed.init_process_group(backend)
    return int(os.environ.get("RANK", "0")), world


class _Curves:
    """Training and validation terms over the steps, as CSV and as a figure."""

    def __init__(self, folder: Path, active: bool) -> None:
        self.file = folder / "curves.csv"
        self.active = active
        self.rows: list[dict[str, float | str]] = []
        self._sums: dict[str, float] = {}
        self._count = 0

    def add(self, state: _State, terms: dict[str, float]) -> None:
        """Collect a step; every 25 steps their mean becomes a row."""
        for name, value in terms.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        self._count += 1
        if self._count == 25:
            row = {name: value / 25 for name, value in self._sums.items()}
            self._row(state, "training", row)
            self._sums, self._count = {}, 0

    def validate(self, state: _State, terms: dict[str, float]) -> None:
        """Add the scores on the held-out pool."""
        self._row(state, "validation", terms)

    def _row(self, state: _State, part: str, values: dict[str, float]) -> None:
        facts: dict[str, float | str] = {
            "step": state.step, "seconds": round(state.seconds), "part": part,
        }  # fmt: skip
        self.rows.append(facts | {name: round(v, 5) for name, v in values.items()})

    def write(self) -> None:
        """Write the new rows below those of before, which may be of a version with fewer terms."""
        if not (self.active and self.rows):
            return
        names = ["step", "seconds", "part", "loss", "l1", "mean_2", "mean_4", "gradient"]
        names += ["net", "rate", "field", "structure", "contrast", "r2prime", "sureness"]
        names += ["cycle_field", "tv", "potential", "critic", "penalty"]
        names += ["cross_entropy", "overlap", "brain", "side"]
        rows: list[Any] = [*self._before(), *self.rows]
        with (
            written_whole(self.file) as partial,
            partial.open("w", newline="", encoding="utf-8") as file,
        ):
            writer = csv.DictWriter(file, names, restval="", extrasaction="ignore")
            writer.writeheader()
            writer.writerows(rows)
        self.rows = []

    def _before(self) -> list[dict[str, str]]:
        """Return the rows that are written already."""
        if not self.file.exists():
            return []
        with self.file.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    def figure(self, title: str) -> None:
        """Draw the L1 (of labels: the overlap's loss) of training and validation over the steps."""
        if not (self.active and self.file.exists()):
            return
        from QSMSeparationLib.report.figures import curve_figure, save_figure

        rows = self._before()
        lines = {
            part: [
                (int(r["step"]), float(r["l1"] or r["overlap"])) for r in rows if r["part"] == part
            ]
            for part in ("training", "validation")
        }
        save_figure(curve_figure(lines, title), self.file.with_suffix(".png"))
