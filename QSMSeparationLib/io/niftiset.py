"""Plain NIfTI files with echo times -> :class:`~QSMSeparationLib.data.scan.Scan`."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from QSMSeparationLib.data.scan import Scan, SpinEcho
from QSMSeparationLib.io._echoes import (
    EchoImage,
    clean_magnitude,
    join,
    magnitude_and_phase,
    read_echo_image,
    with_mask,
)
from QSMSeparationLib.io._sidecars import times_in_seconds
from QSMSeparationLib.io.files import sha256
from QSMSeparationLib.io.phase_scaling import PhaseFacts
from QSMSeparationLib.runtime.errors import InputError
from QSMSeparationLib.runtime.progress import Report, silent


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
    lists = {"magnitude": _paths(magnitude), "phase": _paths(phase), "MESE": _paths(spin_echo)}
    if not lists["magnitude"] or not lists["phase"]:
        raise InputError("magnitude and phase files are both needed; give them")
    times, time_note = times_in_seconds(echo_times, "echo times")
    images = _read_all(lists, report)
    first = _give_times(images["magnitude"], times, "magnitude")
    second = _give_times(images["phase"], times, "phase")
    facts = PhaseFacts(second[0].path.name, "", units, second[0].slope, second[0].intercept)
    values, phase_rad, ordered, notes = magnitude_and_phase(first, second, False, facts)
    scan = Scan(
        magnitude=values,
        phase_rad=phase_rad,
        echo_times_s=ordered,
        b0_tesla=float(b0_tesla),
        geometry=first[0].geometry,
        name=name,
        notes=(f"read from NIfTI: {len(ordered)} echoes", *notes, *filter(None, [time_note])),
        inputs=_hashes(lists),
    )
    if images["MESE"]:
        train_times, _ = times_in_seconds(spin_echo_times, "spin-echo times")
        train = _give_times(images["MESE"], train_times, "spin-echo")
        scan = replace(scan, spin_echo=_spin_echo(train))
    return scan if mask is None else with_mask(scan, Path(mask))


def _read_all(lists: dict[str, list[Path]], report: Report) -> dict[str, list[EchoImage]]:
    """Read every file, and say how many are read."""
    total = sum(len(paths) for paths in lists.values())
    images: dict[str, list[EchoImage]] = {what: [] for what in lists}
    for what, paths in lists.items():
        for path in paths:
            images[what].append(read_echo_image(path))
            report(sum(len(found) for found in images.values()), total)
    return images


def _hashes(lists: dict[str, list[Path]]) -> dict[str, str]:
    """SHA-256 of the files, by what they are, since their names may repeat."""
    return {
        f"{what}/{n + 1}/{path.name}": sha256(path)
        for what, paths in lists.items()
        for n, path in enumerate(paths)
    }


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
