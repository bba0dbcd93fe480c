"""``qsmsep train``: train a network on simulated heads."""

from __future__ import annotations

import argparse
from pathlib import Path

from QSMSeparationLib.cli.arguments import Commands, add_command, add_device, seed
from QSMSeparationLib.runtime.progress import Progress


def add(commands: Commands) -> None:
    """Add the command and its arguments."""
    parser = add_command(
        commands, "train", "train a network on simulated heads, or go on with a run"
    )
    option = parser.add_argument
    option("network", metavar="NAME", help="chi-sepnet, susep-net, qsmnet, ...")
    option("--run", type=Path, required=True, metavar="DIR", help="folder of the run")
    _add_heads(parser)
    _add_schedule(parser)
    add_device(parser)
    option("--start", type=Path, metavar="FILE.pt", help="weights to start from")
    option("--export", type=Path, metavar="FILE.pt",
        help="write the trained weights and their card")  # fmt: skip
    parser.set_defaults(body=run)


def _add_heads(parser: argparse.ArgumentParser) -> None:
    option = parser.add_argument
    option("--pool", type=Path, required=True, metavar="DIR", help="folder for the training heads")
    option("--label-maps", type=Path, nargs="*", default=[], metavar="FILE",
        help="whole-head label maps (SynthSeg numbers) to train on, beside drawn heads")  # fmt: skip
    option("--people", type=int, default=8, metavar="N",
        help="drawn people to train on (default 8)")  # fmt: skip
    option("--heads", type=int, default=60, metavar="N",
        help="training heads to make (default 60)")  # fmt: skip
    option("--workers", type=int, default=1, metavar="N",
        help="processes that make heads (default 1; 0: use what the pool has)")  # fmt: skip
    option("--held-out", type=Path, metavar="DIR",
        help="pool of heads that are not trained on, for the scores in curves.csv")  # fmt: skip


def _add_schedule(parser: argparse.ArgumentParser) -> None:
    option = parser.add_argument
    option("--steps", type=int, help="optimizer steps (default: by the recipe)")
    option("--minutes", type=float, default=0.0, help="stop after this time (0: no limit)")
    option("--batch", type=int, help="patches a step")
    option("--patch", type=int, help="side of a patch in voxels")
    option("--rate", type=float, help="highest learning rate")
    option("--seed", type=seed, default=0, help="seed of the run")
    option("--bf16", action="store_true", help="compute in bfloat16")
    option("--without", action="append", default=[],
        choices=("contrast", "critic", "dr", "lesions"),
        help="leave out the contrastive term, critic, the knowledge of Dr, the weight of lesions")  # fmt: skip


def run(args: argparse.Namespace, progress: Progress) -> dict[str, str]:
    """Train the network."""
    from QSMSeparationLib.training.command import Plan, run_training

    plan = Plan(**{name: getattr(args, name) for name in Plan.__dataclass_fields__})
    return run_training(plan, progress)
