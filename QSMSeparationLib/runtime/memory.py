"""Memory that is used again, where the C library is glibc (Linux); elsewhere nothing is done.

By default glibc maps every array as large as a volume anew and unmaps it when it is freed, so
that the system clears its pages each time: as long a work as the arithmetic on them. Freed
memory is kept for the next array here, up to a limit.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4  # malloc.h
_KEPT_BYTES = 256 * 2**20
_LARGE_BYTES = 32 * 2**20
_kept = False


def keep_freed_memory() -> None:
    """Let the process keep what it frees (for a program's own process only)."""
    global _kept
    libc = _glibc()
    if libc is not None:
        libc.mallopt(_TRIM_THRESHOLD, _KEPT_BYTES)
        libc.mallopt(_MMAP_THRESHOLD, _LARGE_BYTES)
        libc.mallopt(_MMAP_MAX, 0)
        _kept = True


@contextmanager
def least_memory() -> Iterator[None]:
    """Give back what is kept, and keep nothing large meanwhile: for the stage that needs most."""
    libc = _glibc() if _kept else None
    if libc is not None:
        libc.malloc_trim(0)
        libc.mallopt(_MMAP_MAX, 65536)
    try:
        yield
    finally:
        if libc is not None:
            libc.mallopt(_MMAP_MAX, 0)


def available_gib() -> float | None:
    """Return the memory that is free for programs, in GiB; None where the system does not tell."""
    if sys.platform == "linux":
        return _linux_gib()
    return _windows_gib() if sys.platform == "win32" else None


def _linux_gib() -> float | None:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    kib = [int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")]
    return kib[0] / 2**20 if kib else None


class _MemoryStatus(ctypes.Structure):
    _fields_ = (
        ("length", ctypes.c_ulong),
        ("load", ctypes.c_ulong),
        ("total", ctypes.c_ulonglong),
        ("available", ctypes.c_ulonglong),
        ("others", ctypes.c_ulonglong * 5),
    )


def _windows_gib() -> float | None:
    if sys.platform != "win32":
        return None
    status = _MemoryStatus(length=ctypes.sizeof(_MemoryStatus))
    told = ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status))
    return status.available / 2**30 if told else None


def _glibc() -> ctypes.CDLL | None:
    if sys.platform != "linux":
        return None
    try:
        libc = ctypes.CDLL("libc.so.6")
    except OSError:
        return None
    return libc if hasattr(libc, "mallopt") and hasattr(libc, "malloc_trim") else None
