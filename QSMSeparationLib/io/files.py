"""Facts about files, whatever is in them."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

_known: ContextVar[dict[Path, str] | None] = ContextVar("_known", default=None)


def sha256(path: Path | str) -> str:
    """Return the SHA-256 of a file, for the provenance."""
    path, known = Path(path), _known.get()
    if known is None:
        return _sha256(path)
    if path not in known:
        known[path] = _sha256(path)
    return known[path]


@contextmanager
def hashed_once() -> Iterator[None]:
    """Read every file once for its SHA-256 in a block, however often that is asked for."""
    token = _known.set({})
    try:
        yield
    finally:
        _known.reset(token)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


@contextmanager
def written_whole(file: Path) -> Iterator[Path]:
    """Give a file beside another to write to, which takes its place when all is written."""
    partial = file.with_name(f".{file.name}-{os.getpid()}")
    try:
        yield partial
        os.replace(partial, file)
    finally:
        partial.unlink(missing_ok=True)


def input_hashes(files: Mapping[str, Path | None], beside: Collection[str] = ()) -> dict[str, str]:
    """Return the SHA-256 of the inputs that were given.

    Parameters
    ----------
    files : mapping of str to Path
        Every input by what it is: ``field``, ``mask``.
    beside : collection of str
        Names that are taken already.

    Returns
    -------
    dict of str to str
        By file name; ``mask/map.nii.gz`` where two inputs have one name. Folders are left
        out, since they may be named after a patient.
    """
    given = {what: path for what, path in files.items() if path is not None}
    names = Counter([*beside, *(path.name for path in given.values())])
    return {
        path.name if names[path.name] == 1 else f"{what}/{path.name}": sha256(path)
        for what, path in given.items()
    }
