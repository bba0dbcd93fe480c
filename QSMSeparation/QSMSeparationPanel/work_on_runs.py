"""A command of the worker on runs of the scene: they are exported for it, and it tells how it goes."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Generator
from pathlib import Path

import slicer
from slicer.i18n import tr as _

from QSMSeparationLib.mrml.export import export_steps
from QSMSeparationLib.mrml.runs import Run
from QSMSeparationPanel.idle_steps import IdleSteps
from QSMSeparationPanel.sweep import sweep_after
from QSMSeparationPanel.worker import End, Step, Worker


class WorkOnRuns:
    """Writes runs into a temporary folder and starts the worker on them; used once.

    What is to be done, and what becomes of it, is said by classes below this one: ``arguments``,
    ``take``, ``words``.

    Parameters
    ----------
    runs : dict of str to Run
        Runs by the folder that each is written into, below ``folder``.
    tell : callable
        Gets what is being done, in words.
    ended : callable
        Gets the :class:`worker.End`, once.

    Attributes
    ----------
    folder : Path
        The temporary folder; gone when the end is told.
    """

    def __init__(
        self, runs: dict[str, Run], tell: Callable[[str], None], ended: Callable[[End], None]
    ) -> None:
        self._runs, self._tell, self._ended = runs, tell, ended
        self._steps = IdleSteps()
        self._worker: Worker | None = None
        self.folder = Path(tempfile.mkdtemp(prefix="qsmsep-", dir=slicer.app.temporaryPath))

    def arguments(self) -> list[str]:
        """Return the command of the worker and its options."""
        raise NotImplementedError

    def take(self, end: End) -> str:
        """Take what the worker wrote; returns why that can't be, or nothing."""
        raise NotImplementedError

    def words(self, step: Step) -> str:
        """Return how far the worker is, in words."""
        raise NotImplementedError

    def start(self) -> None:
        """Begin; the end is told in any case."""
        self._tell(_("writing the maps"))
        self._steps.start(self._write(), self._work, self._fail)

    def stop(self) -> None:
        """Stop now."""
        if self._steps.active:
            self._steps.stop()
            self._end(End("cancelled", "cancelled"))
        elif self._worker is not None and self._worker.running:
            self._worker.stop()

    def cancel(self) -> None:
        """Ask the worker to stop."""
        if self._worker is not None and self._worker.running:
            self._worker.cancel()
        else:
            self.stop()

    def _write(self) -> Generator[str, None, None]:
        for name, run in self._runs.items():
            yield from export_steps(run, self.folder / name)

    def _work(self, _unused: object) -> None:
        def step(step: Step) -> None:
            self._tell(self.words(step))

        self._worker = Worker(self.arguments(), step, lambda text: None, self._worked)
        self._worker.start()

    def _worked(self, end: End) -> None:
        if end.status == "done" and (reason := self.take(end)):
            end = End("failed", reason)
        self._end(end)

    def _fail(self, error: Exception) -> None:
        self._end(End("failed", " ".join(str(error).split())[:400] or repr(error)))

    def _end(self, end: End) -> None:
        sweep_after(end, self.folder)
        self._ended(end)
