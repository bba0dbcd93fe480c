"""A folder of DICOM files -> :class:`~QSMSeparationLib.data.scan.Scan`.

Files may lie in any order and depth, and several series in one folder. The role of each
image (magnitude, phase, real, imaginary; echo time; gradient or spin echo) is taken from
the standard tags, classic and enhanced multi-frame. Nothing that could name a patient
enters a scan, a message or a log.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from QSMSeparationLib.data.scan import Scan, SpinEcho
from QSMSeparationLib.data.volume import Geometry
from QSMSeparationLib.io._dicom_frames import Frame, is_dicom, quiet_pydicom, read_frames
from QSMSeparationLib.io._dicom_stack import (
    Acquisition,
    echoes_of,
    grid_difference,
    group_series,
    load,
    sort_slices,
)
from QSMSeparationLib.io._echoes import (
    PHASE_DIFFERENCE,
    clean_magnitude,
    combine_parts,
    require_pairs,
)
from QSMSeparationLib.io._folders import regular_files
from QSMSeparationLib.io._sidecars import plausible_excitation
from QSMSeparationLib.io.bids_names import require_bids_name
from QSMSeparationLib.io.field_strength import agreed_tesla
from QSMSeparationLib.io.files import sha256
from QSMSeparationLib.io.found import FoundScan, read_all
from QSMSeparationLib.io.phase_scaling import PhaseFacts
from QSMSeparationLib.runtime.errors import InputError
from QSMSeparationLib.runtime.progress import Report, silent

Echoes = dict[float, list[Frame]]


def read_dicom(folder: Path | str, name: str = "sub-01", report: Report = silent) -> list[Scan]:
    """Read every multi-echo gradient-echo scan below a folder; see :func:`find_dicom`."""
    return read_all(find_dicom(regular_files(Path(folder)), name), report)


def find_dicom(
    files: Sequence[Path], name: str = "sub-01", report: Report = silent
) -> list[FoundScan]:
    """List the multi-echo gradient-echo scans of DICOM files by their headers.

    Parameters
    ----------
    files : sequence of Path
        Files of one patient, in any order; what is no DICOM file is skipped.
    name : str
        BIDS name that the scans get; ``_ses-01`` and ``_run-01`` are added when there
        are several studies or several scans in a study.
    report : callable
        Told how many headers are read.

    Returns
    -------
    list of FoundScan
        A multi-echo spin-echo series of the same study is attached to each when it is read.

    Raises
    ------
    InputError
        When no scan can be used, with the reason of the one that came nearest.
    """
    require_bids_name(name)
    with quiet_pydicom():
        frames, skipped = _all_frames(files, report)
    acquisitions = group_series(frames)
    gradient = [a for a in acquisitions if not a.frames[0].spin_echo]
    spin_echoes = [a for a in acquisitions if a.frames[0].spin_echo]
    if not gradient:
        raise InputError("the folder holds spin-echo images only; add the gradient-echo scan")
    plans: list[_Plan] = []
    refused: list[tuple[Acquisition, InputError]] = []
    for acquisition in gradient:
        try:
            plans.append(_plan(acquisition, spin_echoes))
        except InputError as error:
            refused.append((acquisition, error))
    if not plans:
        raise InputError(_reason(refused))
    notes = [f"{skipped} files that hold no MR image were skipped"] if skipped else []
    notes += [f"not used: {error}" for _, error in refused]
    names = _names([plan.acquisition for plan in plans], name)
    return [
        FoundScan(own, partial(_read, plan, own, tuple(notes)), plan.files)
        for plan, own in zip(plans, names, strict=True)
    ]


def _all_frames(files: Sequence[Path], report: Report) -> tuple[list[Frame], int]:
    """Return the frames of all files, and how many files hold none."""
    frames: list[Frame] = []
    skipped = 0
    dicom = 0
    for n, path in enumerate(files):
        report(n, len(files))
        if not is_dicom(path):
            skipped += 1
            continue
        dicom += 1
        found = read_frames(path)
        skipped += not found
        frames += found
    if not frames:
        what = f"{dicom} DICOM files but no usable MR image" if dicom else "no DICOM files"
        raise InputError(f"the folder holds {what}; give the folder of the gradient-echo scan")
    patients = len({frame.patient for frame in frames})
    if patients > 1:
        raise InputError(f"the folder holds {patients} patients; give the folder of one")
    return frames, skipped


def _names(acquisitions: Sequence[Acquisition], name: str) -> list[str]:
    """Return the BIDS names that tell studies and scans apart."""
    studies = [a.frames[0].study for a in acquisitions]
    order = list(dict.fromkeys(studies))
    names = []
    for n, study in enumerate(studies):
        session = f"_ses-{order.index(study) + 1:02d}" if len(order) > 1 else ""
        run = f"_run-{studies[:n].count(study) + 1:02d}" if studies.count(study) > 1 else ""
        names.append(f"{name}{session}{run}")
    return names


def _reason(refused: Sequence[tuple[Acquisition, InputError]]) -> str:
    """Return the reason of the acquisition that came nearest to a scan."""
    phase_only = [a for a, _ in refused if a.kinds == {"phase"}]
    magnitude_only = [a for a, _ in refused if a.kinds == {"magnitude"}]
    complete = [(a, e) for a, e in refused if len(a.kinds) > 1]
    if phase_only and magnitude_only and not complete:
        a = max(magnitude_only, key=lambda a: len(a.frames))
        b = max(phase_only, key=lambda a: len(a.frames))
        difference = grid_difference(a.frames[0], b.frames[0]) or "different study or protocol"
        return (
            f"magnitude ({a.label}) and phase ({b.label}) do not belong together: {difference}; "
            f"give magnitude and phase of one scan"
        )
    _, error = max(complete or refused, key=lambda pair: len(pair[0].frames))
    return str(error)


@dataclass(frozen=True)
class _Plan:
    """A gradient-echo acquisition whose headers fit together."""

    acquisition: Acquisition
    times_s: tuple[float, ...]
    ordered: dict[str, list[list[Frame]]]
    geometry: Geometry
    b0_tesla: float
    spin_echoes: tuple[Acquisition, ...]

    @property
    def files(self) -> tuple[Path, ...]:
        """The files of the gradient echo."""
        return tuple(dict.fromkeys(frame.path for frame in self.acquisition.frames))


def _plan(acquisition: Acquisition, spin_echoes: Sequence[Acquisition]) -> _Plan:
    """Check one gradient-echo acquisition by its headers alone."""
    label = acquisition.label
    if "difference" in acquisition.kinds:
        raise InputError(f"{label}: {PHASE_DIFFERENCE}")
    echoes = echoes_of(acquisition)
    complex_parts = "real" in echoes and "imaginary" in echoes
    first, second = ("real", "imaginary") if complex_parts else ("magnitude", "phase")
    times, other = (tuple(echoes.get(part, {})) for part in (first, second))
    require_pairs(times, other, (first, second), label)
    ordered, geometry = _sort_all({k: echoes[k] for k in (first, second)}, label)
    own = [a for a in spin_echoes if a.frames[0].study == acquisition.frames[0].study]
    strength = agreed_tesla((frame.b0_tesla, frame.where) for frame in acquisition.frames)
    return _Plan(acquisition, times, ordered, geometry, strength, tuple(own))


def _read(plan: _Plan, name: str, notes: tuple[str, ...], report: Report) -> Scan:
    """Read the pixels of one scan and of its spin echo."""
    total = len({frame.path for frame in plan.acquisition.frames})
    done = 0

    def advance(count: int) -> None:
        nonlocal done
        done += count
        report(min(done, total), total)

    with quiet_pydicom():
        scan = _with_spin_echo(_scan(plan, name, advance), plan.spin_echoes)
    return replace(scan, notes=(*scan.notes, *notes))


def _scan(plan: _Plan, name: str, advance: Callable[[int], None]) -> Scan:
    """Read one gradient-echo acquisition."""
    label, vendor = plan.acquisition.label, plan.acquisition.frames[0].vendor
    (first, frames_a), (_, frames_b) = plan.ordered.items()
    a = load(frames_a, plan.geometry, advance)
    b = load(frames_b, plan.geometry, advance)
    facts = PhaseFacts(label, vendor, header_span=_header_span(frames_b))
    magnitude, phase, notes = combine_parts(a, b, first == "real", facts, plan.geometry)
    count = len(plan.times_s)
    tr_ms, flip = plan.acquisition.frames[0].protocol
    tr_s, flip_deg = plausible_excitation(None if tr_ms is None else tr_ms / 1000, flip)
    return Scan(
        magnitude=magnitude,
        phase_rad=phase,
        echo_times_s=plan.times_s,
        b0_tesla=plan.b0_tesla,
        geometry=plan.geometry,
        name=name,
        notes=(f"read from DICOM {label}: {count} echoes, {vendor or 'unknown vendor'}", *notes),
        inputs=_hashes([frame for stack in (*frames_a, *frames_b) for frame in stack]),
        tr_s=tr_s,
        flip_deg=flip_deg,
    )


def _sort_all(
    echoes: dict[str, Echoes], label: str
) -> tuple[dict[str, list[list[Frame]]], Geometry]:
    """Sort the slices of every echo, and require that all have one grid."""
    ordered: dict[str, list[list[Frame]]] = {}
    reference: Geometry | None = None
    for kind, stacks in echoes.items():
        for time, frames in stacks.items():
            what = f"{label}, {kind} at {1000 * time:g} ms"
            if reference and len(frames) != reference.shape[0]:
                raise InputError(
                    f"{what}: {len(frames)} slices but {reference.shape[0]} in the first echo; "
                    f"copy all files of the scan"
                )
            stack, geometry = sort_slices(frames, what)
            reference = reference or geometry
            difference = reference.difference(geometry)
            if difference:
                raise InputError(f"{what} differs from the first echo: {difference}")
            ordered.setdefault(kind, []).append(stack)
    assert reference is not None
    return ordered, reference


def _header_span(stacks: Sequence[Sequence[Frame]]) -> tuple[float, float] | None:
    """Return the lowest and highest phase that the headers allow, where that tells the unit."""
    spans = {(f.stored_limits, f.slope, f.intercept) for stack in stacks for f in stack}
    if len(spans) != 1 or stacks[0][0].vendor not in ("Siemens", "Philips"):
        return None
    limits, slope, intercept = spans.pop()
    low, high = sorted(limit * slope + intercept for limit in limits)
    return low, high


def _hashes(frames: Sequence[Frame]) -> dict[str, str]:
    """Return one SHA-256 a series, over the sorted digests of its files; names do not enter."""
    series: dict[str, set[Path]] = {}
    numbers: dict[str, int] = {}
    for frame in frames:
        series.setdefault(frame.series, set()).add(frame.path)
        numbers[frame.series] = frame.series_number
    result: dict[str, str] = {}
    for key, paths in series.items():
        digests = "".join(sorted(sha256(path) for path in paths))
        label = f"series-{numbers[key]:03d}"
        while label in result:
            label += "b"
        result[label] = hashlib.sha256(digests.encode()).hexdigest()
    return result


def _with_spin_echo(scan: Scan, candidates: Sequence[Acquisition]) -> Scan:
    """Attach the multi-echo spin-echo series of the same study, if there is one."""
    best: tuple[Acquisition, Echoes] | None = None
    for acquisition in candidates:
        try:
            echoes = echoes_of(acquisition).get("magnitude", {})
        except InputError:
            continue
        if len(echoes) > max(1, len(best[1]) if best else 0):
            best = acquisition, echoes
    if best is None:
        return scan
    acquisition, echoes = best
    try:
        ordered, geometry = _sort_all({"magnitude": echoes}, acquisition.label)
        magnitude = load(ordered["magnitude"], geometry, lambda _: None)
        magnitude, _ = clean_magnitude(magnitude, acquisition.label)
    except InputError as error:
        return replace(scan, notes=(*scan.notes, f"spin echo not used: {error}"))
    note = f"spin echo from DICOM {acquisition.label}: {len(echoes)} echoes"
    used = [frame for stack in ordered["magnitude"] for frame in stack]
    return replace(
        scan,
        spin_echo=SpinEcho(magnitude, tuple(echoes), geometry),
        notes=(*scan.notes, note),
        inputs={**scan.inputs, **_hashes(used)},
    )
