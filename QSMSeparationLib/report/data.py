"""What a report shows: :class:`ReportData`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from QSMSeparationLib.anatomy.regions import Region
from QSMSeparationLib.data.volume import Volume
from QSMSeparationLib.lesions.results import LesionReport
from QSMSeparationLib.runtime.errors import InputError

STATUSES = ("pass", "warn", "fail")


@dataclass(frozen=True)
class Check:
    """One check of the data.

    Parameters
    ----------
    name : str
        What was checked.
    status : str
        ``pass``, ``warn`` or ``fail``.
    finding : str
        What was found, with the number.
    advice : str
        What to do about it; empty when it passed.
    """

    name: str
    status: str
    finding: str
    advice: str = ""

    @classmethod
    def of_number(
        cls, name: str, status: str, value: float, unit: str, limits: str, advice: str = ""
    ) -> Check:
        """Return the check of a measured number; ``limits`` says where pass and fail lie."""
        number = "not measured" if not math.isfinite(value) else f"{value:.4g} {unit}".strip()
        return cls(name, status, f"{number} ({limits})" if limits else number, advice)

    def __post_init__(self) -> None:
        if self.status not in STATUSES:
            raise InputError(f"a check is one of {', '.join(STATUSES)}, not '{self.status}'")


@dataclass(frozen=True, eq=False)
class ReportData:
    """Everything that goes into one report.

    Parameters
    ----------
    maps : mapping of str to Volume
        ``net``, ``chi_para``, ``chi_dia`` in ppm (signed), ``r2star``, ``r2prime`` in Hz,
        on one grid; those that are missing are not shown.
    mask : Volume
        The brain; voxels outside it are not stored.
    lesions : LesionReport, optional
        The lesions.
    regions : sequence of Region
        Maps measured in labelled regions.
    checks : sequence of Check
        Checks of the data.
    parameters : mapping of str to mapping
        Settings by group: ``{"separation: closed-form": {"Dr+": "114 Hz/ppm"}}``.
    provenance : mapping
        Software, weights, input hashes, device, seconds.
    notes : sequence of str
        What the reader must see first.
    estimated : sequence of str
        Maps that were estimated, not measured (``r2prime``): their titles say so.
    subject : str
        Name without identity, as in BIDS.
    title : str
        Heading.
    """

    maps: Mapping[str, Volume]
    mask: Volume
    lesions: LesionReport | None = None
    regions: Sequence[Region] = ()
    checks: Sequence[Check] = ()
    parameters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    notes: Sequence[str] = ()
    estimated: Sequence[str] = ()
    subject: str = ""
    title: str = "Susceptibility source separation"
