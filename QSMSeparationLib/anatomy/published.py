"""Published values of healthy adults, by region: what a table of regions is compared with.

106 adults of 62.1 +- 15.8 years at 3 T, maps of chi-separation (SNU-LIST/chi-separation-atlas,
mean and SD over people, in ppb; |chi-| as a positive number). The figures are cited, the maps
behind them are not ours. Other methods, relaxivities and sequences move such values by more
than people differ: a z-score says how unusual a value is for *that* pipeline.
"""

from __future__ import annotations

from dataclasses import dataclass

SOURCE = (
    "106 healthy adults, 62.1 +- 15.8 years, 3 T, chi-separation atlas (Seoul National "
    "University, LIST, github.com/SNU-LIST/chi-separation-atlas)"
)
CAUTION = (
    "Other methods, relaxivities and sequences move these values by more than people differ, and "
    "no slope by age was published: a z-score is a hint where to look, not a finding."
)


@dataclass(frozen=True)
class Range:
    """Mean and SD over people, in ppb.

    Parameters
    ----------
    para, para_sd, dia, dia_sd : float
        chi+ and |chi-|.
    """

    para: float
    para_sd: float
    dia: float
    dia_sd: float


RANGES: dict[str, Range] = {
    "caudate": Range(47.7, 7.4, 8.2, 4.9),
    "putamen": Range(77.1, 20.6, 10.3, 5.9),
    "pallidum": Range(131.9, 10.4, 12.6, 7.3),
    "accumbens": Range(45.4, 13.2, 23.4, 5.6),
    "substantia nigra": Range(115.7, 14.4, 11.1, 4.5),
    "red nucleus": Range(112.0, 14.8, 10.1, 4.1),
    "subthalamic nucleus": Range(112.1, 12.1, 15.3, 5.9),
    "thalamus": Range(22.9, 4.1, 20.8, 3.6),
    "white matter": Range(16.8, 1.1, 28.8, 1.9),
}
"""By the name of a region without its side."""

_SAME = {
    "substantia nigra and subthalamic nucleus": "substantia nigra",
    "globus pallidus": "pallidum",
    "cerebral white matter": "white matter",
    "accumbens area": "accumbens",
}
"""Names that are measured against a range of another name."""


def range_of(region: str) -> Range | None:
    """Return the published range of a region, with or without a side in its name."""
    name = region.lower().replace("-", " ").replace("_", " ").strip()
    name = name.removeprefix("left ").removeprefix("right ")
    return RANGES.get(_SAME.get(name, name))
