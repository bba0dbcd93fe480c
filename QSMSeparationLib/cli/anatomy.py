"""``qsmsep anatomy``: labels, mask and volumes of any brain image."""

from __future__ import annotations

import argparse
from pathlib import Path

from QSMSeparationLib.cli.arguments import (
    Commands,
    add_command,
    add_outputs,
)
from QSMSeparationLib.io.files import input_hashes
from QSMSeparationLib.runtime.progress import Progress


def add(commands: Commands) -> None:
    """Add the command and its arguments."""
    parser = add_command(commands, "anatomy", "labels, mask and volumes of any brain image")
    parser.add_argument(
        "image", type=Path, metavar="IMAGE",
        help="one volume of any contrast: GRE magnitude, T1w, T2w, FLAIR, proton density",
    )  # fmt: skip
    parser.add_argument("out", type=Path, metavar="OUT", help="folder for the results")
    add_outputs(parser)
    parser.set_defaults(body=run)


def run(args: argparse.Namespace, progress: Progress) -> dict[str, str]:
    """Label an image."""
    from QSMSeparationLib.anatomy.mask import anatomy_mask
    from QSMSeparationLib.anatomy.segment import ROUGH, WEIGHTS, labels_on, segment
    from QSMSeparationLib.anatomy.volumes import volume_table
    from QSMSeparationLib.data.quantities import QUANTITIES
    from QSMSeparationLib.data.structures import ANATOMY
    from QSMSeparationLib.io.bids_names import require_bids_name
    from QSMSeparationLib.io.label_maps import write_labels
    from QSMSeparationLib.io.nifti import read_map
    from QSMSeparationLib.io.outputs import Outputs

    name = require_bids_name(args.name)
    outputs = Outputs(args.out, args.overwrite)
    labels_name, mask_name = f"{name}_{ANATOMY}", f"{name}_{QUANTITIES['mask'].bids}"
    outputs.refuse_existing([f"{labels_name}.nii.gz", f"{mask_name}.nii.gz", "volumes.csv"])
    image = read_map(args.image)
    with progress.stage("anatomy") as report:
        found = segment(image, report)
        mask = image.like(anatomy_mask(found, image).astype("uint8"), "brain mask")
        labels = labels_on(found, mask)
    facts = {
        "Description": "structures of the brain by anatomy-net; research use, not for diagnosis",
        "WeightsSha256": {WEIGHTS: found.sha256},
        "Sources": input_hashes({"image": args.image}),
    }
    with outputs:
        write_labels(labels, outputs, labels_name, facts, what="labels")
        outputs.volume(mask_name, mask, facts | {"Description": "brain mask"}, what="mask")
        outputs.text("volumes.csv", volume_table(labels), what="volumes")
    if found.rough:
        progress.message(ROUGH)
    return outputs.written
