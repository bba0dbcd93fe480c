"""A run of the scene as files: maps with sidecars, the reviewed lesion table, the report."""

from __future__ import annotations

import json
from collections.abc import Generator
from pathlib import Path

from QSMSeparationLib.data.quantities import MAPS
from QSMSeparationLib.data.volume import Volume
from QSMSeparationLib.io.derivatives import file_name
from QSMSeparationLib.io.nifti import write_volume
from QSMSeparationLib.mrml import marks
from QSMSeparationLib.mrml.convert import volume_of
from QSMSeparationLib.mrml.lesions import labels_by_number
from QSMSeparationLib.mrml.review import reviewed_csv
from QSMSeparationLib.mrml.runs import Run
from QSMSeparationLib.mrml.volumes import sidecar_of
from QSMSeparationLib.mrml.waiting import in_a_thread
from QSMSeparationLib.runtime.errors import InputError, QSMSeparationError

TABLE_NAME = "lesions_reviewed.csv"
_LABELS = "desc-lesions_dseg.nii.gz"


def export_steps(run: Run, folder: Path, subject: str = "sub-01") -> Generator[str, None, None]:
    """Write a run into a folder; yields the name of every file, some more than once.

    Raises
    ------
    InputError
        Before anything is written, when a file is in the way.
    """
    nodes = run.nodes()
    maps = {role: node for role, node in nodes.items() if role in MAPS or role == marks.MASK}
    names = [f"{file_name(subject, role)}.nii.gz" for role in maps]
    names += [TABLE_NAME] if marks.LESION_TABLE in nodes else []
    present = [name for name in names if (folder / name).exists()]
    if present:
        raise InputError(f"{folder / present[0]} already exists; choose another folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for role, node in maps.items():
            name = file_name(subject, role)
            yield from _write(volume_of(node), folder / f"{name}.nii.gz")
            write_text(folder / f"{name}.json", json.dumps(sidecar_of(node), indent=2) + "\n")
            yield f"{name}.nii.gz"
        if lesions := nodes.get(marks.LESIONS):
            labels = labels_by_number(lesions, maps["chi_para"])
            yield from _write(labels, folder / f"{subject}_{_LABELS}")
        if table := nodes.get(marks.LESION_TABLE):
            write_text(folder / TABLE_NAME, reviewed_csv(table))
            yield TABLE_NAME
        if report := nodes.get(marks.REPORT):
            write_text(folder / "report.html", report.GetText())
            yield "report.html"
    except OSError as error:
        raise QSMSeparationError(f"{folder} can't be written: {error.strerror}") from None


def _write(volume: Volume, path: Path) -> Generator[str, None, None]:
    yield from in_a_thread(path.name, lambda: write_volume(volume, path))


def write_text(path: Path, text: str) -> None:
    """Write a text file with Unix line ends, under a temporary name first."""
    part = path.with_name(f".{path.name}.part")
    part.write_text(text, encoding="utf-8", newline="\n")
    part.replace(path)
