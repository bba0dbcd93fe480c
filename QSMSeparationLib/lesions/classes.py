"""The classes of lesions: their words for readers and their colors, the same everywhere.

Tables for machines keep the short names (``hypo``, ``iso``, ``hyper``, ``rim``, ``small``).
Readers get words that cannot be misread: "hypo" of a negative quantity could mean less
myelin or a more negative value.
"""

from __future__ import annotations

from dataclasses import dataclass

from QSMSeparationLib.data.axes import Triple


@dataclass(frozen=True)
class LesionClass:
    """One class.

    Parameters
    ----------
    name : str
        Short name.
    para : str
        Words for it in chi+.
    dia : str
        Words for it in |chi-|; empty where the class does not occur.
    color : str
        ``#rrggbb``, of outlines and markers.
    """

    name: str
    para: str
    dia: str
    color: str


# Colors of Okabe and Ito (2008), told apart by color-blind readers, that are bright enough on a
# dark head. Their yellow and orange are left out: Slicer's crosshair is yellow.
_ROWS = (
    LesionClass("hypo", "less iron", "less myelin", "#56B4E9"),
    LesionClass("iso", "as NAWM", "as NAWM", "#009E73"),
    LesionClass("hyper", "more iron", "more |χ−|", "#D55E00"),
    LesionClass("rim", "iron rim", "", "#CC79A7"),
    LesionClass("small", "under 3 mm", "under 3 mm", "#C0C0C0"),
)

CLASSES: dict[str, LesionClass] = {row.name: row for row in _ROWS}
"""All classes by name, in the order of tables and legends."""

PARA_CLASSES: tuple[str, ...] = tuple(CLASSES)
"""Classes in chi+."""

DIA_CLASSES: tuple[str, ...] = tuple(name for name, row in CLASSES.items() if row.dia)
"""Classes in |chi-|."""


def class_words(name: str, source: str) -> str:
    """Return what a reader reads of a class in ``para`` or ``dia``; other text as it is."""
    row = CLASSES.get(name)
    return getattr(row, source) if row is not None else name


def plain_class_words(name: str, source: str) -> str:
    """Return the same for fonts without Greek letters."""
    return class_words(name, source).replace("χ", "chi").replace("−", "-")


def class_rgb(name: str) -> Triple:
    """Return the color of a class as numbers from 0 to 1; that of ``iso`` for an unknown one."""
    code = CLASSES.get(name, CLASSES["iso"]).color
    red, green, blue = (int(code[n : n + 2], 16) / 255 for n in (1, 3, 5))
    return red, green, blue
