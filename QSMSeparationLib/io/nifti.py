"""NIfTI files (and what else SimpleITK reads) <-> :class:`~QSMSeparationLib.data.volume.Volume`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from QSMSeparationLib.data.volume import Volume, from_sitk, to_sitk
from QSMSeparationLib.io._complete import require_complete
from QSMSeparationLib.io._nifti_header import HEADER_BYTES, is_nifti, open_nifti, parse_header
from QSMSeparationLib.io._sidecars import excitation, read_json
from QSMSeparationLib.runtime.errors import InputError

MAX_VOXELS = 1_500_000_000
"""A header that announces more voxels than this is taken for broken."""

_FLOATS = {16: 4, 64: 8}  # bytes of float32 and float64 by their codes

sitk.ProcessObject.SetGlobalWarningDisplay(False)


def read_volume(path: Path | str) -> Volume:
    """Read a three-dimensional image; its values keep their type.

    Raises
    ------
    InputError
        When the file is missing, truncated, or not a three-dimensional image.
    """
    image = read_image(path)
    require_real(image, Path(path).name)
    if image.GetDimension() == 4 and image.GetSize()[3] == 1:
        image = image[..., 0]
    return from_sitk(image, Path(path).name)


def read_image(path: Path | str) -> sitk.Image:
    """Read an image of any dimension, or raise InputError with the file's name."""
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path} does not exist; check the path")
    require_complete(path)
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
        if np.prod(np.asarray(reader.GetSize(), dtype=float)) > MAX_VOXELS:
            raise InputError(
                f"{path.name}: the header announces {reader.GetSize()} voxels; broken?"
            )
        return reader.Execute()
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1].removeprefix("ITK ERROR:").strip()
        raise InputError(f"{path.name} can't be read as an image ({reason[-160:]})") from None


def require_real(image: sitk.Image, source: str) -> None:
    """Refuse complex numbers, of which the imaginary part would be lost without a word."""
    if "complex" in image.GetPixelIDTypeAsString():
        raise InputError(
            f"{source}: complex numbers; export magnitude and phase (or real and imaginary parts)"
        )


def read_map(path: Path | str) -> Volume:
    """Read a map as float32; values that are not finite are kept for the caller to judge."""
    volume = read_volume(path)
    array = volume.array.astype(np.float32, copy=False)
    lost = _not_finite(Path(path), array.shape)
    if lost is not None:
        array[lost] = np.nan
    return volume.like(array)


def read_excitation(path: Path | str) -> tuple[float | None, float | None]:
    """Return TR in seconds and flip angle in degrees from the sidecar beside an image.

    None where there is no sidecar, or where it does not hold a possible one.
    """
    path = Path(path)
    stem = path.name.removesuffix(".gz").removesuffix(".nii")
    beside = path.with_name(f"{stem}.json")
    return excitation(read_json(beside)) if beside.is_file() else (None, None)


def _not_finite(path: Path, shape: tuple[int, ...]) -> NDArray[np.bool_] | None:
    """Return where a NIfTI file stores NaN or infinity, or None.

    The NIfTI reader of ITK replaces them by 0 without a word, so a hole in a map would
    pass for a value.
    """
    if not is_nifti(path):
        return None
    with open_nifti(path) as stream:
        header = parse_header(stream.read(HEADER_BYTES))
        if header is None or header.datatype not in _FLOATS:
            return None
        item = _FLOATS[header.datatype]
        count = int(np.prod(shape))
        stream.seek(max(352, header.offset))
        values = np.frombuffer(stream.read(count * item), dtype=f"{header.order}f{item}")
    if values.size != count:
        return None
    lost = ~np.isfinite(values)
    return lost.reshape(shape) if lost.any() else None


def read_labels(path: Path | str) -> Volume:
    """Read a mask or segmentation as int32; refuse values that are no labels."""
    volume = read_volume(path)
    array = volume.array
    if array.dtype.kind == "f":
        if not np.isfinite(array).all():
            raise InputError(
                f"{volume.source} holds NaN; a mask or segmentation needs whole numbers"
            )
        rounded = np.rint(array)
        if np.abs(array - rounded).max(initial=0) > 1e-3:
            raise InputError(
                f"{volume.source} holds fractions; a mask or segmentation needs labels"
            )
        array = rounded
    if array.size and (array.min() < 0 or array.max() > 100_000):
        raise InputError(
            f"{volume.source}: labels run from {array.min():g} to {array.max():g}; broken?"
        )
    return volume.like(array.astype(np.int32))


def write_volume(volume: Volume, path: Path | str) -> None:
    """Write an image; float64 becomes float32, bool and small labels become uint8."""
    array = volume.array
    if array.dtype == np.float64:
        array = array.astype(np.float32)
    elif array.dtype == bool:
        array = array.astype(np.uint8)
    image = to_sitk(volume.like(array))
    try:
        sitk.WriteImage(image, str(path), useCompression=True, compressionLevel=1)
    except RuntimeError:
        raise InputError(f"{path} can't be written; check the disk and the permissions") from None
