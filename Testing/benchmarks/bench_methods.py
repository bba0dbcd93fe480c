"""Seconds and peak memory of inversions and separations, each in a process of its own.

Run: python Testing/benchmarks/bench_methods.py [NAME ...] [--json FILE]   (names as in 'qsmsep methods')
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

from peak_memory import peak_mib

SHAPES = {
    "inversion": {"128x128x96": (96, 128, 128), "164x205x205": (205, 205, 164)},
    "separation": {"192x224x160": (160, 224, 192)},
}
NAMES = ("tkd", "l2", "tv", "closed-form", "chi-sepnet-r2prime", "susep-net")


def measure(name: str, stage: str, shape: tuple[int, int, int], runs: int = 3) -> tuple[float, ...]:
    """Return the best time in seconds, and the peak memory in MiB before and at the end."""
    import torch

    from QSMSeparationLib.catalogue import find
    from QSMSeparationLib.data.maps import Maps
    from QSMSeparationLib.physics.dipole import DipoleOperator
    from QSMSeparationLib.runtime.memory import keep_freed_memory, least_memory

    keep_freed_memory()  # as qsmsep does, but for separations
    axes = [torch.linspace(-1, 1, n) for n in shape]
    k, j, i = torch.meshgrid(*axes, indexing="ij")
    mask = k**2 + j**2 + i**2 < 0.9**2
    generator = torch.Generator().manual_seed(0)
    chi = (
        0.03
        * torch.nn.functional.avg_pool3d(
            torch.randn((1, 1, *shape), generator=generator), 5, 1, 2
        ).sign()[0, 0]
    )
    field = DipoleOperator(shape, (1, 1, 1), (1, 0, 0))(chi * mask)
    field = field + 0.002 * torch.randn(shape, generator=generator)
    maps = Maps(mask, (1.0, 1.0, 1.0), (1.0, 0.0, 0.0), local_field=field * mask)
    if stage == "separation":
        maps = replace(maps, net=chi * mask, r2prime=114 * chi.abs() * mask)
    del chi, field, k, j, i
    method, seconds = find(name, stage), []
    before = peak_mib()
    for _ in range(runs):
        start = time.perf_counter()
        with least_memory() if stage == "separation" else nullcontext():
            method.run(maps)
        seconds.append(time.perf_counter() - start)
    return min(seconds), before, peak_mib()


def main() -> None:
    """Print a table."""
    from QSMSeparationLib import catalogue

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=NAMES, metavar="NAME")
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write the rows, for docs/results"
    )
    given = parser.parse_args()
    rows = []
    stages = {m.name: stage for stage in SHAPES for m in catalogue.methods(stage)}
    context = multiprocessing.get_context("spawn")
    print(f"{'method':20}{'grid':>14}{'seconds':>10}{'MiB before':>12}{'MiB peak':>10}")
    for name in given.names:
        for title, shape in SHAPES[stages[name]].items():
            with context.Pool(1) as pool:
                seconds, before, peak = pool.apply(measure, (name, stages[name], shape))
            print(f"{name:20}{title:>14}{seconds:10.2f}{before:12.0f}{peak:10.0f}", flush=True)
            row = {"what": f"`{name}`", "matrix": title}
            rows.append(row | {"seconds": round(seconds, 1), "peak_mib": round(peak)})
    if given.json:
        given.json.write_text(json.dumps(rows), encoding="utf-8")


if __name__ == "__main__":
    main()
