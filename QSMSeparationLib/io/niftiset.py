"""Plain NIfTI files -> :class:`~QSMSeparationLib.data.scan.Scan`.

Two kinds of files are read that have no BIDS names: those that dcm2niix writes, whose JSON
sidecars say what each image is, and those that say nothing of themselves, whose echo times
the user gives. In both, ``_ph``, ``_real`` or ``mag`` in a name tells the part.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from QSMSeparationLib.data.scan import Scan, SpinEcho
from QSMSeparationLib.io import _sidecars as sidecars
from QSMSeparationLib.io._dicom_frames import COMPUTED, DIFFERENCE, KINDS
from QSMSeparationLib.io._echoes import (
    EchoImage,
    clean_magnitude,
    join,
    magnitude_and_phase,
    read_echo_image,
)
from QSMSeparationLib.io._folders import is_regular
from QSMSeparationLib.io.bids_names import require_bids_name
from QSMSeparationLib.io.files import sha256
from QSMSeparationLib.io.found import FoundScan
from QSMSeparationLib.io.phase_scaling import PhaseFacts
from QSMSeparationLib.runtime.errors import InputError
from QSMSeparationLib.runtime.progress import Report

_WORDS = {
    "mag": "magnitude", "magn": "magnitude", "magnitude": "magnitude",
    "ph": "phase", "pha": "phase", "phase": "phase",
    "real": "real", "re": "real", "imaginary": "imaginary", "imag": "imaginary", "im": "imaginary",
}  # fmt: skip
_PAIRS = (("magnitude", "phase"), ("real", "imaginary"))


@dataclass(frozen=True)
class NiftiFile:
    """A file with what its sidecar and its name say.

    Parameters
    ----------
    path : Path
        The image.
    sidecar : dict
        Facts of its JSON file; empty without one.
    kind : str
        ``magnitude``, ``phase``, ``real``, ``imaginary``, or empty when nothing tells.
    spin_echo : bool
        True for an echo of a spin-echo train.
    """

    path: Path
    sidecar: dict[str, Any]
    kind: str
    spin_echo: bool

    @property
    def protocol(self) -> tuple[Any, ...]:
        """Return what the images of one measurement have in common."""
        # Not the series: magnitude and phase may be two. Values as text, since they may be lists.
        keys = ("ProtocolName", "RepetitionTime", "FlipAngle")
        return tuple(repr(self.sidecar.get(key)) for key in keys)


def find_nifti(
    files: Sequence[Path],
    name: str = "sub-01",
    echo_times_s: Sequence[float] = (),
    b0_tesla: float | None = None,
) -> list[FoundScan]:
    """List the scans of NIfTI files without BIDS names.

    Parameters
    ----------
    files : sequence of Path
        Images of one patient.
    name : str
        BIDS name that the scans get; ``_run-01`` is added when there are several.
    echo_times_s : sequence of float
        Echo times of files whose sidecars do not tell them: all files are then one scan, its
        echoes in the natural order of the names. Plain milliseconds are recognized and noted.
    b0_tesla : float, optional
        Field strength of files whose sidecars do not tell it.

    Raises
    ------
    InputError
        When no magnitude belongs to a phase, or echo times are not known.
    """
    require_bids_name(name)
    known = [file for path in sorted(files, key=_natural) if (file := _describe(path))]
    if echo_times_s:
        groups = [[f for f in known if not f.spin_echo]]
    else:
        known = [f for f in known if "EchoTime" in f.sidecar]
        groups = _by_protocol([f for f in known if not f.spin_echo])
    if not known:
        raise InputError(
            f"{Path(files[0]).name}: no echo time is known; give echo times with --te, JSON sidecars "
            f"with EchoTime, or BIDS names (sub-01/anat/sub-01_echo-1_part-mag_MEGRE.nii.gz)"
        )
    train = [f for f in known if f.spin_echo]
    complete = [group for group in groups if _pair_of(group)]
    if not complete:
        raise InputError(_missing_part(max(groups, key=len, default=known)))
    names = [f"{name}_run-{n:02d}" for n in range(1, len(complete) + 1)]
    if len(complete) == 1:
        names = [name]
    return [
        FoundScan(own, partial(_read, group, train, own, tuple(echo_times_s), b0_tesla))
        for own, group in zip(names, complete, strict=True)
    ]


def _natural(path: Path) -> list[Any]:
    """Sort echo 10 after echo 9."""
    parts = re.split(r"(\d+)", path.name.lower())
    return [int(part) if part.isdecimal() else part for part in parts]


def _describe(path: Path) -> NiftiFile | None:
    """Collect what tells the role of an image; None for maps that the scanner computed."""
    stem = re.sub(r"\.nii(\.gz)?$", "", path.name, flags=re.IGNORECASE)
    own = path.with_name(f"{stem}.json")
    sidecar = sidecars.read_json(own) if is_regular(own) else {}
    words = sidecar.get("ImageType")
    words = [str(w).upper() for w in words] if isinstance(words, list) else []
    if any(word in COMPUTED or word in DIFFERENCE for word in words):
        return None
    words = [sidecars.text(sidecar, "ComplexImageComponent").upper(), *words[2:]]
    kind = next((KINDS[word] for word in words if word in KINDS), "")
    parts = re.split(r"[^a-z0-9]+", stem.lower())
    named = next((_WORDS[part] for part in reversed(parts) if part in _WORDS), "")
    sequence = sidecars.text(sidecar, "ScanningSequence").upper().replace("\\", " ").split()
    spin_echo = ("SE" in sequence and "GR" not in sequence) or "mese" in parts
    return NiftiFile(path, sidecar, kind or named, spin_echo)


def _by_protocol(files: Sequence[NiftiFile]) -> list[list[NiftiFile]]:
    groups: dict[tuple[Any, ...], list[NiftiFile]] = {}
    for file in files:
        groups.setdefault(file.protocol, []).append(file)
    return list(groups.values())


def _pair_of(files: Sequence[NiftiFile]) -> tuple[list[NiftiFile], list[NiftiFile], bool] | None:
    """Return the files of both parts, and True if they are real and imaginary."""
    for first, second in _PAIRS:
        a = [f for f in files if f.kind == first]
        b = [f for f in files if f.kind == second]
        if not a and first == "magnitude":
            a = [f for f in files if not f.kind]
        if a and b:
            return a, b, first == "real"
    return None


def _missing_part(files: Sequence[NiftiFile]) -> str:
    missing = "magnitude" if any(f.kind == "phase" for f in files) else "phase"
    listed = ", ".join(f.path.name for f in files[:3]) + (", ..." if len(files) > 3 else "")
    return (
        f"{listed}: no {missing} images beside them; add them, or tell them apart by 'mag' and "
        f"'phase' in their names"
    )


def _read(
    files: Sequence[NiftiFile],
    train: Sequence[NiftiFile],
    name: str,
    echo_times_s: tuple[float, ...],
    b0_tesla: float | None,
    report: Report,
) -> Scan:
    """Read one scan and its spin echo."""
    pair = _pair_of(files)
    assert pair is not None
    first, second, complex_parts = pair
    used = [*first, *second, *train]
    read = partial(_read_echoes, times_s=echo_times_s, advance=_counter(report, len(used)))
    a, note = read(first)
    b, _ = read(second)
    side = second[0].sidecar
    facts = PhaseFacts(
        second[0].path.name, sidecars.vendor(side), sidecars.text(side, "Units"),
        b[0].slope, b[0].intercept,
    )  # fmt: skip
    magnitude, phase, times, notes = magnitude_and_phase(a, b, complex_parts, facts)
    tr_s, flip_deg = sidecars.excitation(first[0].sidecar)
    scan = Scan(
        magnitude=magnitude,
        phase_rad=phase,
        echo_times_s=times,
        b0_tesla=_field_strength(first, b0_tesla),
        geometry=a[0].geometry,
        name=name,
        notes=(f"read from NIfTI: {len(times)} echoes", *notes, *filter(None, [note])),
        inputs=_hashes(used),
        tr_s=tr_s,
        flip_deg=flip_deg,
    )
    return _with_spin_echo(scan, train, read) if len(train) > 1 else scan


def _counter(report: Report, total: int) -> Callable[[], None]:
    done = 0

    def advance() -> None:
        nonlocal done
        done += 1
        report(min(done, total), total)

    return advance


def _read_echoes(
    files: Sequence[NiftiFile], times_s: Sequence[float], advance: Callable[[], None]
) -> tuple[list[EchoImage], str | None]:
    """Read files and give every volume its echo time, from sidecars or from the user."""
    images = []
    for file in files:
        images.append(read_echo_image(file.path))
        advance()
    counts = [len(image.values) for image in images]
    what = files[0].path.name
    if times_s and not all("EchoTime" in file.sidecar for file in files):
        if sum(counts) != len(times_s):
            raise InputError(
                f"{what}: {sum(counts)} {files[0].kind or 'magnitude'} echoes but {len(times_s)} "
                f"echo times; give one each"
            )
        if any(late <= early for early, late in itertools.pairwise(times_s)):
            raise InputError(f"{what}: echo times must increase; give them in the files' order")
        times = list(times_s)
    else:
        of_each = [
            sidecars.echo_times(file.sidecar, count, file.path.name)
            for file, count in zip(files, counts, strict=True)
        ]
        times = [time for own in of_each for time in own]
        _refuse_repeats(times, what)
    flat, note = sidecars.times_in_seconds(times, what)
    remaining = iter(flat)
    return [
        replace(image, echo_times_s=tuple(next(remaining) for _ in range(count)))
        for image, count in zip(images, counts, strict=True)
    ], note


def _refuse_repeats(times: Sequence[float], what: str) -> None:
    """Tell repeated echoes: images of separate coils, or several measurements."""
    time, count = Counter(times).most_common(1)[0]
    if count > 1:
        raise InputError(
            f"{what}: {count} images of the echo at {time:g} s, of separate coils or of several "
            f"measurements; export the combined images, or choose one with --files"
        )


def _field_strength(files: Sequence[NiftiFile], b0_tesla: float | None) -> float:
    keys = {"MagneticFieldStrength", "ImagingFrequency"}
    told = [(f.sidecar, f.path.name) for f in files if keys & set(f.sidecar)]
    if told:
        return sidecars.field_strength(told)
    if b0_tesla is None:
        raise InputError(
            f"{files[0].path.name}: the field strength is not known; give it with --b0"
        )
    return float(b0_tesla)


def _hashes(files: Sequence[NiftiFile]) -> dict[str, str]:
    """Return the SHA-256 of the files, by what they are where names repeat."""
    names = Counter(file.path.name for file in files)
    return {
        file.path.name
        if names[file.path.name] == 1
        else f"{file.kind}-{n + 1}/{file.path.name}": sha256(file.path)
        for n, file in enumerate(files)
    }


def _with_spin_echo(
    scan: Scan,
    train: Sequence[NiftiFile],
    read: Callable[[Sequence[NiftiFile]], tuple[list[EchoImage], str | None]],
) -> Scan:
    magnitude_files = [file for file in train if file.kind in ("", "magnitude")]
    try:
        images, _ = read(magnitude_files)
        values, times = join(images, "the spin-echo train")
        magnitude, _ = clean_magnitude(values, magnitude_files[0].path.name)
    except InputError as error:
        return replace(scan, notes=(*scan.notes, f"spin echo not used: {error}"))
    note = f"spin echo from NIfTI: {len(times)} echoes"
    spin_echo = SpinEcho(magnitude, times, images[0].geometry)
    return replace(scan, spin_echo=spin_echo, notes=(*scan.notes, note))
