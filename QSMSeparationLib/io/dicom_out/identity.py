"""Whose scan it is: what objects of a result take over of the scan's header, or leave out.

Headers are hostile. Identity that breaks DICOM's rules is refused, because an archive would file
the objects somewhere else; any other value that breaks them is left empty.
"""

from __future__ import annotations

from typing import Any

from pydicom import config
from pydicom.datadict import dictionary_VR
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.uid import UID
from pydicom.valuerep import validate_value

from QSMSeparationLib.runtime.errors import InputError

_STUDY_UIDS = ("StudyInstanceUID", "FrameOfReferenceUID")
_IDENTIFIERS = ("PatientName", "PatientID", "IssuerOfPatientID", "AccessionNumber", "StudyID")
_PATIENT_AND_STUDY = (
    "PatientBirthDate", "PatientSex", "PatientAge", "PatientSize", "PatientWeight",
    "StudyDate", "StudyTime", "ReferringPhysicianName", "StudyDescription",
)  # fmt: skip
_OF_THE_SCAN = ("AcquisitionDate", "AcquisitionTime", "PatientPosition")
PHYSICS = (
    "ScanningSequence", "SequenceVariant", "ScanOptions", "MRAcquisitionType", "RepetitionTime",
    "FlipAngle", "MagneticFieldStrength",
)  # fmt: skip
"""What tells nothing of the patient and stays without an identity, too."""
HEADER = (*_STUDY_UIDS, *_IDENTIFIERS, *_PATIENT_AND_STUDY, *_OF_THE_SCAN, *PHYSICS)
"""Everything that is taken from the header of a scan."""

_EMPTY = (  # must be there, and may be empty (type 2)
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime",
    "ReferringPhysicianName", "StudyID", "AccessionNumber", "PatientPosition",
)  # fmt: skip


def identity_of(header: Dataset, name: str) -> Dataset:
    """Return patient, study and physics of a scan as objects of the same study hold them.

    Parameters
    ----------
    header : Dataset
        Header of an image of the scan.
    name : str
        Its file, for messages; no value of the header gets into one.
    """
    identity = _empty()
    for keyword in HEADER:
        value = _value(header, keyword)
        if value is None or value == "":
            continue
        if _is_valid(identity, keyword, value):
            setattr(identity, keyword, value)
        elif keyword in (*_STUDY_UIDS, *_IDENTIFIERS):
            raise InputError(
                f"{name}: its {keyword} breaks the rules of DICOM, so that an archive would file "
                f"the objects elsewhere; mend it there, or add --anonymous"
            )
    if "StudyInstanceUID" not in identity:
        raise InputError(f"{name} has no StudyInstanceUID; give the original, or add --anonymous")
    return identity


def anonymous(header: Dataset, label: str) -> Dataset:
    """Return the physics of a scan under a made-up patient, without date or study."""
    identity = _empty()
    for keyword in PHYSICS:
        value = _value(header, keyword)
        if value not in (None, "") and _is_valid(identity, keyword, value):
            setattr(identity, keyword, value)
    identity.PatientName, identity.PatientID = f"Anonymous^{label}", label
    identity.PatientIdentityRemoved = "YES"
    identity.DeidentificationMethod = (
        "made anew from maps: nothing of the scan's header but physics"
    )
    return identity


def _empty() -> Dataset:
    identity = Dataset()
    identity.SpecificCharacterSet = "ISO_IR 192"
    for keyword in _EMPTY:
        setattr(identity, keyword, "")
    return identity


def _value(header: Dataset, keyword: str) -> Any:
    """Return a value as text or as a list of texts; None where it is missing or can't be read."""
    try:
        value = header.get(keyword)
    except Exception:  # a broken value counts as absent
        return None
    if value is None or isinstance(value, bytes):
        return None
    if not isinstance(value, (MultiValue, list)):
        return str(value)
    several = [str(one) for one in value]
    return several[0] if len(several) == 1 else several


def _is_valid(scratch: Dataset, keyword: str, value: str | list[str]) -> bool:
    """Return whether a value keeps the rules of its kind (length, characters, form)."""
    kind = dictionary_VR(keyword)
    several = value if isinstance(value, list) else [value]
    try:
        for one in several:
            if any(not (c.isprintable()) or c == "\\" for c in one):
                return False
            validate_value(kind, one, config.RAISE)
    except Exception:
        return False
    if kind == "UI":
        return len(several) == 1 and UID(several[0]).is_valid
    return len(several) == 1 or keyword in ("ScanningSequence", "SequenceVariant", "ScanOptions")
