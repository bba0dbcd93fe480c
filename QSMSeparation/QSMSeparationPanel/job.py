"""One run from nodes to nodes: write the inputs, start the worker, load its results.

Everything is cut into small steps between which the application breathes, so that its window
never hangs and a run can be cancelled at any time. Whatever happens, the temporary folder goes
and no node of an unfinished run stays.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

from QSMSeparationLib.mrml.convert import save_labels, save_map
from QSMSeparationLib.mrml.load import find_results, load_steps
from QSMSeparationLib.mrml.runs import Run, remove_run
from QSMSeparationLib.runtime.errors import QSMSeparationError
from QSMSeparationPanel.idle_steps import IdleSteps
from QSMSeparationPanel.sweep import sweep_after
from QSMSeparationPanel.worker import End, Step, Worker

IDLE, INSTALLING, PREPARING, RUNNING, LOADING, CANCELLING = (
    "idle", "installing", "preparing", "running", "loading", "cancelling"
)  # fmt: skip
_LIST = "files.txt"


@dataclass(frozen=True)
class Request:
    """What is to be run.

    Parameters
    ----------
    command : tuple of str
        ``run SOURCE`` or ``separate``; the folder of the output is added.
    options : tuple of str
        Options that need no file.
    maps, labels : dict
        Nodes by the option that takes their file: ``--field``, ``--mask``.
    reference : vtkMRMLVolumeNode, optional
        Input on whose grid and in whose study the results lie.
    files : tuple of Path
        The only files of the source that are used; all without any.
    """

    command: tuple[str, ...]
    options: tuple[str, ...] = ()
    maps: dict[str, Any] = field(default_factory=dict)
    labels: dict[str, Any] = field(default_factory=dict)
    reference: slicer.vtkMRMLVolumeNode | None = None
    files: tuple[Path, ...] = ()


class Listener:
    """Who wants to know how a job goes; each method does nothing."""

    def on_state(self, state: str) -> None:
        """Take one of the states above."""

    def on_step(self, step: Step) -> None:
        """Take how far a stage is."""

    def on_text(self, text: str) -> None:
        """Take lines for the log."""

    def on_install(self, text: str) -> None:
        """Take what is being installed."""

    def on_end(self, end: End, runs: list[Run]) -> None:
        """Take how it ended, and the runs that are in the scene."""


class Job:
    """Runs one :class:`Request`; used once.

    Parameters
    ----------
    request : Request
        What to run.
    scene : vtkMRMLScene
        Where the results go.
    listener : Listener
        Who is told.
    """

    def __init__(self, request: Request, scene: slicer.vtkMRMLScene, listener: Listener) -> None:
        self._request, self._scene, self._listener = request, scene, listener
        self._folder: Path | None = None
        self._worker: Worker | None = None
        self._steps = IdleSteps()
        self.state = IDLE
        self.runs: list[Run] = []

    def start(self) -> None:
        """Begin; the listener is told the end in any case."""
        self._folder = Path(tempfile.mkdtemp(prefix="qsmsep-", dir=slicer.app.temporaryPath))
        self._enter(PREPARING)
        self._go_through(self._prepare(), self._work)

    def cancel(self) -> None:
        """Stop; what is in the scene already is taken out again."""
        if self.state in (PREPARING, LOADING):
            self._finish(End("cancelled", "cancelled"))
        elif self.state == RUNNING and self._worker is not None:
            self._enter(CANCELLING)
            self._worker.cancel()

    def stop(self) -> None:
        """Stop at once and wait for the worker: the module or the application goes."""
        if self._worker is not None and self.state in (RUNNING, CANCELLING):
            self._worker.stop()
        else:
            self.cancel()

    @property
    def active(self) -> bool:
        """Whether it has begun and not ended."""
        return self.state != IDLE

    def _enter(self, state: str) -> None:
        self.state = state
        self._listener.on_state(state)

    def _prepare(self) -> Generator[str, None, None]:
        """Write the inputs; uncompressed, which is much faster."""
        for option, node in self._request.maps.items():
            save_map(node, self._file_of(option))
            yield node.GetName()
        for option, node in self._request.labels.items():
            save_labels(node, self._file_of(option), self._request.reference)
            yield node.GetName()
        if self._request.files:
            lines = "\n".join(str(file) for file in self._request.files)
            self._path(_LIST).write_text(lines + "\n", encoding="utf-8")

    def _file_of(self, option: str) -> Path:
        return self._path(f"{option.strip('-')}.nii")

    def _path(self, name: str) -> Path:
        """Return a place in the temporary folder."""
        if self._folder is None:
            raise RuntimeError("a job has no folder before it is started")
        return self._folder / name

    def _work(self, _unused: object) -> None:
        files = [*self._request.maps, *self._request.labels]
        arguments = [*self._request.command, str(self._path("out")), *self._request.options]
        for option in files:
            arguments += [option, str(self._file_of(option))]
        if self._request.files:
            arguments += ["--files", str(self._path(_LIST))]
        listener = self._listener
        self._worker = Worker(arguments, listener.on_step, listener.on_text, self._worked)
        self._enter(RUNNING)
        self._worker.start()

    def _worked(self, end: End) -> None:
        if end.status != "done" or self.state != RUNNING:
            self._finish(end if end.status != "done" else End("cancelled", "cancelled"))
            return
        self._enter(LOADING)
        self._go_through(self._load(), lambda _unused: self._finish(end))

    def _load(self) -> Generator[str, None, None]:
        for files in find_results(self._path("out")):
            run = yield from load_steps(files, self._scene, self._request.reference)
            self.runs.append(run)

    def _go_through(self, steps: Generator[str, None, Any], then: Callable[[object], None]) -> None:
        """Take the steps of a generator one by one, each when the application is idle."""
        self._steps.start(steps, then, lambda error: self._finish(End("failed", _one_line(error))))

    def _finish(self, end: End) -> None:
        """Leave no trace of an unfinished run, and tell the end."""
        self._steps.stop()
        if end.status != "done":
            for run in self.runs:
                remove_run(run)
            self.runs = []
        if self._folder is not None:
            sweep_after(end, self._folder)
        self._enter(IDLE)
        self._listener.on_end(end, self.runs)


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())[:400]
    if isinstance(error, QSMSeparationError):
        return text
    return _("failed: {reason}").format(reason=text or repr(error))
