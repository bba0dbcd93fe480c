"""Model cards: what is known of a weight file, read without torch, which takes seconds to start.

``NAME.json`` beside ``NAME.pt``: architecture, SHA-256, data, losses, steps, seeds, hardware, time,
figures, limits, licence.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from QSMSeparationLib.runtime.errors import InputError

FOLDER = Path(__file__).parents[1] / "weights"
"""Where the weights that come with the package lie."""

_LARGEST_CARD_BYTES = 1 << 20


def read_card(file: Path) -> dict[str, Any]:
    """Read the model card that belongs to a weight file."""
    card_file = file.with_suffix(".json")
    if not file.is_file():
        raise InputError(f"{file}: there is no such weight file")
    if not card_file.is_file():
        raise InputError(f"{file}: its model card {card_file.name} is missing; put it beside it")
    if card_file.stat().st_size > _LARGEST_CARD_BYTES:
        raise InputError(f"{card_file}: too large for a model card")
    try:
        card = json.loads(card_file.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(f"{card_file}: not a model card ({error})") from None
    missing = {"name", "architecture", "parameters", "sha256"} - set(
        card if isinstance(card, dict) else ()
    )
    if missing:
        raise InputError(f"{card_file}: the model card lacks {', '.join(sorted(missing))}")
    return card
