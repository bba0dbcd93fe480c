"""Whether a NIfTI file is whole: ITK reads one that is cut off without a word."""

from __future__ import annotations

import gzip
import struct
import zlib
from pathlib import Path
from typing import BinaryIO

from QSMSeparationLib.runtime.errors import InputError

_MAX_INFLATION = 2000  # gzip can't do more than about 1000 to 1
_BLOCK = 1 << 20


def require_complete(path: Path) -> None:
    """Raise InputError when a NIfTI file holds less than its header says, or is damaged.

    A compressed file is read to its end, so that its check sum is compared, too. Other
    formats, and headers that are no NIfTI, are left to the reader.
    """
    name = path.name.lower()
    if not name.endswith((".nii", ".nii.gz")):
        return
    try:
        stored = path.stat().st_size
        if name.endswith(".gz"):
            with gzip.open(path) as stream:
                expected = _expected_bytes(stream.read(540))
                if expected is None:
                    return
                found = 0 if expected > stored * _MAX_INFLATION else _length(stream, expected)
        else:
            with path.open("rb") as stream:
                expected = _expected_bytes(stream.read(540))
            found = stored
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise InputError(f"{path.name}: damaged or cut off; copy the file again") from None
    except OSError as error:
        raise InputError(f"{path.name}: can't be read ({error.strerror})") from None
    if expected is not None and found < expected:
        raise InputError(
            f"{path.name}: cut off ({found} of {expected} bytes are there); copy the file again"
        )


def _expected_bytes(header: bytes) -> int | None:
    """Return the length of the uncompressed file as its NIfTI-1 or NIfTI-2 header announces it."""
    for order in "<>":
        size = struct.unpack_from(order + "i", header)[0] if len(header) >= 352 else 0
        if size == 348:
            dims = struct.unpack_from(order + "8h", header, 40)
            bits = struct.unpack_from(order + "h", header, 72)[0]
            offset = struct.unpack_from(order + "f", header, 108)[0]
        elif size == 540 and len(header) == 540:
            dims = struct.unpack_from(order + "8q", header, 16)
            bits = struct.unpack_from(order + "h", header, 14)[0]
            offset = float(struct.unpack_from(order + "q", header, 168)[0])
        else:
            continue
        if not 1 <= dims[0] <= 7 or bits <= 0 or not 0 <= offset <= 1e9:
            return None
        voxels = 1
        for length in dims[1 : dims[0] + 1]:
            voxels *= max(int(length), 1)
        return int(offset) + (voxels * bits + 7) // 8
    return None


def _length(stream: BinaryIO, expected: int) -> int:
    """Read to the end, but not far beyond what is expected; return how much there was."""
    stream.seek(0)
    found = 0
    while found <= expected + _BLOCK:
        block = stream.read(_BLOCK)
        if not block:
            break
        found += len(block)
    return found
