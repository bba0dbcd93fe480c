"""A small BIDS dataset of many scans: one small head, another noise each, lesions beside it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from small_head import small_head

from QSMSeparationLib.data.volume import Volume
from QSMSeparationLib.io.nifti import write_volume
from QSMSeparationLib.io.outputs import Outputs
from QSMSeparationLib.simulation.dataset import write_dataset
from QSMSeparationLib.simulation.lesions import draw_lesions, truth_rows
from QSMSeparationLib.simulation.protocol import Protocol
from QSMSeparationLib.simulation.rasterize import rasterize
from QSMSeparationLib.simulation.scanner import simulate_scan


def small_cohort(
    folder: Path, names: list[str], voxel_mm: float = 3.5, lesions_in: Path | None = None
) -> Path:
    """Write a scan for every name (``sub-01``, ``sub-01_ses-02``); returns the dataset.

    Parameters
    ----------
    folder : Path
        The dataset.
    names : list of str
        BIDS names.
    voxel_mm : float
        Voxel size.
    lesions_in : Path, optional
        Folder of derivatives that gets the lesion segmentations.
    """
    head = small_head()
    head = replace(head, lesions=draw_lesions(head.anatomy, head.tissues, 1, 4))
    fine = rasterize(head, voxel_mm)
    rows = truth_rows(head.lesions)
    for number, name in enumerate(names):
        protocol = Protocol((voxel_mm,) * 3, echo_times_s=(0.006, 0.014, 0.022), seed=number)
        scan, truth = simulate_scan(fine, protocol, name)
        with Outputs(folder, overwrite=True) as outputs:
            write_dataset(scan, truth, rows, outputs)
        _name_scanner(folder, name, "Prisma" if number % 2 else "Skyra")
        if lesions_in is not None:
            place = lesions_in / name.split("_")[0] / "anat"
            place.mkdir(parents=True, exist_ok=True)
            labels = Volume(truth.lesions.astype(np.int16), truth.geometry, "lesions")
            write_volume(labels, place / f"{name}_desc-lesions_dseg.nii.gz")
    return folder


def _name_scanner(folder: Path, name: str, scanner: str) -> None:
    """Say in the sidecars which scanner it was."""
    for sidecar in folder.glob(f"sub-*/**/{name}_*.json"):
        content = json.loads(sidecar.read_text())
        content |= {"Manufacturer": "Siemens", "ManufacturersModelName": scanner}
        sidecar.write_text(json.dumps(content))
