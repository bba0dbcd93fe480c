"""Tables over all scans of a cohort, from their records and their own tables; no image is opened."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from QSMSeparationLib.cohort.records import DONE, Record
from QSMSeparationLib.io.bids_names import entities_of, table_prefix
from QSMSeparationLib.io.derivatives import anat_folder
from QSMSeparationLib.io.tables import one_line

Row = dict[str, Any]

OUTLIER_Z = 3.5
"""Robust z beyond which a check is marked (Iglewicz and Hoaglin)."""
_LEAST_SCANS = 8
"""Fewer scans have no outliers."""

FIRST = ("participant_id", "session_id", "scan")


@dataclass(frozen=True)
class Tables:
    """Rows of all scans, of all their lesions and of all their regions.

    Parameters
    ----------
    scans, lesions, regions : list of dict
        Rows; the first columns say whose.
    outliers : dict of str to list of str
        By scan: checks that lie far from those of the other scans.
    """

    scans: list[Row]
    lesions: list[Row]
    regions: list[Row]
    outliers: dict[str, list[str]]


def gather(records: Sequence[Record], out: Path) -> Tables:
    """Collect the tables of a cohort.

    Parameters
    ----------
    records : sequence of Record
        Of all scans.
    out : Path
        The folder of the outputs.
    """
    scans = [_scan_row(record) for record in records]
    outliers = find_outliers(scans)
    for row in scans:
        row["outliers"] = "; ".join(outliers.get(row["scan"], []))
    done = [record for record in records if record.status == DONE]
    return Tables(
        scans,
        [row for record in done for row in _own_rows(record, out, "lesions.csv")],
        [row for record in done for row in _own_rows(record, out, "regions.csv")],
        outliers,
    )


def find_outliers(scans: Sequence[Row]) -> dict[str, list[str]]:
    """Return for each scan the checks whose robust z is beyond :data:`OUTLIER_Z`."""
    names = dict.fromkeys(n for row in scans for n in row if n.startswith(("check_", "brain_", "nawm_"))
                          and not n.endswith("_status"))  # fmt: skip
    found: dict[str, list[str]] = {}
    for name in names:
        values = np.array([number(row.get(name)) for row in scans])
        for row, z in zip(scans, robust_z(values), strict=True):
            if abs(z) > OUTLIER_Z:
                found.setdefault(row["scan"], []).append(f"{words(name)} (z {z:+.1f})")
    return found


def robust_z(values: np.ndarray) -> np.ndarray:
    """Return (x - median) / (1.4826 MAD); 0 where there are few values or none differs."""
    known = values[np.isfinite(values)]
    if len(known) < _LEAST_SCANS:
        return np.zeros(len(values))
    middle = np.median(known)
    spread = 1.4826 * np.median(np.abs(known - middle))
    if spread == 0:
        return np.zeros(len(values))
    return np.nan_to_num((values - middle) / spread)


def first_columns(name: str) -> Row:
    """Return whose scan it is, by its BIDS name."""
    entities = entities_of(name)
    session = f"ses-{entities['ses']}" if "ses" in entities else "n/a"
    return {"participant_id": f"sub-{entities['sub']}", "session_id": session, "scan": name}


def _scan_row(record: Record) -> Row:
    summary = record.summary
    row: Row = first_columns(record.name)
    row |= {"status": record.status, "reason": record.reason, "seconds": record.seconds}
    row |= {
        name: summary.get(name)
        for name in (
            "separation",
            "inversion",
            "field_strength_t",
            "brain_ml",
            "lesions",
            "lesion_ml",
        )
    }
    row |= dict(summary.get("acquisition", {}))
    row |= {f"nawm_{name}": value for name, value in summary.get("nawm", {}).items()}
    for check in summary.get("checks", ()):
        name = check_column(check["name"])
        row |= {name: check["value"], f"{name}_status": check["status"]}
    return row


def _own_rows(record: Record, out: Path, table: str) -> Iterable[Row]:
    """Yield the rows of a table of a scan, if it has one."""
    file = out / anat_folder(record.name) / f"{table_prefix(record.name)}{table}"
    if file.relative_to(out).as_posix() not in record.outputs:
        return
    try:
        with file.open(newline="", encoding="utf-8") as stream:
            for row in csv.DictReader(stream):
                yield first_columns(record.name) | row
    except (OSError, ValueError, csv.Error):
        return


def number(value: Any) -> float:
    """Return a value as a number; NaN where it is none."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan


def check_column(name: str) -> str:
    """Return the column of a check by its name."""
    return "check_" + "".join(c if c.isalnum() else "_" for c in name.lower())


def words(name: str) -> str:
    """Return a column in words."""
    return name.removeprefix("check_").replace("_", " ")


def tsv(rows: Sequence[Mapping[str, Any]], least: Sequence[str]) -> str:
    """Return rows as BIDS has tables: tabs, ``n/a`` for what is not known.

    Parameters
    ----------
    rows : sequence of mapping
        Their columns may differ.
    least : sequence of str
        Columns of a table without rows.
    """
    columns = list(dict.fromkeys(name for row in rows for name in row)) or list(least)
    lines = ["\t".join(columns)]
    lines += ["\t".join(_cell(row.get(name)) for name in columns) for row in rows]
    return "\n".join(lines) + "\n"


def _cell(value: Any) -> str:
    if value is None or value == "" or (isinstance(value, float) and not math.isfinite(value)):
        return "n/a"
    return one_line(f"{value:.6g}" if isinstance(value, float) else str(value)) or "n/a"


def dictionary(rows: Sequence[Mapping[str, Any]], known: Mapping[str, str]) -> dict[str, Any]:
    """Return the data dictionary of a table: every column with what it is and its unit."""
    columns = dict.fromkeys(name for row in rows for name in row)
    found: dict[str, Any] = {}
    for name in columns:
        about: dict[str, Any] = {"Description": known.get(name, words(name))}
        unit = next((u for ending, u in _UNITS.items() if name.endswith(ending)), "")
        found[name] = about | ({"Units": unit} if unit else {})
    return found


_UNITS = {
    "_ppb": "ppb", "_hz": "Hz", "_mm3": "mm^3", "_mm": "mm", "_ml": "ml", "_deg": "degree",
    "seconds": "s", "_t": "T",
    "_low": "as the column before", "_high": "as the column before",
}  # fmt: skip

KNOWN_COLUMNS: Mapping[str, str] = {
    "participant_id": "participant, as in the dataset",
    "session_id": "session, as in the dataset",
    "scan": "BIDS name of the scan",
    "status": "done, or failed with a reason",
    "reason": "why the scan failed, in one line",
    "seconds": "what the scan took",
    "brain_ml": "volume of the mask of the maps",
    "lesions": "number of lesions of the segmentation",
    "lesion_ml": "volume of all lesions",
    "outliers": f"checks and values with a robust z beyond {OUTLIER_Z} over all scans",
    "id": "number of the lesion in its segmentation",
    "class_para": "class of chi+ against normal-appearing white matter: hypo, iso, hyper, rim",
    "class_dia": "class of |chi-| against normal-appearing white matter: hypo, iso, hyper",
    "decided_para": "whether the data decide the class of chi+",
    "decided_dia": "whether the data decide the class of |chi-|",
    "region": "name of the region",
    "label": "number of the region in the label map",
}
"""What columns are, where their name does not say it."""
