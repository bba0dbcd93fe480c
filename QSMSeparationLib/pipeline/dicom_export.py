"""A result on disk to DICOM objects for the study of its scan."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset

from QSMSeparationLib.data.quantities import MAPS
from QSMSeparationLib.data.result import Result
from QSMSeparationLib.data.volume import Geometry, Volume, resample
from QSMSeparationLib.io.dicom_out.page import page
from QSMSeparationLib.io.dicom_out.reading_copies import FOR_READING, reading_copy, title_of
from QSMSeparationLib.io.dicom_out.source import read_source_series
from QSMSeparationLib.io.dicom_out.study import RESEARCH, Study, study_of
from QSMSeparationLib.io.dicom_out.write import require_new_folder, write_objects
from QSMSeparationLib.io.lesion_rows import read_lesion_rows
from QSMSeparationLib.io.results import read_result
from QSMSeparationLib.pipeline.dicom_lesions import lesions_of
from QSMSeparationLib.report.summary_page import Words, summary_page
from QSMSeparationLib.runtime.progress import Progress, Report

Series = tuple[str, list[Dataset]]

WITH_EXTRA = "pip install 'qsm-separation[dicom]'"
_WITHOUT_EXTRA = (
    "highdicom is not installed, so only maps for reading and the summary are written; "
    f"{WITH_EXTRA} adds exact maps, segments and the lesion report"
)


def export_dicom(
    path: Path,
    out: Path,
    like: Sequence[Path],
    progress: Progress,
    anonymous: bool = False,
    overwrite: bool = False,
) -> dict[str, str]:
    """Write a result as DICOM objects; returns the folders of the series by their names.

    Parameters
    ----------
    path : Path
        Folder of one result, at any depth, or its map of chi+.
    out : Path
        New folder for the objects.
    like : sequence of Path
        Files of the series that the maps were made from; others may be among them.
    progress : Progress
        Receives the stages.
    anonymous : bool
        Leave out who it is: a new study of nobody.
    overwrite : bool
        Replace ``out`` as a whole.
    """
    require_new_folder(out, overwrite)
    result, labels = read_result(path)
    rows = read_lesion_rows(path)
    with progress.stage("reading the series") as report:
        source = read_source_series(like, result.geometry, report)
    placed, labels = on_grid(result, labels, source.geometry)
    made_at = datetime.fromisoformat(result.facts["Created"])
    study = study_of(source, _digest(placed), made_at, anonymous)
    exact = has_highdicom()
    if not exact:
        progress.message(_WITHOUT_EXTRA)
    export = _Export(placed, labels, rows, study, anonymous)
    with progress.stage("DICOM objects") as report:
        made = _counted(_objects(export, exact), export.count(exact), report)
        return write_objects(made, out, overwrite)


def require_series(files: Sequence[Path], grid: Geometry, anonymous: bool) -> None:
    """Raise InputError where a result on a grid can't go with a series: no image, two studies ...

    The same is found when objects are written; this is for before the result is computed.
    """
    study_of(read_source_series(files, grid), "", datetime.now(), anonymous)


def has_highdicom() -> bool:
    """Return whether the optional packages of data copies are there."""
    return find_spec("highdicom") is not None


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


@dataclass(frozen=True, eq=False)
class _Export:
    """What objects are made of."""

    result: Result
    labels: Volume | None
    rows: list[dict[str, str]]
    study: Study
    anonymous: bool

    @cached_property
    def edited(self) -> Study:
        """The study of objects that hold the user's edits, whose UIDs change with these."""
        digest = hashlib.sha256(repr([sorted(row.items()) for row in self.rows]).encode())
        if self.labels is not None:
            digest.update(np.ascontiguousarray(self.labels.array, dtype="<i4").tobytes())
        return replace(self.study, edition=f"{self.study.edition}/{digest.hexdigest()}")

    @property
    def has_lesions(self) -> bool:
        """Whether there is any lesion."""
        return self.labels is not None and bool((self.labels.array > 0).any())

    def count(self, exact: bool) -> int:
        """Return how many series there are."""
        names: list[str] = list(FOR_READING)
        others = 1
        if exact:
            from QSMSeparationLib.io.dicom_out.data_copies import EXACT

            names += EXACT
            others += 2 * self.has_lesions
        return sum(name in self.result.maps for name in names) + others

    def copies(self, name: str, number: int) -> list[Dataset]:
        """Return the reading copy of a map."""
        title = title_of(name, self.origin(name))
        values, said = self.result.maps[name], derivation(self.result)
        return reading_copy(name, values, self.study, number, title, said, _b0(self.result))

    def origin(self, name: str) -> str:
        """Return whether a map of R2' is measured or estimated; empty for others."""
        return _origin(self.result) if name.startswith("r2prime") else ""


def _counted(made: Iterator[Series], count: int, report: Report) -> Iterator[Series]:
    """Tell how many series are made; between two of them work can be cancelled."""
    for n, one in enumerate(made):
        report(n, count)
        yield one


def _objects(export: _Export, exact: bool) -> Iterator[Series]:
    """Make the series one by one: 100 MB each for a whole head."""
    first = export.study.first_number
    numbers = {name: first + n for n, name in enumerate(FOR_READING)}
    for name, number in numbers.items():
        if name in export.result.maps:
            yield name, export.copies(name, number)
    yield "summary", [_page(export, first + len(numbers))]
    if exact:
        yield from _exact_objects(export, numbers, first + len(numbers) + 1)


def _exact_objects(export: _Export, numbers: Mapping[str, int], first: int) -> Iterator[Series]:
    """Make what holds exact values; each refers to the reading copy of its map."""
    from QSMSeparationLib.io.dicom_out.data_copies import (
        EXACT,
        data_title,
        parametric_map,
        segmentation,
    )
    from QSMSeparationLib.io.dicom_out.lesion_report import lesion_report

    study, maps = export.study, export.result.maps
    for number, name in enumerate(EXACT, start=first):
        if name in maps:
            read = name.removesuffix("_sd")
            copies = export.copies(read, numbers[read])
            window = np.array(MAPS[name].report_window(_b0(export.result))) / MAPS[name].scale
            title = data_title(name, export.origin(name))
            made = parametric_map(
                name, maps[name], copies, study, number, title, (window[0], window[1])
            )
            yield f"{name}_data", [made]
    labels, rows = export.labels, export.rows
    if labels is None or not export.has_lesions:
        return
    volume = export.result.geometry.voxel_volume_mm3
    lesions = lesions_of(rows, labels.array, volume, study, export.anonymous)
    copies = export.copies("net", numbers["net"])
    number = first + len(EXACT)
    segments = segmentation(labels.array, lesions, copies, export.edited, number)
    yield "lesions", [segments]
    said = derivation(export.result)
    report = lesion_report(lesions, segments, copies, export.edited, number + 1, said)
    yield "lesion_report", [report]


def _page(export: _Export, number: int) -> Dataset:
    """Return the page to glance at."""
    result, rows = export.result, export.rows
    titles = {name: title_of(name, export.origin(name)) for name in FOR_READING}
    words = Words("Susceptibility source separation", [derivation(result)], titles)
    pixels = summary_page(result, export.labels, rows, words, _b0(result))
    return page(pixels, export.edited, number, "QSM summary")


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
