"""Write a Result as BIDS derivatives: NIfTI with a JSON sidecar each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from QSMSeparationLib.data.quantities import MAPS, QUANTITIES
from QSMSeparationLib.data.result import Result
from QSMSeparationLib.data.structures import ANATOMY
from QSMSeparationLib.data.volume import Volume
from QSMSeparationLib.io.label_maps import write_labels
from QSMSeparationLib.io.outputs import Outputs

RESULT_MARKER = f"_{QUANTITIES['chi_para'].bids}.nii.gz"
"""How the name of the file ends by which a result is known: its map of chi+."""

SIGN_CONVENTION = "chi+ >= 0 and chi- <= 0 are both signed; chi+ + chi- = net chi"


def anat_folder(name: str) -> str:
    """Return the folder of a subject's files: ``sub-01/ses-02/anat``."""
    folders = [part for part in name.split("_") if part.startswith(("sub-", "ses-"))]
    return f"{'/'.join(folders)}/anat"


def anat_prefix(name: str) -> str:
    """Return the start of a subject's files: ``sub-01/ses-02/anat/sub-01_ses-02``."""
    return f"{anat_folder(name)}/{name}"


def file_name(prefix: str, map_name: str) -> str:
    """Return the name of a map's file without its extension."""
    return f"{prefix}_{QUANTITIES[map_name].bids}"


def result_prefix(file: str) -> str | None:
    """Return the start of a result's file names where a file is its map of chi+, else None."""
    if not file.endswith(RESULT_MARKER):
        return None
    prefix = file.removesuffix(RESULT_MARKER)
    return None if prefix.endswith("_stat-sd") else prefix  # the SD of chi+ ends alike


def find_results(path: Path) -> list[Path]:
    """Return the map of chi+ of every result below a folder; of such a map, the map itself."""
    candidates = sorted(path.rglob(f"*{RESULT_MARKER}")) if path.is_dir() else [path]
    candidates = [path for path in candidates if path.is_file()]
    return [path for path in candidates if result_prefix(path.name)]


def planned_names(prefix: str, map_names: list[str]) -> list[str]:
    """Return the NIfTI files that a run is going to write."""
    return [f"{file_name(prefix, name)}.nii.gz" for name in map_names]


def write_result(
    result: Result,
    outputs: Outputs,
    prefix: str,
    inputs: dict[str, str],
    keep: bool = False,
    leave_out: tuple[str, ...] = (),
) -> None:
    """Write the maps and the mask of a Result.

    Parameters
    ----------
    result : Result
        What to write.
    outputs : Outputs
        Where to.
    prefix : str
        Start of every file name, such as ``anat/sub-01``.
    inputs : dict of str to str
        SHA-256 of every input by its file name.
    keep : bool
        Also write the intermediate maps.
    leave_out : tuple of str
        Maps that need no file, because they are a copy of an input.
    """
    maps = {**result.maps, **(result.intermediate if keep else {})}
    for name, array in maps.items():
        if name in leave_out:
            continue
        row = MAPS[name]
        volume = Volume(array.astype(np.float32, copy=False), result.geometry, name)
        content = sidecar(result, inputs) | {
            "Units": row.unit,
            "Description": _description(name, result),
        }
        outputs.volume(file_name(prefix, name), volume, content, what=name)
    mask = Volume(result.mask.astype(np.uint8), result.geometry, "mask")
    about = {"Description": QUANTITIES["mask"].description, "Type": "Brain"}
    content = sidecar(result, inputs) | about
    outputs.volume(file_name(prefix, "mask"), mask, content, what="mask")
    if result.anatomy is not None:
        labels = Volume(result.anatomy, result.geometry, "anatomy")
        about = {"Description": "structures of the brain, found by anatomy-net in the magnitude"}
        write_labels(labels, outputs, f"{prefix}_{ANATOMY}", sidecar(result, inputs) | about)


def _description(name: str, result: Result) -> str:
    """Return the description of a map; that of R2' tells whether the map itself is an estimate."""
    if name == "r2prime" and result.r2prime_map_estimated:
        return "R2' estimated from R2* alone, not measured"
    return MAPS[name].description


def sidecar(result: Result, inputs: dict[str, str]) -> dict[str, Any]:
    """Return what every file's sidecar says of a result."""
    return {
        "SignConvention": SIGN_CONVENTION,
        **result.facts,
        "Notes": result.notes,
        "Checks": [check.as_dict() for check in result.checks],
        "InputSHA256": inputs,
        "IntendedUse": "research only, not for diagnosis",
    }
