"""The stand-in of the DICOM database answers as CTK's does through PythonQt."""

from pathlib import Path

from dicom_fixtures import TIMES_S, oblique_geometry, phantom, save, siemens
from host.dicom_database import DICOMDatabase


def filled(folder: Path) -> DICOMDatabase:
    magnitude, phase = phantom()
    save(siemens(magnitude, phase, TIMES_S, oblique_geometry(), StudyDate="20240301"), folder)
    (folder / "README").write_text("no DICOM")
    database = DICOMDatabase()
    for file in sorted(folder.iterdir()):
        database.insert(str(file), False, False)
    return database


def test_keys_lead_from_patients_to_files(tmp_path):
    database = filled(tmp_path)
    [patient] = database.patients()
    assert patient.isdecimal()
    [study] = database.studiesForPatient(patient)
    series = database.seriesForStudy(study)
    assert (study, len(series)) == ("1.2.3.1", 2)
    files = database.filesForSeries(series[0])
    assert len(files) == 18
    assert database.filesForSeries(series[0], 1) == files[:1]
    assert database.studyForSeries(series[0]) == study
    assert database.patientForStudy(study) == patient


def test_values_are_text_and_empty_where_nothing_is_known(tmp_path):
    database = filled(tmp_path)
    file = database.filesForSeries("1.2.3.1.2")[0]
    assert database.fileValue(file, "0008,0008") == "ORIGINAL\\PRIMARY\\M\\ND"
    assert database.fileValue(file, "0008,103E") == ""
    assert database.fileValue("/no/file", "0008,0008") == ""
    assert database.fieldForStudy("StudyDate", "1.2.3.1") == "20240301"
    assert database.studiesForPatient("77") == database.filesForSeries("9.9") == ()
    assert database.studyForSeries("9.9") == database.nameForPatient("77") == ""


def test_signals_tell_of_what_changed(tmp_path):
    database = DICOMDatabase()
    told = []
    for signal in ("databaseChanged()", "opened()", "closed()"):
        database.connect(signal, lambda signal=signal: told.append(signal))
    database.closeDatabase()
    assert not database.isOpen
    database.openDatabase("ctkDICOM.sql")
    database.initializeDatabase()
    assert told == ["closed()", "opened()", "databaseChanged()"]
