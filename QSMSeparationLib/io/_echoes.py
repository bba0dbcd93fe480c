"""NIfTI files of echoes -> the arrays of a scan: what BIDS folders and plain sets share."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from QSMSeparationLib.data.scan import Scan
from QSMSeparationLib.data.volume import Geometry, Volume
from QSMSeparationLib.io._folders import is_regular
from QSMSeparationLib.io._nifti_header import is_nifti
from QSMSeparationLib.io.files import sha256
from QSMSeparationLib.io.nifti import read_image, read_labels, require_real
from QSMSeparationLib.io.phase_scaling import (
    PhaseFacts,
    phase_to_radians,
    undo_alternating_slices,
)
from QSMSeparationLib.io.zero_filled import zero_filling_note
from QSMSeparationLib.runtime.errors import InputError

SAME_ECHO_S = 5e-5
"""Echo times that differ by less are one time, rounded to 0.1 ms in one of two files."""

PHASE_DIFFERENCE = (
    "the phase image is a phase difference (field map), not the phase of each echo; "
    "export magnitude and phase of every echo of a multi-echo gradient-echo scan"
)


@dataclass(frozen=True)
class EchoImage:
    """One file: a single echo, or a 4-D image of several.

    Parameters
    ----------
    path : Path
        The file.
    values : ndarray
        Shape (echo, k, j, i), as stored after the header's rescaling.
    geometry : Geometry
        Its grid.
    slope, intercept : float
        The header's rescaling.
    echo_times_s : tuple of float
        One a volume; filled in by the caller.
    """

    path: Path
    values: NDArray
    geometry: Geometry
    slope: float = 1.0
    intercept: float = 0.0
    echo_times_s: tuple[float, ...] = ()


def read_echo_image(path: Path) -> EchoImage:
    """Read a 3-D or 4-D NIfTI file."""
    if not is_nifti(path):
        raise InputError(f"{path.name}: not a NIfTI file; give .nii or .nii.gz")
    if not is_regular(path):
        raise InputError(f"{path.name} does not exist; check the path")
    try:
        image = read_image(path)
        require_real(image, path.name)
        if image.GetDimension() not in (3, 4) or image.GetNumberOfComponentsPerPixel() != 1:
            raise InputError(f"{path.name}: a 3-D image or a 4-D image of echoes is needed")
        values = sitk.GetArrayFromImage(image)
    except MemoryError:
        raise InputError(f"{path.name}: too large for the memory of this computer") from None
    values = values.reshape(-1, *values.shape[-3:])
    n = image.GetDimension()
    direction = np.asarray(image.GetDirection()).reshape(n, n)[:3, :3]
    try:
        geometry = Geometry(
            values.shape[1:],
            image.GetSpacing()[:3],
            image.GetOrigin()[:3],
            tuple(direction.ravel()),
        )
    except InputError as error:
        raise InputError(f"{path.name}: {error}") from None
    slope, intercept = _rescaling(image)
    return EchoImage(path, values, geometry, slope, intercept)


def join(images: Sequence[EchoImage], what: str) -> tuple[NDArray, tuple[float, ...]]:
    """Put the echoes of several files in the order of their times.

    Raises
    ------
    InputError
        When grids differ or two echoes have one time.
    """
    first = images[0]
    for image in images[1:]:
        difference = first.geometry.difference(image.geometry)
        if difference:
            raise InputError(
                f"{image.path.name} does not lie on the grid of {first.path.name}: {difference}; "
                f"give the echoes of one scan"
            )
    planes = [
        (time, image.path.name, image.values[n])
        for image in images
        for n, time in enumerate(image.echo_times_s)
    ]
    planes.sort(key=lambda plane: plane[0])
    for (early, _, _), (late, name, _) in itertools.pairwise(planes):
        if late - early < SAME_ECHO_S:
            raise InputError(
                f"{name}: {what} has two echoes at {1000 * late:g} ms; correct the EchoTime"
            )
    return np.stack([values for _, _, values in planes]), tuple(time for time, _, _ in planes)


def clean_magnitude(values: NDArray, source: str) -> tuple[NDArray[np.float32], str | None]:
    """Return magnitude as float32 >= 0; values that are not finite become 0, with a note."""
    with np.errstate(over="ignore", invalid="ignore"):
        magnitude = values.astype(np.float32)
    finite = np.isfinite(magnitude)
    note = None
    if not finite.all():
        magnitude[~finite] = 0
        note = f"{source}: {1 - finite.mean():.2%} of the values were not finite and set to 0"
    np.maximum(magnitude, 0, out=magnitude)
    if magnitude.max(initial=0) <= 0:
        raise InputError(f"{source}: the magnitude is zero everywhere; export it again")
    if magnitude.max() > 1e18:  # its square would overflow
        raise InputError(
            f"{source}: magnitude of {magnitude.max():.3g} is implausible; broken file?"
        )
    return magnitude, note


def from_complex(
    real: NDArray, imaginary: NDArray, source: str
) -> tuple[NDArray[np.float32], NDArray[np.float32], str]:
    """Return the magnitude and phase of real and imaginary parts."""
    with np.errstate(over="ignore", invalid="ignore"):
        real, imaginary = real.astype(np.float32), imaginary.astype(np.float32)
    broken = ~(np.isfinite(real) & np.isfinite(imaginary))
    real[broken] = 0
    imaginary[broken] = 0
    if real.min() >= 0 or imaginary.min() >= 0:
        raise InputError(f"{source}: real or imaginary part without negative values; export signed")
    if max(np.abs(real).max(), np.abs(imaginary).max()) > 1e18:
        raise InputError(f"{source}: values above 1e18 are implausible; broken file?")
    note = "phase from real and imaginary parts"
    if broken.any():
        note += f"; {broken.mean():.2%} of the values were not finite and set to 0"
    return np.hypot(real, imaginary), np.arctan2(imaginary, real), note


def magnitude_and_phase(
    first: Sequence[EchoImage],
    second: Sequence[EchoImage],
    complex_parts: bool,
    facts: PhaseFacts,
) -> tuple[NDArray[np.float32], NDArray[np.float32], tuple[float, ...], list[str]]:
    """Return magnitude, phase in radians, echo times and notes of matching files."""
    names = ("real", "imaginary") if complex_parts else ("magnitude", "phase")
    a, times = join(first, names[0])
    b, other_times = join(second, names[1])
    require_pairs(times, other_times, names, facts.source)
    difference = first[0].geometry.difference(second[0].geometry)
    if difference:
        raise InputError(
            f"{second[0].path.name} does not lie on the grid of {first[0].path.name}: {difference}; "
            f"give {names[0]} and {names[1]} of one scan"
        )
    magnitude, phase, notes = combine_parts(a, b, complex_parts, facts, first[0].geometry)
    return magnitude, phase, times, notes


def combine_parts(
    first: NDArray, second: NDArray, complex_parts: bool, facts: PhaseFacts, geometry: Geometry
) -> tuple[NDArray[np.float32], NDArray[np.float32], list[str]]:
    """Return magnitude, phase in radians and notes.

    Parameters
    ----------
    first, second : ndarray
        Magnitude and phase as stored, or real and imaginary parts; shape (echo, k, j, i).
    complex_parts : bool
        True for real and imaginary parts.
    facts : PhaseFacts
        What the header says.
    geometry : Geometry
        Their grid.
    """
    if complex_parts:
        magnitude, phase, said = from_complex(first, second, facts.source)
        magnitude, _ = clean_magnitude(magnitude, facts.source)
        notes = [said]
    else:
        magnitude, cleaned = clean_magnitude(first, facts.source)
        phase, said = phase_to_radians(second, facts)
        notes = [cleaned, said]
    phase, flipped = undo_alternating_slices(magnitude, phase)
    filled = zero_filling_note(magnitude[0], phase[0], geometry.spacing_kji)
    return magnitude, phase, [note for note in (*notes, flipped, filled) if note]


def require_pairs(
    times: Sequence[float], other: Sequence[float], names: tuple[str, str], source: str
) -> None:
    """Refuse echoes that are not there as both parts, and a single echo, with the likely cause.

    Parameters
    ----------
    times, other : sequence of float
        Echo times in seconds of the first and the second part.
    names : tuple of str
        ``magnitude`` and ``phase``, or ``real`` and ``imaginary``.
    source : str
        What to call the scan.
    """
    if not times or not other:
        present, missing = names if times else names[::-1]
        if not times and not other:
            present, missing = "incomplete real or imaginary", "magnitude and phase"
        raise InputError(
            f"{source}: {present} images but no {missing} images; export magnitude and phase"
        )
    if len(times) >= 2 and len(other) == 1 and other[0] > min(times) and names[1] == "phase":
        raise InputError(f"{source}: {PHASE_DIFFERENCE}")
    for mine, their, missing in ((times, other, names[1]), (other, times, names[0])):
        lone = [t for t in mine if not any(abs(t - u) < SAME_ECHO_S for u in their)]
        if lone:
            listed = ", ".join(f"{1000 * t:g}" for t in lone)
            raise InputError(
                f"{source}: the echo at {listed} ms has no {missing} image ({len(times)} {names[0]} "
                f"and {len(other)} {names[1]} echoes); copy all files of the scan"
            )
    if len(times) < 2:
        raise InputError(
            f"{source}: a single echo ({1000 * times[0]:g} ms); R2* and the separation need a "
            f"multi-echo gradient-echo scan"
        )


def with_mask(scan: Scan, path: Path) -> Scan:
    """Attach a brain mask from a file, which must lie on the grid of the scan."""
    labels = read_labels(path)
    Volume(scan.magnitude[0], scan.geometry, scan.name).require_same_grid(labels)
    mask = (labels.array > 0).astype(np.uint8)
    if not mask.any():
        raise InputError(f"{path.name}: the mask is empty; draw the brain or leave the mask out")
    inputs = {**scan.inputs, f"mask/{path.name}": sha256(path)}
    return replace(scan, mask=labels.like(mask), inputs=inputs)


def _rescaling(image: sitk.Image) -> tuple[float, float]:
    """Return the slope and intercept of the NIfTI header, (1, 0) when absent or senseless."""
    try:
        slope = float(image.GetMetaData("scl_slope"))
        intercept = float(image.GetMetaData("scl_inter"))
    except (RuntimeError, ValueError):
        return 1.0, 0.0
    if not np.isfinite([slope, intercept]).all() or slope == 0:
        return 1.0, 0.0
    return slope, intercept
