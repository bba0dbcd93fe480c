"""Seconds and peak memory of each stage from the raw scan to chi+ and chi-.

Run: python Testing/benchmarks/bench_chain.py CASES [--matrix 256 224 176] [--no-spin-echo]
     [--device cuda] [--json FILE]

The first simulated case ('qsmsep simulate') in CASES is laid into the middle of a matrix of the
wanted size (i j k), with noise in place of air, or cut to it where it is larger; so the matrix is
that of the scan, and the head is a head. Everything runs in a process of its own; on a GPU the chain
runs twice and the second run counts, as a GPU is slow the first time.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from peak_memory import peak_mib, reset_peak

from QSMSeparationLib.data.scan import Scan
from QSMSeparationLib.data.volume import Geometry
from QSMSeparationLib.evaluation.cases import find_cases
from QSMSeparationLib.pipeline.options import Options
from QSMSeparationLib.pipeline.reconstruct import reconstruct
from QSMSeparationLib.runtime.memory import keep_freed_memory
from QSMSeparationLib.runtime.progress import NullSink, Progress


class MemorySink(NullSink):
    """Notes the peak memory of every stage (where the system can't reset it: up to its end)."""

    def __init__(self) -> None:
        self.mib: dict[str, float] = {}

    def update(self, stage: str, done: int, of: int, *_more: object) -> None:
        """Start at 0, note at the end."""
        if done == 0:
            reset_peak()
        elif done >= of:
            self.mib[stage] = max(peak_mib(), self.mib.get(stage, 0.0))


def fitted(scan: Scan, matrix: tuple[int, int, int]) -> Scan:
    """Return a scan on another matrix (k, j, i): noise around it, or its middle."""
    sd = float(np.median(scan.magnitude[:, :4, :4, :4])) + 1e-6
    rng = np.random.default_rng(0)
    magnitude = _laid(scan.magnitude, matrix, lambda n: sd * rng.rayleigh(0.85, n))
    phase = _laid(scan.phase_rad, matrix, lambda n: rng.uniform(-np.pi, np.pi, n))
    geometry = Geometry(matrix, scan.geometry.spacing_mm, direction=scan.geometry.direction)
    spin_echo = scan.spin_echo
    if spin_echo is not None:
        train = _laid(spin_echo.magnitude, matrix, lambda n: sd * rng.rayleigh(0.85, n))
        spin_echo = replace(spin_echo, magnitude=train, geometry=geometry)
    return replace(
        scan, magnitude=magnitude, phase_rad=phase, geometry=geometry, spin_echo=spin_echo
    )


def _laid(echoes: NDArray[np.float32], matrix: tuple[int, int, int], fill) -> NDArray[np.float32]:
    """Lay echoes into the middle of a matrix, one at a time."""
    result = np.empty((len(echoes), *matrix), dtype=np.float32)
    target, source = [], []
    for have, want in zip(echoes.shape[1:], matrix, strict=True):
        shared = min(have, want)
        target.append(slice((want - shared) // 2, (want - shared) // 2 + shared))
        source.append(slice((have - shared) // 2, (have - shared) // 2 + shared))
    for new, old in zip(result, echoes, strict=True):
        new[...] = fill(matrix)
        new[tuple(target)] = old[tuple(source)]
    return result


def measure(
    folder: Path, matrix: tuple[int, int, int], spin_echo: bool, device: str
) -> list[tuple[str, float, float]]:
    """Return (stage, seconds, MiB) of every stage, and of all together."""
    scan = find_cases(folder)[0].scan()
    scan = fitted(scan if spin_echo else replace(scan, spin_echo=None), matrix)
    sink = MemorySink()
    keep_freed_memory()  # as qsmsep does
    if device != "cpu":
        reconstruct(scan, Options(device=device))
    progress = Progress(sink)
    reconstruct(scan, Options(device=device), progress)
    rows = [(name, s, sink.mib[name]) for name, s in progress.seconds.items()]
    total = sum(seconds for _, seconds, _ in rows)
    return [*rows, ("all", total, max(mib for *_, mib in rows))]


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", type=Path)
    parser.add_argument("--matrix", type=int, nargs=3, default=(256, 224, 176), metavar="N")
    parser.add_argument("--no-spin-echo", dest="spin_echo", action="store_false")
    parser.add_argument("--device", default="cpu", help="where to compute (cpu)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the sum, for docs/results")
    given = parser.parse_args()
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        shape = tuple(given.matrix[::-1])
        rows = pool.apply(measure, (given.cases, shape, given.spin_echo, given.device))
    matrix = "x".join(map(str, given.matrix))
    print(f"{matrix:40}{'seconds':>9}{'MiB':>8}")
    for name, seconds, mib in rows:
        print(f"{name:40}{seconds:9.1f}{mib:8.0f}")
    if given.json:
        _, seconds, mib = rows[-1]
        what = "whole chain, 5 echoes" + (" and spin echo" if given.spin_echo else "")
        what += "" if given.device == "cpu" else f", {given.device}"
        row = {"what": what, "matrix": matrix, "seconds": round(seconds, 1), "peak_mib": round(mib)}
        given.json.write_text(json.dumps([row]), encoding="utf-8")


if __name__ == "__main__":
    main()
