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


def _glibc() -> ctypes.CDLL | None:
    if sys.platform != "linux":
        return None
    try:
        libc = ctypes.CDLL("libc.so.6")
    except OSError:
        return None
    return libc if hasattr(libc, "mallopt") and hasattr(libc, "malloc_trim") else None
