"""Tables as CSV: a point in numbers, an empty cell for what is not known, no formulas."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence
from numbers import Real
from typing import Any

_MOST_EXACT = 1e15  # whole numbers up to here are exact in double precision


def csv_text(columns: Sequence[str], rows: Iterable[Iterable[Any]]) -> str:
    """Return a table as CSV with Unix line ends; see :func:`cell` for its values."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([cell(value) for value in row] for row in rows)
    return stream.getvalue()


def rows_to_csv(rows: Sequence[dict[str, Any]]) -> str:
    """Return rows as CSV; the header is the first row's keys."""
    if not rows:
        return ""
    columns = list(rows[0])
    return csv_text(columns, ([row.get(name) for name in columns] for row in rows))


def cell(value: Any) -> str:
    """Return a value as a cell: six digits of a number, empty for None, NaN and infinity."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Real):
        number = float(value)
        if not math.isfinite(number):
            return ""
        whole = number.is_integer() and abs(number) < _MOST_EXACT
        return str(int(number)) if whole else f"{number:.6g}"
    return no_formula(one_line(str(value)))


def no_formula(text: str) -> str:
    """Put a quote before text that a spreadsheet would run as a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@") else text


def one_line(text: str) -> str:
    """Return text without line breaks or control characters."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
