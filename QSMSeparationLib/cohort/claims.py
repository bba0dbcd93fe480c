"""Claims of scans, so that two runs at once on one OUT never work on the same scan.

A claim is a file ``OUT/.cohort/claims/NAME`` that is made only where there is none. Whoever holds it
touches it now and then; one that nobody has touched for a while was left by a run that died, and is
taken over.
"""

from __future__ import annotations

import os
import platform
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from QSMSeparationLib.cohort.records import STATE_FOLDER

HEARTBEAT_S = 15.0
STALE_S = 120.0
"""A claim untouched for this long is nobody's: eight heartbeats, and clocks of a cluster that differ
a little."""


class Claimed(Exception):
    """Another run is at this scan."""


@contextmanager
def claim(out: Path, name: str, stale_s: float = STALE_S) -> Iterator[None]:
    """Hold the claim of a scan while its block runs.

    Raises
    ------
    Claimed
        When another run holds it.
    """
    file = out / STATE_FOLDER / "claims" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    token = f"{platform.node()} {os.getpid()} {uuid.uuid4().hex}"
    if not _made(file, token):
        _take_over(file, stale_s)
        if not _made(file, token):
            raise Claimed(f"{name}: another run is at it")
    done = threading.Event()
    beat = threading.Thread(target=_touch, args=(file, token, done), daemon=True)
    beat.start()
    try:
        yield
    finally:
        done.set()
        beat.join()
        if _holder(file) == token:
            file.unlink(missing_ok=True)


def _made(file: Path, token: str) -> bool:
    """Make a claim, unless there is one."""
    try:
        with file.open("x", encoding="utf-8") as stream:
            stream.write(token)
    except FileExistsError:
        return False
    return True


def _take_over(file: Path, stale_s: float) -> None:
    """Remove a claim whose holder is gone; raise Claimed where it is not."""
    holder = _holder(file)
    if holder is None:
        return
    if not (_is_dead_here(holder) or _age_s(file) > stale_s):
        raise Claimed(f"{file.name}: another run is at it ({' '.join(holder.split()[:2])})")
    # Of two that find it stale, one renames it; what the other one renames is a new claim.
    taken = file.with_name(f".{file.name}-{uuid.uuid4().hex}")
    with suppress(FileNotFoundError):
        os.rename(file, taken)
        if _holder(taken) != holder:
            with suppress(FileExistsError):
                os.link(taken, file)
        taken.unlink()


def _touch(file: Path, token: str, done: threading.Event) -> None:
    """Keep a claim fresh until the work is done."""
    while not done.wait(HEARTBEAT_S):
        if _holder(file) == token:
            with suppress(OSError):
                os.utime(file)


def _holder(file: Path) -> str | None:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return None


def _age_s(file: Path) -> float:
    try:
        return time.time() - file.stat().st_mtime
    except OSError:
        return 0.0


def _is_dead_here(holder: str) -> bool:
    """Return whether a holder was a process of this machine that is gone."""
    host, _, rest = holder.partition(" ")
    number = rest.split(" ")[0]
    if os.name == "nt":  # there, signal 0 is Ctrl-C to the holder; its age decides alone
        return False
    if host != platform.node() or not number.isdecimal():
        return False
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False
