"""Calls a function later, when the application is idle.

In Slicer ``qt.QTimer.singleShot`` makes a timer that stays until the application ends, with the
function and all that it holds; a run would leave thousands. These timers go when they have called.
"""

from __future__ import annotations

from collections.abc import Callable

import qt
import slicer

SOON_MS = 1
"""When the application is idle. Not 0: what is posted again at once comes before all else."""


def later(function: Callable[[], object], after_ms: int = SOON_MS) -> None:
    """Call a function once, after some milliseconds."""
    timer = qt.QTimer(
        slicer.app.moduleManager()
    )  # gone before Python is, when the application ends
    timer.setSingleShot(True)

    def call() -> None:
        timer.deleteLater()  # which lets go of this function, and that of the timer
        function()

    timer.connect("timeout()", call)
    timer.start(after_ms)
