"""Time of the dipole convolution against the bare pair of transforms of the same padded size.

Run: python Testing/benchmarks/bench_dipole.py
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import torch

from QSMSeparationLib.physics.dipole import DipoleOperator

SHAPE = (176, 224, 256)
ALLOWED_RATIO = 2.5


def best_seconds(work: Callable[[], object], runs: int = 5) -> float:
    """Return the shortest of several runs after one to warm up."""
    work()
    seconds = []
    for _ in range(runs):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def main() -> int:
    """Print both times and their ratio; return 1 when the ratio is too large."""
    chi = torch.randn(SHAPE)
    dipole = DipoleOperator(SHAPE, (1.0, 1.0, 1.0), (0.8, 0.6, 0.0))
    padded = torch.randn(dipole.padded)
    convolution = best_seconds(lambda: dipole(chi))
    bare = best_seconds(lambda: torch.fft.irfftn(torch.fft.rfftn(padded), s=dipole.padded))
    ratio = convolution / bare
    print(f"grid {SHAPE}, padded {dipole.padded}, {torch.get_num_threads()} threads")
    print(f"dipole {convolution:.3f} s, bare transforms {bare:.3f} s")
    print(f"ratio {ratio:.2f} (allowed {ALLOWED_RATIO})")
    return int(ratio > ALLOWED_RATIO)


if __name__ == "__main__":
    sys.exit(main())
