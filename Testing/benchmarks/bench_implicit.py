"""inr-qsm and inr-sep on simulated cases and on objects unlike any head, with an ablation.

Run: python Testing/benchmarks/bench_implicit.py CASES [--voxel 2] [--only heads ...] [--json FILE]

CASES: a folder of simulated cases ('qsmsep simulate'). They are averaged to the voxel size first,
fields as well, so that no method meets its own dipole. Tables: error of net chi (demeaned NRMSE
in percent), deep-grey slope, seconds of CPU and peak memory; the same with a hemorrhage of 1 ppm, with
random shapes in place of the brain, and with the noise of 7 T; both sources; and patches with and
without phase compensation.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as functional
from peak_memory import peak_mib
from torch import Tensor

from QSMSeparationLib import catalogue
from QSMSeparationLib.data.maps import Maps
from QSMSeparationLib.evaluation import metrics
from QSMSeparationLib.evaluation.cases import Case, find_cases
from QSMSeparationLib.inversion.inr_qsm import Patchwise, fit_patches
from QSMSeparationLib.physics.dipole import DipoleOperator
from QSMSeparationLib.runtime.context import Context

Row = dict[str, Any]

TABLES = ("heads", "objects", "sources", "patches")
INVERSIONS = ("tkd", "tv", "qsmnet", "cycle-qsm", "inr-qsm")
SEPARATIONS = ("closed-form", "closed-form-guided", "chi-separation", "inr-sep")
FIELD_SD_PPM = 0.002
RATE_SD_HZ = 2.0
SMALL = Patchwise(depth=4, width=48, omega=20.0, patch=(16, 18, 17), rate=1e-3, renew=3)


@dataclass(frozen=True, eq=False)
class Object:
    """Something to invert: maps with noise, and the truth."""

    name: str
    maps: Maps
    para: Tensor
    dia: Tensor
    labels: np.ndarray | None


def objects_of(case: Case, voxel_mm: float, unusual: bool) -> list[Object]:
    """Return a head as it is, or what is made of it."""
    truth = case.truth()
    spacing, b0 = truth.geometry.spacing_kji, truth.geometry.b0_kji
    times = max(1, round(voxel_mm / min(spacing)))
    full = {n: torch.from_numpy(truth.maps[n]) for n in ("chi_para", "chi_dia", "local_field")}
    mask = torch.from_numpy(truth.mask)
    labels = truth.labels[tuple(slice(times // 2, n // times * times, times) for n in mask.shape)]

    def made(name: str, para: Tensor, dia: Tensor, field: Tensor, b0_tesla: float = 3.0) -> Object:
        small = [_averaged(m, times) for m in (para, dia, field)]
        inside = _averaged(mask.float(), times) > 0.5
        grid = tuple(s * times for s in spacing)
        scale = b0_tesla / 3.0
        random = torch.Generator().manual_seed(0)
        noise = [torch.randn(inside.shape, generator=random) for _ in range(2)]
        rate = 114 * scale * (small[0] - small[1]) + RATE_SD_HZ * noise[0]
        maps = Maps(
            inside, grid, b0, b0_tesla,
            local_field=(small[2] + FIELD_SD_PPM / scale * noise[1]) * inside,
            r2prime=rate.clamp(min=0) * inside,
            dr_para=114 * scale, dr_dia=114 * scale,
        )  # fmt: skip
        return Object(name, maps, small[0] * inside, small[1] * inside, labels)

    para, dia, field = full["chi_para"], full["chi_dia"], full["local_field"]
    if not unusual:
        return [made(case.name, para, dia, field)]
    dipole = DipoleOperator(tuple(mask.shape), spacing, b0, pad=0.5)
    blood = _ball(mask, spacing) * (1.0 - para - dia)
    shapes = _random_shapes(mask, spacing)
    return [
        made("hemorrhage 1 ppm", para + blood, dia, field + dipole(blood)),
        made("random shapes", shapes.clamp(min=0), shapes.clamp(max=0), dipole(shapes)),
        made("7 T", para, dia, field, 7.0),
    ]


def _averaged(volume: Tensor, times: int) -> Tensor:
    return functional.avg_pool3d(volume[None, None].float(), times)[0, 0]


def _ball(mask: Tensor, spacing: tuple[float, ...], radius_mm: float = 6.0) -> Tensor:
    """A ball within the brain, off its center."""
    center = mask.nonzero().float().mean(0) + torch.tensor([18.0, 10.0, 22.0])
    grid = torch.meshgrid(*[torch.arange(n) for n in mask.shape], indexing="ij")
    r2 = sum(((g - c) * s) ** 2 for g, c, s in zip(grid, center, spacing, strict=True))
    return (r2 < radius_mm**2).float() * mask


def _random_shapes(mask: Tensor, spacing: tuple[float, ...]) -> Tensor:
    """Sixty boxes and ellipsoids of either sign in the mask, up to 0.2 ppm."""
    rng = np.random.default_rng(5)
    chi = torch.zeros(mask.shape)
    places = mask.nonzero().numpy()
    for number in range(60):
        center = places[rng.integers(len(places))]
        half = [max(1.0, v / s) for v, s in zip(rng.uniform(2, 14, 3), spacing, strict=True)]
        low = [max(0, int(c - h)) for c, h in zip(center, half, strict=True)]
        high = [min(n, int(c + h) + 1) for c, h, n in zip(center, half, mask.shape, strict=True)]
        box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        inside = torch.ones(chi[box].shape, dtype=torch.bool)
        if number % 2:
            grid = torch.meshgrid(*[torch.arange(s.start, s.stop) for s in box], indexing="ij")
            inside = sum(((g - c) / h) ** 2 for g, c, h in zip(grid, center, half, strict=True)) < 1
        chi[box][inside] = float(rng.uniform(-0.1, 0.2))
    return chi * mask


def inversions(cycle_weights: list[Path]) -> dict[str, Callable[[Maps], Tensor]]:
    """Return the inversions by name, and cycle-qsm with other weights, with and without steps."""
    chosen = {name: catalogue.find(name, "inversion").run for name in INVERSIONS}
    for file in cycle_weights:
        given = partial(chosen["cycle-qsm"], context=Context(weights={"cycle-qsm": file}))
        chosen[f"FILE {file.stem}"] = given
        chosen[f"FILE {file.stem}, no steps"] = partial(given, refinement=0)
    return chosen


def compare_inversions(
    objects: list[Object], methods: dict[str, Callable[[Maps], Tensor]]
) -> Iterator[Row]:
    """Return error, slope, seconds of CPU and peak memory of every inversion."""
    for item in objects:
        net = (item.para + item.dia).numpy()
        inside = item.maps.mask.numpy()
        for name, invert in methods.items():
            start = time.process_time()
            chi = invert(item.maps).numpy()
            row: Row = {"object": item.name, "method": name}
            row["cpu_seconds"] = round(time.process_time() - start, 1)
            row["net_demeaned_nrmse_percent"] = metrics.demeaned_nrmse(chi, net, inside)
            if item.name != "random shapes":
                slope = metrics.deep_grey_slope(chi, net, inside, item.labels)
                row["deep_gray_slope"] = round(slope, 4)
            yield row | {"peak_mib": round(peak_mib())}


def compare_separations(objects: list[Object]) -> Iterator[Row]:
    """Return the errors of both sources of every separation that needs no weights."""
    for item in objects:
        maps = replace(item.maps, net=catalogue.find("tv", "inversion").run(item.maps))
        for name in SEPARATIONS:
            start = time.process_time()
            found = catalogue.find(name, "separation").run(maps)
            row: Row = {"object": item.name, "method": name}
            row["cpu_seconds"] = round(time.process_time() - start, 1)
            for source, map_, true in zip(
                ("para", "dia"), found, (item.para, item.dia), strict=True
            ):
                error = metrics.nrmse(map_.numpy(), true.numpy(), maps.mask.numpy())
                row[f"{source}_nrmse_percent"] = error
            yield row


def compare_patches(item: Object, rounds: int = 21) -> Iterator[Row]:
    """Return the error of patch-wise fitting with and without phase compensation."""
    net, inside = (item.para + item.dia).numpy(), item.maps.mask.numpy()
    for compensate in (True, False):
        chi = fit_patches(item.maps, replace(SMALL, compensate=compensate), 1.0, rounds).numpy()
        error = metrics.demeaned_nrmse(chi, net, inside)
        yield {"compensation": "on" if compensate else "off", "net_demeaned_nrmse_percent": error}


def tables(cases: list[Case], given: argparse.Namespace) -> Iterator[Row]:
    """Return the rows of the tables that were asked for."""
    heads = [item for case in cases for item in objects_of(case, given.voxel, unusual=False)]
    methods = inversions(given.cycle)
    if "heads" in given.only:
        yield from compare_inversions(heads, methods)
    if "objects" in given.only:
        objects = objects_of(cases[0], given.voxel, unusual=True)
        yield from compare_inversions(objects, methods)
    if "sources" in given.only:
        yield from compare_separations(heads)
    if "patches" in given.only:
        yield from compare_patches(objects_of(cases[0], 5.0, unusual=False)[0])


def main() -> None:
    """Print the rows, and write them where wanted."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", type=Path)
    parser.add_argument("--voxel", type=float, default=2.0, help="in mm")
    parser.add_argument("--only", nargs="+", choices=TABLES, default=TABLES)
    parser.add_argument(
        "--cycle", nargs="+", type=Path, default=[], metavar="FILE.pt",
        help="other weights of cycle-qsm to compare: qsmsep train cycle-qsm [--without critic]",
    )  # fmt: skip
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write the rows, for docs/results"
    )
    given = parser.parse_args()
    rows = []
    for row in tables(find_cases(given.cases), given):
        rows.append(row)
        cells = [f"{key} {value:.4g}" if isinstance(value, float) else f"{value}"
                 for key, value in row.items()]  # fmt: skip
        print("  ".join(cells), flush=True)
    if given.json:
        given.json.write_text(json.dumps(rows), encoding="utf-8")


if __name__ == "__main__":
    main()
