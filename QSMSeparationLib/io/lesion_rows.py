"""The lesion table that lies beside a result, with the reviewer's columns where there are any."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from pathlib import Path

from QSMSeparationLib.io.derivatives import RESULT_MARKER, find_results
from QSMSeparationLib.runtime.errors import InputError

_FILES = ("lesions_reviewed.csv", "lesions.csv")  # the review holds all columns of the other
_FIRST = {"id", "volume_mm3", "class_para", "class_dia"}


def read_lesion_rows(folder: Path) -> list[dict[str, str]]:
    """Return the rows of the lesion table of a result, reviewed if it was; empty without one.

    Raises
    ------
    InputError
        When the file is no lesion table.
    """
    path = _table(folder)
    if path is None:
        return []
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            reader = csv.DictReader(stream)
            columns = set(reader.fieldnames or ())
            rows = [{name: value or "" for name, value in row.items() if name} for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error):
        raise InputError(f"{path.name} can't be read as a table; mend or remove it") from None
    if columns and not columns >= _FIRST:
        raise InputError(f"{path.name} is no lesion table (id, volume_mm3, ...); mend or remove it")
    if not all(row["id"].isdecimal() and len(row["id"]) < 10 for row in rows):
        raise InputError(f"{path.name}: a lesion has no number; mend or remove it")
    return rows


def number_of(row: Mapping[str, str], column: str) -> float | None:
    """Return a number of a row; None where there is none."""
    try:
        value = float(row.get(column, ""))
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _table(folder: Path) -> Path | None:
    """Return the table of the only result of a folder: its own name goes before a common one."""
    for marker in find_results(folder):
        prefix = marker.name.removesuffix(RESULT_MARKER)
        for name in (*(f"{prefix}_{file}" for file in _FILES), *_FILES):
            if (marker.parent / name).is_file():
                return marker.parent / name
    return None
