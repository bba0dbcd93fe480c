"""Find the scans of a BIDS folder, a DICOM folder or a set of NIfTI files, or say why there are none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from QSMSeparationLib.data.scan import Scan
from QSMSeparationLib.io._dicom_frames import is_dicom
from QSMSeparationLib.io._echoes import with_mask
from QSMSeparationLib.io._folders import is_folder, is_regular, regular_files
from QSMSeparationLib.io._nifti_header import is_nifti
from QSMSeparationLib.io.bids import find_bids, find_subjects
from QSMSeparationLib.io.bids_names import require_bids_name
from QSMSeparationLib.io.dicom import find_dicom
from QSMSeparationLib.io.found import FoundScan, read_all
from QSMSeparationLib.io.niftiset import find_nifti
from QSMSeparationLib.runtime.errors import InputError
from QSMSeparationLib.runtime.progress import Report, silent

_ARCHIVES = (".zip", ".tar", ".tgz", ".tar.gz", ".7z", ".rar")


@dataclass(frozen=True)
class Given:
    """What a user says of files that do not tell it themselves.

    Parameters
    ----------
    files : tuple of Path
        Only these files are used, below the source or elsewhere; all without any.
    echo_times_s : tuple of float
        Echo times of plain NIfTI files without sidecars.
    b0_tesla : float, optional
        Field strength of plain NIfTI files without sidecars.
    """

    files: tuple[Path, ...] = ()
    echo_times_s: tuple[float, ...] = ()
    b0_tesla: float | None = None


def read_source(
    path: Path | str,
    name: str | None = None,
    mask: Path | str | None = None,
    report: Report = silent,
    given: Given = Given(),
) -> list[Scan]:
    """Read all scans that :func:`find_scans` finds."""
    return read_all(find_scans(path, name, mask, given=given), report)


def find_scans(
    path: Path | str,
    name: str | None = None,
    mask: Path | str | None = None,
    report: Report = silent,
    given: Given = Given(),
) -> list[FoundScan]:
    """List the scans of a folder; of DICOM files the headers are read, of others the names.

    Parameters
    ----------
    path : Path
        A BIDS dataset, subject or session, or a folder of DICOM files or of NIfTI files.
    name : str, optional
        BIDS name for the outputs. By default that of the BIDS folder, or ``sub-01``.
    mask : Path, optional
        Brain mask on the grid of the scan.
    report : callable
        Told how many files were looked at.
    given : Given
        What the files do not tell themselves.

    Raises
    ------
    InputError
        With one line that says why the folder can't be used.
    """
    if name is not None:
        require_bids_name(name)
    folder = Path(path).expanduser()
    kind = source_kind(folder, given.files)
    if given.echo_times_s and kind != "nifti":
        raise InputError("--te is for NIfTI files without sidecars; leave it out")
    if kind == "bids":
        return _find_bids(folder, name, mask)
    files = given.files or tuple(regular_files(folder))
    own = name or "sub-01"
    if kind == "dicom":
        found = find_dicom(files, own, report)
    else:
        images = [file for file in files if is_nifti(file)]
        found = find_nifti(images, own, given.echo_times_s, given.b0_tesla)
    return found if mask is None else [_masked(one, Path(mask)) for one in found]


def _find_bids(folder: Path, name: str | None, mask: Path | str | None) -> list[FoundScan]:
    found = find_bids(folder, mask)
    sessions = len(find_subjects(folder))
    if name is None:
        return found
    if sessions > 1:
        raise InputError(f"a name was given, but there are {sessions} sessions; give one")
    return [_renamed(one, name, n) for n, one in enumerate(found)]


def _renamed(found: FoundScan, name: str, n: int) -> FoundScan:
    own = f"{name}_run-{n + 1:02d}" if n else name
    return replace(found, name=own, reader=partial(_read_renamed, found, own))


def _read_renamed(found: FoundScan, name: str, report: Report) -> Scan:
    return replace(found.read(report), name=name)


def _masked(found: FoundScan, mask: Path) -> FoundScan:
    return replace(found, reader=partial(_read_masked, found, mask))


def _read_masked(found: FoundScan, mask: Path, report: Report) -> Scan:
    return with_mask(found.read(report), mask)


def source_kind(folder: Path, chosen: Sequence[Path] = ()) -> str:
    """Return ``bids``, ``dicom`` or ``nifti``, or raise InputError for anything else.

    Chosen files are DICOM or plain NIfTI files; BIDS is a matter of folders.
    """
    if is_regular(folder):
        if folder.name.lower().endswith(_ARCHIVES):
            raise InputError(f"{folder.name} is an archive; unpack it and give the folder")
        raise InputError(f"{folder.name} is a file; give the folder of the scan")
    if not is_folder(folder):
        raise InputError(f"{folder} does not exist; check the path")
    if not chosen and find_subjects(folder):
        return "bids"
    files = chosen or regular_files(folder)
    if not files:
        raise InputError(f"{folder} holds no files; give a BIDS or DICOM folder")
    if any(is_dicom(file) for file in files):
        return "dicom"
    if any(is_nifti(file) for file in files):
        return "nifti"
    raise InputError(f"{folder} holds neither BIDS nor DICOM images; check the folder")
