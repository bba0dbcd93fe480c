"""A Result as BIDS derivatives: NIfTI with a JSON sidecar each."""

from __future__ import annotations

from typing import Any

import numpy as np

from QSMSeparationLib.data.result import Result
from QSMSeparationLib.data.volume import Volume
from QSMSeparationLib.io.outputs import Outputs

SIGN_CONVENTION = "chi+ >= 0 and chi- <= 0 are both signed; chi+ + chi- = net chi"

MAPS: dict[str, tuple[str, str, str]] = {
    # name of the map: (BIDS suffix with its entities, units, description)
    "net": ("Chimap", "ppm", "net magnetic susceptibility (QSM)"),
    "net_inversion": ("desc-inversion_Chimap", "ppm", "net susceptibility of the inversion"),
    "chi_para": ("desc-paramagnetic_Chimap", "ppm", "paramagnetic susceptibility, chi+ >= 0"),
    "chi_dia": ("desc-diamagnetic_Chimap", "ppm", "diamagnetic susceptibility, chi- <= 0"),
    "local_field": ("desc-local_fieldmap", "ppm", "local field, background removed"),
    "inner_field": ("desc-inner_fieldmap", "ppm", "local field of sources in the mask alone"),
    "total_field": ("desc-total_fieldmap", "ppm", "total field"),
    "residual": ("desc-residual_fieldmap", "ppm", "field not explained by the net susceptibility"),
    "r2star": ("R2starmap", "Hz", "effective transverse relaxation rate R2*"),
    "r2": ("R2map", "Hz", "irreversible transverse relaxation rate R2"),
    "r2prime": ("R2primemap", "Hz", "reversible transverse relaxation rate R2' = R2* - R2"),
    "reliability": ("desc-reliability_probseg", "1", "how far the field of a voxel can be trusted"),
    "magnitude": ("desc-combined_magnitude", "arbitrary", "root of the summed squared echoes"),
}
"""File name, unit and description of every map that is written."""

MASK_NAME = "desc-brain_mask"


def anat_prefix(name: str) -> str:
    """Return the start of a subject's files: ``sub-01/ses-02/anat/sub-01_ses-02``."""
    folders = [part for part in name.split("_") if part.startswith(("sub-", "ses-"))]
    return f"{'/'.join(folders)}/anat/{name}"


def file_name(prefix: str, map_name: str) -> str:
    """Return the name of a map's file without its extension."""
    suffix = MASK_NAME if map_name == "mask" else MAPS[map_name][0]
    return f"{prefix}_{suffix}"


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
        _, unit, description = MAPS[name]
        volume = Volume(array.astype(np.float32, copy=False), result.geometry, name)
        content = sidecar(result, inputs) | {"Units": unit, "Description": description}
        if name == "r2prime" and result.facts.get("R2primeOrigin") == "estimated":
            content["Description"] = "R2' estimated from R2* alone, not measured"
        outputs.volume(file_name(prefix, name), volume, content, what=name)
    mask = Volume(result.mask.astype(np.uint8), result.geometry, "mask")
    content = sidecar(result, inputs) | {"Description": "brain mask", "Type": "Brain"}
    outputs.volume(file_name(prefix, "mask"), mask, content, what="mask")


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
