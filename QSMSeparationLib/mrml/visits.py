"""Two visits of one patient: the comparison that ``qsmsep compare --visits`` wrote, as a table.

The table lies in the folder of the later run, is saved with the scene, and goes with that run.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable
from pathlib import Path

import slicer

from QSMSeparationLib.data.quantities import MAPS
from QSMSeparationLib.io.tables import csv_text
from QSMSeparationLib.lesions.classes import CLASSES, class_words
from QSMSeparationLib.mrml import marks
from QSMSeparationLib.mrml.layouts import center_of
from QSMSeparationLib.mrml.lesion_list import Cell, Column, Row
from QSMSeparationLib.mrml.lesions import segment_of
from QSMSeparationLib.mrml.runs import Run, find_runs, put_in
from QSMSeparationLib.mrml.table import fill_table, rows_of

_EARLIER = "QSMSeparation.EarlierRun"
_DETECTABLE = "QSMSeparation.DetectableChange"
BOTH, NEW, GONE = "both", "new", "gone"
SHOWN = {"para": "χ+", "dia": "|χ−|", "net": "net χ"}
"""How maps are called on screen, by the names of their columns."""


def add_visits(folder: Path, earlier: Run, later: Run) -> slicer.vtkMRMLTableNode:
    """Add what was compared to the scene, in place of an earlier comparison of the later run.

    Parameters
    ----------
    folder : Path
        Has ``comparison.csv`` and ``comparison.json``.
    earlier, later : Run
        What was compared.
    """
    with (folder / "comparison.csv").open(encoding="utf-8", newline="") as stream:
        reader = csv.DictReader(stream)
        names = list(reader.fieldnames or ())
        pairs = list(reader)
    summary = json.loads((folder / "comparison.json").read_text(encoding="utf-8"))
    rows = [{"status": BOTH, **pair} for pair in pairs]
    rows += [{"status": GONE, "id_first": str(n)} for n in summary["only_first"]]
    rows += [{"status": NEW, "id_second": str(n)} for n in summary["only_second"]]
    if (old := later.node(marks.VISITS)) is not None:
        later.scene.RemoveNode(old)
    subject = later.need("chi_para").GetName().split(" ")[0]
    node = later.scene.AddNewNodeByClass("vtkMRMLTableNode", f"{subject} two visits")
    marks.mark(node, later.identifier, marks.VISITS)
    node.SetAttribute(_EARLIER, earlier.identifier)
    node.SetAttribute(_DETECTABLE, json.dumps(summary["smallest_detectable_change_ppb"]))
    columns = {name: [row.get(name, "") for row in rows] for name in ["status", *names]}
    texts = {name for name in columns if name == "status" or name.endswith("_changed")}
    fill_table(node, columns, text=texts)
    put_in(later, node)
    return node


def earlier_of(later: Run) -> Run | None:
    """Return the run that a run was compared with, where it is in the scene still."""
    table = later.node(marks.VISITS)
    identifier = table.GetAttribute(_EARLIER) if table is not None else None
    return next((run for run in find_runs(later.scene) if run.identifier == identifier), None)


def detectable_ppb(table: slicer.vtkMRMLTableNode) -> dict[str, float]:
    """Return the smallest detectable change by the names of columns: ``para``, ``dia``, ``net``."""
    stored = json.loads(table.GetAttribute(_DETECTABLE) or "{}")
    return {str(MAPS[name].column): float(limit) for name, limit in stored.items()}


def visit_rows(earlier: Run, later: Run) -> list[Row]:
    """Return the rows of the comparison, with the classes of both runs as their readers see them.

    ``class_para_first`` and so on are taken from the tables of the runs, the reviewer's where he
    gave one, for the comparison measures each run anew.
    """
    classes = [_classes(earlier), _classes(later)]
    rows = rows_of(later.need(marks.VISITS))
    for row in rows:
        for known, which in zip(classes, ("first", "second"), strict=True):
            for source in ("para", "dia"):
                found = known.get(row[f"id_{which}"], {})
                row[f"class_{source}_{which}"] = found.get(source, "")
    return rows


def place_of(earlier: Run, later: Run, row: Row) -> tuple[float, float, float] | None:
    """Return where a lesion is to be looked at, in RAS; None where it cannot be told.

    Places in the table of the earlier run hold. The later run was moved onto it, and its table was
    not: where its lesions lie now is known from their segments.
    """
    if number := row["id_first"]:
        table = earlier.node(marks.LESION_TABLE)
        rows = rows_of(table) if table is not None else []
        known = next((one for one in rows if one["id"] == number), None)
        return center_of(known) if known is not None else None
    lesions = later.node(marks.LESIONS)
    segment = segment_of(lesions, int(row["id_second"])) if lesions is not None else None
    if lesions is None or segment is None:
        return None
    x, y, z = lesions.GetSegmentCenterRAS(segment)
    return x, y, z


def changes(row: Row) -> list[str]:
    """Return the maps that changed beyond what can be detected, each with its direction."""
    found = []
    for short, shown in SHOWN.items():
        if row.get(f"{short}_changed") == "true":
            up = _number(row[f"{short}_core_difference_ppb"]) > 0
            found.append(f"{shown} {'↑' if up else '↓'}")
    return found


def visits_csv(rows: list[Row]) -> str:
    """Return the list of changes as a file: lesions, classes, values and differences."""
    return csv_text(list(rows[0]), (list(row.values()) for row in rows)) if rows else ""


def _classes(run: Run) -> dict[str, dict[str, str]]:
    table = run.node(marks.LESION_TABLE)
    rows = rows_of(table) if table is not None else []
    return {
        row["id"]: {
            source: row.get(f"review_{source}", "") or row.get(f"class_{source}", "")
            for source in ("para", "dia")
        }
        for row in rows
    }


def _lesion(row: Row) -> Cell:
    if row["status"] == NEW:
        return Cell(f"new: {row['id_second']}", float(row["id_second"]), "Not in the earlier visit")
    if row["status"] == GONE:
        return Cell(f"gone: {row['id_first']}", float(row["id_first"]), "Not in the later visit")
    text = f"{row['id_first']} → {row['id_second']}"
    overlap = _number(row["overlap_dice"])
    return Cell(text, float(row["id_first"]), f"Overlap of the outlines (Dice) {overlap:.2f}")


def _changed(row: Row) -> Cell:
    if row["status"] != BOTH:
        text = f"{row['status']} lesion"
    else:
        text = ", ".join(changes(row)) or "no"
    return Cell(text, text)


def _difference(short: str) -> Callable[[Row], Cell]:
    def cell(row: Row) -> Cell:
        value = _number(row.get(f"{short}_core_difference_ppb", ""))
        if math.isnan(value):
            return Cell("", math.inf)
        values = (_number(row[f"{short}_core_{which}_ppb"]) for which in ("first", "second"))
        tip = "{:.1f} ppb, then {:.1f} ppb".format(*values)
        return Cell(f"{value:+.1f}".replace("-", "−"), value, tip)

    return cell


def _class(source: str) -> Callable[[Row], Cell]:
    def cell(row: Row) -> Cell:
        first, second = (row[f"class_{source}_{which}"] for which in ("first", "second"))
        words = [class_words(name, source) for name in (first, second) if name]
        text = words[0] if len(set(words)) == 1 else " → ".join(words)
        now = second or first
        color = CLASSES[now].color if source == "para" and now in CLASSES else ""
        return Cell(text, text, "", color)

    return cell


_CHANGE = "change of the mean in the core of the lesion, later minus earlier visit"

COLUMNS = (
    Column("Lesion", "Number in the earlier and in the later visit", _lesion),
    Column("Changed", "Maps that changed by more than the smallest detectable change", _changed),
    Column("Δχ+ [ppb]", f"χ+: {_CHANGE}", _difference("para"), right=True),
    Column("Δ|χ−| [ppb]", f"|χ−|: {_CHANGE}", _difference("dia"), right=True),
    Column("Δnet χ [ppb]", f"Net χ: {_CHANGE}", _difference("net"), right=True),
    Column("χ+", "Class in χ+, the reviewer's where there is one", _class("para")),
    Column("|χ−|", "Class in |χ−|, the reviewer's where there is one", _class("dia")),
)
"""Columns of the list of changes, in the order in which they are shown."""


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
