"""Change of lesions from visit to visit, for participants with more than one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

from QSMSeparationLib.cohort.group import Row, first_columns
from QSMSeparationLib.cohort.records import DONE, Record
from QSMSeparationLib.io.derivatives import anat_folder
from QSMSeparationLib.io.outputs import Outputs
from QSMSeparationLib.io.results import read_result
from QSMSeparationLib.lesions.compare import (
    Comparison,
    compare_visits,
    comparison_summary,
    comparison_table,
)
from QSMSeparationLib.lesions.results import LesionReport
from QSMSeparationLib.report.write import analyze
from QSMSeparationLib.runtime.errors import InputError
from QSMSeparationLib.runtime.progress import Progress

FOLDER = "visits"
"""Below the folder of a participant."""


def compare_all(records: Sequence[Record], out: Path, progress: Progress) -> list[Row]:
    """Compare consecutive visits of every participant; returns a row a pair, with both names (``scans``).

    A pair that was compared before, from the same results, is not compared again. Visits that can't
    be compared are told and left out.

    Parameters
    ----------
    records : sequence of Record
        Of all scans.
    out : Path
        The folder of the outputs.
    progress : Progress
        Receives the stages.
    """
    pairs = visit_pairs(records)
    rows = []
    with progress.stage("visits") as report:
        for number, (first, second) in enumerate(pairs, start=1):
            try:
                row = _compared(first, second, out, progress.part())
                rows.append(row | {"scans": [first.name, second.name]})
            except InputError as error:
                progress.message(f"{first.name} and {second.name} are not compared: {error}")
            report(number, len(pairs))
    return rows


def visit_pairs(records: Sequence[Record]) -> list[tuple[Record, Record]]:
    """Return consecutive sessions of one participant that are done and have lesions."""
    able = [
        record
        for record in sorted(records, key=lambda r: r.name)
        if record.status == DONE
        and record.summary.get("lesions")
        and first_columns(record.name)["session_id"] != "n/a"
    ]
    return [
        pair
        for _, own in groupby(able, key=lambda r: first_columns(r.name)["participant_id"])
        for pair in pairwise(own)
        if len({first_columns(one.name)["session_id"] for one in pair}) == 2
    ]


def _compared(first: Record, second: Record, out: Path, progress: Progress) -> Row:
    """Return what a pair of visits shows; from its file where that is up to date."""
    a, b = (first_columns(one.name) for one in (first, second))
    name = f"{a['participant_id']}/{FOLDER}/{a['session_id']}_{b['session_id']}_comparison"
    made_from = _fingerprint(first, second)
    row = _stored(out / f"{name}.json", made_from)
    if row is not None:
        return row
    found = compare_visits(_report_of(first, out, progress), _report_of(second, out, progress))
    row = {
        "participant": a["participant_id"],
        "pair": f"{a['session_id']} to {b['session_id']}",
        "matched": len(found.pairs),
        "new": len(found.only_second),
        "gone": len(found.only_first),
        "para": _changed(found, "chi_para"),
        "dia": _changed(found, "chi_dia"),
    }
    with Outputs(out, overwrite=True) as outputs:
        outputs.text(f"{name}.csv", comparison_table(found))
        content = comparison_summary(found) | {"MadeFrom": made_from, "Row": row}
        outputs.json(f"{name}.json", content)
    return row


def _report_of(record: Record, out: Path, progress: Progress) -> LesionReport:
    result, labels = read_result(out / anat_folder(record.name))
    report = analyze(result, labels, progress)
    if report is None:
        raise InputError(f"{record.name} has no lesion labels")
    return report


def _changed(found: Comparison, name: str) -> int:
    return sum(pair.changed.get(name, False) for pair in found.pairs)


def _fingerprint(*records: Record) -> str:
    content: Any = [
        (r.name, dict(r.recipe), {k: dict(v) for k, v in r.inputs.items()}) for r in records
    ]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _stored(file: Path, made_from: str) -> Row | None:
    try:
        stored = json.loads(file.read_text(encoding="utf-8"))
        return dict(stored["Row"]) if stored["MadeFrom"] == made_from else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
