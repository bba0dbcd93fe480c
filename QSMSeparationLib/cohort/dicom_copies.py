"""DICOM copies of a run: written beside each result, and refused before anything is computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from QSMSeparationLib.data.scan import Scan
from QSMSeparationLib.io.bids_names import table_prefix
from QSMSeparationLib.io.dicom_out.source import files_of_series
from QSMSeparationLib.io.dicom_out.write import require_new_folder
from QSMSeparationLib.io.found import FoundScan
from QSMSeparationLib.io.outputs import Outputs
from QSMSeparationLib.pipeline.dicom_export import (
    WITH_EXTRA,
    export_dicom,
    has_highdicom,
    require_series,
)
from QSMSeparationLib.runtime.errors import Cancelled, InputError, QSMSeparationError
from QSMSeparationLib.runtime.failures import FAILURES, one_line_reason
from QSMSeparationLib.runtime.progress import Progress, Report

FOLDER = "dicom"
"""Where copies lie, beside the report and after the same prefix."""


@dataclass(frozen=True)
class DicomCopies:
    """What copies of a run go with.

    Parameters
    ----------
    series : tuple of Path
        Files of the series that the scan was converted from; empty where scans are DICOM themselves.
    anonymous : bool
        Leave out who it is.
    """

    series: tuple[Path, ...] = ()
    anonymous: bool = False

    def refuse_existing(self, found: FoundScan, outputs: Outputs) -> None:
        """Raise InputError before any work when something is where the copies go."""
        require_new_folder(place(found.name, outputs), outputs.overwrite)

    def checked(self, found: FoundScan) -> FoundScan:
        """Return a scan that is refused as soon as it is read where no copies can go with it."""
        return replace(found, reader=partial(self._read, found))

    def write(self, found: FoundScan, outputs: Outputs, progress: Progress) -> str:
        """Write the copies of a result that was just written; returns their folder."""
        result, out = Path(outputs.written["chi_para"]), place(found.name, outputs)
        files = self._files(found)
        try:
            export_dicom(result, out, files, progress, self.anonymous, outputs.overwrite)
        except (Cancelled, BrokenPipeError):
            raise
        except FAILURES as error:
            raise QSMSeparationError(
                f"the maps are written, but not their DICOM objects: {one_line_reason(error)}; "
                f"'qsmsep dicom' makes them of the maps"
            ) from error
        return str(out)

    def _read(self, found: FoundScan, report: Report) -> Scan:
        scan = found.read(report)
        require_series(self._files(found), scan.geometry, self.anonymous)
        return scan

    def _files(self, found: FoundScan) -> tuple[Path, ...]:
        return self.series or found.files


def copies_of(
    series: Path | None, kind: str, found: Sequence[FoundScan], anonymous: bool
) -> DicomCopies:
    """Return the copies of a run, or say why there can be none.

    Parameters
    ----------
    series : Path, optional
        Folder of the series; by default scans are their own.
    kind : str
        Of the source: ``dicom`` or another.
    found : sequence of FoundScan
        The scans.
    anonymous : bool
        Leave out who it is.
    """
    if not has_highdicom():
        raise InputError(f"--dicom needs highdicom: {WITH_EXTRA} adds it")
    if series is None:
        if kind != "dicom":
            raise InputError(
                "--dicom alone is for a DICOM folder; give the folder of the series that the "
                "images were converted from"
            )
        return DicomCopies((), anonymous)
    if len(found) > 1:
        raise InputError(f"--dicom SERIES is for one scan, but there are {len(found)}; run one")
    files = tuple(files_of_series(series))
    if not files:
        raise InputError(f"{series} holds no files; give the folder of the DICOM series")
    return DicomCopies(files, anonymous)


def place(name: str, outputs: Outputs) -> Path:
    """Return the folder of the copies of a scan."""
    return outputs.folder / f"{table_prefix(name)}{FOLDER}"
