"""A set of DICOM objects as a folder, which appears whole or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from uuid import uuid4

from pydicom.dataset import Dataset

from QSMSeparationLib.io._dicom_frames import quiet_pydicom
from QSMSeparationLib.runtime.errors import InputError


def require_new_folder(folder: Path, overwrite: bool = False) -> None:
    """Raise InputError when something is in the way: a set must not mix with another one."""
    if folder.is_dir() and (overwrite or not any(folder.iterdir())):
        return
    if folder.exists():
        more = "" if folder.is_dir() else " and no folder"
        raise InputError(f"{folder} already exists{more}; give a new folder for the DICOM objects")


def write_objects(
    series: Iterable[tuple[str, list[Dataset]]], folder: Path, overwrite: bool = False
) -> dict[str, str]:
    """Write series of objects, each into a folder of its own; returns these by their names.

    Parameters
    ----------
    series : iterable of (str, list of Dataset)
        Names, which serve for folders, and objects; made and written one after the other.
    folder : Path
        Destination, which must be new or empty.
    overwrite : bool
        Replace the whole folder.
    """
    folder = folder.expanduser().absolute()
    require_new_folder(folder, overwrite)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        staging = folder.parent / f".writing-{uuid4().hex}"
        staging.mkdir()
    except OSError as error:
        raise InputError(f"{folder} can't be written: {error.strerror}") from None
    try:
        written = {}
        for name, objects in series:
            _write(objects, staging / name)
            written[name] = str(folder / name)
        _replace(staging, folder)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return written


def _write(objects: list[Dataset], folder: Path) -> None:
    folder.mkdir()
    with quiet_pydicom():
        for n, one in enumerate(objects, start=1):
            one.save_as(folder / f"{n:05d}.dcm", enforce_file_format=True)


def _replace(staging: Path, folder: Path) -> None:
    """Put a finished folder in its place; one that was there goes after that."""
    old: Path | None = None
    if folder.exists():
        old = folder.parent / f".old-{uuid4().hex}"
        folder.rename(old)
    try:
        staging.rename(folder)
    except OSError:
        if old is not None:
            old.rename(folder)
        raise
    finally:
        if old is not None:
            shutil.rmtree(old, ignore_errors=True)
