"""Scans that were found but not read yet, so that a large dataset need not fit in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from QSMSeparationLib.data.scan import Scan
from QSMSeparationLib.runtime.progress import Report, silent


@dataclass(frozen=True)
class FoundScan:
    """A scan of which the files are known, and what is needed to read it.

    Parameters
    ----------
    name : str
        BIDS name of the subject (and session, run): ``sub-01``.
    reader : callable
        Reads the scan; takes a ``report(done, of)``.
    files : tuple of Path
        Its images, where they are known before it is read.
    """

    name: str
    reader: Callable[[Report], Scan]
    files: tuple[Path, ...] = ()

    def read(self, report: Report = silent) -> Scan:
        """Read the scan.

        Raises
        ------
        InputError
            When it is incomplete or its files contradict each other.
        """
        return self.reader(report)


def read_all(found: Sequence[FoundScan], report: Report = silent) -> list[Scan]:
    """Read every scan; the reports of all add up to one whole."""
    return [one.read(partial(_share, report, n, len(found))) for n, one in enumerate(found)]


def _share(report: Report, n: int, count: int, done: int, of: int) -> None:
    report(n * of + done, count * of)
