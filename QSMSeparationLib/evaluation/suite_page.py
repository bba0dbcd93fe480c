"""The page of the suite: a table a stage and kind, and the same as rows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from QSMSeparationLib.evaluation.lesions import summarize
from QSMSeparationLib.evaluation.metrics import line_through
from QSMSeparationLib.evaluation.suite import KINDS

Row = dict[str, Any]

SEPARATION_COLUMNS: Mapping[str, tuple[str, int]] = {
    "para_nrmse_percent": ("chi+ NRMSE %", 1),
    "dia_nrmse_percent": ("chi- NRMSE %", 1),
    "para_xsim": ("chi+ XSIM", 3),
    "dia_xsim": ("chi- XSIM", 3),
    "lesion_para_slope": ("chi+ lesion slope", 2),
    "lesion_para_r": ("r", 2),
    "lesion_dia_slope": ("chi- lesion slope", 2),
    "lesion_dia_r": ("r", 2),
    "class_para_kappa": ("chi+ kappa", 2),
    "class_dia_kappa": ("chi- kappa", 2),
}
INVERSION_COLUMNS: Mapping[str, tuple[str, int]] = {
    "net_demeaned_nrmse_percent": ("net NRMSE %", 1),
    "net_xsim": ("net XSIM", 3),
    "net_hfen_percent": ("net HFEN %", 1),
    "lesion_net_slope": ("lesion slope", 2),
    "lesion_net_r": ("r", 2),
    "seconds": ("s", 1),
}
"""Columns of both tables: heading and digits."""


def summary_rows(found: Sequence[Mapping[str, Any]]) -> dict[str, list[Row]]:
    """Return a row a kind and method, of ``separations`` and of ``inversions``.

    Maps: the mean over heads. Lesions: over those of all heads of the kind together.
    """
    rows: dict[str, list[Row]] = {"separations": [], "inversions": []}
    for kind in KINDS:
        heads = [one for one in found if one["kind"] == kind]
        for part, columns in (
            ("separations", SEPARATION_COLUMNS),
            ("inversions", INVERSION_COLUMNS),
        ):
            names = dict.fromkeys(name for head in heads for name in head[part])
            for name in names:
                own = [head[part][name] for head in heads if name in head[part]]
                row: Row = {"kind": kind, "method": name, "heads": len(own)}
                row |= _means([one["scores"] for one in own], columns)
                lesions = [_with_case(n, r) for n, one in enumerate(own) for r in one["lesions"]]
                row["lesions"] = len(lesions)
                row |= _of_lesions(lesions, part)
                rows[part].append({n: None if v != v else v for n, v in row.items()})  # no NaN
    return rows


def markdown_page(rows: Mapping[str, Sequence[Row]], about: str) -> str:
    """Return the page: inversions and separations, kind by kind."""
    parts = ["# The suite", about]
    for part, columns in (("separations", SEPARATION_COLUMNS), ("inversions", INVERSION_COLUMNS)):
        if rows[part]:
            parts.append(f"## {part.capitalize()}")
        for kind, title in ((name, one.title) for name, one in KINDS.items()):
            own = [row for row in rows[part] if row["kind"] == kind]
            if own:
                parts += [f"### {title}", _table(own, columns)]
    return "\n\n".join(parts) + "\n"


def _table(rows: Sequence[Row], columns: Mapping[str, tuple[str, int]]) -> str:
    head = ["method", "heads", "lesions", *(title for title, _ in columns.values())]
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    for row in rows:
        cells = [row["method"], str(row["heads"]), str(row["lesions"])]
        cells += [_shown(row.get(name), digits) for name, (_, digits) in columns.items()]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _shown(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _with_case(number: int, row: Mapping[str, Any]) -> Row:
    """Return a lesion's row with its head, and NaN where JSON has none."""
    return {name: math.nan if v is None else v for name, v in row.items()} | {"case": number}


def _means(scores: Sequence[Mapping[str, Any]], columns: Mapping[str, Any]) -> Row:
    found = {}
    for name in columns:
        values = [one[name] for one in scores if one.get(name) is not None]
        if values:
            found[name] = float(np.mean(values))
    return found


def _of_lesions(lesions: Sequence[Row], part: str) -> Row:
    if part == "separations":
        return summarize(lesions) if lesions else {}
    pairs = [(row["true_net"], row["net"]) for row in lesions]
    slope, r = line_through(*zip(*pairs, strict=True)) if len(pairs) > 2 else (math.nan, math.nan)
    return {"lesion_net_slope": slope, "lesion_net_r": r}
