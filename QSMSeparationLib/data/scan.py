"""A gradient-echo scan: echoes and the facts of their acquisition."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from QSMSeparationLib.data.volume import Geometry, Volume
from QSMSeparationLib.runtime.errors import InputError


@dataclass(frozen=True, eq=False)
class SpinEcho:
    """A multi-echo spin-echo train of the same head, for R2.

    Parameters
    ----------
    magnitude : ndarray
        Magnitude, shape (echo, k, j, i), float32.
    echo_times_s : tuple of float
        Echo times in seconds.
    geometry : Geometry
        Its grid; it need not be the gradient-echo grid.
    """

    magnitude: NDArray[np.float32]
    echo_times_s: tuple[float, ...]
    geometry: Geometry

    def __post_init__(self) -> None:
        _require_echoes("spin-echo magnitude", self.magnitude, self.echo_times_s, self.geometry)


@dataclass(frozen=True, eq=False)
class Scan:
    """A multi-echo gradient-echo scan.

    Parameters
    ----------
    magnitude : ndarray
        Magnitude, shape (echo, k, j, i), float32, any scale.
    phase_rad : ndarray
        Wrapped phase in radians, same shape. A paramagnetic source gives a positive
        field at its poles and, with the sign of this library, a positive phase there.
    echo_times_s : tuple of float
        Echo times in seconds, increasing.
    b0_tesla : float
        Field strength.
    geometry : Geometry
        The grid of the echoes.
    spin_echo : SpinEcho, optional
        For a measured R2.
    mask : Volume, optional
        A brain mask that came with the scan.
    name : str
        BIDS name of the subject (and session), without any identity: ``sub-01``.
    notes : tuple of str
        What was found and decided while reading (phase unit, vendor), to be shown.
    inputs : dict of str to str
        SHA-256 of every file read, by its name, for the provenance.
    tr_s, flip_deg : float, optional
        Repetition time in seconds and flip angle in degrees of the gradient echo; None where
        the files do not say them.
    """

    magnitude: NDArray[np.float32]
    phase_rad: NDArray[np.float32]
    echo_times_s: tuple[float, ...]
    b0_tesla: float
    geometry: Geometry
    spin_echo: SpinEcho | None = None
    mask: Volume | None = None
    name: str = "sub-01"
    notes: tuple[str, ...] = ()
    inputs: dict[str, str] = field(default_factory=dict)
    tr_s: float | None = None
    flip_deg: float | None = None

    def __post_init__(self) -> None:
        _require_echoes("magnitude", self.magnitude, self.echo_times_s, self.geometry)
        _require_echoes("phase", self.phase_rad, self.echo_times_s, self.geometry)
        if not 0.1 <= self.b0_tesla <= 25:
            raise InputError(
                f"field strength of {self.b0_tesla} T is not plausible; give it in tesla"
            )


def _require_echoes(
    what: str, data: NDArray, echo_times_s: tuple[float, ...], geometry: Geometry
) -> None:
    """Refuse echoes and echo times that do not fit together."""
    times = np.asarray(echo_times_s, dtype=float)
    if data.ndim != 4 or data.shape[1:] != geometry.shape:
        raise InputError(f"{what} of shape {data.shape} does not fit the grid {geometry.shape}")
    if len(times) != data.shape[0]:
        raise InputError(f"{what} has {data.shape[0]} echoes but {len(times)} echo times are given")
    if not np.all(np.isfinite(times)) or np.any(times <= 0):
        raise InputError(f"{what}: echo times must be positive, got {echo_times_s} s")
    if np.any(np.diff(times) <= 0):
        raise InputError(f"{what}: echo times must increase, got {echo_times_s} s")
    if times.max() > 1.0:
        raise InputError(
            f"{what}: echo times look like milliseconds ({times.max():g}); give seconds"
        )
