"""Plain NIfTI files with echo times -> :class:`~QSMSeparationLib.scan.Scan`."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from QSMSeparationLib.errors import InputError
from QSMSeparationLib.io._echoes import (
    EchoImage,
    clean_magnitude,
    join,
    magnitude_and_phase,
    read_echo_image,
    read_mask,
)
from QSMSeparationLib.io._sidecars import times_in_seconds
from QSMSeparationLib.io.nifti import sha256
from QSMSeparationLib.io.phase_scaling import PhaseFacts
from QSMSeparationLib.progress import Report, silent
from QSMSeparationLib.scan import Scan, SpinEcho
from QSMSeparationLib.volume import Volume


def read_nifti_set(
    magnitude: Sequence[Path | str] | Path | str,
    phase: Sequence[Path | str] | Path | str,
    echo_times: Sequence[float],
    b0_tesla: float = 3.0,
    *,
    spin_echo: Sequence[Path | str] | Path | str = (),
    spin_echo_times: Sequence[float] = (),
    mask: Path | str | None = None,
    name: str = "sub-01",
    units: str = "",
    report: Report = silent,
) -> Scan:
    """Read a scan from files that say nothing of themselves.

    Parameters
    ----------
    magnitude, phase : path or list of paths
        One file an echo, in the order of ``echo_times``, or 4-D files.
    echo_times : sequence of float
        In seconds; plain milliseconds are recognised and noted.
    b0_tesla : float
        Field strength.
    spin_echo, spin_echo_times : optional
        A spin-echo train for R2, in the same manner.
    mask : path, optional
        Brain mask on the grid of the scan.
    name : str
        BIDS name for the outputs.
    units : str
        ``rad`` when the phase is known to be in radians.
    report : callable
        Told how many files are read.

    Raises
    ------
    InputError
        When the files do not fit each other or the echo times.
    """
    lists = [_paths(magnitude), _paths(phase), _paths(spin_echo)]
    if not lists[0] or not lists[1]:
        raise InputError("magnitude and phase files are both needed; give them")
    times, time_note = times_in_seconds(echo_times, "echo times")
    total = sum(len(paths) for paths in lists)
    done = 0

    def read(paths: list[Path], own_times: Sequence[float], what: str) -> list[EchoImage]:
        nonlocal done
        images = []
        for path in paths:
            images.append(read_echo_image(path))
            done += 1
            report(done, total)
        return _give_times(images, own_times, what)

    first = read(lists[0], times, "magnitude")
    second = read(lists[1], times, "phase")
    facts = PhaseFacts(lists[1][0].name, "", units, second[0].slope, second[0].intercept)
    values, phase_rad, ordered, notes = magnitude_and_phase(first, second, False, facts)
    scan = Scan(
        magnitude=values,
        phase_rad=phase_rad,
        echo_times_s=ordered,
        b0_tesla=float(b0_tesla),
        geometry=first[0].geometry,
        name=name,
        notes=(f"read from NIfTI: {len(ordered)} echoes", *notes, *filter(None, [time_note])),
        inputs={path.name: sha256(path) for paths in lists for path in paths},
    )
    if lists[2]:
        train_times, _ = times_in_seconds(spin_echo_times, "spin-echo times")
        scan = replace(scan, spin_echo=_spin_echo(read(lists[2], train_times, "spin echo")))
    if mask is not None:
        grid = Volume(values[0], scan.geometry, lists[0][0].name)
        scan = replace(scan, mask=read_mask(Path(mask), grid))
    return scan


def _paths(given: Sequence[Path | str] | Path | str) -> list[Path]:
    return [Path(given)] if isinstance(given, str | Path) else [Path(path) for path in given]


def _give_times(images: list[EchoImage], times: Sequence[float], what: str) -> list[EchoImage]:
    """Hand the echo times out to the volumes in their order."""
    count = sum(len(image.values) for image in images)
    if count != len(times):
        raise InputError(
            f"{images[0].path.name}: {count} {what} echoes but {len(times)} echo times; give one each"
        )
    if any(late <= early for early, late in itertools.pairwise(times)):
        raise InputError(f"echo times of the {what} must increase; give them in the files' order")
    remaining = iter(times)
    return [
        replace(image, echo_times_s=tuple(next(remaining) for _ in image.values))
        for image in images
    ]


def _spin_echo(images: list[EchoImage]) -> SpinEcho:
    values, times = join(images, "the spin-echo train")
    magnitude, _ = clean_magnitude(values, images[0].path.name)
    return SpinEcho(magnitude, times, images[0].geometry)
