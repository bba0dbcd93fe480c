"""Find the scans of a BIDS folder, a DICOM folder or a set of NIfTI files, or say why there are none."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

from QSMSeparationLib.data.scan import Scan
from QSMSeparationLib.io._dicom_frames import is_dicom
from QSMSeparationLib.io._echoes import is_nifti, with_mask
from QSMSeparationLib.io._folders import is_folder, is_regular, regular_files
from QSMSeparationLib.io.bids import find_bids, find_subjects
from QSMSeparationLib.io.bids_names import require_bids_name
from QSMSeparationLib.io.dicom import find_dicom
from QSMSeparationLib.io.found import FoundScan, read_all
from QSMSeparationLib.runtime.errors import InputError
from QSMSeparationLib.runtime.progress import Report, silent

_ARCHIVES = (".zip", ".tar", ".tgz", ".tar.gz", ".7z", ".rar")


def read_source(
    path: Path | str,
    name: str | None = None,
    mask: Path | str | None = None,
    report: Report = silent,
) -> list[Scan]:
    """Read all scans that :func:`find_scans` finds."""
    return read_all(find_scans(path, name, mask), report)


def find_scans(
    path: Path | str,
    name: str | None = None,
    mask: Path | str | None = None,
    report: Report = silent,
) -> list[FoundScan]:
    """List the scans of a folder; of DICOM files the headers are read, of others the names.

    Parameters
    ----------
    path : Path
        A BIDS dataset, subject or session, or a folder of DICOM files.
    name : str, optional
        BIDS name for the outputs. By default that of the BIDS folder, or ``sub-01``.
    mask : Path, optional
        Brain mask on the grid of the scan.
    report : callable
        Told how many files were looked at.

    Raises
    ------
    InputError
        With one line that says why the folder can't be used.
    """
    if name is not None:
        require_bids_name(name)
    folder = Path(path).expanduser()
    if source_kind(folder) == "bids":
        found = find_bids(folder, mask)
        sessions = len(find_subjects(folder))
        if name is None:
            return found
        if sessions > 1:
            raise InputError(f"a name was given, but there are {sessions} sessions; give one")
        return [_renamed(one, name, n) for n, one in enumerate(found)]
    found = find_dicom(regular_files(folder), name or "sub-01", report)
    return found if mask is None else [_masked(one, Path(mask)) for one in found]


def _renamed(found: FoundScan, name: str, n: int) -> FoundScan:
    own = f"{name}_run-{n + 1:02d}" if n else name
    return FoundScan(own, partial(_read_renamed, found, own))


def _read_renamed(found: FoundScan, name: str, report: Report) -> Scan:
    return replace(found.read(report), name=name)


def _masked(found: FoundScan, mask: Path) -> FoundScan:
    return FoundScan(found.name, partial(_read_masked, found, mask))


def _read_masked(found: FoundScan, mask: Path, report: Report) -> Scan:
    return with_mask(found.read(report), mask)


def source_kind(folder: Path) -> str:
    """Return ``bids`` or ``dicom``, or raise InputError for anything else."""
    if is_regular(folder):
        if folder.name.lower().endswith(_ARCHIVES):
            raise InputError(f"{folder.name} is an archive; unpack it and give the folder")
        raise InputError(f"{folder.name} is a file; give the folder of the scan")
    if not is_folder(folder):
        raise InputError(f"{folder} does not exist; check the path")
    if find_subjects(folder):
        return "bids"
    files = regular_files(folder)
    if not files:
        raise InputError(f"{folder} holds no files; give a BIDS or DICOM folder")
    if any(is_dicom(file) for file in files):
        return "dicom"
    if any(is_nifti(file) for file in files):
        raise InputError(
            f"{folder}: NIfTI files, but no gradient echoes with BIDS names; name them "
            f"sub-01/anat/sub-01_echo-1_part-mag_MEGRE.nii.gz and so on, with sidecars"
        )
    raise InputError(f"{folder} holds neither BIDS nor DICOM images; check the folder")
