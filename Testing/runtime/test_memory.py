"""Freed memory is used again: the second array of a size needs no new pages."""

from __future__ import annotations

import subprocess
import sys

import pytest

FAULTS = """
import ctypes
import resource
ctypes.CDLL(None).prctl(41, 1, 0, 0, 0)  # PR_SET_THP_DISABLE: pages of one size can be counted
import numpy as np
from QSMSeparationLib.runtime.memory import keep_freed_memory, least_memory
if {keep}:
    keep_freed_memory()
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.empty(2**24, np.float32).fill(1)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
again = faults()
with least_memory():
    least = faults() + faults()
print(again, least)
"""


def faults(*, keep: bool) -> tuple[int, int]:
    code = FAULTS.format(keep=keep)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    again, least = map(int, done.stdout.split())
    return again, least


@pytest.mark.skipif(sys.platform != "linux", reason="glibc only")
def test_freed_memory_is_kept_but_where_there_must_be_least():
    fresh, _ = faults(keep=False)
    if fresh < 100:
        pytest.skip("this system does not count page faults, or its pages are huge")
    again, least = faults(keep=True)
    assert again < 0.1 * fresh
    assert least > 1.5 * fresh
