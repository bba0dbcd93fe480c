"""Progress of long work: stages, a time estimate, and cancellation.

A stage function takes ``report``, a callable ``report(done, of)``. It calls it
now and then, prints nothing, and lets the exception through that a cancelled run
raises from there. What becomes of a report (a bar, JSON lines, nothing) is decided
by the sink of the run's :class:`Progress`.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TextIO

from QSMSeparationLib.runtime.errors import Cancelled
from QSMSeparationLib.runtime.run_time import RunShare, RunTime

Report = Callable[[int, int], None]


def silent(done: int, of: int) -> None:
    """Ignore a report; the default of every stage function."""


class Sink(Protocol):
    """Where progress goes."""

    def start(self) -> None:
        """Show that the process has begun."""

    def update(
        self, stage: str, done: int, of: int, eta_s: float | None, run: RunShare | None = None
    ) -> None:
        """Show that ``done`` of ``of`` steps of a stage are finished, and how far the run is."""

    def message(self, text: str) -> None:
        """Show one line that the user should read."""

    def finish(self, outputs: dict[str, str], failed: dict[str, str] | None = None) -> None:
        """Show that the run is done, what it wrote, and which of its scans failed and why."""

    def error(self, text: str) -> None:
        """Show why the run ended early."""


class NullSink:
    """Shows nothing but errors, which go to stderr."""

    def start(self) -> None:
        """Ignore."""

    def update(
        self, stage: str, done: int, of: int, eta_s: float | None, run: RunShare | None = None
    ) -> None:
        """Ignore."""

    def message(self, text: str) -> None:
        """Ignore."""

    def finish(self, outputs: dict[str, str], failed: dict[str, str] | None = None) -> None:
        """Print a line for every scan that failed on stderr."""
        for name, reason in (failed or {}).items():
            self.error(f"{name}: {reason}")

    def error(self, text: str) -> None:
        """Print the error line on stderr."""
        print(f"qsmsep: {text}", file=sys.stderr, flush=True)


class TextSink(NullSink):
    """A line that is redrawn on a terminal, or one line a stage elsewhere (stderr)."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._live = self._stream.isatty()
        self._last = 0.0
        self._open = False
        self._stage = ""

    def update(
        self, stage: str, done: int, of: int, eta_s: float | None, run: RunShare | None = None
    ) -> None:
        """Redraw the bar at most ten times a second."""
        if not self._live:
            if stage != self._stage:
                print(f"  {stage} ...", file=self._stream, flush=True)
            self._stage = stage
            return
        now = time.monotonic()
        if done not in (0, of) and now - self._last < 0.1:
            return
        self._last = now
        filled = int(24 * done / max(of, 1))
        eta = "" if eta_s is None or done >= of else f"  {eta_s:.0f} s left"
        self._stream.write(f"\r\033[K  {stage:<34} [{'#' * filled}{'.' * (24 - filled)}]{eta}")
        self._open = True
        if done >= of:
            self._close_line()
        self._stream.flush()

    def message(self, text: str) -> None:
        """Print a line below the bar."""
        self._close_line()
        print(text, file=self._stream, flush=True)

    def finish(self, outputs: dict[str, str], failed: dict[str, str] | None = None) -> None:
        """List the files that were written, and the scans that failed."""
        self._close_line()
        for name, path in outputs.items():
            print(f"  {name:<24} {path}", file=self._stream)
        super().finish(outputs, failed)
        self._stream.flush()

    def error(self, text: str) -> None:
        """Print the error line below the bar."""
        self._close_line()
        print(f"qsmsep: {text}", file=self._stream, flush=True)

    def _close_line(self) -> None:
        if self._open:
            self._stream.write("\n")
            self._open = False


class JsonSink:
    """One JSON object a line on stdout, the contract of ``--progress json``."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout

    def _write(self, record: dict[str, Any]) -> None:
        self._stream.write(json.dumps(record) + "\n")
        self._stream.flush()

    def start(self) -> None:
        """Write the process, so that whoever started a launcher can end what it launched."""
        self._write({"stage": "start", "done": 0, "of": 1, "eta_s": None, "pid": os.getpid()})

    def update(
        self, stage: str, done: int, of: int, eta_s: float | None, run: RunShare | None = None
    ) -> None:
        """Write ``{"stage", "done", "of", "eta_s"}``, and ``run_done``, ``run_eta_s`` if known."""
        record: dict[str, Any] = {"stage": stage, "done": done, "of": of, "eta_s": _tenths(eta_s)}
        if run is not None:
            record |= {"run_done": round(run.done, 4), "run_eta_s": _tenths(run.eta_s)}
        self._write(record)

    def message(self, text: str) -> None:
        """Write ``{"stage": "message", "message"}``."""
        self._write({"stage": "message", "message": text})

    def finish(self, outputs: dict[str, str], failed: dict[str, str] | None = None) -> None:
        """Write the last line of a run: its outputs, and ``failed`` where some scans did."""
        self._write({"stage": "done", "outputs": outputs} | ({"failed": failed} if failed else {}))

    def error(self, text: str) -> None:
        """Write the last line of a run that failed."""
        self._write({"stage": "error", "message": text})


def _tenths(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)


class Progress:
    """The progress of one run.

    Parameters
    ----------
    sink : Sink
        Where reports go.
    command : str
        What is run, for the share of the whole run that is done.

    Attributes
    ----------
    seconds : dict of str to float
        Wall-clock seconds of each finished stage, for the provenance.
    failed : dict of str to str
        Why a scan failed, by its name, while the others of the run went on.
    """

    def __init__(self, sink: Sink | None = None, command: str = "") -> None:
        self.sink: Sink = sink or NullSink()
        self.seconds: dict[str, float] = {}
        self.failed: dict[str, str] = {}
        self._stop = threading.Event()
        self._began = time.monotonic()
        self._run_time = RunTime(command)

    def part(self) -> Progress:
        """Return the progress of one of many runs: its own seconds, all else shared."""
        part = Progress(self.sink)
        part._stop, part._began, part._run_time = self._stop, self._began, self._run_time
        return part

    def expect_scans(self, scans: int) -> None:
        """Take how many scans there are, once this is known."""
        self._run_time.repeat(scans)

    def cancel(self) -> None:
        """Ask the run to stop at its next report; safe from any thread."""
        self._stop.set()

    def check(self) -> None:
        """Raise :class:`Cancelled` when the run was asked to stop."""
        if self._stop.is_set():
            raise Cancelled

    def message(self, text: str) -> None:
        """Show one line to the user."""
        self.sink.message(text)

    def fail(self, name: str, reason: str) -> None:
        """Note that a scan failed while the others go on, and show it."""
        self.failed[name] = reason
        self.message(f"{name} failed: {reason}")

    @contextmanager
    def stage(self, name: str) -> Iterator[Report]:
        """Run one stage; yields its ``report(done, of)`` and notes its seconds."""
        self.check()
        start = time.monotonic()
        last = (-1, -1)

        def report(done: int, of: int) -> None:
            nonlocal last
            self.check()
            if (done, of) == last:
                return
            last = (done, of)
            elapsed = time.monotonic() - start
            eta = elapsed * (of - done) / done if done > 0 else None
            share, since_s = done / of if of else 0.0, time.monotonic() - self._began
            self.sink.update(name, done, of, eta, self._run_time.update(name, share, since_s, eta))

        report(0, 1)
        yield report
        report(1, 1)
        self.seconds[name] = self.seconds.get(name, 0.0) + round(time.monotonic() - start, 3)


def cancel_when_closed(stream: TextIO, progress: Progress) -> threading.Thread:
    """Cancel ``progress`` as soon as ``stream`` (a piped stdin) is closed."""

    def watch() -> None:
        while stream.read(4096):
            pass
        progress.cancel()

    thread = threading.Thread(target=watch, name="stdin-watch", daemon=True)
    thread.start()
    return thread
