"""What the reviewer says of a lesion: another class, a remark. Kept beside the computed class."""

from __future__ import annotations

import csv
import io

import slicer

from QSMSeparationLib.io.tables import no_formula
from QSMSeparationLib.lesions.classes import DIA_CLASSES, PARA_CLASSES
from QSMSeparationLib.mrml.table import REVIEW_COLUMNS, row_number, rows_of, storable
from QSMSeparationLib.runtime.errors import InputError

CLASSES = {"review_para": PARA_CLASSES, "review_dia": DIA_CLASSES}
"""What a reviewer may choose, by column."""


def set_review(table: slicer.vtkMRMLTableNode, lesion: int, column: str, value: str) -> None:
    """Write a class or a remark of the reviewer; an empty one takes it back.

    Raises
    ------
    InputError
        When the class is none of :data:`CLASSES`, or there is no such lesion.
    """
    if column not in REVIEW_COLUMNS:
        raise InputError(f"a reviewer can't change '{column}'; only {', '.join(REVIEW_COLUMNS)}")
    allowed = CLASSES.get(column)
    if allowed and value and value not in allowed:
        raise InputError(f"'{value}' is no class; choose one of: {', '.join(allowed)}")
    try:
        row = row_number(table, lesion)
    except KeyError:
        raise InputError(f"the table holds no lesion {lesion}") from None
    array = table.GetTable().GetColumnByName(column)
    text = storable(value)
    if array.GetValue(row) == text:
        return
    array.SetValue(row, text)
    array.Modified()
    table.GetTable().Modified()
    # Without this the scene would not know that the table has to be saved again.
    table.StorableModified()
    table.Modified()


def reviewed_csv(table: slicer.vtkMRMLTableNode) -> str:
    """Return the table as CSV, the reviewer's classes beside the computed ones."""
    rows = rows_of(table)
    columns = [table.GetTable().GetColumnName(n) for n in range(table.GetNumberOfColumns())]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([_guarded(row[name], name) for name in columns])
    return text.getvalue()


def _guarded(cell: str, column: str) -> str:
    """Put a quote before a remark that a spreadsheet would run as a formula."""
    return no_formula(cell) if column in REVIEW_COLUMNS else cell
