"""Lesion classes from true maps of simulated heads against the truth.

Heads are drawn, put on a grid of 1 mm with partial volume, and their true maps (with
noise, when asked for) go through the lesion analysis. Lesions of 3 mm or more count.
Prints agreement, confusion tables, rim sensitivity and specificity; exits with 1 when
agreement is below 95 % in chi+ or chi-, or rim sensitivity or specificity below 90 %.

Run: python Testing/benchmarks/bench_lesions.py [--seeds 11] [--lesions 30]
     [--noise-ppb 0] [--labels FOLDER_OF_LABEL_MAPS] [--estimate-tissue]
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from QSMSeparationLib.data.volume import Geometry, Volume
from QSMSeparationLib.lesions import LesionReport, analyze_lesions
from QSMSeparationLib.lesions.agreement import class_agreement, wilson
from QSMSeparationLib.lesions.classes import DIA_CLASSES, PARA_CLASSES
from QSMSeparationLib.lesions.location import from_freesurfer
from QSMSeparationLib.runtime.errors import InputError
from QSMSeparationLib.simulation.anatomy import Anatomy, Head
from QSMSeparationLib.simulation.person import draw_head
from QSMSeparationLib.simulation.rasterize import FineHead, rasterize
from QSMSeparationLib.simulation.tissues import PARENCHYMA_LABELS

FINE_MM = 0.5


def brain_only(head: Head, margin: int = 5) -> Head:
    """Crop the anatomy to the brain: no field is computed here, so nothing else matters."""
    labels = head.anatomy.labels
    box = ndimage.find_objects(np.isin(labels.array, PARENCHYMA_LABELS).astype(np.uint8))[0]
    box = tuple(
        slice(max(0, b.start - margin), min(n, b.stop + margin))
        for b, n in zip(box, labels.array.shape, strict=True)
    )
    array = np.ascontiguousarray(labels.array[box])
    corner = labels.geometry.world(np.array([b.start for b in box]))
    grid = Geometry(array.shape, labels.geometry.spacing_mm, tuple(corner))
    anatomy = Anatomy(Volume(array, grid, labels.source), head.anatomy.vessels)
    return Head(anatomy, head.tissues, head.lesions, head.seed)


def halved(values: torch.Tensor) -> NDArray[np.float32]:
    """Average 2x2x2 fine voxels."""
    return torch.nn.functional.avg_pool3d(values[None, None].float(), 2)[0, 0].numpy()


def true_maps(fine: FineHead, noise_ppb: float, seed: int) -> tuple[dict, Volume, Volume]:
    """Return maps, segmentation and mask at 1 mm."""
    rng = np.random.default_rng([seed, 404])
    mask = halved(fine.brain) >= 0.5
    chi = {"chi_para": halved(fine.chi_para_ppm), "chi_dia": halved(fine.chi_dia_ppm)}
    for name, sign in (("chi_para", 1), ("chi_dia", -1)):
        noise = rng.normal(0, noise_ppb / 1000, mask.shape).astype(np.float32)
        chi[name] = sign * np.maximum(sign * (chi[name] + noise), 0) * mask
    r2prime = 114 * (chi["chi_para"] - chi["chi_dia"])
    chi["r2star"] = (r2prime + halved(fine.r2_hz)) * mask
    # Lesions lie 3 mm apart, so one voxel holds parts of one lesion at most.
    number = torch.nn.functional.max_pool3d(fine.lesions[None, None].float(), 2)[0, 0].numpy()
    labels = np.where(halved(fine.lesions > 0) >= 0.5, number, 0).astype(np.int32)
    coarse = fine.geometry
    corner = coarse.world(np.full(3, 0.5))
    grid = Geometry(mask.shape, tuple(2 * s for s in coarse.spacing_mm), tuple(corner))
    maps = {name: Volume(array.astype(np.float32), grid, name) for name, array in chi.items()}
    return maps, Volume(labels, grid, "lesions"), Volume(mask.astype(np.uint8), grid, "mask")


def analyze_head(head: Head, options: argparse.Namespace) -> LesionReport:
    """Analyze one head."""
    fine = rasterize(head, FINE_MM)
    maps, lesions, mask = true_maps(fine, options.noise_ppb, head.seed)
    tissue = None if options.estimate_tissue else from_freesurfer(head.anatomy.labels)
    return analyze_lesions(maps, lesions, mask, tissue)


def draw(seed: int, wanted: int, labels: Volume | None) -> Head:
    """Draw a head with as many of the lesions wanted as its white matter has room for."""
    for count in range(wanted, 4, -4):
        try:
            return brain_only(draw_head(seed, count, labels=labels))
        except InputError as error:
            print(f"seed {seed}: {error}", flush=True)
    raise InputError(f"seed {seed}: no room for lesions in this head; take another seed")


def label_maps(folder: Path | None) -> list[Path]:
    """Return the label maps of a folder."""
    return [] if folder is None else sorted(folder.glob("*.nii.gz"))


def compare(options: argparse.Namespace) -> list[tuple[str, str, str, str, bool]]:
    """Return true and found classes, and whether the place agrees, of every lesion."""
    import SimpleITK as sitk

    from QSMSeparationLib.data.volume import from_sitk

    paths, rows = label_maps(options.labels), []
    for seed in range(options.first, options.first + options.seeds):
        start = time.perf_counter()
        path = paths[seed % len(paths)] if paths else None
        labels = None if path is None else from_sitk(sitk.ReadImage(str(path)), path.name)
        head = draw(seed, options.lesions, labels)
        drawn = time.perf_counter()
        report = analyze_head(head, options)
        truth = {one.id: one for one in head.lesions if one.diameter_mm >= 3}
        for one in report.lesions:
            if one.id not in truth:
                continue
            wanted = truth[one.id]
            same_place = one.place.location == wanted.location
            rows.append(
                (wanted.class_para, one.para.name, wanted.class_dia, one.dia.name, same_place)
            )
        print(
            f"seed {seed}: {len(truth)} lesions, {drawn - start:.0f} s to draw, "
            f"{time.perf_counter() - drawn:.0f} s to rasterize and analyze",
            flush=True,
        )
    return rows


def summarize(rows: list[tuple[str, str, str, str, bool]]) -> bool:
    """Print the figures; return whether the bars are met."""
    good = True
    for name, first, second, classes in (
        ("chi+", 0, 1, PARA_CLASSES),
        ("chi-", 2, 3, DIA_CLASSES),
    ):
        made = class_agreement([r[first] for r in rows], [r[second] for r in rows], classes)
        share, kappa = made.share, made.kappa
        print(
            f"{name}: agreement {100 * share.value:.1f} % ({100 * share.low:.1f} to "
            f"{100 * share.high:.1f}), kappa {kappa.value:.3f} ({kappa.low:.3f} to {kappa.high:.3f})"
        )
        print("  rows truth, columns found:", *made.classes)
        for label, counts in zip(made.classes, made.counts, strict=True):
            print(f"  {label:6}", *(f"{n:5d}" for n in counts))
        good &= share.value >= 0.95
    rims = [(r[0] == "rim", r[1] == "rim") for r in rows]
    for word, truth in (("sensitivity", True), ("specificity", False)):
        among = [found == truth for is_rim, found in rims if is_rim == truth]
        share = wilson(sum(among), len(among))
        print(f"rim {word}: {100 * share.value:.1f} % of {len(among)}")
        good &= share.value >= 0.90
    print(f"place: {100 * np.mean([r[4] for r in rows]):.1f} % of {len(rows)} lesions")
    return good


def main() -> int:
    """Run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seeds", type=int, default=11)
    parser.add_argument("--lesions", type=int, default=30)
    parser.add_argument("--noise-ppb", type=float, default=0.0)
    parser.add_argument("--labels", type=Path)
    parser.add_argument("--estimate-tissue", action="store_true")
    return 0 if summarize(compare(parser.parse_args())) else 1


if __name__ == "__main__":
    sys.exit(main())
