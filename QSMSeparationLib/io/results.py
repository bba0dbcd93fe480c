"""Reading back the maps that ``qsmsep run`` or ``separate`` wrote."""

from __future__ import annotations

import json
from dataclasses import fields
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from QSMSeparationLib.data.method import Calibration
from QSMSeparationLib.data.quantities import IN_LESIONS, QUANTITIES, SD_OF
from QSMSeparationLib.data.result import Result
from QSMSeparationLib.data.structures import ANATOMY
from QSMSeparationLib.data.volume import Volume
from QSMSeparationLib.io.derivatives import RESULT_MARKER, find_results
from QSMSeparationLib.io.nifti import read_labels, read_map
from QSMSeparationLib.runtime.errors import InputError

_NUMBERS = ("RelaxivityPara_HzPerPpm", "RelaxivityDia_HzPerPpm", "MagneticFieldStrength")
_TEXTS = (
    "Separation", "Inversion", "Reference", "SoftwareVersion", "R2primeOrigin", "SeparationR2prime",
    "Created",
)  # fmt: skip


def read_result(folder: Path) -> tuple[Result, Volume | None]:
    """Read the maps of one subject from a folder of results, at any depth, or beside its chi+.

    Returns
    -------
    result : Result
        The maps that are there.
    lesions : Volume or None
        The lesion labels, where they were written.
    """
    found = find_results(folder)
    if len(found) != 1:
        count = "no result" if not found else f"{len(found)} results"
        raise InputError(
            f"{folder} holds {count} (*{RESULT_MARKER}); give the folder of one subject"
        )
    stem = str(found[0]).removesuffix(RESULT_MARKER)
    mask = read_labels(f"{stem}_{QUANTITIES['mask'].bids}.nii.gz")
    facts = _facts(Path(f"{stem}_{QUANTITIES['chi_para'].bids}.json"))
    facts["Created"] = _created(facts.get("Created"), found[0])
    result = Result(mask.geometry, mask.array > 0, facts=facts)
    for name in (*IN_LESIONS, *SD_OF.values(), "r2prime_sd"):
        path = Path(f"{stem}_{QUANTITIES[name].bids}.nii.gz")
        if path.is_file():
            volume = read_map(path)
            mask.require_same_grid(volume)
            result.maps[name] = volume.array
    structures = Path(f"{stem}_{ANATOMY}.nii.gz")
    if structures.is_file():
        volume = read_labels(structures)
        mask.require_same_grid(volume)
        result.anatomy = volume.array.astype(np.int16)
    labels = Path(f"{stem}_desc-lesions_dseg.nii.gz")
    return result, read_labels(labels) if labels.is_file() else None


def _created(said: object, file: Path) -> str:
    """Return when a result was made; where its sidecar does not say it, the time of a file."""
    try:
        return datetime.fromisoformat(str(said)).isoformat()
    except ValueError:
        made = datetime.fromtimestamp(file.stat().st_mtime)
        return made.isoformat(timespec="seconds")


def _facts(sidecar: Path) -> dict:
    """Return what a result rests on; default relaxivities where its sidecar is missing."""
    facts: dict[str, Any] = {"RelaxivityPara_HzPerPpm": 114.0, "RelaxivityDia_HzPerPpm": 114.0}
    try:
        stored = json.loads(sidecar.read_text(encoding="utf-8"))
        facts |= {key: float(stored[key]) for key in _NUMBERS if key in stored}
        facts |= {key: str(stored[key]) for key in _TEXTS if key in stored}
        given = stored.get("SDCalibration", {})
        names = (one.name for one in fields(Calibration))
        return facts | {
            "SDCalibration": {name: float(given[name]) for name in names if name in given}
        }
    except FileNotFoundError:
        return facts
    except (OSError, ValueError, TypeError):
        raise InputError(f"{sidecar.name} can't be read as a sidecar; remove or mend it") from None
