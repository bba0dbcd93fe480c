"""Frames of an acquisition -> stacks of slices with a geometry."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from QSMSeparationLib.data.volume import Geometry
from QSMSeparationLib.io._dicom_frames import Frame, read_pixels
from QSMSeparationLib.io._echoes import SAME_ECHO_S
from QSMSeparationLib.runtime.errors import InputError

_SAME_COSINE = 1e-3


@dataclass
class Acquisition:
    """Series of one measurement: magnitude and phase come as one series or as several."""

    frames: list[Frame] = field(default_factory=list)

    @property
    def label(self) -> str:
        """How to name it in a message."""
        numbers = sorted({frame.series_number for frame in self.frames})
        return "series " + ", ".join(str(n) for n in numbers)

    @property
    def kinds(self) -> set[str]:
        """Which of magnitude, phase, real and imaginary it has."""
        return {frame.kind for frame in self.frames}

    def accepts(self, series: Sequence[Frame]) -> bool:
        """Return whether a series belongs to it: same study, protocol and grid, nothing twice."""
        mine, other = self.frames[0], series[0]
        return (
            mine.study == other.study
            and mine.spin_echo == other.spin_echo
            and mine.protocol == other.protocol
            and grid_difference(mine, other) is None
            and not _slots(self.frames) & _slots(series)
        )


def group_series(frames: Sequence[Frame]) -> list[Acquisition]:
    """Put the series of each measurement together, in the order of their numbers."""
    series: dict[tuple[str, bool], list[Frame]] = {}
    for frame in frames:
        series.setdefault((frame.series, frame.spin_echo), []).append(frame)
    acquisitions: list[Acquisition] = []
    for members in sorted(series.values(), key=lambda fs: (fs[0].study, fs[0].series_number)):
        home = next((a for a in acquisitions if a.accepts(members)), None)
        if home is None:
            acquisitions.append(Acquisition(list(members)))
        else:
            home.frames.extend(members)
    return acquisitions


def grid_difference(a: Frame, b: Frame) -> str | None:
    """Say how the planes of two frames differ in size or orientation."""
    if (a.rows, a.columns) != (b.rows, b.columns):
        return f"matrix {a.columns}x{a.rows} against {b.columns}x{b.rows}"
    if not np.allclose(a.spacing_mm, b.spacing_mm, rtol=1e-3):
        mine, other = ("x".join(f"{v:.4g}" for v in f.spacing_mm[::-1]) for f in (a, b))
        return f"pixel size {mine} mm against {other} mm"
    if not np.allclose(a.orientation, b.orientation, atol=_SAME_COSINE):
        return "different orientation"
    return None


def echoes_of(acquisition: Acquisition) -> dict[str, dict[float, list[Frame]]]:
    """Sort frames by kind and echo time (s); times that differ by rounding are one echo."""
    times = sorted({_echo_time(frame) for frame in acquisition.frames})
    center: dict[float, float] = {}
    for time in times:
        last = next(reversed(center.values()), None)
        center[time] = last if last is not None and time - last < SAME_ECHO_S else time
    found: dict[str, dict[float, list[Frame]]] = {}
    for frame in acquisition.frames:
        echoes = found.setdefault(frame.kind, {})
        echoes.setdefault(center[_echo_time(frame)], []).append(frame)
    return {kind: dict(sorted(echoes.items())) for kind, echoes in found.items()}


def _echo_time(frame: Frame) -> float:
    """Return the echo time in seconds, or refuse one that no echo has."""
    time = frame.echo_time_s
    if time is None:
        raise InputError(f"{frame.where}: no EchoTime in the header; export the scan again")
    if time == 0:
        raise InputError(f"{frame.where}: EchoTime is 0; export the original echoes again")
    if not 1e-4 <= time <= 1:
        raise InputError(f"{frame.where}: EchoTime of {time * 1000:g} ms is not plausible")
    return time


def sort_slices(frames: Sequence[Frame], what: str) -> tuple[list[Frame], Geometry]:
    """Return frames in order along the slice normal, and the grid that they make.

    Raises
    ------
    InputError
        When planes differ in size or orientation, or a slice is missing or there twice.
    """
    first = frames[0]
    for frame in frames:
        difference = grid_difference(first, frame)
        if difference:
            raise InputError(
                f"{what}: slices of different geometry ({difference}, {frame.path.name}); "
                f"give the folder of one scan"
            )
    row, column, normal = _axes(first, what)
    positions = np.array([frame.position for frame in frames])
    order = np.argsort(positions @ normal, kind="stable")
    ordered = [frames[n] for n in order]
    positions = positions[order]
    step = _slice_spacing(positions, normal, first, what)
    geometry = Geometry(
        (len(frames), first.rows, first.columns),
        (first.spacing_mm[1], first.spacing_mm[0], step),
        tuple(positions[0]),
        tuple(np.stack([row, column, normal], axis=1).ravel()),
    )
    return ordered, geometry


def load(
    stacks: Sequence[Sequence[Frame]], geometry: Geometry, advance: Callable[[int], None]
) -> NDArray[np.float32]:
    """Read the rescaled values of stacks of frames, shape (stack, k, j, i)."""
    values = np.empty((len(stacks), *geometry.shape), dtype=np.float32)
    slots: dict[Path, list[tuple[int, int, Frame]]] = {}
    for n, stack in enumerate(stacks):
        for k, frame in enumerate(stack):
            slots.setdefault(frame.path, []).append((n, k, frame))
    for path, wanted in slots.items():
        pixels = read_pixels(path)
        if pixels.shape[1:] != geometry.shape[1:]:
            raise InputError(f"{path.name}: the image has not the size that its header announces")
        for n, k, frame in wanted:
            plane = pixels[frame.index].astype(np.float64) * frame.slope + frame.intercept
            if not np.isfinite(plane).all() or np.abs(plane).max() > 1e30:
                raise InputError(f"{path.name}: values that are not finite; export the scan again")
            values[n, k] = plane
        advance(1)
    return values


def _slots(frames: Sequence[Frame]) -> set[tuple[str, float, tuple[float, ...]]]:
    """Say what each frame is: two frames that are the same can't belong to one measurement."""
    return {
        (f.kind, round(f.echo_time_s or 0, 5), tuple(round(p, 2) for p in f.position))
        for f in frames
    }


def _axes(frame: Frame, what: str) -> tuple[NDArray, NDArray, NDArray]:
    """Return the unit vectors along a row (i), along a column (j) and along the slice normal (k)."""
    row, column = np.array(frame.orientation[:3]), np.array(frame.orientation[3:])
    lengths = np.linalg.norm(row), np.linalg.norm(column)
    if not np.allclose(lengths, 1, atol=0.01) or abs(row @ column) > 0.01:
        raise InputError(f"{what}: ImageOrientationPatient is no rotation; export the scan again")
    row = row / lengths[0]
    column = column - row * (row @ column)
    column = column / np.linalg.norm(column)
    return row, column, np.cross(row, column)


def _slice_spacing(positions: NDArray, normal: NDArray, first: Frame, what: str) -> float:
    """Return the distance of the slices; refuse gaps, repeats and slices shifted in their plane."""
    if len(positions) == 1:
        if not first.thickness_mm or not 0 < first.thickness_mm < 1000:
            raise InputError(f"{what}: one slice without a SliceThickness; export the scan again")
        return first.thickness_mm
    gaps = np.diff(positions @ normal)
    step = float(np.median(gaps))
    _refuse_coils(gaps, what)
    if gaps.min() < max(0.01, 0.1 * step):
        count = int(np.sum(gaps < max(0.01, 0.1 * step)))
        raise InputError(
            f"{what}: {count} slices lie where another one is (repeated measurement, or separate "
            f"coils); give the folder of one measurement"
        )
    if gaps.max() > 1.1 * step or gaps.min() < 0.9 * step:
        where = int(np.argmax(gaps))
        raise InputError(
            f"{what}: a slice is missing after slice {where + 1} (gap of {gaps[where]:.2f} mm among "
            f"gaps of {step:.2f} mm); copy all files of the scan"
        )
    drift = positions - np.outer(positions @ normal, normal)
    if np.linalg.norm(drift - drift[0], axis=1).max() > 0.1 * min(first.spacing_mm):
        raise InputError(f"{what}: slices are shifted against each other (tilted or broken header)")
    return float(gaps.mean())


def _refuse_coils(gaps: NDArray, what: str) -> None:
    """Refuse a stack in which every slice is there equally often, as separate coils store it."""
    starts = np.flatnonzero(gaps > 0.01) + 1
    counts = np.diff(np.array([0, *starts, len(gaps) + 1]))
    if counts[0] > 1 and (counts == counts[0]).all():
        raise InputError(
            f"{what}: every slice is there {counts[0]} times, images of separate coils or of "
            f"repeated measurements; export the combined images of one"
        )
