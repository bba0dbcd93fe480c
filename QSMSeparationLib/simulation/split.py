"""The split of simulated people: who is for figures, who for settings, who for training.

A number that is reported comes from people on whom nothing was chosen; a setting is chosen on
people that are reported nowhere; networks see neither. Drawn people are told apart by their
seed, label maps by the number in their file's name (``head03.nii.gz``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from QSMSeparationLib.runtime.errors import InputError

Purpose = Literal["figures", "settings", "training"]

FIGURE_LABEL_MAPS = (3, 7)
"""Label maps on which results are reported."""
SETTINGS_LABEL_MAPS = (12, 13)
"""Label maps on which settings are chosen."""
SETTINGS_SEEDS = range(900, 1000)
"""Drawn people on whom settings are chosen; smaller seeds are for figures, larger for training."""
FIRST_TRAINING_SEED = SETTINGS_SEEDS.stop
"""The first drawn person that networks may see."""

_NUMBER = re.compile(r"head[-_ ]?0*(\d+)", re.IGNORECASE)


def purpose_of_seed(seed: int) -> Purpose:
    """Say what a drawn person is for."""
    if seed >= FIRST_TRAINING_SEED:
        return "training"
    return "settings" if seed in SETTINGS_SEEDS else "figures"


def purpose_of_label_map(file: Path) -> Purpose:
    """Say what a label map is for; one without a number of ours is for training."""
    match = _NUMBER.match(file.name)
    number = int(match[1]) if match else None
    if number in FIGURE_LABEL_MAPS:
        return "figures"
    return "settings" if number in SETTINGS_LABEL_MAPS else "training"


def require_training(label_maps: Iterable[Path], seeds: Iterable[int]) -> None:
    """Refuse people that networks must not see.

    Raises
    ------
    InputError
        That names the first of them.
    """
    for file in label_maps:
        purpose = purpose_of_label_map(file)
        if purpose != "training":
            raise InputError(f"{file}: this head is for {purpose}, not for training; leave it out")
    for seed in seeds:
        purpose = purpose_of_seed(seed)
        if purpose != "training":
            raise InputError(
                f"the person of seed {seed} is for {purpose}, not for training; "
                f"take seeds from {FIRST_TRAINING_SEED} on"
            )
