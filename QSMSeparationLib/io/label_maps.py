"""Label maps with the table of their names beside them, written and read."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from QSMSeparationLib.data.structures import freesurfer_table, label_table
from QSMSeparationLib.data.volume import Volume
from QSMSeparationLib.io.nifti import read_labels
from QSMSeparationLib.io.outputs import Outputs
from QSMSeparationLib.runtime.errors import InputError


def read_label_map(path: Path) -> tuple[Volume, list[tuple[int, str]]]:
    """Read labels, and their names from the ``.tsv`` or ``.csv`` of the same name if there is one.

    Without a table, labels are taken for FreeSurfer's numbers; others are called by number.
    """
    labels = read_labels(path)
    stem = path.name.removesuffix(".gz").removesuffix(".nii")
    for suffix in (".tsv", ".csv"):
        table = path.with_name(stem + suffix)
        if table.is_file():
            try:
                text = table.read_text(encoding="utf-8-sig")
            except (OSError, UnicodeDecodeError):
                raise InputError(f"{table.name} can't be read as a label table") from None
            return labels, parse_label_table(text, table.name)
    known = dict(freesurfer_table())
    present = [int(n) for n in np.unique(labels.array) if n > 0]
    return labels, [(n, known.get(n, f"label {n}")) for n in present]


def write_labels(
    labels: Volume, outputs: Outputs, name: str, sidecar: dict[str, Any], what: str = "anatomy"
) -> None:
    """Write a segmentation of the brain with its label table, as BIDS has it."""
    outputs.volume(name, labels, sidecar, what=what)
    outputs.text(f"{name}.tsv", label_table_text())


def label_table_text(names: Sequence[tuple[int, str]] | None = None) -> str:
    """Return a BIDS label table (``index``, ``name``) as tab-separated text."""
    rows = label_table() if names is None else names
    return "index\tname\n" + "".join(f"{number}\t{name}\n" for number, name in rows)


def parse_label_table(text: str, source: str) -> list[tuple[int, str]]:
    """Read a label table: tab- or comma-separated, with ``index`` (or ``label``) and ``name``."""
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines:
        raise InputError(f"{source}: the label table is empty")
    separator = "\t" if "\t" in lines[0] else ","
    rows = list(csv.DictReader(lines, delimiter=separator))
    head = {key.strip().lower(): key for key in rows[0]} if rows else {}
    index = next((head[key] for key in ("index", "label", "id") if key in head), None)
    if index is None or "name" not in head:
        raise InputError(f"{source}: a label table has the columns index and name")
    try:
        return [(int(row[index]), row[head["name"]].strip()) for row in rows]
    except (TypeError, ValueError):
        raise InputError(f"{source}: the column {index} must hold whole numbers") from None
