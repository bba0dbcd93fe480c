"""A check of the data with its number: :class:`Check`."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Literal, get_args

Status = Literal["pass", "warn", "fail"]


@dataclass(frozen=True)
class Check:
    """One check of the data.

    Parameters
    ----------
    name : str
        What was checked.
    status : {"pass", "warn", "fail"}
        The verdict.
    value : float
        The number behind it; NaN where it could not be had.
    unit : str
        Unit of the number.
    limits : str
        Where pass ends and where fail begins, in words.
    advice : str
        What to do; empty when passed.
    """

    name: str
    status: Status
    value: float
    unit: str
    limits: str
    advice: str = ""

    def __post_init__(self) -> None:
        if self.status not in get_args(Status):
            raise ValueError(f"a check is one of {', '.join(get_args(Status))}: '{self.status}'")

    @property
    def finding(self) -> str:
        """The number with its unit and limits, in words."""
        number = "not measured" if math.isnan(self.value) else f"{self.value:.4g} {self.unit}"
        return f"{number.strip()} ({self.limits})" if self.limits else number.strip()

    def as_dict(self) -> dict[str, str | float | None]:
        """Return plain data for JSON; a missing number is None."""
        row = asdict(self)
        row["value"] = None if math.isnan(self.value) else round(self.value, 4)
        return row
