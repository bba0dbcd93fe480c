"""Seconds and peak memory of each inversion without weights, each in a process of its own.

Run: python Testing/benchmarks/bench_inversion.py [NAME ...]
"""

from __future__ import annotations

import multiprocessing
import resource
import sys
import time

SHAPES = {"128x128x96": (96, 128, 128), "164x205x205": (205, 205, 164)}
NAMES = ("tkd", "l2", "tv")


def measure(name: str, shape: tuple[int, int, int], runs: int = 3) -> tuple[float, float]:
    """Return the best time in seconds and the peak memory in MiB above that at the start."""
    import torch

    from QSMSeparationLib.catalogue import find
    from QSMSeparationLib.maps import Maps
    from QSMSeparationLib.physics.dipole import DipoleOperator

    axes = [torch.linspace(-1, 1, n) for n in shape]
    k, j, i = torch.meshgrid(*axes, indexing="ij")
    mask = k**2 + j**2 + i**2 < 0.9**2
    generator = torch.Generator().manual_seed(0)
    chi = torch.nn.functional.avg_pool3d(
        torch.randn((1, 1, *shape), generator=generator), 5, 1, 2
    ).sign()[0, 0]
    field = DipoleOperator(shape, (1, 1, 1), (1, 0, 0))(0.03 * chi * mask)
    field = field + 0.002 * torch.randn(shape, generator=generator)
    maps = Maps(mask, (1.0, 1.0, 1.0), (1.0, 0.0, 0.0), field_ppm=field * mask)
    del chi, field, k, j, i
    invert, seconds = find(name, "inversion").load(), []
    before = _peak_mib()
    for _ in range(runs):
        start = time.perf_counter()
        invert(maps)
        seconds.append(time.perf_counter() - start)
    return min(seconds), _peak_mib() - before


def _peak_mib() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def main() -> None:
    """Print a table."""
    context = multiprocessing.get_context("spawn")
    print(f"{'method':8}{'grid':>14}{'seconds':>10}{'MiB more':>10}")
    for name in sys.argv[1:] or NAMES:
        for title, shape in SHAPES.items():
            with context.Pool(1) as pool:
                seconds, mib = pool.apply(measure, (name, shape))
            print(f"{name:8}{title:>14}{seconds:10.2f}{mib:10.0f}", flush=True)


if __name__ == "__main__":
    main()
