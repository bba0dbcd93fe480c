"""inr-qsm and inr-sep on simulated cases and on objects unlike any head, with an ablation.

Run: python Testing/benchmarks/bench_implicit.py CASES [--voxel 2] [--only heads objects sources patches]

CASES: a folder of simulated cases ('qsmsep simulate'). They are averaged to the voxel size first,
fields as well, so that no method meets its own dipole. Tables: error of net chi (demeaned NRMSE
in percent), deep-grey slope, seconds of CPU and peak memory; the same with a haemorrhage of 1 ppm, with
random shapes in place of the brain, and with the noise of 7 T; both sources; and patches with and
without phase compensation.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

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
        made("haemorrhage 1 ppm", para + blood, dia, field + dipole(blood)),
        made("random shapes", shapes.clamp(min=0), shapes.clamp(max=0), dipole(shapes)),
        made("7 T", para, dia, field, 7.0),
    ]


def _averaged(volume: Tensor, times: int) -> Tensor:
    return functional.avg_pool3d(volume[None, None].float(), times)[0, 0]


def _ball(mask: Tensor, spacing: tuple[float, ...], radius_mm: float = 6.0) -> Tensor:
    """A ball within the brain, off its centre."""
    centre = mask.nonzero().float().mean(0) + torch.tensor([18.0, 10.0, 22.0])
    grid = torch.meshgrid(*[torch.arange(n) for n in mask.shape], indexing="ij")
    r2 = sum(((g - c) * s) ** 2 for g, c, s in zip(grid, centre, spacing, strict=True))
    return (r2 < radius_mm**2).float() * mask


def _random_shapes(mask: Tensor, spacing: tuple[float, ...]) -> Tensor:
    """Sixty boxes and ellipsoids of either sign in the mask, up to 0.2 ppm."""
    rng = np.random.default_rng(5)
    chi = torch.zeros(mask.shape)
    places = mask.nonzero().numpy()
    for number in range(60):
        centre = places[rng.integers(len(places))]
        half = [max(1.0, v / s) for v, s in zip(rng.uniform(2, 14, 3), spacing, strict=True)]
        low = [max(0, int(c - h)) for c, h in zip(centre, half, strict=True)]
        high = [min(n, int(c + h) + 1) for c, h, n in zip(centre, half, mask.shape, strict=True)]
        box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        inside = torch.ones(chi[box].shape, dtype=torch.bool)
        if number % 2:
            grid = torch.meshgrid(*[torch.arange(s.start, s.stop) for s in box], indexing="ij")
            inside = sum(((g - c) / h) ** 2 for g, c, h in zip(grid, centre, half, strict=True)) < 1
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


def compare_inversions(objects: list[Object], methods: dict[str, Callable[[Maps], Tensor]]) -> None:
    """Print error, slope, seconds of CPU and peak memory of every inversion."""
    print(f"{'object':24}{'method':30}{'NRMSE %':>9}{'slope':>8}{'CPU s':>9}{'peak MiB':>10}")
    for item in objects:
        net = (item.para + item.dia).numpy()
        inside = item.maps.mask.numpy()
        for name, invert in methods.items():
            start = time.process_time()
            chi = invert(item.maps).numpy()
            seconds = time.process_time() - start
            slope = float("nan")
            if item.name != "random shapes":
                slope = metrics.deep_grey_slope(chi, net, inside, item.labels)
            error = metrics.demeaned_nrmse(chi, net, inside)
            print(
                f"{item.name:24}{name:30}{error:9.1f}{slope:8.3f}{seconds:9.1f}{peak_mib():10.0f}",
                flush=True,
            )


def compare_separations(objects: list[Object]) -> None:
    """Print the errors of both sources of every separation that needs no weights."""
    print(f"{'object':24}{'method':20}{'chi+ NRMSE %':>14}{'chi- NRMSE %':>14}{'CPU s':>9}")
    for item in objects:
        maps = replace(item.maps, net=catalogue.find("tv", "inversion").run(item.maps))
        for name in SEPARATIONS:
            start = time.process_time()
            found = catalogue.find(name, "separation").run(maps)
            seconds = time.process_time() - start
            errors = [
                metrics.nrmse(f.numpy(), t.numpy(), maps.mask.numpy())
                for f, t in zip(found, (item.para, item.dia), strict=True)
            ]
            print(
                f"{item.name:24}{name:20}{errors[0]:14.1f}{errors[1]:14.1f}{seconds:9.1f}",
                flush=True,
            )


def compare_patches(item: Object, rounds: int = 21) -> None:
    """Print the error of patch-wise fitting with and without phase compensation."""
    net, inside = (item.para + item.dia).numpy(), item.maps.mask.numpy()
    for compensate in (True, False):
        chi = fit_patches(item.maps, replace(SMALL, compensate=compensate), 1.0, rounds).numpy()
        error = metrics.demeaned_nrmse(chi, net, inside)
        print(
            f"patches, phase compensation {'on ' if compensate else 'off'}{error:9.1f} %",
            flush=True,
        )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", type=Path)
    parser.add_argument("--voxel", type=float, default=2.0, help="in mm")
    tables = ("heads", "objects", "sources", "patches")
    parser.add_argument("--only", nargs="+", choices=tables, default=tables)
    parser.add_argument(
        "--cycle", nargs="+", type=Path, default=[], metavar="FILE.pt",
        help="other weights of cycle-qsm to compare: qsmsep train cycle-qsm [--without critic]",
    )  # fmt: skip
    given = parser.parse_args()
    methods = inversions(given.cycle)
    cases = find_cases(given.cases)
    heads = [item for case in cases for item in objects_of(case, given.voxel, unusual=False)]
    if "heads" in given.only:
        compare_inversions(heads, methods)
    if "objects" in given.only:
        compare_inversions(objects_of(cases[0], given.voxel, unusual=True), methods)
    if "sources" in given.only:
        compare_separations(heads)
    if "patches" in given.only:
        compare_patches(objects_of(cases[0], 5.0, unusual=False)[0])


if __name__ == "__main__":
    main()
