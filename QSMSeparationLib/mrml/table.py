"""The lesion table and the data checks as table nodes.

The lesion table holds all columns of ``lesions.csv``; behind the computed classes come the
reviewer's own: two classes and a remark, empty until somebody fills them in.
"""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

import slicer
import vtk

from QSMSeparationLib.mrml import marks
from QSMSeparationLib.runtime.errors import InputError

REVIEW_COLUMNS = ("review_para", "review_dia", "remark")
_FIRST = ("id", "volume_mm3", "class_para", "class_dia")
_CHECK_COLUMNS = ("name", "status", "value", "unit", "limits", "advice")


def read_rows(path: Path) -> list[dict[str, str]]:
    """Read ``lesions.csv``; raise InputError when it is no lesion table."""
    with path.open(encoding="utf-8", newline="") as stream:
        reader = csv.DictReader(stream)
        columns = tuple(reader.fieldnames or ())
        if columns[:4] != _FIRST:
            raise InputError(f"{path.name} is no lesion table: it begins with {columns[:4]}")
        rows = list(reader)
    for row in rows:
        if not (row["id"] or "").isdecimal():
            raise InputError(f"{path.name}: '{row['id']}' is no lesion number")
    return rows


def add_lesion_table(
    scene: slicer.vtkMRMLScene, rows: list[dict[str, str]], run: str, subject: str
) -> slicer.vtkMRMLTableNode:
    """Add the lesion table with empty columns for the reviewer."""
    node = scene.AddNewNodeByClass("vtkMRMLTableNode", f"{subject} lesions table")
    marks.mark(node, run, marks.LESION_TABLE)
    names = list(rows[0]) if rows else list(_FIRST)
    columns = {name: [row[name] or "" for row in rows] for name in names}
    empty = [""] * len(rows)
    head = {name: columns.pop(name) for name in _FIRST}
    fill_table(node, head | dict.fromkeys(REVIEW_COLUMNS, empty) | columns, text={*REVIEW_COLUMNS})
    return node


def add_checks_table(
    scene: slicer.vtkMRMLScene, sidecar: dict[str, Any], run: str, subject: str
) -> slicer.vtkMRMLTableNode:
    """Add a table of the data checks and the notes of a run."""
    node = scene.AddNewNodeByClass("vtkMRMLTableNode", f"{subject} data checks")
    marks.mark(node, run, marks.CHECKS)
    checks = [dict(check) for check in sidecar.get("Checks", [])]
    notes = [
        {"name": "note", "status": "note", "advice": note} for note in sidecar.get("Notes", [])
    ]
    rows = [{c: _text(row.get(c)) for c in _CHECK_COLUMNS} for row in [*checks, *notes]]
    columns = {name: [row[name] for row in rows] for name in _CHECK_COLUMNS}
    fill_table(node, columns, text=set(_CHECK_COLUMNS))
    return node


def rows_of(node: slicer.vtkMRMLTableNode) -> list[dict[str, str]]:
    """Return the rows of a table node as text by column."""
    table = node.GetTable()
    names = [table.GetColumnName(n) for n in range(table.GetNumberOfColumns())]
    return [
        {name: _shown(table.GetValue(row, n)) for n, name in enumerate(names)}
        for row in range(table.GetNumberOfRows())
    ]


def row_number(node: slicer.vtkMRMLTableNode, lesion: int) -> int:
    """Return the row of a lesion, or raise KeyError."""
    ids = node.GetTable().GetColumnByName("id")
    for row in range(ids.GetNumberOfTuples()):
        if int(float(str(ids.GetVariantValue(row).ToString()))) == lesion:
            return row
    raise KeyError(lesion)


def storable(text: str) -> str:
    """Return text as a table file can hold it: its writer knows no quotes, tabs or line ends."""
    printable = "".join(c if c.isprintable() else " " for c in text)
    return " ".join(printable.replace('"', "'").split())


def fill_table(
    node: slicer.vtkMRMLTableNode, columns: dict[str, list[str]], text: set[str]
) -> None:
    """Fill a table node by columns; those in ``text`` stay text, others become numbers."""
    modified = node.StartModify()
    for name, values in columns.items():
        node.AddColumn(_column(name, values, as_text=name in text))
    node.SetUseColumnTitleAsColumnHeader(True)
    node.EndModify(modified)
    node.SetLocked(True)


def _column(name: str, values: list[str], as_text: bool) -> vtk.vtkAbstractArray:
    """Return whole numbers, numbers or text, by what the column holds."""
    numbers = None if as_text else _numbers(values)
    if numbers is None:
        column: vtk.vtkAbstractArray = vtk.vtkStringArray()
        filled: list[Any] = [storable(value) for value in values]
    elif name == "id" or name.endswith("_n") or name.startswith("n_"):
        column, filled = vtk.vtkIntArray(), [int(number) for number in numbers]
    else:
        column, filled = vtk.vtkDoubleArray(), numbers
    column.SetName(name)
    for value in filled:
        column.InsertNextValue(value)
    return column


def _numbers(values: list[str]) -> list[float] | None:
    """Return numbers, NaN for empty cells; None when a cell is text or all are empty."""
    if values and not any(values):
        return None
    try:
        return [float(value) if value else math.nan for value in values]
    except ValueError:
        return None


def _shown(value: vtk.vtkVariant) -> str:
    if value.IsDouble() or value.IsFloat():
        number = value.ToDouble()
        return "" if math.isnan(number) else f"{number:.6g}"
    return value.ToString()


def _text(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
