"""Maps for reading on any viewer: classic MR images of whole ppb or Hz, a series a map.

Every viewer shows these: 16-bit integers that are the values themselves (slope 1), because
MR images have no modality step and strict viewers window what is stored, and windows that are
the same on every slice. Exact values are in the parametric maps.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import MRImageStorage

from QSMSeparationLib.data.quantities import MAPS, PRESETS, UNIT_CODES, Code, Quantity
from QSMSeparationLib.io.dicom_out.identity import PHYSICS
from QSMSeparationLib.io.dicom_out.source import SourceImage
from QSMSeparationLib.io.dicom_out.study import (
    BRAIN,
    RESEARCH,
    Study,
    code_item,
    new_object,
)

FOR_READING = ("chi_para", "chi_dia", "net", "r2prime", "r2star")
"""Maps that are read, in the order of their series."""

_LIMIT = 32767
_TITLES = {"chi_dia": "|chi-|"}  # shown positive: bright is more
_SOURCE_IMAGE = Code("121322", "DCM", "Source image for image processing operation")
_QUANTITY = Code("246205007", "SCT", "Quantity")


def title_of(name: str, origin: str = "") -> str:
    """Return what a series of a map is called; ``origin`` is ``measured``, ``estimated`` or empty."""
    row = MAPS[name]
    words = [_TITLES.get(name, row.plain_title), origin, f"[{row.unit_on_screen}]"]
    return " ".join(word for word in words if word)


def reading_copy(
    name: str,
    values: NDArray[np.float32],
    study: Study,
    number: int,
    description: str,
    derivation: str,
    b0_tesla: float,
) -> list[Dataset]:
    """Return a map as classic MR images, one a slice.

    Parameters
    ----------
    name : str
        Which map.
    values : ndarray
        As files hold it, on the grid of the study.
    study : Study
        Where it goes.
    number : int
        Of the series.
    description : str
        Of the series, from :func:`title_of`.
    derivation : str
        How the map was made, in words.
    b0_tesla : float
        Field strength, which windows of relaxation rates grow with.
    """
    row = MAPS[name]
    stored = np.rint(np.nan_to_num(values.astype(np.float64) * row.scale))
    stored = np.clip(stored, -_LIMIT, _LIMIT).astype("<i2")
    windows = _windows(row, b0_tesla)
    series = study.uid("reading", name)
    made = []
    for k, plane in enumerate(stored):
        image = new_object(study, MRImageStorage, study.uid("reading", name, k))
        image.SeriesInstanceUID, image.SeriesNumber = series, number
        image.SeriesDescription, image.InstanceNumber = description, k + 1
        _say_what_it_is(image, row, study, derivation)
        _place(image, study, k)
        _fill(image, plane)
        image.WindowCenter = [(low + high) / 2 for low, high in windows.values()]
        image.WindowWidth = [high - low for low, high in windows.values()]
        image.WindowCenterWidthExplanation = list(windows)
        image.RealWorldValueMappingSequence = Items([_meaning(row, description)])
        made.append(image)
    return made


def _windows(row: Quantity, b0_tesla: float) -> dict[str, tuple[float, float]]:
    """Return the windows of a map by their titles, each once."""
    found: dict[str, tuple[float, float]] = {}
    for preset, title in PRESETS.items():
        window = row.window_at(b0_tesla, preset)
        if window is not None and window not in found.values():
            found[title] = window
    return found


def _say_what_it_is(image: Dataset, row: Quantity, study: Study, derivation: str) -> None:
    image.Modality = "MR"
    image.ImageType = ["DERIVED", "SECONDARY", "OTHER", "QSM"]
    image.BodyPartExamined = "BRAIN"
    image.AnatomicRegionSequence = Items([code_item(BRAIN)])
    image.DerivationDescription = derivation[:1024]
    image.ImageComments = f"{RESEARCH}. {row.description}"
    image.ContentQualification = "RESEARCH"
    image.BurnedInAnnotation = "NO"
    image.LossyImageCompression = "00"
    image.AcquisitionNumber = None
    for keyword in PHYSICS:
        if keyword in study.identity:
            setattr(image, keyword, study.identity[keyword].value)
    image.setdefault("ScanningSequence", "GR")
    image.setdefault("SequenceVariant", "NONE")
    for keyword in ("ScanOptions", "MRAcquisitionType", "RepetitionTime"):
        image.setdefault(keyword, None)
    image.EchoTime = image.EchoTrainLength = None  # of no echo alone


def _place(image: Dataset, study: Study, k: int) -> None:
    grid = study.geometry
    matrix = grid.direction_matrix
    image.PixelSpacing = [_decimal(grid.spacing_mm[1]), _decimal(grid.spacing_mm[0])]
    image.SliceThickness = image.SpacingBetweenSlices = _decimal(grid.spacing_mm[2])
    image.ImageOrientationPatient = [_decimal(v) for v in (*matrix[:, 0], *matrix[:, 1])]
    corner = grid.world(np.array([k, 0, 0]))
    image.ImagePositionPatient = [_decimal(v) for v in corner]
    image.SliceLocation = _decimal(float(corner @ matrix[:, 2]))
    if study.images:
        image.SourceImageSequence = Items([_reference(study.images[k])])


def _reference(source: SourceImage) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = source.sop_class
    item.ReferencedSOPInstanceUID = source.sop_instance
    if source.frame is not None:
        item.ReferencedFrameNumber = source.frame
    item.PurposeOfReferenceCodeSequence = Items([code_item(_SOURCE_IMAGE)])
    return item


def _fill(image: Dataset, plane: NDArray[np.int16]) -> None:
    image.Rows, image.Columns = plane.shape
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.BitsAllocated = image.BitsStored = 16
    image.HighBit, image.PixelRepresentation = 15, 1
    image.RescaleIntercept, image.RescaleSlope, image.RescaleType = 0, 1, "US"
    image.add_new("PixelData", "OW", plane.tobytes())


def _meaning(row: Quantity, label: str) -> Dataset:
    """Return the unit and the quantity that stored values are of."""
    item = Dataset()
    item.LUTExplanation, item.LUTLabel = row.description[:64], label[:16]
    item.RealWorldValueFirstValueMapped = -_LIMIT
    item.RealWorldValueLastValueMapped = _LIMIT
    item["RealWorldValueFirstValueMapped"].VR = "SS"
    item["RealWorldValueLastValueMapped"].VR = "SS"
    item.RealWorldValueIntercept, item.RealWorldValueSlope = 0.0, 1.0
    item.MeasurementUnitsCodeSequence = Items([code_item(UNIT_CODES[row.unit_on_screen])])
    if row.code is not None:
        quantity = Dataset()
        quantity.ValueType = "CODE"
        quantity.ConceptNameCodeSequence = Items([code_item(_QUANTITY)])
        quantity.ConceptCodeSequence = Items([code_item(row.code)])
        item.QuantityDefinitionSequence = Items([quantity])
    return item


def _decimal(value: float) -> str:
    """Return a number as DICOM keeps it: at most 16 characters."""
    text = f"{float(value):.9f}".rstrip("0").rstrip(".")
    text = text if len(text) <= 16 else f"{float(value):.8g}"
    return "0" if text in ("-0", "") else text
