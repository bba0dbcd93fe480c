"""Exact values for programs: maps in ppm or Hz, lesions as segments. Needs highdicom.

Only this file and the lesion report import highdicom; reading copies need pydicom alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import highdicom as hd
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items

from QSMSeparationLib import __version__
from QSMSeparationLib.data.quantities import MAPS, UNIT_CODES, Code
from QSMSeparationLib.io.dicom_out.findings import LESION, SCHEME, Lesion
from QSMSeparationLib.io.dicom_out.study import (
    BRAIN,
    MANUFACTURER,
    MODEL,
    RESEARCH,
    SERIAL,
    Study,
    code_item,
    stamp,
)

EXACT = ("chi_para", "chi_dia", "net", "r2prime", "chi_para_sd", "chi_dia_sd", "r2prime_sd")
"""Maps that are kept as numbers of single precision, in the order of their series."""

_ALTERED = Code("49755003", "SCT", "Morphologically Altered Structure")
_MANUAL = Code("123109", "DCM", "Manual Processing")
_TITLES = {"chi_dia": "chi-"}  # signed, as files hold it


def data_title(name: str, origin: str = "") -> str:
    """Return what the series of exact values of a map is called."""
    row = MAPS[name]
    words = [_TITLES.get(name, row.plain_title), origin, f"data [{row.unit}]"]
    return " ".join(word for word in words if word)


def parametric_map(
    name: str,
    values: NDArray[np.float32],
    copies: Sequence[Dataset],
    study: Study,
    number: int,
    title: str,
    window: tuple[float, float],
) -> Dataset:
    """Return a map as a Parametric Map in the unit of files.

    Parameters
    ----------
    name : str
        Which map.
    values : ndarray
        As files hold it, on the grid of the study.
    copies : sequence of Dataset
        Reading copies on the same grid, which it refers to.
    study : Study
        Where it goes.
    number : int
        Of the series.
    title : str
        Of the series, from :func:`data_title`.
    window : tuple of float
        Lowest and highest value shown at first, in the unit of files.
    """
    row = MAPS[name]
    quantity = row.code or Code(name, SCHEME, row.description[:64])
    low, high = min(window), max(window)
    mapping = hd.pm.RealWorldValueMapping(
        lut_label=row.plain_title[:16],
        lut_explanation=row.description[:64],
        unit=concept(UNIT_CODES[row.unit]),
        value_range=(-3.4e38, 3.4e38),  # all of single precision
        intercept=0.0,
        slope=1.0,
        quantity_definition=concept(quantity),
    )
    made = hd.pm.ParametricMap(
        source_images=copies,
        pixel_array=np.nan_to_num(values.astype(np.float32)),
        real_world_value_mappings=[mapping],
        voi_lut_transformations=[
            hd.VOILUTTransformation(
                window_center=(low + high) / 2,
                window_width=high - low,
                voi_lut_function="LINEAR_EXACT",  # others know no width below 1
            )
        ],
        contains_recognizable_visual_features=False,
        content_label="QSM",
        content_description=row.description[:64],
        **_common(study, number, "data", name),
    )
    shared = made.SharedFunctionalGroupsSequence[0]
    anatomy = Dataset()
    anatomy.AnatomicRegionSequence = Items([code_item(BRAIN)])
    anatomy.FrameLaterality = "U"
    shared.FrameAnatomySequence = Items([anatomy])  # dcmqi reads no map without
    _let_frames_ascend(made)
    return _finish(made, study, title, "data", name)


def _let_frames_ascend(made: Dataset) -> None:
    """Order frames along the normal: highdicom's descend, and dcmqi would turn the head over."""
    frames = list(made.PerFrameFunctionalGroupsSequence)
    along = _orientation(made)
    normal = np.cross(along[:3], along[3:])
    positions = [frame.PlanePositionSequence[0].ImagePositionPatient for frame in frames]
    order = np.argsort(np.array(positions, dtype=float) @ normal)
    pixels = np.frombuffer(made.FloatPixelData, dtype="<f4").reshape(len(frames), -1)
    made.FloatPixelData = pixels[order].tobytes()
    made.PerFrameFunctionalGroupsSequence = Items([frames[n] for n in order])
    for n, frame in enumerate(made.PerFrameFunctionalGroupsSequence, start=1):
        frame.FrameContentSequence[0].DimensionIndexValues = n


def _orientation(made: Dataset) -> list[float]:
    shared = made.SharedFunctionalGroupsSequence[0]
    return [float(v) for v in shared.PlaneOrientationSequence[0].ImageOrientationPatient]


def segmentation(
    labels: NDArray[Any],
    lesions: Sequence[Lesion],
    copies: Sequence[Dataset],
    study: Study,
    number: int,
) -> Dataset:
    """Return lesions as a Segmentation, a segment with a tracking UID each.

    Parameters
    ----------
    labels : ndarray
        Numbers of lesions, on the grid of the study.
    lesions : sequence of Lesion
        Those of ``labels``; segments are numbered in their order, from 1.
    copies : sequence of Dataset
        Reading copies on the same grid, which it refers to.
    study : Study
        Where it goes.
    number : int
        Of the series.
    """
    segments = np.zeros(labels.shape, np.uint16)
    for n, lesion in enumerate(lesions, start=1):
        segments[labels == lesion.number] = n
    made = hd.seg.Segmentation(
        source_images=copies,
        pixel_array=segments,
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[_segment(n, one) for n, one in enumerate(lesions, start=1)],
        content_label="LESIONS",
        content_description="MS lesions as the user gave or edited them",
        **_common(study, number, "segmentation"),
    )
    return _finish(made, study, "Lesions", "segmentation")


def _segment(number: int, lesion: Lesion) -> hd.seg.SegmentDescription:
    return hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=lesion.title,
        segmented_property_category=concept(_ALTERED),
        segmented_property_type=concept(LESION),
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.SEMIAUTOMATIC,
        algorithm_identification=hd.AlgorithmIdentificationSequence(
            name="mask of the user, split into lesions",
            family=concept(_MANUAL),
            version=__version__,
        ),
        tracking_uid=lesion.tracking_uid,
        tracking_id=lesion.title,
        anatomic_regions=[concept(BRAIN)],
    )


def concept(code: Code) -> hd.sr.CodedConcept:
    """Return a coded concept as highdicom takes it."""
    return hd.sr.CodedConcept(code.value, code.scheme, code.meaning)


def _common(study: Study, number: int, *parts: str) -> dict[str, Any]:
    """Return what all objects of highdicom are made with."""
    return {
        "series_instance_uid": study.uid(*parts, "series"),
        "series_number": number,
        "sop_instance_uid": study.uid(*parts),
        "instance_number": 1,
        "manufacturer": MANUFACTURER,
        "manufacturer_model_name": MODEL,
        "software_versions": __version__,
        "device_serial_number": SERIAL,
    }


def _finish(made: Dataset, study: Study, title: str, *parts: str) -> Dataset:
    """Give an object what highdicom draws by chance or takes from the clock."""
    made.SeriesDescription = title
    made.ImageComments = RESEARCH
    made.PositionReferenceIndicator = ""
    organization = study.uid(*parts, "dimensions")
    for item in made.DimensionOrganizationSequence:
        item.DimensionOrganizationUID = organization
    for item in made.DimensionIndexSequence:
        item.DimensionOrganizationUID = organization
    for keyword in ("PatientIdentityRemoved", "DeidentificationMethod"):
        if keyword in study.identity:
            made[keyword] = study.identity[keyword]
    stamp(made, study)
    return made
