"""Stored phase -> radians, by the spans that scanners are known to write.

A phase image is stored as radians, as milliradians (Philips, GE), or as integers that
divide the turn into 4096 or 8192 steps (Siemens). The span of the values tells these
apart, since no two of them are nearer than a factor 1.1. Nothing is ever stretched
to fill +-pi: a scan whose phase fills no known span is refused.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from QSMSeparationLib.runtime.errors import InputError

_FILLED = 0.9  # share of a span that the data have to fill to be recognized by it
_SLACK = 0.005  # rounding of the stored numbers, as a share of the span
_OUTSIDE = 0.01  # a lowest value in more than this share of the voxels is the fill outside the head


_SMOOTH = np.pi / 2  # unwrapped phase steps less from voxel to voxel; other units and noise more
_RADIANS = ("rad", "radian", "radians")


@dataclass(frozen=True)
class PhaseFacts:
    """What the header says about stored phase.

    Parameters
    ----------
    source : str
        What to call the image in messages.
    vendor : str
        Manufacturer, for the note.
    units : str
        BIDS ``Units``; ``rad`` lets phase pass that does not fill the circle, or goes beyond
        it because it is unwrapped already.
    slope, intercept : float
        The rescaling that a NIfTI header has applied; undone when only the stored
        numbers make sense, because some converters write it wrongly.
    header_span : tuple of float, optional
        Lowest and highest value that the header of a Siemens or Philips image can
        express; recognizes the unit where the data do not fill the circle.
    """

    source: str = "phase"
    vendor: str = ""
    units: str = ""
    slope: float = 1.0
    intercept: float = 0.0
    header_span: tuple[float, float] | None = None


@dataclass(frozen=True)
class _Convention:
    """One way to store a turn: the value that means 0 rad and the steps of a full turn."""

    title: str
    zero: float
    turn: float
    low: float

    @property
    def integer(self) -> bool:
        return self.turn in (4096.0, 8192.0)


_CONVENTIONS = (
    _Convention("radians, -pi to pi", 0.0, 2 * np.pi, -np.pi),
    _Convention("radians, 0 to 2 pi", 0.0, 2 * np.pi, 0.0),
    _Convention("integers 0 to 4095", 2048.0, 4096.0, 0.0),
    _Convention("integers -2048 to 2047", 0.0, 4096.0, -2048.0),
    _Convention("integers -4096 to 4095", 0.0, 8192.0, -4096.0),
    _Convention("integers 0 to 8191", 4096.0, 8192.0, 0.0),
    _Convention("milliradians, -3142 to 3142", 0.0, 2000 * np.pi, -1000 * np.pi),
    _Convention("milliradians, 0 to 6283", 0.0, 2000 * np.pi, 0.0),
)


def phase_to_radians(stored: NDArray, facts: PhaseFacts) -> tuple[NDArray[np.float32], str]:
    """Convert stored phase to radians in [-pi, pi].

    Parameters
    ----------
    stored : ndarray
        All echoes of the phase as read, any shape; one convention holds for all.
    facts : PhaseFacts
        What the header says.

    Returns
    -------
    phase_rad : ndarray of float32
        Same shape. Voxels outside the head that were filled with exact zeros (before or
        after the scanner's rescaling) and voxels that are not finite are 0.
    note : str
        What was detected.

    Raises
    ------
    InputError
        When the values fill none of the known spans.
    """
    finite = np.isfinite(stored)
    complete = bool(finite.all())
    values = stored if complete else np.where(finite, stored, 0)
    if values.size == 0 or not finite.any() or values.min() == values.max():
        raise InputError(f"{facts.source}: the phase is the same everywhere; export it again")
    low, high = float(values.min()), float(values.max())
    if facts.units.lower() in ("hz", "ppm", "t", "tesla"):
        raise InputError(
            f"{facts.source}: in {facts.units}, a field map; give the phase of every echo"
        )
    if _is_unwrapped(values, low, high, facts):
        said = f"phase was unwrapped already (found {low:.5g} to {high:.5g} rad) and wrapped again"
        return _wrapped(values), said if complete else f"{said}; {_lost(finite)}"
    convention, undo = _recognize(values, low, high, facts)
    phase = values.astype(np.float32)
    if undo:
        phase = ((phase - facts.intercept) / facts.slope).astype(np.float32)
    phase = _convert(phase, convention)
    if not complete:
        phase[~finite] = 0
    vendor = f"{facts.vendor} " if facts.vendor else ""
    note = f"phase stored as {vendor}{convention.title} (found {low:.5g} to {high:.5g})"
    if undo:
        note += f", after undoing the header's slope of {facts.slope:.4g}"
    if not complete:
        note += f"; {_lost(finite)}"
    return phase, note


def _lost(finite: NDArray[np.bool_]) -> str:
    return f"{1 - finite.mean():.1%} of the values were not finite and set to 0"


def _is_unwrapped(values: NDArray, low: float, high: float, facts: PhaseFacts) -> bool:
    """Return True for radians beyond a turn; only a sidecar tells them from other units.

    Integers that fill a known span are what scanners store, whatever the sidecar says.
    """
    if facts.units.lower() not in _RADIANS or _match(low, high, _are_integers(values)):
        return False
    if any(_inside(low, high, convention) for convention in _CONVENTIONS[:2]):
        return False
    steps = np.abs(np.diff(values, axis=-1))[values[..., 1:] != 0]
    return bool(steps.size and np.median(steps) < _SMOOTH)


def _wrapped(phase_rad: NDArray) -> NDArray[np.float32]:
    """Wrap to [-pi, pi]: the field is unwrapped once, by all echoes together."""
    turns = np.rint(phase_rad / (2 * np.pi))
    return (phase_rad - 2 * np.pi * turns).astype(np.float32).clip(-np.pi, np.pi)


def undo_alternating_slices(
    magnitude: NDArray[np.float32], phase_rad: NDArray[np.float32]
) -> tuple[NDArray[np.float32], str | None]:
    """Take out a sign that alternates from slice to slice.

    GE's reconstruction leaves out a shift along the slice axis, so that every second
    slice of a complex image is multiplied by -1. Neighboring slices of the shortest
    echo are then in antiphase all over the head, which no field can do.

    Parameters
    ----------
    magnitude, phase_rad : ndarray
        Shape (echo, k, j, i), echoes in order of their time.

    Returns
    -------
    phase_rad : ndarray
        With pi added to every second slice (and wrapped) when they alternate.
    note : str or None
        What was done.
    """
    if phase_rad.shape[1] < 2:
        return phase_rad, None
    brightest = magnitude[0].max(initial=0)
    if brightest <= 0:
        return phase_rad, None
    signal = (magnitude[0] / brightest) * np.exp(np.complex64(1j) * phase_rad[0])
    product = (signal[1:] * signal[:-1].conj()).reshape(len(signal) - 1, -1)
    total = np.abs(product).sum(axis=1)
    strong = total > 0.05 * total.max(initial=0)
    if not strong.any():
        return phase_rad, None
    coherence = product.sum(axis=1).real[strong] / total[strong]
    if np.mean(coherence < -0.3) < 0.8:
        return phase_rad, None
    result = phase_rad.copy()
    odd = result[:, 1::2]
    odd[odd != 0] += np.float32(np.pi)
    np.subtract(odd, np.float32(2 * np.pi), out=odd, where=odd > np.pi)
    return result, "every second slice had the opposite sign (GE); undone"


def _recognize(
    values: NDArray, low: float, high: float, facts: PhaseFacts
) -> tuple[_Convention, bool]:
    """Return the convention, and whether the header's rescaling has to be undone first."""
    if facts.header_span is not None:
        convention = _match(*facts.header_span, integers=True)
        if convention and _inside(low, high, convention):
            return convention, False
    integers = _are_integers(values)
    convention = _match(low, high, integers)
    if convention:
        return convention, False
    if facts.units.lower() in _RADIANS:
        for convention in _CONVENTIONS[:2]:
            if _inside(low, high, convention):
                return convention, False
    if facts.slope not in (0.0, 1.0) and np.isfinite([facts.slope, facts.intercept]).all():
        ends = sorted((end - facts.intercept) / facts.slope for end in (low, high))
        convention = _match(*ends, integers=True)
        if convention:
            return convention, True
    raise InputError(
        f"{facts.source}: the phase runs from {low:.5g} to {high:.5g}, which fills none of the "
        f"known spans (2 pi rad, 4096 or 8192 steps, 6283 mrad); export the wrapped phase, or give "
        f"it in radians, wrapped or not, with Units 'rad' in its sidecar"
    )


def _match(low: float, high: float, integers: bool) -> _Convention | None:
    """Return the convention whose span the two ends fill."""
    for convention in _CONVENTIONS:
        if convention.integer and not integers:
            continue
        if _inside(low, high, convention) and high - low >= _FILLED * convention.turn:
            return convention
    return None


def _inside(low: float, high: float, convention: _Convention) -> bool:
    slack = _SLACK * convention.turn
    return low >= convention.low - slack and high <= convention.low + convention.turn + slack


def _are_integers(values: NDArray) -> bool:
    """Return whether the values are whole numbers (a sample of them is enough)."""
    if values.dtype.kind in "iub":
        return True
    sample = values.ravel()[:: max(1, values.size // 100_000)]
    return bool(np.all(sample == np.rint(sample)))


def _convert(phase: NDArray[np.float32], convention: _Convention) -> NDArray[np.float32]:
    """Scale to radians in [-pi, pi]; fill outside the head becomes 0."""
    outside = None
    if convention.zero > 0 or convention.low < -10:
        outside = phase == convention.low
        if outside.mean() <= _OUTSIDE:  # a real -pi here and there
            outside = None
    phase = (phase - np.float32(convention.zero)) * np.float32(2 * np.pi / convention.turn)
    if convention.zero == convention.low:  # 0 to one turn
        np.subtract(phase, np.float32(2 * np.pi), out=phase, where=phase > np.float32(np.pi))
    np.clip(phase, -np.pi, np.pi, out=phase)
    if outside is not None:
        phase[outside] = 0
    return phase
