"""Which series of a DICOM study belong to a scan, from a few headers of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from QSMSeparationLib.io._dicom_frames import Frame, is_dicom, quiet_pydicom, read_frames
from QSMSeparationLib.runtime.errors import InputError

_LOOKED_AT = 8
"""So many files of a series are opened: enough to see several echoes, few enough to wait for."""
_GOLDEN = (
    0.6180339887  # its multiples, modulo 1, spread evenly and in no rhythm of slices or echoes
)
_COMPLEX = {"phase", "real", "imaginary"}


@dataclass(frozen=True)
class SeriesLook:
    """What a few headers say of a series.

    Parameters
    ----------
    kinds : frozenset of str
        ``magnitude``, ``phase``, ``real``, ``imaginary``, ``difference``.
    spin_echo : bool
        Whether it is a spin echo; a gradient echo otherwise.
    echo_times_s : tuple of float
        Echo times that were seen, each once.
    protocol : tuple of float or None
        Repetition time and flip angle.
    """

    kinds: frozenset[str]
    spin_echo: bool
    echo_times_s: tuple[float, ...]
    protocol: tuple[float | None, ...]

    @property
    def has_echoes(self) -> bool:
        """Whether several echoes were seen."""
        return len(self.echo_times_s) > 1


def look_at(files: Sequence[Path]) -> SeriesLook | None:
    """Look at some files of a series; None where they hold no image of a scan.

    Nothing that names a patient is read.
    """
    places = {int(len(files) * (n * _GOLDEN % 1)) for n in range(_LOOKED_AT)} if files else set()
    frames: list[Frame] = []
    with quiet_pydicom():
        for place in sorted(places):
            frames += _frames(files[place])
    if not frames:
        return None
    times = {f.echo_time_s for f in frames if f.echo_time_s is not None}
    return SeriesLook(
        kinds=frozenset(frame.kind for frame in frames),
        spin_echo=frames[0].spin_echo,
        echo_times_s=tuple(sorted(times)),
        protocol=frames[0].protocol,
    )


def series_of_scan(looks: Mapping[str, SeriesLook | None]) -> set[str]:
    """Return the series to begin with: gradient echoes with phase, their magnitude, spin echoes.

    Gradient echoes of one repetition time and flip angle belong together, where phase was seen at
    several echo times: a field map has it at one. A spin echo is of use with several echoes.
    """
    known = {name: look for name, look in looks.items() if look is not None}
    times: dict[tuple[float | None, ...], set[float]] = {}
    for look in known.values():
        if not look.spin_echo and look.kinds & _COMPLEX:
            times.setdefault(look.protocol, set()).update(look.echo_times_s)
    scans = {protocol for protocol, seen in times.items() if len(seen) > 1}
    return {
        name
        for name, look in known.items()
        if (look.has_echoes if look.spin_echo else look.protocol in scans)
        and "difference" not in look.kinds
    }


def _frames(file: Path) -> list[Frame]:
    try:
        return read_frames(file) if is_dicom(file) else []
    except InputError:
        return []  # the run says what is broken
