"""Images that the scanner interpolated: their k-space is zero beyond the matrix that was measured.

Voxels of such images look smaller than they are, and their noise is correlated.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from QSMSeparationLib.data.axes import Shape

# Lines along each axis that are looked at: enough for a spectrum whose noise is a few percent.
_LINES = 4096
_SHORTEST = 24
# The outermost frequencies that were measured must have this many times the power of the first
# that were not: 4 is 6 dB, which neither noise nor the spectrum of anatomy falls by in 3 steps.
_STEP = 4.0
_NEIGHBORS = 3
# A larger share of zeros than that has not been seen: scanners interpolate by 2 at most.
_SMALLEST_SHARE = 0.4


def measured_matrix(signal: NDArray[np.complex64]) -> Shape:
    """Return the matrix (k, j, i) that was measured: the shape, or less where zeros were filled.

    Parameters
    ----------
    signal : ndarray
        Complex image of one echo, shape (k, j, i).
    """
    k, j, i = (_measured_length(signal, axis) for axis in range(3))
    return k, j, i


def zero_filling_note(
    magnitude: NDArray[np.float32], phase_rad: NDArray[np.float32], spacing_kji: tuple[float, ...]
) -> str | None:
    """Say that an image is interpolated, with the true matrix and voxel size; else None."""
    signal = (magnitude * np.exp(np.complex64(1j) * phase_rad)).astype(np.complex64)
    true = measured_matrix(signal)
    if true == signal.shape:
        return None
    voxel = [s * n / m for s, n, m in zip(spacing_kji, signal.shape, true, strict=True)]
    return (
        f"the images are interpolated (zero-filled): a matrix of {_by(signal.shape)} was made of "
        f"{_by(true)}, true voxels {_by(voxel)} mm; reconstruct without interpolation if you can"
    )


def _measured_length(signal: NDArray, axis: int) -> int:
    length = signal.shape[axis]
    if length < _SHORTEST:
        return length
    power = _power(signal, axis)
    half = (length + 1) // 2
    last, first = _edge(power[:half]), _edge(np.append(power[0], power[:half:-1]))
    # Zeros on one side alone are a partial echo, which narrows no voxel.
    return length if last is None or first is None else last + first + 1


def _edge(power: NDArray[np.float64]) -> int | None:
    """Return the last frequency that was measured on one side, or None if all were."""
    best, found = _STEP, None
    for edge in range(int(_SMALLEST_SHARE * len(power)), len(power) - 1):
        inside = power[edge - _NEIGHBORS + 1 : edge + 1].mean()
        beyond = power[edge + 1 :]
        step = inside / max(beyond[:_NEIGHBORS].mean(), 1e-30)
        if step > best and beyond.max() < inside / 2:
            best, found = step, edge
    return found


def _power(signal: NDArray, axis: int) -> NDArray[np.float64]:
    """Return the mean power of every frequency along an axis."""
    lines = np.moveaxis(signal, axis, -1).reshape(-1, signal.shape[axis])
    lines = lines[:: max(1, len(lines) // _LINES)]
    return (np.abs(np.fft.fft(lines, axis=-1)) ** 2).mean(axis=0)


def _by(values: tuple[float, ...] | list[float]) -> str:
    """Write (k, j, i) as scanners do, columns first."""
    return " x ".join(f"{v:.4g}" for v in reversed(values))
