"""Values, classes and confidence of every lesion as a structured report (TID 1500)."""

from __future__ import annotations

from collections.abc import Sequence

from highdicom import sr
from pydicom.dataset import Dataset

from QSMSeparationLib import __version__
from QSMSeparationLib.data.quantities import Code
from QSMSeparationLib.io.dicom_out.data_copies import concept
from QSMSeparationLib.io.dicom_out.findings import LESION, Lesion
from QSMSeparationLib.io.dicom_out.study import (
    BRAIN,
    MANUFACTURER,
    MODEL,
    SERIAL,
    Study,
    stamp,
    uid_of,
)

_TITLE = Code("126000", "DCM", "Imaging Measurement Report")
_PROCEDURE = Code("241645008", "SCT", "MRI of head")
_DEVICE = Code("121007", "DCM", "Device")
_COMMENT = Code("121106", "DCM", "Comment")


def lesion_report(
    lesions: Sequence[Lesion],
    segments: Dataset,
    copies: Sequence[Dataset],
    study: Study,
    number: int,
    derivation: str,
) -> Dataset:
    """Return the report.

    Parameters
    ----------
    lesions : sequence of Lesion
        In the order of the segments.
    segments : Dataset
        The Segmentation that it refers to.
    copies : sequence of Dataset
        The reading copies that the Segmentation refers to.
    study : Study
        Where it goes.
    number : int
        Of the series.
    derivation : str
        How the maps were made, in words.
    """
    device = sr.DeviceObserverIdentifyingAttributes(
        uid=uid_of("device", MODEL, __version__),
        name=MODEL,
        manufacturer_name=MANUFACTURER,
        model_name=MODEL,
        serial_number=SERIAL,
    )
    context = sr.ObservationContext(
        observer_device_context=sr.ObserverContext(
            observer_type=concept(_DEVICE), observer_identifying_attributes=device
        )
    )
    content = sr.MeasurementReport(
        observation_context=context,
        procedure_reported=concept(_PROCEDURE),
        imaging_measurements=[
            _group(lesion, n, segments, derivation) for n, lesion in enumerate(lesions, start=1)
        ],
        title=concept(_TITLE),
        referenced_images=copies,
    )
    made = sr.Comprehensive3DSR(
        evidence=[segments, *copies],
        content=content[0],
        series_instance_uid=study.uid("report", "series"),
        series_number=number,
        sop_instance_uid=study.uid("report"),
        instance_number=1,
        manufacturer=MANUFACTURER,
        is_complete=True,
        is_final=False,
        is_verified=False,
    )
    made.SeriesDescription = "Lesion measurements"
    made.ManufacturerModelName, made.SoftwareVersions = MODEL, __version__
    made.DeviceSerialNumber = SERIAL
    for keyword in ("PatientIdentityRemoved", "DeidentificationMethod"):
        if keyword in study.identity:
            made[keyword] = study.identity[keyword]
    stamp(made, study)
    return made


def _group(
    lesion: Lesion, segment: int, segments: Dataset, derivation: str
) -> sr.VolumetricROIMeasurementsAndQualitativeEvaluations:
    """Return what is known of one lesion."""
    group = sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(lesion.tracking_uid, lesion.title),
        referenced_segment=sr.ReferencedSegment.from_segmentation(segments, segment),
        finding_type=concept(LESION),
        finding_sites=[sr.FindingSite(anatomic_location=concept(BRAIN))],
        measurements=[
            sr.Measurement(
                name=concept(one.concept),
                value=float(f"{one.value:.6g}"),
                unit=concept(one.unit),
                derivation=concept(one.derivation) if one.derivation else None,
            )
            for one in lesion.values
        ],
        qualitative_evaluations=[
            sr.QualitativeEvaluation(concept(one.concept), concept(one.answer))
            for one in lesion.answers
        ],
    )
    texts = [(one.concept, one.text) for one in lesion.remarks]
    for name, text in [*texts, (_COMMENT, derivation)]:
        group[0].ContentSequence.append(
            sr.TextContentItem(concept(name), text, sr.RelationshipTypeValues.CONTAINS)
        )
    return group
