"""Inversions on heads whose field holds what no source explains: error against lesion contrast.

Run: python Testing/benchmarks/bench_misfit.py CASES [--misfit 0 2.2 6] [--voxel 1.5] [--methods tv tkd]

CASES: a folder of simulated cases ('qsmsep simulate', level 0 or 1). To the true local field of
each comes white noise of 2 ppb and a misfit of every SD asked for, correlated over 1.2, 3 and 7 mm
(weights .75, .5, .43, as on a real field). Tables: the misfit that is found beside the true one;
demeaned NRMSE and detrended NRMSE in percent, XSIM, the slope of the lesions' mean net chi over
the truth, and seconds of CPU, of every inversion by default and of ``tv`` over rounds and
regularisation.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as functional
from numpy.typing import NDArray
from torch import Tensor

from QSMSeparationLib.catalogue import find
from QSMSeparationLib.data.maps import Maps
from QSMSeparationLib.data.method import Value
from QSMSeparationLib.evaluation import metrics
from QSMSeparationLib.evaluation.cases import Case, find_cases
from QSMSeparationLib.physics.smoothing import gaussian
from QSMSeparationLib.solvers.misfit import field_misfit_ppm

WHITE_PPM = 0.002
R2STAR_SD_HZ = 1.0
LENGTHS_MM, WEIGHTS = (1.2, 3.0, 7.0), (0.75, 0.5, 0.43)
SMALLEST_LESION_MM3 = 25.0
ROUNDS, REGULARISATIONS = (1, 2, 3, 4, 6), (0.5, 1.0, 2.0)


@dataclass(frozen=True, eq=False)
class Head:
    """Maps with a misfit, and the truth."""

    name: str
    maps: Maps
    net: NDArray[np.float32]
    lesions: NDArray[np.int16]
    misfit_ppb: float


def head_of(case: Case, voxel_mm: float, misfit_ppm: float) -> Head:
    """Average a case to about a voxel size and spoil its field."""
    truth = case.truth()
    spacing = truth.geometry.spacing_kji
    times = max(1, round(voxel_mm / min(spacing)))
    grid = tuple(s * times for s in spacing)
    net, field, r2star, inside = (
        _averaged(torch.from_numpy(np.asarray(m, dtype=np.float32)), times)
        for m in (truth.maps["net"], truth.maps["local_field"], truth.maps["r2star"], truth.mask)
    )
    mask = inside > 0.5
    random = torch.Generator().manual_seed(0)
    noise = [torch.randn(mask.shape, generator=random) for _ in range(5)]
    spoilt = torch.zeros(mask.shape)
    for weight, length, white in zip(WEIGHTS, LENGTHS_MM, noise, strict=False):
        part = gaussian(white, length, grid)
        spoilt += weight * part / part[mask].std()
    error = spoilt * (misfit_ppm / spoilt[mask].std()) + WHITE_PPM * noise[3]
    maps = Maps(
        mask, grid, truth.geometry.b0_kji,
        local_field=(field + error) * mask,
        r2star=(r2star + R2STAR_SD_HZ * noise[4]).clamp(min=0) * mask,
    )  # fmt: skip
    lesions = truth.lesions[
        tuple(slice(times // 2, n // times * times, times) for n in truth.mask.shape)
    ]
    sd = 1e3 * float(error[mask].std())
    return Head(case.name, maps, (net * mask).numpy(), lesions, sd)


def _averaged(volume: Tensor, times: int) -> Tensor:
    return functional.avg_pool3d(volume[None, None], times)[0, 0]


def lesion_slope(chi: NDArray[np.float32], head: Head) -> float:
    """Return the slope of the lesions' mean values over the true ones."""
    voxel = float(np.prod(head.maps.spacing_kji))
    numbers, counts = np.unique(head.lesions[head.lesions > 0], return_counts=True)
    large = numbers[counts * voxel >= SMALLEST_LESION_MM3]
    if len(large) < 3:
        return float("nan")
    true, found = ([m[head.lesions == n].mean() for n in large] for m in (head.net, chi))
    return float(np.polyfit(true, found, 1)[0])


def print_row(head: Head, name: str, **settings: Value) -> None:
    """Print what an inversion makes of a head."""
    method = name.split()[0]
    start = time.process_time()
    chi = find(method, "inversion").run(head.maps, None, **settings).numpy()
    seconds = time.process_time() - start
    inside = head.maps.mask.numpy()
    scores = [f(chi, head.net, inside) for f in (metrics.demeaned_nrmse, metrics.detrended_nrmse)]
    xsim = metrics.xsim(chi, head.net, inside)
    print(
        f"{head.name:20}{head.misfit_ppb:7.1f}  {name:20}{scores[0]:9.1f}{scores[1]:9.1f}"
        f"{xsim:8.3f}{lesion_slope(chi, head):8.2f}{seconds:8.1f}",
        flush=True,
    )


def heads(given: argparse.Namespace) -> Iterator[Head]:
    """Yield the cases with every misfit, with R2* or without."""
    for case in find_cases(given.cases):
        for misfit in given.misfit:
            head = head_of(case, given.voxel, misfit / 1e3)
            maps = replace(head.maps, r2star=None) if given.no_r2star else head.maps
            yield replace(head, maps=maps)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description="inversions on fields with misfit")
    parser.add_argument("cases", type=Path)
    parser.add_argument("--voxel", type=float, default=1.5, help="in mm")
    parser.add_argument("--misfit", type=float, nargs="+", default=[0.0, 2.2, 6.0], help="SD, ppb")
    parser.add_argument("--methods", nargs="+", default=["tkd", "l2", "tv"])
    parser.add_argument("--no-r2star", action="store_true", help="the field alone")
    parser.add_argument("--curve", action="store_true", help="tv over rounds x regularisation")
    given = parser.parse_args()
    print(
        f"{'head':20}{'misfit':>7}  {'method':20}{'NRMSE':>9}{'detr.':>9}{'XSIM':>8}{'slope':>8}{'CPU s':>8}"
    )
    for head in heads(given):
        found = 1e3 * field_misfit_ppm(head.maps)
        print(f"{head.name:20}{head.misfit_ppb:7.1f}  found: {found:.1f} ppb")
        for name in given.methods:
            print_row(head, name)
        for rounds in ROUNDS if given.curve else ():
            for weight in REGULARISATIONS:
                settings: dict[str, Value] = {"rounds": rounds, "regularisation": weight}
                print_row(head, f"tv {rounds} x {weight:g}", **settings)


if __name__ == "__main__":
    main()
