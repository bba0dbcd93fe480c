"""``qsmsep regions``: maps and a label map to the table of regions."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from QSMSeparationLib.cli.arguments import Commands, add_command, add_overwrite
from QSMSeparationLib.io.files import input_hashes
from QSMSeparationLib.runtime.errors import InputError
from QSMSeparationLib.runtime.progress import Progress, Report

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from QSMSeparationLib.data.volume import Volume

_MAPS = {
    "chi_para": ("para", "chi+ in ppm, not negative"),
    "chi_dia": ("dia", "chi- in ppm, not positive"),
    "net": ("net", "net chi in ppm (default: chi+ + chi-)"),
    "r2star": ("r2star", "R2* in Hz"),
    "r2prime": ("r2prime", "R2' in Hz"),
}
"""Maps by name: their argument and its help."""
_OTHERS = ("labels", "magnitude", "mask", "lesions")
"""Inputs beside the maps."""


def add(commands: Commands) -> None:
    """Add the command and its arguments."""
    parser = add_command(commands, "regions", "means per region, with published ranges")
    option = parser.add_argument
    option("out", type=Path, metavar="OUT.csv", help="the table of regions")
    for argument, text in _MAPS.values():
        option(f"--{argument}", type=Path, metavar="FILE", help=text)
    option(
        "--labels", type=Path, metavar="SEG",
        help="label map on the grid of the maps, a table (.tsv: index, name) beside it if it has "
        "one (default: found in --magnitude)",
    )  # fmt: skip
    option("--magnitude", type=Path, metavar="G", help="image to find the regions in")
    option("--mask", type=Path, metavar="M", help="leave out what lies outside this mask")
    option("--lesions", type=Path, metavar="L", help="leave out lesions")
    add_overwrite(parser)
    parser.set_defaults(body=run)


def run(args: argparse.Namespace, progress: Progress) -> dict[str, str]:
    """Measure maps in regions."""
    from QSMSeparationLib.anatomy.published import CAUTION, SOURCE
    from QSMSeparationLib.anatomy.regions import measure_regions, region_table
    from QSMSeparationLib.io.nifti import read_map
    from QSMSeparationLib.io.outputs import Outputs

    if args.out.suffix.lower() != ".csv":
        raise InputError(f"{args.out}: the table is a CSV file; name it regions.csv, for example")
    paths = {name: getattr(args, argument) for name, (argument, _) in _MAPS.items()}
    paths = {name: path for name, path in paths.items() if path is not None}
    if not paths:
        raise InputError("no map was given; give --para, --dia, --net, --r2star or --r2prime")
    outputs = Outputs(args.out.parent, args.overwrite)
    facts_name = args.out.with_suffix(".json").name
    outputs.refuse_existing([args.out.name, facts_name])
    maps = {name: read_map(path) for name, path in paths.items()}
    if "net" not in maps and {"chi_para", "chi_dia"} <= set(maps):
        para = maps["chi_para"]
        para.require_same_grid(maps["chi_dia"])
        maps["net"] = para.like(para.array + maps["chi_dia"].array, "chi+ + chi-")
    first = next(iter(maps.values()))
    with progress.stage("regions") as report:
        labels, names = _labels(args, first, report)
        found = measure_regions(maps, labels, names, _left_out(args, first))
    facts = {
        "convention": "chi in ppb; dia columns are |chi-|; z against published means and SDs",
        "published": SOURCE,
        "caution": CAUTION,
        "use": "research only, not for diagnosis",
        "inputs": input_hashes(paths | {name: getattr(args, name) for name in _OTHERS}),
    }
    with outputs:
        outputs.text(args.out.name, region_table(found), what="regions")
        outputs.json(facts_name, facts)
    return outputs.written


def _labels(
    args: argparse.Namespace, grid: Volume, report: Report
) -> tuple[Volume, list[tuple[int, str]] | None]:
    """Return labels on the grid of the maps, and their names where a table gives them."""
    from QSMSeparationLib.anatomy.mask import anatomy_mask
    from QSMSeparationLib.anatomy.segment import ROUGH, labels_on, segment
    from QSMSeparationLib.io.label_maps import read_label_map
    from QSMSeparationLib.io.nifti import read_map

    if args.labels is not None:
        return read_label_map(args.labels)
    if args.magnitude is None:
        raise InputError("no regions; give a label map (--labels) or an image (--magnitude)")
    image = read_map(args.magnitude)
    grid.require_same_grid(image)
    found = segment(image, report)
    if found.rough:
        raise InputError(f"{ROUGH} with --labels")
    return labels_on(found, image.like(anatomy_mask(found, image).astype("uint8"))), None


def _left_out(args: argparse.Namespace, grid: Volume) -> NDArray[np.bool_]:
    """Return the voxels that are not measured: lesions, and what the mask does not hold."""
    import numpy as np

    from QSMSeparationLib.io.nifti import read_labels

    out = np.zeros(grid.geometry.shape, bool)
    for path, inverse in ((args.lesions, False), (args.mask, True)):
        if path is not None:
            given = read_labels(path)
            grid.require_same_grid(given)
            out |= (given.array > 0) != inverse
    return out
