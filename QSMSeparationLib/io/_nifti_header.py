"""The few fields of a NIfTI header that tell how long the file is and what it stores.

ITK reads a file that is cut off, and replaces NaN by 0, without a word: hence this look of our own.
"""

from __future__ import annotations

import gzip
import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

HEADER_BYTES = 540
"""Of NIfTI-2, the longer one."""


@dataclass(frozen=True)
class NiftiHeader:
    """What the header of a NIfTI-1 or NIfTI-2 file announces.

    Parameters
    ----------
    order : str
        ``<`` or ``>``, the byte order.
    datatype : int
        Code of the type of the values (16 float32, 64 float64).
    bits : int
        Of one value.
    voxels : int
        Number of values.
    volume_voxels : int
        Those of one volume of a file that may hold several.
    offset : int
        Where they begin.
    """

    order: str
    datatype: int
    bits: int
    voxels: int
    volume_voxels: int
    offset: int

    @property
    def file_bytes(self) -> int:
        """Length of the uncompressed file."""
        return self.offset + (self.voxels * self.bits + 7) // 8


def is_nifti(path: Path) -> bool:
    """Return True for the name of a NIfTI file."""
    return path.name.lower().endswith((".nii", ".nii.gz"))


def open_nifti(path: Path) -> BinaryIO:
    """Open a NIfTI file, compressed or not, for its uncompressed bytes."""
    return cast(BinaryIO, gzip.open(path) if path.name.lower().endswith(".gz") else path.open("rb"))


def parse_header(content: bytes) -> NiftiHeader | None:
    """Parse the first bytes of a file; None for what is no NIfTI header."""
    for order in "<>":
        size = struct.unpack_from(order + "i", content)[0] if len(content) >= 352 else 0
        if size == 348:
            dims = struct.unpack_from(order + "8h", content, 40)
            datatype, bits = struct.unpack_from(order + "2h", content, 70)
            offset = struct.unpack_from(order + "f", content, 108)[0]
        elif size == HEADER_BYTES and len(content) >= HEADER_BYTES:
            dims = struct.unpack_from(order + "8q", content, 16)
            datatype, bits = struct.unpack_from(order + "2h", content, 12)
            offset = float(struct.unpack_from(order + "q", content, 168)[0])
        else:
            continue
        if not 1 <= dims[0] <= 7 or bits <= 0 or not 0 <= offset <= 1e9:
            return None
        lengths = [max(int(length), 1) for length in dims[1 : dims[0] + 1]]
        sizes = math.prod(lengths), math.prod(lengths[:3])
        return NiftiHeader(order, datatype, bits, *sizes, int(offset))
    return None
