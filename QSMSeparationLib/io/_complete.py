"""Refuse a NIfTI file that is not whole: ITK reads one that is cut off without a word."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import BinaryIO

from QSMSeparationLib.io._nifti_header import HEADER_BYTES, is_nifti, open_nifti, parse_header
from QSMSeparationLib.runtime.errors import InputError

_MAX_INFLATION = 2000  # gzip can't do more than about 1000 to 1
_BLOCK = 1 << 20


def require_complete(path: Path) -> None:
    """Raise InputError when a NIfTI file holds less than its header says, or is damaged.

    A compressed file is read to its end, so that its check sum is compared, too. Other
    formats, and headers that are no NIfTI, are left to the reader.
    """
    if not is_nifti(path):
        return
    try:
        stored = path.stat().st_size
        with open_nifti(path) as stream:
            header = parse_header(stream.read(HEADER_BYTES))
            if header is None:
                return
            expected, found = header.file_bytes, stored
            if path.name.lower().endswith(".gz"):
                found = 0 if expected > stored * _MAX_INFLATION else _length(stream, expected)
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise InputError(f"{path.name}: damaged or cut off; copy the file again") from None
    except OSError as error:
        raise InputError(f"{path.name}: can't be read ({error.strerror})") from None
    if found < expected:
        raise InputError(
            f"{path.name}: cut off ({found} of {expected} bytes are there); copy the file again"
        )


def _length(stream: BinaryIO | gzip.GzipFile, expected: int) -> int:
    """Read to the end, but not far beyond what is expected; return how much there was."""
    stream.seek(0)
    found = 0
    while found <= expected + _BLOCK:
        block = stream.read(_BLOCK)
        if not block:
            break
        found += len(block)
    return found
