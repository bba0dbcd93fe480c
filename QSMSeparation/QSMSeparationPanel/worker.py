"""The command line in a process of its own: progress, log, and an end that always comes.

Nothing here knows MRML, and for a run the application imports no torch; only the worker does.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import qt
from slicer.i18n import tr as _

import QSMSeparationLib
from QSMSeparationPanel.later import later

MODULE = "QSMSeparationLib"
"""What is run with ``-m``."""
GRACE_MS = 800
"""How long a worker that was asked to stop may take before it is killed."""
_ASK_AGAIN_MS, _TRIES = 200, 4
"""How often it is looked for the number of a process that has just begun: all within 2 s."""
_LONGEST_LINE = 1 << 20
_CHUNK = 1 << 17
_CHANNELS = {"out": "StandardOutput", "err": "StandardError"}
_KEPT_ERRORS = 30
_NO_WINDOW = getattr(subprocess, "CREATE_NO_WINDOW", 0)  # of a console, on Windows
_SHOWN_LINES = 100
_LAUNCHER_TELLS = "exit abnormally"
"""What PythonSlicer, a launcher, writes when its Python was killed or crashed; it ends with 1."""
_ENDED_FROM_OUTSIDE = _(
    "the worker process was ended from outside or crashed; often the memory was used up: "
    "close other programs, or choose a smaller scan or another device"
)


@dataclass(frozen=True)
class End:
    """How a run ended.

    Parameters
    ----------
    status : str
        ``done``, ``cancelled`` or ``failed``.
    message : str
        One line for the user; empty when done.
    outputs : dict of str to str
        Files that were written.
    """

    status: str
    message: str = ""
    outputs: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Step:
    """How far a run is.

    Parameters
    ----------
    stage : str
        What it does now.
    done, of : float
        How far this stage is.
    eta_s : float, optional
        Seconds left of this stage.
    run_done : float, optional
        The share of the whole run that is done.
    run_eta_s : float, optional
        Seconds left of the whole run.
    """

    stage: str
    done: float
    of: float
    eta_s: float | None = None
    run_done: float | None = None
    run_eta_s: float | None = None


class Worker:
    """``PythonSlicer -m QSMSeparationLib ... --progress json``.

    Parameters
    ----------
    arguments : sequence of str
        Command and its options.
    on_step : callable
        Gets the latest :class:`Step`.
    on_text : callable
        Gets text for the log.
    on_end : callable
        Gets the :class:`End`, once.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        on_step: Callable[[Step], None],
        on_text: Callable[[str], None],
        on_end: Callable[[End], None],
    ) -> None:
        self._arguments = ["-m", MODULE, *arguments, "--progress", "json"]
        self._on_step, self._on_text, self._on_end = on_step, on_text, on_end
        self._process: Any = None
        self._buffers = dict.fromkeys(_CHANNELS, b"")
        self._errors: list[str] = []
        self._last: dict[str, Any] = {}
        self.pid: int | None = None
        self._cancelled = self._ended = self._read_asked = False

    @property
    def running(self) -> bool:
        """Whether the process has not ended yet."""
        return self._process is not None

    def start(self) -> None:
        """Start the process; its end is told in any case."""
        library = str(Path(QSMSeparationLib.__file__).resolve().parents[1])
        process = self._process = qt.QProcess()
        process.setProcessEnvironment(_environment(library))
        # "-m" looks there first, whatever a launcher makes of PYTHONPATH.
        process.setWorkingDirectory(library)
        process.connect("readyReadStandardOutput()", self._read_soon)
        process.connect("readyReadStandardError()", self._read_soon)
        process.connect("finished(int,QProcess::ExitStatus)", self._finished)
        process.connect("errorOccurred(QProcess::ProcessError)", self._error)
        process.start(program(), self._arguments)

    def cancel(self) -> None:
        """Ask the worker to stop by closing its stdin; kill it when that takes too long."""
        if not self.running or self._cancelled:
            return
        self._cancelled = True
        self._process.closeWriteChannel()
        later(lambda: self._kill(_TRIES), GRACE_MS)

    def stop(self) -> None:
        """Stop the worker now, waiting for its end: the application is about to go."""
        if not self.running:
            return
        self.cancel()
        if self._process is not None and not self._process.waitForFinished(GRACE_MS):
            self._kill()
            if self._process is not None:
                self._process.waitForFinished(GRACE_MS)
        if self.running:
            self._tell(End("cancelled", "cancelled"))

    def _kill(self, tries: int = 0) -> None:
        """End the Python that computes, too: killing the launcher leaves it computing on."""
        if self._process is None:
            return
        if self.pid is None and tries > 0:  # it has just begun and will say so
            later(lambda: self._kill(tries - 1), _ASK_AGAIN_MS)
            return
        if self.pid is not None:
            kill_process(self.pid)
        self._process.kill()

    def _read(self) -> None:
        """Take some of what arrived, and the rest when the application is idle again."""
        self._read_asked = False
        if self._process is None:
            return
        more = False
        for channel, number in _CHANNELS.items():
            self._process.setReadChannel(getattr(qt.QProcess, number))
            data = bytes(self._process.read(_CHUNK).data())
            self._take(channel, data)
            more = more or len(data) == _CHUNK
        if more:
            self._read_soon()
        elif self._ended:
            self._conclude()

    def _read_soon(self) -> None:
        if not self._read_asked:
            self._read_asked = True
            later(self._read)

    def _take(self, channel: str, data: bytes) -> None:
        """Take what arrived: whole lines now, the rest of a line later."""
        if not data:
            return
        *lines, rest = (self._buffers[channel] + data).split(b"\n")
        self._buffers[channel] = b"" if len(rest) > _LONGEST_LINE else rest
        self._use(channel, lines)

    def _use(self, channel: str, lines: list[bytes]) -> None:
        step, texts = None, []
        for line in lines:
            record = _record(line) if channel == "out" else None
            if record is None:
                texts.append(line)
            elif record["stage"] in ("done", "error"):
                self._last = record
            elif record["stage"] == "start":
                self._take_pid(record.get("pid"))
            elif record["stage"] == "message":
                texts.append(str(record.get("message", "")).encode())
            else:
                step = _step(record) or step
        self._log(channel, texts)
        if step is not None:
            self._on_step(step)

    def _take_pid(self, pid: Any) -> None:
        """Take which process computes, below its launcher."""
        self.pid = pid if isinstance(pid, int) and pid > 0 else None

    def _log(self, channel: str, texts: list[bytes]) -> None:
        """Give the last lines to the log; a worker that prints for ever must not stop us."""
        shown = [t.decode("utf-8", "replace").strip()[:2000] for t in texts[-_SHOWN_LINES:]]
        shown = [text for text in shown if text]
        if channel == "err":
            self._errors = [*self._errors, *shown][-_KEPT_ERRORS:]
        if len(texts) > _SHOWN_LINES:
            left_out = len(texts) - _SHOWN_LINES
            shown.insert(0, _("({number} lines left out)").format(number=left_out))
        if shown:
            self._on_text("\n".join(shown))

    def _error(self, *_unused: object) -> None:
        if self._process is not None and self._process.error() == qt.QProcess.FailedToStart:
            text = _("{program} can't be started; reinstall the application")
            self._tell(End("failed", text.format(program=program())))

    def _finished(self, *_unused: object) -> None:
        self._ended = True
        self._read()

    def _conclude(self) -> None:
        """Tell the end, now that everything was read."""
        for channel, rest in self._buffers.items():
            self._use(channel, [rest])
        crashed = self._process.exitStatus() == qt.QProcess.CrashExit
        self._tell(self._end(self._process.exitCode(), crashed))

    def _end(self, code: int, crashed: bool) -> End:
        if self._cancelled:
            return End("cancelled", "cancelled")
        if self._last.get("stage") == "error":
            return End("failed", str(self._last.get("message", _("failed for an unknown reason"))))
        if crashed or code < 0 or code > 128 or _launcher_tells(self._errors):
            return End("failed", _ENDED_FROM_OUTSIDE)
        if code:
            unknown = _("the worker ended with code {code}").format(code=code)
            return End("failed", _reason(self._errors) or unknown)
        outputs = self._last.get("outputs")
        if not isinstance(outputs, dict):
            return End("failed", _("the worker ended without a result; its log says more"))
        return End("done", "", {str(name): str(path) for name, path in outputs.items()})

    def _tell(self, end: End) -> None:
        # Kept until the application is idle: PythonQt would delete it in its own signal and crash.
        gone, self._process = self._process, None
        later(lambda: gone.deleteLater())
        self._on_end(end)


def kill_process(pid: int) -> None:
    """End a process at once and for good; one that has ended already is no matter."""
    if sys.platform == "win32":
        command = ["taskkill", "/F", "/T", "/PID", str(pid)]
        subprocess.run(command, capture_output=True, check=False, creationflags=_NO_WINDOW)
        return
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGKILL)


def program() -> str:
    """Return the Python of the application."""
    return shutil.which("PythonSlicer") or sys.executable


def _environment(library: str) -> Any:
    environment = qt.QProcessEnvironment.systemEnvironment()
    separator = ";" if sys.platform == "win32" else ":"
    paths = [library, *filter(None, environment.value("PYTHONPATH", "").split(separator))]
    environment.insert("PYTHONPATH", separator.join(dict.fromkeys(paths)))
    environment.insert("PYTHONIOENCODING", "utf-8")
    environment.insert("PYTHONUNBUFFERED", "1")
    return environment


def _record(line: bytes) -> dict[str, Any] | None:
    """Return the JSON object of a line of progress, or None for any other text."""
    if not line.startswith(b"{"):
        return None
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record.get("stage"), str) else None


def _step(record: dict[str, Any]) -> Step | None:
    done, of = record.get("done"), record.get("of")
    if not (isinstance(done, (int, float)) and isinstance(of, (int, float))):
        return None
    known = [record.get(key) for key in ("eta_s", "run_done", "run_eta_s")]
    known = [number if isinstance(number, (int, float)) else None for number in known]
    return Step(record["stage"], done, of, *known)


def _launcher_tells(errors: list[str]) -> bool:
    """Return whether the launcher says that its Python did not end by itself."""
    return any(_LAUNCHER_TELLS in line for line in errors[-3:])


def _reason(errors: list[str]) -> str:
    """Return the last line that was written to stderr, in words where the case is known."""
    last = next((line for line in reversed(errors) if line), "")
    if "No module named 'torch'" in last:
        return _("PyTorch is not installed; press Separate again and agree to its installation")
    if "No module named" in last:
        text = _("the worker lacks a package ({reason}); press Separate again to install it")
        return text.format(reason=last)
    if "MemoryError" in last:
        return _("the memory was used up; choose a smaller scan or close other programs")
    return last[:400]
