"""``slicer.dicomDatabase``: an index of DICOM files by patient, study and series.

Answers as ctkDICOMDatabase does through PythonQt: lists of texts are tuples, what is not known is
an empty text or tuple, a patient's key is a number as text that means nothing elsewhere. It is
empty until a test inserts files; nothing is copied, and there is no cache and no SQLite file.
"""

from __future__ import annotations

from pathlib import Path

import pydicom
from PySide6 import QtCore
from PySide6.QtCore import Property, Signal

# Columns of the tables of CTK's schema that can be asked for here, and their tags.
_STUDY_FIELDS = {
    "StudyDate": "StudyDate", "StudyTime": "StudyTime", "StudyID": "StudyID",
    "StudyDescription": "StudyDescription",
}  # fmt: skip
_SERIES_FIELDS = {
    "SeriesNumber": "SeriesNumber", "SeriesDescription": "SeriesDescription",
    "Modality": "Modality", "SeriesDate": "SeriesDate",
}  # fmt: skip


class DICOMDatabase(QtCore.QObject):
    """The database of the application, open and empty at its start."""

    databaseChanged = Signal()
    opened = Signal()
    closed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._open = True
        self._headers: dict[str, pydicom.Dataset] = {}  # by file
        self._patients: dict[tuple[str, str, str], str] = {}

    isOpen = Property(bool, lambda self: self._open)
    isInMemory = Property(bool, lambda self: True)

    def insert(self, path: str, *_options: bool) -> None:
        """Index a file; a file that is no DICOM is left out."""
        try:
            header = pydicom.dcmread(path, stop_before_pixels=True)
        except (OSError, pydicom.errors.InvalidDicomError):
            return
        self._headers[str(Path(path))] = header
        self._patients.setdefault(_identity(header), str(len(self._patients) + 1))
        self.databaseChanged.emit()

    def initializeDatabase(self, *_schema: str) -> bool:
        self._headers.clear()
        self._patients.clear()
        self.databaseChanged.emit()
        return True

    def closeDatabase(self) -> None:
        self._open = False
        self.closed.emit()

    def openDatabase(self, *_file: str) -> None:
        self._open = True
        self.opened.emit()

    # Keys

    def patients(self) -> tuple[str, ...]:
        return tuple(self._patients.values())

    def studiesForPatient(self, patient: str) -> tuple[str, ...]:
        own = (h for h in self._headers.values() if self._patients[_identity(h)] == patient)
        return _once(_text(header, "StudyInstanceUID") for header in own)

    def seriesForStudy(self, study: str) -> tuple[str, ...]:
        own = self._having("StudyInstanceUID", study)
        return _once(_text(header, "SeriesInstanceUID") for header in own.values())

    def filesForSeries(self, series: str, hits: int = -1) -> tuple[str, ...]:
        files = tuple(self._having("SeriesInstanceUID", series))
        return files[:hits] if hits > 0 else files

    def studyForSeries(self, series: str) -> str:
        found = self._having("SeriesInstanceUID", series).values()
        return next((_text(header, "StudyInstanceUID") for header in found), "")

    def patientForStudy(self, study: str) -> str:
        found = self._having("StudyInstanceUID", study).values()
        return next((self._patients[_identity(header)] for header in found), "")

    # Values

    def nameForPatient(self, patient: str) -> str:
        return next((key[1] for key, own in self._patients.items() if own == patient), "")

    def descriptionForStudy(self, study: str) -> str:
        return self.fieldForStudy("StudyDescription", study)

    def descriptionForSeries(self, series: str) -> str:
        return self.fieldForSeries("SeriesDescription", series)

    def fieldForStudy(self, field: str, study: str) -> str:
        found = self._having("StudyInstanceUID", study).values()
        return next((_text(header, _STUDY_FIELDS[field]) for header in found), "")

    def fieldForSeries(self, field: str, series: str) -> str:
        found = self._having("SeriesInstanceUID", series).values()
        return next((_text(header, _SERIES_FIELDS[field]) for header in found), "")

    def fileValue(self, file: str, tag: str) -> str:
        header = self._headers.get(str(Path(file)))
        element = None if header is None else header.get(pydicom.tag.Tag(*tag.split(",")))
        return "" if element is None else _joined(element.value)

    def _having(self, keyword: str, value: str) -> dict[str, pydicom.Dataset]:
        return {f: h for f, h in self._headers.items() if _text(h, keyword) == value}


def _identity(header: pydicom.Dataset) -> tuple[str, str, str]:
    keys = ("PatientID", "PatientName", "PatientBirthDate")
    return tuple(_text(header, key) for key in keys)


def _text(header: pydicom.Dataset, keyword: str) -> str:
    return _joined(header.get(keyword, ""))


def _joined(value: object) -> str:
    many = isinstance(value, pydicom.multival.MultiValue)
    return "\\".join(str(one) for one in value) if many else str("" if value is None else value)


def _once(texts: object) -> tuple[str, ...]:
    return tuple(dict.fromkeys(texts))
