"""The series that maps were made from: which of a folder's lies on their grid, and its header."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import UID

from QSMSeparationLib.data.volume import Geometry
from QSMSeparationLib.io._dicom_frames import Frame, is_dicom, quiet_pydicom, read_frames
from QSMSeparationLib.io._dicom_stack import sort_slices
from QSMSeparationLib.io._dicom_tags import text
from QSMSeparationLib.io._folders import is_folder, regular_files
from QSMSeparationLib.io.dicom_out.identity import HEADER
from QSMSeparationLib.runtime.errors import InputError
from QSMSeparationLib.runtime.progress import Report, silent

_SAME_VOXELS_MM = 0.1  # NIfTI headers keep single precision, and DICOM headers few digits


@dataclass(frozen=True)
class SourceImage:
    """An image that a slice was made from."""

    sop_class: str
    sop_instance: str
    frame: int | None
    """Number of the frame in an image of several, from 1."""


@dataclass(frozen=True, eq=False)
class SourceSeries:
    """One stack of images of a scan.

    Parameters
    ----------
    name : str
        A file of it, for messages.
    header : Dataset
        What is taken from its header (:data:`~QSMSeparationLib.io.dicom_out.identity.HEADER`).
    uid : str
        SeriesInstanceUID.
    geometry : Geometry
        Its grid; slices ascend along the normal.
    images : tuple of SourceImage
        One a slice; empty where their numbers (UIDs) break DICOM's rules.
    last_number : int
        The highest series number of the folder.
    """

    name: str
    header: Dataset
    uid: str
    geometry: Geometry
    images: tuple[SourceImage, ...]
    last_number: int


def read_source_series(
    files: Sequence[Path], grid: Geometry, report: Report = silent
) -> SourceSeries:
    """Return the first series of a folder that has the voxels of a grid, magnitude before others.

    Localizers, other scans and files that are no images may lie beside it.

    Raises
    ------
    InputError
        When no series lies on the grid, or series of two patients or studies do.
    """
    with quiet_pydicom():
        frames, broken = _frames(files, report)
        if not frames:
            raise InputError(broken or "the series to go with holds no MR images; give its folder")
        stack, geometry = _chosen(frames, grid)
        header = pydicom.dcmread(
            stack[0].path, stop_before_pixels=True, specific_tags=[*HEADER, "SeriesInstanceUID"]
        )
        images = tuple(_image(frame) for frame in stack)
    numbers = [frame.series_number for frame in frames]
    known = tuple(one for one in images if one is not None)
    return SourceSeries(
        name=stack[0].path.name,
        header=header,
        uid=text(header, "SeriesInstanceUID"),
        geometry=geometry,
        images=known if len(known) == len(images) else (),
        last_number=max(0, *numbers),
    )


def files_of_series(folder: Path) -> list[Path]:
    """Return the files of a folder with a series."""
    if not is_folder(folder):
        raise InputError(f"{folder} is no folder; give the folder of the DICOM series")
    return regular_files(folder)


def same_voxels(a: Geometry, b: Geometry) -> bool:
    """Return whether two grids have the same voxels, in whatever order of axes."""
    if sorted(a.shape) != sorted(b.shape):
        return False
    mine, other = (_corners(one) for one in (a, b))
    gaps = np.linalg.norm(mine[:, None] - other[None], axis=2)
    return bool(gaps.min(axis=1).max() <= _SAME_VOXELS_MM)


def _corners(grid: Geometry) -> np.ndarray:
    """Return the outer corners of the voxels at the corners of a grid."""
    edges = np.array(np.meshgrid(*[(-0.5, n - 0.5) for n in grid.shape])).reshape(3, -1).T
    return grid.world(edges)


def _frames(files: Sequence[Path], report: Report) -> tuple[list[Frame], str]:
    """Return the frames of all files, and the first reason why a file has none."""
    frames: list[Frame] = []
    broken = ""
    for n, path in enumerate(files):
        report(n, len(files))
        if not is_dicom(path):
            continue
        try:
            frames += read_frames(path)
        except InputError as error:
            broken = broken or str(error)
    return frames, broken


def _chosen(frames: Sequence[Frame], grid: Geometry) -> tuple[list[Frame], Geometry]:
    stacks: dict[tuple[object, ...], list[Frame]] = {}
    for frame in frames:
        stacks.setdefault(_stack_of(frame), []).append(frame)
    found: list[tuple[list[Frame], Geometry]] = []
    nearest = ""
    for members in stacks.values():
        try:
            stack, geometry = sort_slices(members, members[0].where)
        except InputError as error:
            nearest = nearest or str(error)
            continue
        if same_voxels(geometry, grid):
            found.append((stack, geometry))
        else:
            nearest = f"{stack[0].where}: {grid.difference(geometry) or 'turned'}"
    if not found:
        raise InputError(
            f"no series there lies on the grid of the maps ({nearest}); "
            f"give the series that they were made from"
        )
    for what in ("patient", "study"):
        count = len({getattr(stack[0], what) for stack, _ in found})
        if count > 1:
            raise InputError(f"the series there are of {count} {_PLURAL[what]}; give those of one")
    return min(found, key=lambda one: _order(one[0][0]))


def _stack_of(frame: Frame) -> tuple[object, ...]:
    """Return what the frames of one stack have in common; a series may mix several."""
    turned = tuple(round(v, 2) for v in frame.orientation)
    series = frame.patient, frame.study, frame.series
    return (*series, frame.kind, frame.echo_time_s, turned, frame.rows, frame.columns)


_PLURAL = {"patient": "patients", "study": "studies"}


def _order(frame: Frame) -> tuple[bool, int, float]:
    return frame.kind != "magnitude", frame.series_number, frame.echo_time_s or 0.0


def _image(frame: Frame) -> SourceImage | None:
    header = pydicom.dcmread(
        frame.path,
        stop_before_pixels=True,
        specific_tags=["SOPClassUID", "SOPInstanceUID", "NumberOfFrames"],
    )
    uids = text(header, "SOPClassUID"), text(header, "SOPInstanceUID")
    if not all(uid and UID(uid).is_valid for uid in uids):
        return None
    return SourceImage(*uids, frame.index + 1 if "NumberOfFrames" in header else None)
