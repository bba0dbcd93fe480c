"""A BIDS folder -> :class:`~QSMSeparationLib.data.scan.Scan`: MEGRE echoes, and MESE for R2.

Names read: ``sub-XX[_ses-YY][_acq-..][_run-..][_echo-N]_part-{mag,phase,real,imag}_MEGRE``
(or ``GRE``, ``T2starw`` where there is no MEGRE) and ``.._MESE``, each with a JSON sidecar
or one inherited from a folder above. A 4-D file holds its echoes along the last axis, with
a list of as many EchoTime in its sidecar.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from QSMSeparationLib.data.scan import Scan, SpinEcho
from QSMSeparationLib.io import _sidecars as sidecars
from QSMSeparationLib.io._echoes import (
    EchoImage,
    clean_magnitude,
    join,
    magnitude_and_phase,
    read_echo_image,
    with_mask,
)
from QSMSeparationLib.io._folders import is_folder, is_regular
from QSMSeparationLib.io._nifti_header import is_nifti
from QSMSeparationLib.io.files import sha256
from QSMSeparationLib.io.found import FoundScan, read_all
from QSMSeparationLib.io.phase_scaling import PhaseFacts
from QSMSeparationLib.runtime.errors import InputError
from QSMSeparationLib.runtime.progress import Report, silent

_GRADIENT_SUFFIXES = ("MEGRE", "GRE", "T2starw")  # the first that is there is read
_ENTITY = re.compile(r"([a-z]+)-([A-Za-z0-9]+)")


@dataclass(frozen=True)
class BidsFile:
    """A file with what its name says."""

    path: Path
    entities: dict[str, str]
    suffix: str

    @property
    def part(self) -> str:
        """``mag`` unless the name says otherwise."""
        return self.entities.get("part", "mag")

    @property
    def scan_key(self) -> tuple[tuple[str, str], ...]:
        """What the echoes and parts of one scan have in common."""
        return tuple((k, v) for k, v in self.entities.items() if k not in ("echo", "part"))


def read_bids(
    path: Path | str, mask: Path | str | None = None, report: Report = silent
) -> list[Scan]:
    """Read all scans of a dataset, of one subject or of one session.

    Parameters
    ----------
    path : Path
        Folder of the dataset, the subject, the session, or its ``anat``.
    mask : Path, optional
        A brain mask on the grid of the scan.
    report : callable
        Told how many files are read.

    Returns
    -------
    list of Scan
        Named by their BIDS entities.

    Raises
    ------
    InputError
        When a scan is incomplete or its files contradict each other.
    """
    return read_all(find_bids(path, mask), report)


def find_bids(path: Path | str, mask: Path | str | None = None) -> list[FoundScan]:
    """Like :func:`read_bids`, but no image is read yet."""
    root = Path(path)
    sessions = find_subjects(root)
    if not sessions:
        raise InputError(
            f"{root.name}: no MEGRE images with BIDS names (sub-XX/anat/..._MEGRE.nii.gz)"
        )
    return [
        FoundScan(
            name,
            partial(_read_group, files, spin_echo_files, name, root, mask),
            tuple(file.path for file in (*files, *spin_echo_files)),
        )
        for session in sessions
        for files, spin_echo_files, name in _scans_of(session)
    ]


def _read_group(
    files: Sequence[BidsFile],
    spin_echo_files: Sequence[BidsFile],
    name: str,
    root: Path,
    mask: Path | str | None,
    report: Report,
) -> Scan:
    """Read a gradient-echo scan, its spin echo and its mask."""
    done, total = 0, len(files) + len(spin_echo_files)

    def advance() -> None:
        nonlocal done
        done += 1
        report(min(done, total), total)

    scan = _read_scan(files, name, root, advance)
    if spin_echo_files:
        scan = _with_spin_echo(scan, spin_echo_files, root, advance)
    return scan if mask is None else with_mask(scan, Path(mask))


def find_subjects(path: Path | str) -> list[Path]:
    """Return the subject or session folders below ``path`` that hold gradient-echo images."""
    root = Path(path)
    candidates = [root]
    for prefix in ("sub-", "ses-"):
        below = []
        for folder in candidates:
            inner = sorted(
                f for f in _listing(folder) if f.name.startswith(prefix) and is_folder(f)
            )
            below += inner or [folder]
        candidates = below
    return [folder for folder in candidates if _gradient_files(_bids_files(folder))]


def parse_name(path: Path) -> BidsFile | None:
    """Take a BIDS file name apart, or return None for another name."""
    stem = path.name.split(".")[0]
    *pairs, suffix = stem.split("_")
    entities: dict[str, str] = {}
    for pair in pairs:
        match = _ENTITY.fullmatch(pair)
        if match is None:
            return None
        entities[match[1]] = match[2]
    return BidsFile(path, entities, suffix) if suffix.isalnum() else None


def _listing(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _bids_files(session: Path) -> list[BidsFile]:
    """Return the NIfTI files with BIDS names in a session's anat folder (or in the folder itself)."""
    folder = session / "anat"
    paths = _listing(folder) if is_folder(folder) else _listing(session)
    files = [parse_name(path) for path in paths if is_nifti(path) and is_regular(path)]
    return [file for file in files if file is not None and "sub" in file.entities]


def _gradient_files(files: Sequence[BidsFile]) -> list[BidsFile]:
    """Return the images with the first suffix of a gradient-echo scan that is there."""
    for suffix in _GRADIENT_SUFFIXES:
        found = [file for file in files if file.suffix == suffix]
        if found:
            return found
    return []


def _scans_of(session: Path) -> list[tuple[list[BidsFile], list[BidsFile], str]]:
    """Return the files of each gradient-echo scan of a session, its spin-echo files, and its name."""
    files = _bids_files(session)
    groups: dict[tuple[tuple[str, str], ...], list[BidsFile]] = {}
    for file in _gradient_files(files):
        groups.setdefault(file.scan_key, []).append(file)
    spin_echo: dict[tuple[tuple[str, str], ...], list[BidsFile]] = {}
    for file in files:
        if file.suffix == "MESE" and file.part == "mag":
            spin_echo.setdefault(file.scan_key, []).append(file)
    result = []
    for key, members in groups.items():
        kept = [(k, v) for k, v in key if len(groups) > 1 or k in ("sub", "ses")]
        name = "_".join(f"{k}-{v}" for k, v in kept)
        train = spin_echo.get(key) or next(iter(spin_echo.values()), [])
        result.append((members, train, name))
    return result


def _read_scan(files: Sequence[BidsFile], name: str, root: Path, advance: Any) -> Scan:
    """Read the echoes of one gradient-echo scan."""
    parts: dict[str, list[BidsFile]] = {}
    for file in files:
        parts.setdefault(file.part, []).append(file)
    complex_parts = "real" in parts and "imag" in parts and not {"mag", "phase"} <= set(parts)
    wanted = ("real", "imag") if complex_parts else ("mag", "phase")
    for part in wanted:
        if part not in parts:
            raise InputError(
                f"{name}: no part-{part} images of the {files[0].suffix}; add them (part-mag and "
                f"part-phase of every echo)"
            )
        _require_all_echoes(parts[part], name)
    facts, hashes = _facts_of([file for part in wanted for file in parts[part]], root)
    b0_tesla = sidecars.field_strength((facts[p], p.name) for p in facts)
    images = {part: _read_echoes(parts[part], facts, advance) for part in wanted}
    first, second = (images[part][0] for part in wanted)
    side = facts[parts[wanted[1]][0].path]
    magnitude, phase, times, notes = magnitude_and_phase(
        first,
        second,
        complex_parts,
        PhaseFacts(
            name,
            sidecars.vendor(side),
            sidecars.text(side, "Units"),
            second[0].slope,
            second[0].intercept,
        ),
    )
    time_notes = [note for part in wanted if (note := images[part][1])]
    tr_s, flip_deg = sidecars.excitation(facts[parts[wanted[0]][0].path])
    return Scan(
        magnitude=magnitude,
        phase_rad=phase,
        echo_times_s=times,
        b0_tesla=b0_tesla,
        geometry=first[0].geometry,
        name=name,
        notes=(f"read from BIDS: {len(times)} echoes", *notes, *time_notes[:1]),
        inputs=hashes,
        tr_s=tr_s,
        flip_deg=flip_deg,
    )


def _read_echoes(
    files: Sequence[BidsFile], facts: dict[Path, dict[str, Any]], advance: Any
) -> tuple[list[EchoImage], str | None]:
    """Read files and give each its echo times in seconds."""
    images, times = [], []
    for file in files:
        image = read_echo_image(file.path)
        times.append(sidecars.echo_times(facts[file.path], len(image.values), file.path.name))
        images.append(image)
        advance()
    flat, note = sidecars.times_in_seconds([t for ts in times for t in ts], files[0].path.name)
    remaining = iter(flat)
    images = [
        replace(image, echo_times_s=tuple(next(remaining) for _ in own))
        for image, own in zip(images, times, strict=True)
    ]
    return images, note


def _require_all_echoes(files: Sequence[BidsFile], name: str) -> None:
    """Refuse a gap in the numbers of the echoes, and one echo in two files."""
    labels = [file.entities["echo"] for file in files if "echo" in file.entities]
    if len(labels) != len(files) and len(files) > 1:
        raise InputError(f"{name}: several {files[0].part} files without echo-N in their names")
    echoes = sorted(int(label) for label in labels if label.isdecimal() and len(label) < 6)
    if len(echoes) != len(labels) or len(set(echoes)) != len(echoes):
        raise InputError(
            f"{name}: echo numbers of part-{files[0].part} are no numbers or twice there"
        )
    missing = sorted(set(range(1, len(echoes) + 1)) - set(echoes))
    if missing:
        raise InputError(
            f"{name}: echo-{missing[0]} of part-{files[0].part} is missing (there are "
            f"{len(echoes)} echoes up to echo-{echoes[-1]}); add it"
        )


def sidecar_of(file: BidsFile) -> tuple[dict[str, Any], list[Path]]:
    """Return the facts of a file, its own sidecar over those inherited, and the files read."""
    found = sidecar_files([file.path])
    if not found:
        raise InputError(
            f"{file.path.name}: no JSON sidecar; add one with EchoTime and field strength"
        )
    merged: dict[str, Any] = {}
    for path in found:
        merged.update(sidecars.read_json(path))
    return merged, found


def sidecar_files(images: Sequence[Path]) -> list[Path]:
    """Return the sidecars that tell of images of one folder, the inherited ones first."""
    files = [file for path in images if (file := parse_name(path)) is not None]
    if not files:
        return []
    folders = [files[0].path.parent]
    while re.match(r"(sub|ses)-|anat$", folders[0].name) and len(folders) < 5:
        folders.insert(0, folders[0].parent)
    found: list[tuple[int, int, Path]] = []
    for depth, folder in enumerate(folders):
        for path in _json_files(folder):
            other = parse_name(path)
            if other and any(other.suffix == f.suffix and _covers(other, f) for f in files):
                found.append((depth, len(other.entities), path))
    return [path for _, _, path in sorted(found)]


def _json_files(folder: Path) -> list[Path]:
    """Return the JSON files of a folder, which may hold thousands of others."""
    try:
        names = [name for name in os.listdir(folder) if name.endswith(".json")]
    except OSError:
        return []
    return [path for name in names if is_regular(path := folder / name)]


def _facts_of(
    files: Sequence[BidsFile], root: Path
) -> tuple[dict[Path, dict[str, Any]], dict[str, str]]:
    """Return the facts of each file, and the SHA-256 of it and its sidecars by their relative paths."""
    facts: dict[Path, dict[str, Any]] = {}
    read: set[Path] = set()
    for file in files:
        facts[file.path], used = sidecar_of(file)
        read.update([file.path, *used])
    hashes = {}
    for path in sorted(read):
        below = path.is_relative_to(root)
        hashes[path.relative_to(root).as_posix() if below else path.name] = sha256(path)
    return facts, hashes


def _covers(sidecar: BidsFile, file: BidsFile) -> bool:
    """Return whether every entity of a sidecar is one of the image."""
    return all(file.entities.get(k) == v for k, v in sidecar.entities.items())


def _with_spin_echo(scan: Scan, files: Sequence[BidsFile], root: Path, advance: Any) -> Scan:
    """Attach the spin-echo train."""
    name = files[0].path.name
    _require_all_echoes(files, f"{scan.name} MESE")
    facts, hashes = _facts_of(files, root)
    images, note = _read_echoes(files, facts, advance)
    values, times = join(images, "the spin-echo train")
    if len(times) < 2:
        raise InputError(f"{name}: R2 needs two or more spin echoes; add them or leave it out")
    magnitude, clean_note = clean_magnitude(values, name)
    notes = [f"spin echo from BIDS: {len(times)} echoes", clean_note, note]
    return replace(
        scan,
        spin_echo=SpinEcho(np.ascontiguousarray(magnitude), times, images[0].geometry),
        notes=(*scan.notes, *(n for n in notes if n)),
        inputs={**scan.inputs, **hashes},
    )
