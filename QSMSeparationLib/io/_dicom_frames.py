"""DICOM files -> frames: one image plane each, with the facts needed to stack it.

Only the tags named here are read, so that a patient's name never enters the program;
identifiers are kept as digests, to tell patients, studies and series apart.
"""

from __future__ import annotations

import hashlib
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from QSMSeparationLib.io._dicom_tags import number, numbers, text
from QSMSeparationLib.io.field_strength import tesla_from
from QSMSeparationLib.io.vendors import known_vendor
from QSMSeparationLib.runtime.errors import InputError

MAX_SIDE = 4096
MAX_FRAMES = 1 << 16
MAX_VOXELS = 1 << 30
_MR_CLASSES = (
    "1.2.840.10008.5.1.4.1.1.4",
    "1.2.840.10008.5.1.4.1.1.4.1",
    "1.2.840.10008.5.1.4.1.1.4.4",
)
_DEFLATED = b"1.2.840.10008.1.2.1.99"

_GE_RAW_TYPE = 0x0043102F  # private GE: 0 magnitude, 1 phase, 2 real, 3 imaginary
_PHILIPS_SCALE = 0x2005100E  # private Philips: slope from floating point to stored values
_TAGS = [
    "SOPClassUID", "Modality", "Manufacturer", "PatientID", "StudyInstanceUID", "SeriesInstanceUID",
    "SeriesNumber", "ImageType", "ComplexImageComponent", "ScanningSequence", "EchoPulseSequence",
    "MagneticFieldStrength", "ImagingFrequency", "EchoTime", "Rows", "Columns", "NumberOfFrames",
    "SamplesPerPixel", "BitsAllocated", "BitsStored", "PixelRepresentation", "PixelSpacing",
    "SliceThickness", "SpacingBetweenSlices", "ImageOrientationPatient", "ImagePositionPatient",
    "RepetitionTime", "FlipAngle", "RescaleSlope", "RescaleIntercept",
    "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence",
    0x00430010, _GE_RAW_TYPE, 0x20050010, 0x20050011, 0x20050012, 0x20050013, 0x20050014, _PHILIPS_SCALE,
]  # fmt: skip
_PIXEL_TAGS = [
    "Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "BitsAllocated", "BitsStored", "HighBit",
    "PixelRepresentation", "PhotometricInterpretation", "PlanarConfiguration", "PixelData",
    "FloatPixelData", "ExtendedOffsetTable", "ExtendedOffsetTableLengths",
]  # fmt: skip

KINDS = {
    "M": "magnitude", "MAGNITUDE": "magnitude", "M_FFE": "magnitude", "M_SE": "magnitude",
    "P": "phase", "PHASE": "phase", "PHASE MAP": "phase", "P_FFE": "phase", "P_SE": "phase",
    "R": "real", "REAL": "real", "R_FFE": "real", "R_SE": "real",
    "I": "imaginary", "IMAGINARY": "imaginary", "I_FFE": "imaginary", "I_SE": "imaginary",
}  # fmt: skip
COMPUTED = (
    "SWI", "MIP", "MINIP", "MNIP", "MIN IP", "PROJECTION IMAGE", "MPR", "LOCALIZER", "MOSAIC", "ADC",
    "FA", "DIFFUSION", "SUBTRACTION", "T1 MAP", "T2 MAP", "T2_STAR MAP", "T2* MAP", "R2 MAP",
    "R2_STAR MAP", "R2* MAP", "B0 MAP", "B0", "FIELD MAP", "FIELD_MAP", "FIELDMAP", "QSM",
)  # fmt: skip
DIFFERENCE = ("PHASE DIFFERENCE", "PHASE_DIFFERENCE", "PHASEDIFF", "PHASE DIFF", "DELTA PHASE")


@dataclass(frozen=True)
class Frame:
    """One image plane and the facts that place it in a scan."""

    path: Path
    index: int
    patient: str
    study: str
    series: str
    series_number: int
    kind: str
    spin_echo: bool
    protocol: tuple[float | None, ...]
    vendor: str
    echo_time_s: float | None
    b0_tesla: float | None
    rows: int
    columns: int
    spacing_mm: tuple[float, float]
    thickness_mm: float | None
    orientation: tuple[float, ...]
    position: tuple[float, ...]
    slope: float
    intercept: float
    stored_limits: tuple[int, int]

    @property
    def where(self) -> str:
        """How to name the frame in a message."""
        return f"series {self.series_number}, {self.path.name}"


@contextmanager
def quiet_pydicom() -> Iterator[None]:
    """Silence pydicom, whose warnings quote values of the header, maybe a patient's."""
    logger = logging.getLogger("pydicom")
    disabled = logger.disabled
    logger.disabled = True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.disabled = disabled


def is_dicom(path: Path) -> bool:
    """Return whether a file begins as a DICOM file does."""
    try:
        with path.open("rb") as stream:
            return stream.read(132)[128:] == b"DICM"
    except OSError:
        return False


@contextmanager
def _trusting_nothing(path: Path) -> Iterator[None]:
    """Turn whatever a broken header makes pydicom raise into an InputError."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            f"{path.name}: the DICOM header is broken ({type(error).__name__}); copy the file again"
        ) from None


def read_frames(path: Path) -> list[Frame]:
    """Return the frames of a DICOM file; none when it holds no MR image of a scan.

    Raises
    ------
    InputError
        When it should hold one but is broken.
    """
    with _trusting_nothing(path):
        header = _read(path, _TAGS, stop_before_pixels=True)
        storage = text(header, "SOPClassUID")
        if storage not in _MR_CLASSES and (storage or text(header, "Modality") != "MR"):
            return []  # screen shots, spectroscopy, raw data, other modalities
        if (number(header, "SamplesPerPixel") or 1) != 1:
            return []  # a map in colors
        count = _check_size(header, path)
        return [frame for n in range(count) if (frame := _frame(header, path, n))]


def read_pixels(path: Path) -> NDArray:
    """Return the stored values of a file, shape (frame, row, column), not rescaled."""
    with _trusting_nothing(path):
        header = _read(path, _PIXEL_TAGS)
        count = _check_size(header, path)
        pixels = _decode(header, path, count)
        shape = (count, int(header.Rows), int(header.Columns))
        if pixels.size != np.prod(shape):
            raise InputError(f"{path.name}: the image has not the size that its header announces")
        return pixels.reshape(shape)


def _decode(header: Dataset, path: Path, count: int) -> NDArray:
    """Decode with pydicom; single compressed images that it can't read, with GDCM."""
    try:
        return np.asarray(header.pixel_array)
    except Exception as error:
        if _is_compressed(header) and count == 1:
            return _decode_with_sitk(path)
        raise InputError(
            f"{path.name}: the image can't be decoded ({type(error).__name__}); the file is cut off "
            f"or compressed, export it again uncompressed"
        ) from None


def _read(path: Path, tags: Sequence[str | int], stop_before_pixels: bool = False) -> Dataset:
    """Read some tags of a file; every failure becomes an InputError."""
    with _trusting_nothing(path):
        with path.open("rb") as stream:
            head = stream.read(4096)
        if _DEFLATED in head:  # would be inflated to any size before it can be checked
            raise InputError(f"{path.name}: deflated DICOM is not read; export it uncompressed")
        wanted: list[Any] = list(tags)
        return pydicom.dcmread(path, stop_before_pixels=stop_before_pixels, specific_tags=wanted)


def _check_size(header: Dataset, path: Path) -> int:
    """Return the number of frames; refuse sizes that the file can't hold."""
    rows, columns = number(header, "Rows"), number(header, "Columns")
    frames = number(header, "NumberOfFrames")
    frames = 1 if frames is None else frames
    samples = number(header, "SamplesPerPixel") or 1
    if not rows or not columns or frames < 1 or min(rows, columns) < 1:
        raise InputError(f"{path.name}: the header gives no image size; copy the file again")
    if max(rows, columns) > MAX_SIDE or frames > MAX_FRAMES or rows * columns * frames > MAX_VOXELS:
        raise InputError(
            f"{path.name}: the header announces {rows:g}x{columns:g}x{frames:g} voxels; it is broken"
        )
    if samples != 1:
        raise InputError(f"{path.name}: a color image; give the original grey-scale images")
    bits = number(header, "BitsAllocated") or 16
    needed = rows * columns * frames * bits / 8 / (1000 if _is_compressed(header) else 1)
    if path.stat().st_size < needed:
        raise InputError(f"{path.name}: shorter than its header says; the copy is cut off")
    return int(frames)


def _is_compressed(header: Dataset) -> bool:
    """Return whether the pixels are compressed; a transfer syntax that is missing or private counts as not."""
    syntax = getattr(getattr(header, "file_meta", None), "TransferSyntaxUID", None)
    try:
        return bool(syntax and syntax.is_compressed)
    except (AttributeError, ValueError):
        return False


def _frame(header: Dataset, path: Path, index: int) -> Frame | None:
    """Collect the facts of one frame; None for maps and views computed by the scanner."""
    groups = _groups(header, index)
    words = _image_type(groups)
    if any(word in COMPUTED for word in words):
        return None
    kind = _kind(groups, words)
    vendor = known_vendor(text(header, "Manufacturer"))
    spacing = numbers(groups, "PixelSpacing", 2)
    orientation = numbers(groups, "ImageOrientationPatient", 6)
    position = numbers(groups, "ImagePositionPatient", 3)
    if spacing is None or orientation is None or position is None:
        raise InputError(f"{path.name}: the header says not where the image lies; export it again")
    if min(spacing) <= 0 or max(spacing) > 100 or max(abs(p) for p in position) > 1e5:
        raise InputError(f"{path.name}: impossible voxel size or position in the header")
    echo_time_ms = number(groups, "EffectiveEchoTime", "EchoTime")
    slope, intercept = _rescaling(groups, vendor, kind, path)
    series_number = number(header, "SeriesNumber") or 0
    return Frame(
        path=path,
        index=index,
        patient=_digest(header, "PatientID"),
        study=_digest(header, "StudyInstanceUID"),
        series=_digest(header, "SeriesInstanceUID"),
        series_number=int(series_number) if abs(series_number) < 1e9 else 0,
        kind=kind,
        spin_echo=_is_spin_echo(groups),
        protocol=(number(groups, "RepetitionTime"), number(groups, "FlipAngle")),
        vendor=vendor,
        echo_time_s=None if echo_time_ms is None else echo_time_ms / 1000,
        b0_tesla=tesla_from(
            number(groups, "MagneticFieldStrength"),
            number(groups, "ImagingFrequency", "TransmitterFrequency"),
        ),
        rows=int(header.Rows),
        columns=int(header.Columns),
        spacing_mm=(spacing[0], spacing[1]),
        thickness_mm=number(groups, "SpacingBetweenSlices", "SliceThickness"),
        orientation=orientation,
        position=position,
        slope=slope,
        intercept=intercept,
        stored_limits=_stored_limits(header),
    )


def _groups(header: Dataset, index: int) -> list[Dataset]:
    """Return the datasets that describe a frame, the nearest first; the header itself comes last."""
    found: list[Dataset] = []
    per_frame = header.get("PerFrameFunctionalGroupsSequence") or []
    shared = header.get("SharedFunctionalGroupsSequence") or []
    for items in (per_frame[index : index + 1], shared[:1]):
        for item in items:
            found += [part.value[0] for part in item if part.VR == "SQ" and part.value]
    return [*found, header]


def _image_type(groups: list[Dataset]) -> list[str]:
    """Return the words of the image type, of the frame before those of the file."""
    words: list[str] = []
    for group in groups:
        for keyword in ("FrameType", "ImageType"):
            value = group.get(keyword)
            if value:
                values = [value] if isinstance(value, str) else list(value)
                words += [str(word).strip().upper() for word in values]
    return words


def _kind(groups: list[Dataset], words: list[str]) -> str:
    """Return the kind of image: magnitude, phase, real, imaginary or phase difference."""
    if any(word in DIFFERENCE for word in words):
        return "difference"
    for group in groups:
        component = str(group.get("ComplexImageComponent", "")).strip().upper()
        if component in KINDS:
            return KINDS[component]
    for word in words[2:]:
        if word in KINDS:
            return KINDS[word]
    header = groups[-1]
    if _GE_RAW_TYPE in header:
        value = header[_GE_RAW_TYPE].value
        if isinstance(value, bytes) and len(value) >= 2:
            value = int.from_bytes(value[:2], "little")
        if value in (0, 1, 2, 3):
            return ("magnitude", "phase", "real", "imaginary")[int(value)]
    return "magnitude"


def _is_spin_echo(groups: list[Dataset]) -> bool:
    for group in groups:
        pulse = str(group.get("EchoPulseSequence", "")).strip().upper()
        if pulse:
            return pulse == "SPIN"
        value = group.get("ScanningSequence")
        if value:
            names = [value] if isinstance(value, str) else [str(v) for v in value]
            return "SE" in names and "GR" not in names
    return False


def _rescaling(groups: list[Dataset], vendor: str, kind: str, path: Path) -> tuple[float, float]:
    """Return the slope and intercept; for Philips magnitude those to its floating-point values.

    Philips scales each image to fill its integers. RescaleSlope leads back to what was on
    display, which may be scaled anew for every echo; only the private scale slope leads
    to values that can be compared between echoes.
    """
    slope = number(groups, "RescaleSlope") or 1.0
    intercept = number(groups, "RescaleIntercept") or 0.0
    if vendor == "Philips" and kind != "phase":
        scale = number(groups, _PHILIPS_SCALE)
        if scale and 1e-12 < abs(scale) < 1e12:
            return 1.0 / scale, intercept / (slope * scale)
    if not 1e-12 < abs(slope) < 1e12 or abs(intercept) > 1e12:
        raise InputError(f"{path.name}: impossible RescaleSlope or RescaleIntercept in the header")
    return slope, intercept


def _stored_limits(header: Dataset) -> tuple[int, int]:
    """Return the lowest and highest integer that the header allows."""
    bits = int(min(max(number(header, "BitsStored") or 16, 1), 32))
    if number(header, "PixelRepresentation"):
        return -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    return 0, (1 << bits) - 1


def _digest(header: Dataset, keyword: str) -> str:
    return hashlib.sha256(text(header, keyword).encode("utf-8", "replace")).hexdigest()


def _decode_with_sitk(path: Path) -> NDArray:
    """Decode a compressed single image with GDCM, and undo the rescaling that it applies."""
    import SimpleITK as sitk

    try:
        image = sitk.ReadImage(str(path), imageIO="GDCMImageIO")
        values = sitk.GetArrayFromImage(image).astype(np.float64)
    except (RuntimeError, MemoryError):
        raise InputError(
            f"{path.name}: the compressed image can't be decoded; export it uncompressed"
        ) from None
    header = _read(path, ["RescaleSlope", "RescaleIntercept"], stop_before_pixels=True)
    slope = number(header, "RescaleSlope") or 1.0
    return np.rint((values - (number(header, "RescaleIntercept") or 0.0)) / slope)
