"""What all objects of one result share: identity, numbers (UIDs), date, software."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import NAMESPACE_URL, uuid5

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from QSMSeparationLib import __version__
from QSMSeparationLib.data.quantities import Code
from QSMSeparationLib.data.volume import Geometry
from QSMSeparationLib.io.dicom_out.identity import PHYSICS, anonymous, identity_of
from QSMSeparationLib.io.dicom_out.source import SourceImage, SourceSeries

MANUFACTURER = "QSMSeparation"
MODEL = "QSMSeparationLib"
SERIAL = "none"
RESEARCH = "RESEARCH ONLY, NOT FOR DIAGNOSIS"
BRAIN = Code("12738006", "SCT", "Brain")

_NAMESPACE = uuid5(NAMESPACE_URL, "https://qsmseparation.github.io/SlicerQSMSeparation/dicom")
_FIRST_NUMBER = 9000
"""New series are numbered from here, so that they come after those of the scanner."""


@dataclass(frozen=True, eq=False)
class Study:
    """A study that objects go into.

    Parameters
    ----------
    identity : Dataset
        Patient, study and physics.
    frame_of_reference : str
        Its UID.
    geometry : Geometry
        The grid of all objects; slices ascend along the normal.
    images : tuple of SourceImage
        What slices were made from; empty without an identity.
    first_number : int
        Number of the first new series.
    result : str
        What tells this result from any other.
    edition : str
        What tells one making of objects from it from another: software version, user's edits.
    when : datetime
        When the result was made.
    """

    identity: Dataset
    frame_of_reference: str
    geometry: Geometry
    images: tuple[SourceImage, ...]
    first_number: int
    result: str
    edition: str
    when: datetime

    def uid(self, *parts: object) -> str:
        """Return the UID of a part of this edition: the same whenever it is asked for."""
        return uid_of(self.result, self.edition, *parts)

    def lasting_uid(self, *parts: object) -> str:
        """Return a UID that later editions share."""
        return uid_of(self.result, *parts)


def uid_of(*parts: object) -> str:
    """Return a UID after PS3.5 B.2 (a UUID as a number below 2.25), which follows from the parts."""
    return f"2.25.{uuid5(_NAMESPACE, '/'.join(str(part) for part in parts)).int}"


def study_of(source: SourceSeries, digest: str, when: datetime, without_identity: bool) -> Study:
    """Return the study of a scan; without identity a new one, which nothing leads back from.

    Parameters
    ----------
    source : SourceSeries
        The series that the maps were made from.
    digest : str
        SHA-256 of the result.
    when : datetime
        When the result was made.
    without_identity : bool
        Leave out who it is, and where the study lies.
    """
    number = max(_FIRST_NUMBER, source.last_number // 1000 * 1000 + 1000) + 1
    if without_identity:
        # Of the maps alone: whoever knows the UIDs of the scan can't find these.
        result = f"anonymous/{digest}"
        identity = anonymous(source.header, digest[:8])
        identity.StudyInstanceUID = uid_of(result, "study")
        frame = uid_of(result, "frame of reference")
        first, dummy = _FIRST_NUMBER + 1, datetime(2000, 1, 1)
        return Study(identity, frame, source.geometry, (), first, result, __version__, dummy)
    result = f"{source.uid}/{digest}"
    identity = identity_of(source.header, source.name)
    frame = identity.get("FrameOfReferenceUID") or uid_of(source.uid, "frame of reference")
    return Study(
        identity,
        str(frame),
        source.geometry,
        source.images,
        number,
        result,
        __version__,
        when,
    )


def new_object(study: Study, sop_class: str, instance: str) -> Dataset:
    """Return an object of the study without what its kind asks for."""
    new = Dataset()
    new.file_meta = FileMetaDataset()
    new.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    new.SOPClassUID, new.SOPInstanceUID = UID(sop_class), UID(instance)
    new.file_meta.MediaStorageSOPClassUID = new.SOPClassUID
    new.file_meta.MediaStorageSOPInstanceUID = new.SOPInstanceUID
    for element in study.identity:
        if element.keyword not in PHYSICS:
            new.add(element)
    new.FrameOfReferenceUID = study.frame_of_reference
    new.PositionReferenceIndicator = ""
    new.Manufacturer, new.ManufacturerModelName = MANUFACTURER, MODEL
    new.SoftwareVersions, new.DeviceSerialNumber = __version__, SERIAL
    stamp(new, study)
    return new


def stamp(new: Dataset, study: Study) -> None:
    """Give an object the date of the result, so that the same result gives the same bytes."""
    date, time = study.when.strftime("%Y%m%d"), study.when.strftime("%H%M%S")
    for what in ("InstanceCreation", "Content", "Series"):
        setattr(new, f"{what}Date", date)
        setattr(new, f"{what}Time", time)
    for equipment in new.get("ContributingEquipmentSequence", ()):  # highdicom's own
        equipment.ContributionDateTime = f"{date}{time}"


def code_item(code: Code) -> Dataset:
    """Return a coded concept as an item of a sequence."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator = code.value, code.scheme
    item.CodeMeaning = code.meaning
    return item
