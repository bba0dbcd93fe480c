"""The tables and the page over all scans of a cohort."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from QSMSeparationLib import __version__
from QSMSeparationLib.cohort.charts import strip_chart
from QSMSeparationLib.cohort.group import (
    FIRST,
    KNOWN_COLUMNS,
    OUTLIER_Z,
    Row,
    Tables,
    check_column,
    dictionary,
    first_columns,
    gather,
    number,
    tsv,
    words,
)
from QSMSeparationLib.cohort.records import DONE, FAILED, Record, read_records
from QSMSeparationLib.cohort.scans import scan_names
from QSMSeparationLib.cohort.thumbnails import FOLDER as THUMBNAILS
from QSMSeparationLib.cohort.visits import compare_all
from QSMSeparationLib.io.bids_names import table_prefix
from QSMSeparationLib.io.derivatives import anat_folder
from QSMSeparationLib.io.description import describe_results
from QSMSeparationLib.io.outputs import Outputs
from QSMSeparationLib.lesions.classes import CLASSES, class_words
from QSMSeparationLib.lesions.table import FIRST_COLUMNS
from QSMSeparationLib.report.page import (
    RESEARCH_USE,
    asset,
    content_policy,
    environment,
    page_script,
)
from QSMSeparationLib.runtime.errors import InputError
from QSMSeparationLib.runtime.progress import Progress

_PACKAGE = "QSMSeparationLib.cohort"
_WORST = ("fail", "warn", "pass")
_NAWM = {"nawm_para_ppb": "χ+ of NAWM", "nawm_dia_ppb": "|χ−| of NAWM"}
_GROUPED = ("session_id", "scanner", "site")
_REGIONS = ("putamen", "globus pallidus", "caudate", "thalamus", "white matter")


def write_group(root: Path, out: Path, progress: Progress, visits: bool = False) -> dict[str, str]:
    """Write cohort.tsv, lesions.tsv, regions.tsv with their dictionaries, and cohort.html.

    Parameters
    ----------
    root : Path
        The dataset.
    out : Path
        The folder of the derivatives.
    progress : Progress
        Receives the stages.
    visits : bool
        Whether lesions of consecutive visits are compared, which opens the maps.
    """
    with progress.stage("reading tables"):
        records = read_records(out)
        if not records:
            raise InputError(f"{out} holds no record of a scan; run the level 'participant' first")
        tables = gather(records, out)
        known = {record.name for record in records}
        missing = [name for name in scan_names(root) if name not in known]
    compared = compare_all(records, out, progress) if visits else []
    outputs = Outputs(out, overwrite=True)
    describe_results(out)
    with outputs, progress.stage("writing"):
        for name, rows in (
            ("cohort", tables.scans), ("lesions", tables.lesions), ("regions", tables.regions),
        ):  # fmt: skip
            outputs.text(f"{name}.tsv", tsv(rows, _least(name)), what=name)
            outputs.json(f"{name}.json", dictionary(rows, KNOWN_COLUMNS))
        page = render_page(tables, records, missing, root.name, compared)
        outputs.text("cohort.html", page, what="cohort.html")
    return outputs.written


def _least(name: str) -> tuple[str, ...]:
    """Return the columns of a table that has no rows."""
    own = {"lesions": FIRST_COLUMNS, "regions": ("label", "region")}
    return (*FIRST, *own.get(name, ()))


def render_page(
    tables: Tables,
    records: Sequence[Record],
    missing: Sequence[str],
    name: str,
    visits: Sequence[Row] = (),
) -> str:
    """Return cohort.html.

    Parameters
    ----------
    tables : Tables
        Rows of all scans, lesions and regions.
    records : sequence of Record
        Of all scans.
    missing : sequence of str
        Scans of the dataset that were not run yet.
    name : str
        Of the dataset.
    visits : sequence of dict
        Change between visits, a row a pair.
    """
    script = page_script("cohort.js", _PACKAGE)
    style = asset("report.css") + asset("cohort.css", _PACKAGE)
    done = [row for row in tables.scans if row["status"] == DONE]
    failed = [row for row in tables.scans if row["status"] == FAILED]
    heads, checks = _checks(done, tables, _check_titles(records))
    return (
        environment()
        .from_string(asset("cohort.html", _PACKAGE))
        .render(
            policy=content_policy(script, style, pictures="'self' file:"),
            style=Markup(style),
            script=Markup(script),
            name=name,
            use=RESEARCH_USE,
            tiles=_tiles(done, failed, missing, tables),
            failed=failed,
            missing=list(missing),
            charts=_charts(done, tables),
            classes=_classes(tables),
            visits=[_visit(row) for row in visits],
            done=[_shot(row, tables) for row in done],
            check_heads=heads,
            checks=checks,
            limit=OUTLIER_Z,
            version=__version__,
        )
    )


def _tiles(
    done: Sequence[Row], failed: Sequence[Row], missing: Sequence[str], tables: Tables
) -> list[tuple[str, list[tuple[int, str]]]]:
    people = len({row["participant_id"] for row in tables.scans})
    worst = [_worst(row)[0] for row in done]
    return [
        ("Scans", [(len(done), "done"), (len(failed), "failed"), (len(missing), "not run yet")]),
        ("Participants", [(people, "with a scan")]),
        ("Data checks", [(worst.count("pass"), "scans passed"), (worst.count("warn"), "with warnings"),
                         (worst.count("fail"), "with a failed check")]),
        ("Far from the others", [(len(tables.outliers), "scans")]),
        ("Lesions", [(len(tables.lesions), "in all")]),
    ]  # fmt: skip


def _shot(row: Row, tables: Tables) -> Row:
    """Return a scan for the pictures: its report, thumbnail, worst check and marks."""
    worst, said = _worst(row)
    return _links(row["scan"]) | {
        "worst": worst,
        "said": said,
        "marks": "; ".join(tables.outliers.get(row["scan"], [])),
        "odd": _is_odd(row, tables),
    }


def _visit(row: Row) -> Row:
    """Return a pair of visits with the links of both scans."""
    sessions = ({"session": first_columns(scan)["session_id"]} for scan in row["scans"])
    return row | {
        "visits": [_links(s) | own for s, own in zip(row["scans"], sessions, strict=True)]
    }


def _links(scan: str) -> Row:
    """Return where report and thumbnail of a scan lie."""
    return {
        "scan": scan,
        "report": _report_of(scan),
        "picture": quote(f"{THUMBNAILS}/{scan}.jpg"),
    }


def _is_odd(row: Row, tables: Tables) -> bool:
    return _worst(row)[0] != "pass" or row["scan"] in tables.outliers


def _worst(row: Row) -> tuple[str, str]:
    """Return the worst status of a scan's checks, and which checks have it."""
    statuses = {n.removesuffix("_status"): v for n, v in row.items() if n.endswith("_status")}
    for status in _WORST[:-1]:
        names = [name for name, value in statuses.items() if value == status]
        if names:
            return status, ", ".join(words(n) for n in names)
    return "pass", ""


def _check_titles(records: Sequence[Record]) -> dict[str, str]:
    """Return the name of every check, as it is written in reports, by its column."""
    checks = (check for record in records for check in record.summary.get("checks", ()))
    return {check_column(check["name"]): check["name"] for check in checks}


def _checks(
    done: Sequence[Row], tables: Tables, titles: dict[str, str]
) -> tuple[list[str], list[Row]]:
    """Return the headings of all checks, and the values of every scan with their verdicts."""
    names = [n for n in dict.fromkeys(n for row in done for n in row)
             if n.startswith("check_") and not n.endswith("_status")]  # fmt: skip
    rows = []
    for row in done:
        marks = tables.outliers.get(row["scan"], [])
        far = {mark.rsplit(" (z", 1)[0] for mark in marks}
        cells = [
            (_shown(row.get(name)), row.get(f"{name}_status", ""), words(name) in far)
            for name in names
        ]
        rows.append(
            {
                "scan": row["scan"],
                "report": _report_of(row["scan"]),
                "odd": _is_odd(row, tables),
                "cells": cells,
            }
        )
    return [titles.get(name, words(name)) for name in names], rows


def _charts(done: Sequence[Row], tables: Tables) -> list[tuple[str, Markup]]:
    """Return charts of NAWM and regions by session, scanner and site, where these differ."""
    found = []
    for by in _GROUPED:
        groups = {row["scan"]: row.get(by) or "n/a" for row in done}
        if by != "session_id" and len(set(groups.values())) < 2:
            continue
        words = by.removesuffix("_id")
        for name, title in _NAWM.items():
            values = [(groups[row["scan"]], row.get(name)) for row in done]
            found += _chart(f"{title} by {words}", values)
        for region in _REGIONS:
            values = [
                (groups[row["scan"]], row.get("para_mean_ppb"))
                for row in tables.regions
                if region in str(row.get("region", "")).lower() and row["scan"] in groups
            ]
            found += _chart(f"χ+ of {region} by {words}", values)
    return found


def _chart(title: str, values: Sequence[tuple[str, Any]]) -> list[tuple[str, Markup]]:
    groups: dict[str, list[float]] = {}
    for group, value in values:
        if not math.isnan(known := number(value)):
            groups.setdefault(str(group), []).append(known)
    return [(title, strip_chart(dict(sorted(groups.items())), "ppb"))] if groups else []


def _classes(tables: Tables) -> dict[str, list[Any]]:
    """Return how many lesions each class has, by session."""
    columns: list[tuple[str, str]] = [
        (source, name)
        for source in ("para", "dia")
        for name in CLASSES
        if any(row.get(f"class_{source}") == name for row in tables.lesions)
    ]
    heads = [class_words(name, source) for source, name in columns]
    rows = []
    for session in sorted({row["session_id"] for row in tables.lesions}):
        own = [row for row in tables.lesions if row["session_id"] == session]
        counts = [sum(r.get(f"class_{source}") == name for r in own) for source, name in columns]
        rows.append({"session": session, "lesions": len(own), "counts": counts})
    return {"heads": heads, "rows": rows}


def _report_of(scan: str) -> str:
    return quote(f"{anat_folder(scan)}/{table_prefix(scan)}report.html")


def _shown(value: Any) -> str:
    known = number(value)
    return "–" if math.isnan(known) else f"{known:.3g}"
