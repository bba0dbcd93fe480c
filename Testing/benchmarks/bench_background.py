"""The local field with and without sources from relaxation, where chi follows relaxation and not.

Run: python Testing/benchmarks/bench_background.py [--label-maps FOLDER] [--only NAME ...] [--json FILE]

Heads of 1.5 mm with a spin echo are drawn and scanned; mask, field and rates are those of the
chain. Then the background is removed without rates, with R2*, and with R2*, R2' and R2: demeaned
NRMSE of the local field in percent, where it is reliable. In some heads chi does not go with
relaxation as it does in people:

* swapped: chi+ and chi- of a tissue change places, by a coin for each; its rates stay
* turned: of all white matter and of all nuclei (iron in white matter, calcified nuclei)
* rates: each tissue has the R2 and R2' of another one; chi stays
* bleeding: three balls of 0.5 to 1 ppm in white matter

Without --label-maps (SynthSeg's, head03.nii.gz and head07.nii.gz) only drawn heads are measured.
A head takes about two minutes.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from QSMSeparationLib.data.maps import Maps
from QSMSeparationLib.data.scan import Scan
from QSMSeparationLib.evaluation.metrics import demeaned_nrmse
from QSMSeparationLib.io.nifti import read_labels
from QSMSeparationLib.pipeline import reconstruct
from QSMSeparationLib.pipeline.brain import find_brain
from QSMSeparationLib.pipeline.options import Options
from QSMSeparationLib.preprocess.background import UNRELIABLE, remove_background
from QSMSeparationLib.runtime.progress import Progress
from QSMSeparationLib.simulation.anatomy import Head
from QSMSeparationLib.simulation.departures import shuffled, swapped, with_other_rates
from QSMSeparationLib.simulation.fine_head import FineHead
from QSMSeparationLib.simulation.person import draw_head
from QSMSeparationLib.simulation.protocol import Protocol
from QSMSeparationLib.simulation.rasterize import rasterize
from QSMSeparationLib.simulation.realism import Realism
from QSMSeparationLib.simulation.scanner import Truth, simulate_scan
from QSMSeparationLib.simulation.simulate import STANDARD_SPIN_ECHO_S
from QSMSeparationLib.simulation.tissues import label_of

VOXEL_MM, OBLIQUE_VOXEL_MM = (1.5, 1.5, 1.5), (1.3, 1.3, 2.0)
LESIONS = 6
NUCLEI = (
    "caudate", "putamen", "globus pallidus", "substantia nigra", "red nucleus", "dentate nucleus",
    "subthalamic nucleus", "pulvinar", "thalamus",
)  # fmt: skip
BLEEDINGS = ((8.0, 0.5), (5.0, 0.8), (4.0, 1.0))
"""Radius in mm and chi+ in ppm."""
BLEEDING_R2_HZ = 40.0
PRIORS = ("none", "r2star", "all")


@dataclass(frozen=True)
class Person:
    """One head: its label map or none, seed, realism, what is unusual, tilt in degrees."""

    labels: int | None
    seed: int
    level: int
    kind: str = "usual"
    oblique_deg: float = 0.0


PEOPLE = {
    "map 03": Person(3, 3, 1),
    "map 07": Person(7, 7, 1),
    **{f"drawn {seed}": Person(None, seed, 1) for seed in (801, 802, 803, 804)},
    "map 03, level 0": Person(3, 3, 0),
    "demonstration, level 0": Person(None, 1, 0),
    "drawn 801, level 0, oblique": Person(None, 801, 0, oblique_deg=20),
    "map 03, swapped": Person(3, 3, 1, "swapped"),
    "map 07, rates": Person(7, 7, 1, "rates"),
    "drawn 805, turned": Person(None, 805, 1, "turned"),
    "map 03, bleeding": Person(3, 4, 1, "bleeding"),
}


def unusual(head: Head, person: Person) -> Head:
    """Return the head with tissues as the person's kind has them."""
    if person.kind == "swapped":
        return shuffled(head)
    if person.kind == "turned":
        return swapped(
            head, {name for name, one in head.tissues.items() if one.white} | set(NUCLEI)
        )
    return with_other_rates(head) if person.kind == "rates" else head


def bleed_(fine: FineHead, seed: int) -> None:
    """Draw bleedings into white matter."""
    rng = np.random.default_rng([seed, 556])
    white = (fine.labels == label_of("white matter")) | (
        fine.labels == label_of("white matter", "right")
    )
    places = torch.nonzero(white & fine.brain)
    step = fine.geometry.spacing_mm[0]
    for radius, chi_ppm in BLEEDINGS:
        center = places[int(rng.integers(len(places)))].tolist()
        r = int(radius / step) + 1
        box = tuple(slice(c - r, c + r + 1) for c in center)
        offset = torch.arange(-r, r + 1) * step
        squared = sum(o.square() for o in torch.meshgrid(offset, offset, offset, indexing="ij"))
        ball = (squared < radius**2) & fine.brain[box]
        fine.chi_para_ppm[box][ball] = chi_ppm
        fine.chi_dia_ppm[box][ball] = 0
        fine.r2_hz[box][ball] = BLEEDING_R2_HZ


def scanned(person: Person, label_maps: Path | None) -> tuple[Scan, Truth]:
    """Draw a person and scan it."""
    labels = None
    if person.labels is not None and label_maps is not None:
        labels = read_labels(label_maps / f"head{person.labels:02d}.nii.gz")
    realism = Realism.of(person.level)
    head = unusual(draw_head(person.seed, LESIONS, labels=labels, realism=realism), person)
    protocol = Protocol(
        voxel_mm=OBLIQUE_VOXEL_MM if person.oblique_deg else VOXEL_MM,
        spin_echo_times_s=STANDARD_SPIN_ECHO_S,
        seed=person.seed,
        oblique_deg=person.oblique_deg,
    )
    fine = rasterize(head, protocol.fine_spacing_mm)
    if person.kind == "bleeding":
        bleed_(fine, person.seed)
    return simulate_scan(fine, protocol, realism=realism)


def measured(scan: Scan, truth: Truth) -> dict[str, float]:
    """Return the error of the local field with each prior."""
    progress, options = Progress(), Options(b0_tesla=scan.b0_tesla)
    magnitude = torch.from_numpy(scan.magnitude)
    brain = find_brain(scan, magnitude, options.mask_method, progress).mask
    field = reconstruct.total_field(scan, magnitude, brain, progress)
    rates = reconstruct.relaxation(scan, magnitude, brain, field, progress)
    maps = Maps(
        brain, scan.geometry.spacing_kji, scan.geometry.b0_kji, b0_tesla=scan.b0_tesla,
        total_field=field.total_field_ppm, trust=field.reliability,
    )  # fmt: skip
    given: dict[str, list[Tensor]] = dict(
        zip(PRIORS, ([], [rates.r2star], rates.known()), strict=True)
    )
    return errors(maps, given, truth)


def errors(maps: Maps, given: dict[str, list[Tensor]], truth: Truth) -> dict[str, float]:
    """Return the error of the local field in percent with rates, by name."""
    found = {}
    for name, rates in given.items():
        result = remove_background(maps, rates_hz=rates)
        where = truth.mask & result.mask.numpy() & (maps.trust.numpy() >= UNRELIABLE)
        local = result.local_field.numpy()
        found[name] = demeaned_nrmse(local, truth.maps["local_field"], where)
    return found


def main() -> None:
    """Print a line a head; write the rows for docs/results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--label-maps", type=Path, metavar="FOLDER")
    parser.add_argument("--only", nargs="+", choices=PEOPLE, metavar="NAME", default=list(PEOPLE))
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write the rows, for docs/results"
    )
    given = parser.parse_args()
    rows: list[dict[str, str | float]] = []
    show = "{:30}{:>9}{:>9}{:>9}".format
    print(show("local field, NRMSE %", *PRIORS))
    for name in given.only:
        if PEOPLE[name].labels is not None and given.label_maps is None:
            print(f"{name}: left out, no label maps")
            continue
        found = measured(*scanned(PEOPLE[name], given.label_maps))
        rows.append({"head": name} | found)
        print(show(name, *(f"{found[prior]:.1f}" for prior in PRIORS)), flush=True)
    if given.json:
        given.json.write_text(json.dumps(rows), encoding="utf-8")


if __name__ == "__main__":
    main()
