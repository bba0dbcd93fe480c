"""What is known of every scan of a cohort: a record each, by which a later run tells what is left.

``OUT/.cohort/scans/NAME.json`` is written when a scan is done or has failed, after its outputs. It
holds what it was made from: inputs (size, time, SHA-256), options, version and weights.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from QSMSeparationLib import __version__, catalogue
from QSMSeparationLib.io.files import sha256, written_whole
from QSMSeparationLib.networks.cards import FOLDER, read_card
from QSMSeparationLib.pipeline.options import Options
from QSMSeparationLib.runtime.errors import InputError

STATE_FOLDER = ".cohort"
"""Below OUT: records and claims."""

DONE, FAILED = "done", "failed"


@dataclass(frozen=True)
class Record:
    """What came of a scan.

    Parameters
    ----------
    name : str
        BIDS name of the scan.
    status : str
        ``done`` or ``failed``.
    reason : str
        Why it failed, in one line.
    inputs : dict
        By path: ``size``, ``mtime_ns`` and ``sha256``.
    recipe : dict
        Options, version and weights.
    outputs : tuple of str
        Files below OUT.
    seconds : float
        What it took.
    summary : dict
        What tables over all scans need.
    """

    name: str
    status: str
    reason: str = ""
    inputs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    recipe: Mapping[str, Any] = field(default_factory=dict)
    outputs: tuple[str, ...] = ()
    seconds: float = 0.0
    summary: Mapping[str, Any] = field(default_factory=dict)


def recipe_of(options: Options, keep: bool) -> dict[str, Any]:
    """Return what, beside the inputs, decides the outputs: options, version and weights."""
    plain = {name: _plain(value) for name, value in asdict(options).items() if name != "device"}
    return {
        "version": __version__,
        "options": plain | {"keep": keep},
        "weights": _weights(options),
    }


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return sha256(value)
    return dict(value) if isinstance(value, Mapping) else value


def _weights(options: Options) -> dict[str, str]:
    """Return the SHA-256 of all networks that may be used, as their cards have it."""
    names = {name for method in catalogue.methods("inversion") if method.name == options.inversion
             for name in method.networks}  # fmt: skip
    names |= {name for method in catalogue.methods("separation") for name in method.networks
              if options.method in ("", method.name)}  # fmt: skip
    if options.mask_method == "anatomy":
        names.add("anatomy-net")
    return {name: read_card(FOLDER / f"{name}.pt")["sha256"] for name in sorted(names)}


def stamps(files: Iterable[Path], root: Path) -> dict[str, dict[str, Any]]:
    """Return size and time of files, by their paths below a root or as they are."""
    found = {}
    for file in files:
        try:
            status = file.stat()
        except OSError as error:
            raise InputError(f"{file.name} can't be read ({error.strerror})") from None
        found[relative(file, root)] = {"size": status.st_size, "mtime_ns": status.st_mtime_ns}
    return found


def relative(file: Path, root: Path) -> str:
    """Return a path below a root, or the path itself where it is not below it."""
    return file.relative_to(root).as_posix() if file.is_relative_to(root) else str(file)


def record_path(out: Path, name: str) -> Path:
    """Return where the record of a scan lies."""
    return out / STATE_FOLDER / "scans" / f"{name}.json"


def read_record(out: Path, name: str) -> Record | None:
    """Return the record of a scan; None where there is none that can be read."""
    return _read(record_path(out, name))


def read_records(out: Path) -> list[Record]:
    """Return all records, by name."""
    files = sorted((out / STATE_FOLDER / "scans").glob("*.json"))
    return [record for file in files if (record := _read(file)) is not None]


def _read(file: Path) -> Record | None:
    try:
        stored = json.loads(file.read_text(encoding="utf-8"))
        return Record(**(stored | {"outputs": tuple(stored["outputs"])}))
    except (OSError, ValueError, TypeError, KeyError):
        return None


def write_record(out: Path, record: Record) -> None:
    """Write a record in one step."""
    file = record_path(out, record.name)
    file.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(file) as partial, partial.open("w", encoding="utf-8") as stream:
        json.dump(asdict(record), stream, indent=1)
        stream.flush()
        os.fsync(stream.fileno())  # the outputs of a power cut have no record


def reason_to_run(
    record: Record | None,
    inputs: Mapping[str, Mapping[str, Any]],
    recipe: Mapping[str, Any],
    root: Path,
    out: Path,
    retry: bool = False,
) -> str:
    """Return why a scan has to be run, in a few words; empty when it has not.

    Files of the same size and time are the same. Where only the time differs, as after a copy, the
    SHA-256 decides.

    Parameters
    ----------
    record : Record or None
        What came of it before.
    inputs, recipe : mapping
        What it would be made from now (:func:`stamps`, :func:`recipe_of`).
    root : Path
        The dataset.
    out : Path
        The folder of the outputs.
    retry : bool
        Whether what failed is tried again though nothing has changed.
    """
    if record is None:
        return "new"
    for what in ("version", "options", "weights"):
        if record.recipe.get(what) != recipe[what]:
            return f"other {what}"
    if changed := _changed_input(record, inputs, root):
        return changed
    if record.status == FAILED:
        return "tried again" if retry else ""
    missing = [name for name in record.outputs if not (out / name).is_file()]
    return f"{Path(missing[0]).name} is missing" if missing else ""


def _changed_input(record: Record, inputs: Mapping[str, Mapping[str, Any]], root: Path) -> str:
    """Return which input is not what it was; empty when all are."""
    if other := record.inputs.keys() ^ inputs.keys():
        return f"other inputs ({Path(min(other)).name})"
    for name, now in inputs.items():
        before = record.inputs[name]
        same_time = before["mtime_ns"] == now["mtime_ns"]
        if before["size"] != now["size"]:
            return f"{Path(name).name} has changed"
        if not same_time and before.get("sha256") != sha256(root / name):
            return f"{Path(name).name} has changed"
    return ""
