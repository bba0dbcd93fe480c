"""Draw a person and scan it."""

from __future__ import annotations

from QSMSeparationLib.data.scan import Scan
from QSMSeparationLib.data.volume import Volume
from QSMSeparationLib.runtime.memory import least_memory
from QSMSeparationLib.runtime.progress import Progress
from QSMSeparationLib.simulation.departures import Departure, as_drawn
from QSMSeparationLib.simulation.protocol import Protocol
from QSMSeparationLib.simulation.realism import Realism
from QSMSeparationLib.simulation.scanner import Truth

STANDARD_SPIN_ECHO_S = tuple(round(0.012 * n, 3) for n in range(1, 9))


@least_memory()
def scan_person(
    seed: int,
    protocol: Protocol,
    name: str,
    progress: Progress,
    lesion_count: int = 16,
    age_years: float | None = None,
    labels: Volume | None = None,
    lesion_masks: list[Volume] | tuple[Volume, ...] = (),
    moved: float = 0.0,
    realism: Realism | None = None,
    change: Departure = as_drawn,
) -> tuple[Scan, Truth, list[dict]]:
    """Draw a person and scan it; returns the scan, the truth and the lesions' truth rows.

    Without ``realism`` (level 0) the voxels hold what the equations say, and noise. ``change`` makes
    another head of the one that was drawn (:mod:`QSMSeparationLib.simulation.departures`).
    """
    from QSMSeparationLib.simulation.lesions import truth_rows
    from QSMSeparationLib.simulation.person import draw_head
    from QSMSeparationLib.simulation.rasterize import rasterize
    from QSMSeparationLib.simulation.scanner import simulate_scan

    with progress.stage("anatomy and lesions") as report:
        head = draw_head(
            seed, lesion_count, age_years, labels, lesion_masks, moved, report, realism
        )
        head = change(head)
    with progress.stage("tissue maps") as report:
        fine = rasterize(head, protocol.fine_spacing_mm, report)
    rows = truth_rows(head.lesions)
    del head
    with progress.stage("field and signal") as report:
        scan, truth = simulate_scan(fine, protocol, name, report, realism)
    return scan, truth, rows
