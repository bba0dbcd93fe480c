"""A result on disk to DICOM objects for the study of its scan."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset

from QSMSeparationLib.data.quantities import MAPS
from QSMSeparationLib.data.result import Result
from QSMSeparationLib.data.volume import Geometry, Volume, resample
from QSMSeparationLib.io.dicom_out.reading_copies import FOR_READING, reading_copy, title_of
from QSMSeparationLib.io.dicom_out.source import files_of_series, read_source_series
from QSMSeparationLib.io.dicom_out.study import RESEARCH, Study, study_of
from QSMSeparationLib.io.dicom_out.write import require_new_folder, write_objects
from QSMSeparationLib.io.results import read_result
from QSMSeparationLib.runtime.progress import Progress

Series = tuple[str, list[Dataset]]


def export_dicom(
    folder: Path,
    out: Path,
    like: Path,
    progress: Progress,
    anonymous: bool = False,
    overwrite: bool = False,
) -> dict[str, str]:
    """Write a result as DICOM objects; returns the folders of the series by their names.

    Parameters
    ----------
    folder : Path
        Result of one subject, at any depth.
    out : Path
        New folder for the objects.
    like : Path
        Folder with the series that the maps were made from.
    progress : Progress
        Receives the stages.
    anonymous : bool
        Leave out who it is: a new study of nobody.
    overwrite : bool
        Replace ``out`` as a whole.
    """
    require_new_folder(out, overwrite)
    result, labels = read_result(folder)
    with progress.stage("reading") as report:
        source = read_source_series(files_of_series(like), result.geometry, report)
    placed, labels = on_grid(result, labels, source.geometry)
    study = study_of(source, _digest(placed), datetime.now(), anonymous)
    with progress.stage("DICOM objects"):
        return write_objects(_objects(placed, study), out, overwrite)


def on_grid(result: Result, labels: Volume | None, grid: Geometry) -> tuple[Result, Volume | None]:
    """Store a result in the order of the scan's slices, rows and columns; no value changes."""

    def moved(array: np.ndarray) -> np.ndarray:
        return resample(Volume(array, result.geometry), grid, order=0).array

    maps = {name: moved(array) for name, array in result.maps.items()}
    mask = moved(result.mask.astype(np.uint8)) > 0
    placed = replace(result, geometry=grid, mask=mask, maps=maps, anatomy=None)
    if labels is None:
        return placed, None
    return placed, resample(labels, grid, order=0)


def _objects(result: Result, study: Study) -> Iterator[Series]:
    """Make the series one by one: 100 MB each for a whole head."""
    names = [name for name in FOR_READING if name in result.maps]
    for number, name in enumerate(names, start=study.first_number):
        title = title_of(name, _origin(result) if name == "r2prime" else "")
        copies = reading_copy(
            name, result.maps[name], study, number, title, derivation(result), _b0(result)
        )
        yield name, copies


def derivation(result: Result) -> str:
    """Return how the maps were made, in words."""
    facts = result.facts
    parts = [f"QSMSeparation {facts.get('SoftwareVersion', '')}".strip()]
    parts += [f"{key.lower()} {facts[key]}" for key in ("Separation", "Inversion") if key in facts]
    said = facts.get("SeparationR2prime") or facts.get("R2primeOrigin")
    parts += [f"R2' {said}"] if said else []
    parts += [f"reference {facts['Reference']}"] if "Reference" in facts else []
    return f"{'; '.join(parts)}. {RESEARCH}"


def _origin(result: Result) -> str:
    """Return whether the R2' map is measured or estimated; empty where nobody says."""
    said = str(result.facts.get("R2primeOrigin", "")).split(" ")[0]
    return said if said in ("measured", "estimated") else ""


def _b0(result: Result) -> float:
    return float(result.facts.get("MagneticFieldStrength", 3.0))


def _digest(result: Result) -> str:
    """Return what tells this result from any other."""
    digest = hashlib.sha256(repr(result.geometry).encode())
    for name in sorted(set(result.maps) & set(MAPS)):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(result.maps[name], dtype="<f4").tobytes())
    return digest.hexdigest()
