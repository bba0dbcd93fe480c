"""What a list of lesions shows: columns in the order of a reader, words for classes, swatches.

The table node holds all columns of ``lesions.csv`` with their short names; the list beside the
views shows those that a reader needs, first what he judges: class, confidence, his own class.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from QSMSeparationLib.lesions.classes import CLASSES, class_words

Row = dict[str, str]

_REFERENCES = {
    "shell": "white matter around the lesion",
    "patient": "white matter of the whole brain: too little around the lesion",
}
_CONFIDENCES = ("not classified", "borderline", "probable", "clear")  # the least first


@dataclass(frozen=True)
class Cell:
    """One cell.

    Parameters
    ----------
    text : str
        What is shown.
    sort : float or str
        What rows are sorted by.
    tip : str
        Shown when the cursor rests on it.
    color : str
        ``#rrggbb`` of a swatch before the text; empty for none.
    """

    text: str
    sort: float | str
    tip: str = ""
    color: str = ""


@dataclass(frozen=True)
class Column:
    """One column.

    Parameters
    ----------
    heading, tip : str
        Its title, and what it means.
    cell : callable
        Makes the cell of a row.
    right : bool
        Numbers are aligned to the right.
    """

    heading: str
    tip: str
    cell: Callable[[Row], Cell]
    right: bool = False


def _whole(name: str) -> Callable[[Row], Cell]:
    def cell(row: Row) -> Cell:
        value = _number(row.get(name, ""))
        return Cell("" if math.isnan(value) else f"{value:.0f}", _last(value))

    return cell


def _class(source: str) -> Callable[[Row], Cell]:
    def cell(row: Row) -> Cell:
        """Return the reviewer's class where there is one, in the color of the outline."""
        computed, own = row.get(f"class_{source}", ""), row.get(f"review_{source}", "")
        name = own or computed
        words = class_words(name, source)
        tip = rim_words(row) if name == "rim" else ""
        if own and own != computed:
            tip = f"computed: {class_words(computed, source)}. {tip}".strip()
        if not own and row.get(f"decided_{source}") == "no":
            tip = f"the data do not decide; likeliest: {words}. {tip}".strip()
            words = f"undecided ({words})"
        color = CLASSES[name].color if source == "para" and name in CLASSES else ""
        return Cell(words, words, tip, color)

    return cell


def _review(row: Row) -> Cell:
    """Return the reviewer's own classes."""
    own = [
        f"{title} {class_words(name, source)}"
        for source, title in (("para", "χ+"), ("dia", "|χ−|"))
        if (name := row.get(f"review_{source}", ""))
    ]
    return Cell(", ".join(own), ", ".join(own))


def _confidence(row: Row) -> Cell:
    """Return the lesser of the two confidences."""
    para, dia = row.get("confidence_para", ""), row.get("confidence_dia", "")
    known = [word for word in (para, dia) if word in _CONFIDENCES]
    text = min(known, key=_CONFIDENCES.index, default=para)
    return Cell(text, text, f"χ+: {para}; |χ−|: {dia}" if dia else f"χ+: {para}")


def _difference(source: str) -> Callable[[Row], Cell]:
    def cell(row: Row) -> Cell:
        start = f"{source}_core_minus_nawm"
        value, low, high = (
            _number(row.get(f"{start}_{end}", "")) for end in ("ppb", "low", "high")
        )
        if math.isnan(value):
            return Cell("", _last(value))
        tip = f"reference: {_REFERENCES.get(row.get('reference', ''), 'white matter')}"
        if not math.isnan(low):
            tip = f"95 % interval {low:+.1f} to {high:+.1f} ppb; {tip}"
        return Cell(f"{value:+.1f}".replace("-", "−"), value, tip)

    return cell


def _plain(name: str) -> Callable[[Row], Cell]:
    return lambda row: Cell(row.get(name, ""), row.get(name, ""))


def _location(row: Row) -> Cell:
    text = row.get("part") or row.get("location", "")
    return Cell(text, text, row.get("location", ""))


_AGAINST = "core of the lesion minus normal-appearing white matter (NAWM)"

COLUMNS = (
    Column("#", "Number of the lesion", _whole("id"), right=True),
    Column("χ+", "Class in χ+, the reviewer's where there is one; its color is that of the outline",
           _class("para")),
    Column("|χ−|", "Class in |χ−|, the reviewer's where there is one", _class("dia")),
    Column("Confidence", "How sure the computed classes are: the lesser of χ+ and |χ−|",
           _confidence),
    Column("Reviewer", "The reviewer's own classes", _review),
    Column("Remark", "The reviewer's remark", _plain("remark")),
    Column("χ+ − NAWM [ppb]", f"χ+: {_AGAINST}", _difference("para"), right=True),
    Column("|χ−| − NAWM [ppb]", f"|χ−|: {_AGAINST}", _difference("dia"), right=True),
    Column("Location", "Where it lies", _location),
    Column("mm³", "Volume", _whole("volume_mm3"), right=True),
)  # fmt: skip
"""Columns in the order in which they are shown."""


def rim_words(row: Row) -> str:
    """Return what a rim rests on; empty where the table does not say it."""
    coverage = _number(row.get("rim_coverage", ""))
    if math.isnan(coverage):
        return ""
    arc = _number(row.get("rim_longest_arc_deg", ""))
    slices = _number(row.get("rim_consecutive_slices", ""))
    contrast = _number(row.get("rim_contrast_ppb", ""))
    parts = [f"Rim over {100 * coverage:.0f} % of the edge"]
    if not math.isnan(arc):
        parts.append(f"longest arc {arc:.0f}°")
    if not math.isnan(slices):
        parts.append(f"{slices:.0f} slices in a row")
    if not math.isnan(contrast):
        parts.append(f"{contrast:.0f} ppb above core and white matter")
    return ", ".join(parts)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _last(value: float) -> float:
    """Return a number to sort by: a missing one comes last."""
    return math.inf if math.isnan(value) else value
