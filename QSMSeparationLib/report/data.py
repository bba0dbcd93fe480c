"""Everything that goes into one report: :class:`ReportData`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from QSMSeparationLib.anatomy.regions import Region
from QSMSeparationLib.data.check import Check
from QSMSeparationLib.data.volume import Volume
from QSMSeparationLib.lesions.results import LesionReport


@dataclass(frozen=True, eq=False)
class ReportData:
    """Everything that goes into one report.

    Parameters
    ----------
    maps : mapping of str to Volume
        Maps as files hold them, on one grid; those of
        :data:`~QSMSeparationLib.data.quantities.IN_REPORT` are shown.
    mask : Volume
        The brain; voxels outside it are not stored.
    lesions : LesionReport, optional
        The lesions.
    regions : sequence of Region
        Maps measured in labeled regions.
    checks : sequence of Check
        Checks of the data.
    parameters : mapping of str to mapping
        Settings by group: ``{"separation: closed-form": {"Dr+": "114 Hz/ppm"}}``.
    provenance : mapping
        Software, weights, input hashes, device, seconds.
    notes : sequence of str
        What the reader must see first.
    r2prime_estimated : bool
        The separation used an R2' that was estimated from R2*, not measured.
    estimated_maps : sequence of str
        Maps that are estimates themselves: their titles say so.
    b0_tesla : float
        Field strength, which windows of relaxation rates grow with.
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
    r2prime_estimated: bool = False
    estimated_maps: Sequence[str] = ()
    b0_tesla: float = 3.0
    subject: str = ""
    title: str = "Susceptibility source separation"

    def map_title(self, name: str, row_title: str) -> str:
        """Return the heading of a map, which says whether it is an estimate."""
        return f"{row_title} (estimated)" if name in self.estimated_maps else row_title
