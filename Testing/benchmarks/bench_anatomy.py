"""Figures of anatomy-net on people that it was not trained on, against the mask by thresholds.

Run: python Testing/benchmarks/bench_anatomy.py --maps FOLDER [--seeds 0 1 ...] [--scans CASES ...]

--maps: whole-head label maps (head03, 07, 12 and 13 are used); --seeds: drawn heads; both get
contrasts at 1 mm. --scans: folders of 'qsmsep simulate', whose magnitude goes through both ways to
find the brain. One row an image, as CSV.
"""

from __future__ import annotations

import argparse
import csv
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from QSMSeparationLib.anatomy.mask import anatomy_mask
from QSMSeparationLib.anatomy.segment import labels_on, segment
from QSMSeparationLib.data.volume import Volume
from QSMSeparationLib.evaluation.anatomy import drawn_contrasts, mask_scores, score
from QSMSeparationLib.evaluation.cases import Case, find_cases
from QSMSeparationLib.io.nifti import read_labels
from QSMSeparationLib.preprocess.mask import brain_mask
from QSMSeparationLib.runtime.errors import InputError
from QSMSeparationLib.simulation.anatomy import Anatomy
from QSMSeparationLib.simulation.drawn_head.anatomy import procedural_anatomy
from QSMSeparationLib.simulation.label_map.anatomy import anatomy_from_labels
from QSMSeparationLib.simulation.split import FIGURE_LABEL_MAPS, SETTINGS_LABEL_MAPS

_SEED = 7
"""Of the contrasts."""


def people(maps: Path | None, seeds: list[int]) -> Iterator[tuple[str, Anatomy]]:
    """Return the held-out people."""
    for number in (*FIGURE_LABEL_MAPS, *SETTINGS_LABEL_MAPS) if maps is not None else ():
        file = maps / f"head{number:02d}.nii.gz"
        yield file.name, anatomy_from_labels(read_labels(file), seed=number)
    for seed in seeds:
        yield f"seed {seed}", procedural_anatomy(seed)


def scan_rows(case: Case) -> Iterator[dict[str, Any]]:
    """Return the scores of both masks of a simulated scan."""
    scan, truth = case.scan(), case.truth()
    combined = Volume(np.sqrt(np.square(scan.magnitude).mean(axis=0)), scan.geometry, "magnitude")
    spacing = scan.geometry.spacing_kji

    def by_anatomy():
        found = segment(combined)
        mask = anatomy_mask(found, combined)
        labels_on(found, combined.like(mask.astype(np.uint8)))
        return mask

    def by_threshold():
        return brain_mask(scan.magnitude, scan.echo_times_s, spacing)

    for name, find in (("anatomy", by_anatomy), ("threshold", by_threshold)):
        begin = time.monotonic()
        try:
            row = mask_scores(find(), truth.mask, spacing)
        except InputError as error:
            row = {"refused": str(error)}
        seconds = round(time.monotonic() - begin, 2)
        yield {"head": f"{case.name}: {name}", **row, "seconds": seconds}


def main() -> None:
    """Print the rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--maps", type=Path)
    parser.add_argument("--seeds", type=int, nargs="*", default=[])
    parser.add_argument("--scans", type=Path, nargs="*", default=[])
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for name, anatomy in people(options.maps, options.seeds):
        rows += [score(drawn) for drawn in drawn_contrasts(anatomy, name, _SEED)]
    for folder in options.scans:
        for case in find_cases(folder):
            rows += scan_rows(case)
    names = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(sys.stdout, names, restval="")
    writer.writeheader()
    for row in rows:
        writer.writerow({k: round(v, 3) if isinstance(v, float) else v for k, v in row.items()})


if __name__ == "__main__":
    main()
