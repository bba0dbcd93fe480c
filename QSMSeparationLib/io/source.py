"""What a user points at -> scans: a BIDS folder, a DICOM folder, or a reason why not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from QSMSeparationLib.data.scan import Scan
from QSMSeparationLib.io._dicom_frames import is_dicom
from QSMSeparationLib.io._echoes import is_nifti, with_mask
from QSMSeparationLib.io._folders import is_folder, is_regular, regular_files, require_bids_name
from QSMSeparationLib.io.bids import find_subjects, iter_bids
from QSMSeparationLib.io.dicom import read_dicom
from QSMSeparationLib.runtime.errors import InputError
from QSMSeparationLib.runtime.progress import Report, silent

_ARCHIVES = (".zip", ".tar", ".tgz", ".tar.gz", ".7z", ".rar")


def read_source(
    path: Path | str,
    name: str | None = None,
    mask: Path | str | None = None,
    report: Report = silent,
) -> list[Scan]:
    """Read all scans of a folder, whether BIDS or DICOM.

    Parameters
    ----------
    path : Path
        A BIDS dataset, subject or session, or a folder of DICOM files.
    name : str, optional
        BIDS name for the outputs. By default that of the BIDS folder, or ``sub-01``.
    mask : Path, optional
        Brain mask on the grid of the scan.
    report : callable
        Told how far the reading is.

    Raises
    ------
    InputError
        With one line that says why the folder can't be used.
    """
    return list(iter_source(path, name, mask, report))


def iter_source(
    path: Path | str,
    name: str | None = None,
    mask: Path | str | None = None,
    report: Report = silent,
) -> Iterator[Scan]:
    """Like :func:`read_source`; the scans of a BIDS dataset are read one at a time."""
    if name is not None:
        require_bids_name(name)
    folder = Path(path).expanduser()
    kind = source_kind(folder)
    if kind == "bids":
        sessions = find_subjects(folder)
        if name is not None and len(sessions) > 1:
            raise InputError(f"a name was given, but there are {len(sessions)} sessions; give one")
        for n, scan in enumerate(iter_bids(folder, mask, report)):
            own = scan.name if name is None else f"{name}_run-{n + 1:02d}" if n else name
            yield replace(scan, name=own)
        return
    for scan in read_dicom(folder, name or "sub-01", report):
        yield scan if mask is None else with_mask(scan, Path(mask))


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
