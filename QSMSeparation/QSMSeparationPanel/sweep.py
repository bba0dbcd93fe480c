"""Temporary folders go when their work ends, and again when something late comes into them."""

from __future__ import annotations

import shutil
from pathlib import Path

from QSMSeparationPanel.later import later
from QSMSeparationPanel.worker import End

_AGAIN_MS, _TIMES = 3000, 4


def sweep_after(end: End, folder: Path) -> None:
    """Remove the folder of work that ended.

    A launcher that was killed may leave its Python to end by itself a moment later.
    """
    _sweep(folder, _TIMES if end.status == "cancelled" else 1)


def _sweep(folder: Path, times: int) -> None:
    """Remove a folder, and again a little later in case that it has come back."""
    shutil.rmtree(folder, ignore_errors=True)
    if times > 1:
        later(lambda: _sweep(folder, times - 1), _AGAIN_MS)
