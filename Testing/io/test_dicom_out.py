"""Reading copies in the study of the scan: the same values, place and identity, and only those."""

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from dicom_result import GRIDS, HEADER, PATIENT, STUDY, write_series, write_small_result

from QSMSeparationLib.cli.parser import main
from QSMSeparationLib.data.quantities import MAPS
from QSMSeparationLib.data.volume import Volume, from_sitk, resample
from QSMSeparationLib.io.source import read_source

READ = {"chi_para": "chi+ [ppb]", "chi_dia": "|chi-| [ppb]", "net": "net chi [ppb]",
        "r2prime": "R2' measured [Hz]", "r2star": "R2* [Hz]"}  # fmt: skip


def export(tmp_path, grid, *options, flipped=False, facts=None, **tags):
    """Write a result, its series and the objects; returns the result and the objects' folder."""
    result = write_small_result(tmp_path / "result", grid, flipped, **(facts or {}))
    write_series(tmp_path / "scan", grid, **tags)
    return result, objects(tmp_path, *options)


def objects(tmp_path, *options, name="dicom"):
    out = tmp_path / name
    arguments = ["dicom", str(tmp_path / "result"), str(out), "--like", str(tmp_path / "scan")]
    assert main([*arguments, "--progress", "none", *options]) == 0
    return out


def gdcm(folder) -> Volume:
    names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder))
    return from_sitk(sitk.ReadImage(names))


def refused(tmp_path, capsys, *options) -> str:
    out = tmp_path / "refused"
    arguments = ["dicom", str(tmp_path / "result"), str(out), "--like", str(tmp_path / "scan")]
    assert main([*arguments, "--progress", "none", *options]) == 2
    assert not out.exists()
    assert not list(tmp_path.glob(".*"))
    return capsys.readouterr().err


@pytest.mark.parametrize("flipped", [False, True])
@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
def test_reading_copies_hold_whole_ppb_where_the_maps_lie(tmp_path, grid, flipped):
    result, out = export(tmp_path, grid, flipped=flipped)
    for name in READ:
        read = gdcm(out / name)
        assert read.geometry.difference(grid, 0.01) is None
        shown = result.maps[name] * MAPS[name].scale
        np.testing.assert_array_equal(read.array, np.rint(shown))


def test_reading_copies_are_series_of_the_study_of_the_scan(tmp_path):
    _, out = export(tmp_path, GRIDS["oblique"])
    numbers = []
    for name, title in READ.items():
        images = [pydicom.dcmread(file) for file in sorted((out / name).iterdir())]
        assert len({image.SeriesInstanceUID for image in images}) == 1
        assert len({image.SOPInstanceUID for image in images}) == len(images)
        assert [image.InstanceNumber for image in images] == [*range(1, len(images) + 1)]
        first = images[0]
        assert first.SeriesDescription == title
        assert first.StudyInstanceUID == STUDY
        assert first.FrameOfReferenceUID == HEADER["FrameOfReferenceUID"]
        assert (str(first.PatientName), first.PatientID) == PATIENT
        assert first.ImageType[:2] == ["DERIVED", "SECONDARY"]
        assert (first.RescaleSlope, first.RescaleIntercept) == (1, 0)
        assert "NOT FOR DIAGNOSIS" in first.ImageComments
        windows = {(str(i.WindowCenter), str(i.WindowWidth)) for i in images}
        assert len(windows) == 1
        numbers.append(first.SeriesNumber)
    assert numbers == sorted(set(numbers))
    assert numbers[0] > 7


def test_every_image_names_the_slice_that_it_was_made_from(tmp_path):
    _, out = export(tmp_path, GRIDS["oblique"])
    scan = {i.SOPInstanceUID: i for i in map(pydicom.dcmread, (tmp_path / "scan").iterdir())}
    for file in (out / "net").iterdir():
        image = pydicom.dcmread(file)
        [source] = image.SourceImageSequence
        assert np.allclose(
            scan[source.ReferencedSOPInstanceUID].ImagePositionPatient,
            image.ImagePositionPatient,
            atol=1e-4,
        )


def test_the_same_result_gives_the_same_objects_and_another_one_others(tmp_path):
    _, out = export(tmp_path, GRIDS["straight"])
    again = objects(tmp_path, name="again")
    uids = uids_of(out)
    assert uids_of(again) == uids
    write_small_result(tmp_path / "b" / "result", GRIDS["oblique"])
    write_series(tmp_path / "b" / "scan", GRIDS["oblique"])
    assert not uids & uids_of(objects(tmp_path / "b"))


def uids_of(folder) -> set[str]:
    return {pydicom.dcmread(f).SOPInstanceUID for f in folder.rglob("*.dcm")}


@pytest.mark.parametrize(
    ("origin", "words"),
    [("estimated from R2* (not measured)", "R2' estimated [Hz]"), ("given", "R2' [Hz]")],
)
def test_an_estimated_r2prime_is_called_so(tmp_path, origin, words):
    _, out = export(tmp_path, GRIDS["straight"], facts={"R2primeOrigin": origin})
    image = pydicom.dcmread(out / "r2prime" / "00001.dcm")
    assert image.SeriesDescription == words
    assert origin in image.DerivationDescription


def test_anonymous_objects_tell_nothing_of_the_patient(tmp_path):
    _, out = export(tmp_path, GRIDS["straight"], "--anonymous")
    scan = pydicom.dcmread(next((tmp_path / "scan").iterdir()))
    secrets = [str(scan.get(k)) for k in (
        "PatientName", "PatientID", "PatientBirthDate", "StudyInstanceUID", "SeriesInstanceUID",
        "FrameOfReferenceUID", "StudyDate", "StudyTime", "AccessionNumber", "ReferringPhysicianName",
    )]  # fmt: skip
    secrets += [
        "1.2.840.99999",
        pydicom.dcmread(next((tmp_path / "scan").iterdir())).SOPInstanceUID,
    ]
    studies = set()
    for file in out.rglob("*.dcm"):
        raw = file.read_bytes()
        assert not [s for s in secrets if s.encode("utf-8") in raw]
        image = pydicom.dcmread(file)
        assert image.PatientIdentityRemoved == "YES"
        studies.add(image.StudyInstanceUID)
    assert len(studies) == 1


def test_a_later_run_over_the_study_does_not_take_the_copies_for_a_scan(tmp_path):
    grid = GRIDS["straight"]
    _, out = export(tmp_path, grid)
    from dicom_fixtures import TIMES_S, phantom, save, siemens

    save(siemens(*phantom(), TIMES_S, grid, study=STUDY), tmp_path / "all")
    alone = read_source(tmp_path / "all")
    out.rename(tmp_path / "all" / "maps")
    [scan], [before] = read_source(tmp_path / "all"), alone
    np.testing.assert_array_equal(scan.magnitude, before.magnitude)


def test_nothing_is_overwritten(tmp_path, capsys):
    _, out = export(tmp_path, GRIDS["straight"])
    before = {f: f.stat().st_mtime_ns for f in out.rglob("*")}
    arguments = ["dicom", str(tmp_path / "result"), str(out), "--like", str(tmp_path / "scan")]
    assert main([*arguments, "--progress", "none"]) == 2
    assert "already exists" in capsys.readouterr().err
    assert {f: f.stat().st_mtime_ns for f in out.rglob("*")} == before


def test_a_series_of_other_voxels_is_refused(tmp_path, capsys):
    write_small_result(tmp_path / "result", GRIDS["straight"])
    write_series(tmp_path / "scan", GRIDS["oblique"])
    assert "no series there lies on the grid of the maps" in refused(tmp_path, capsys)


def test_series_of_two_patients_or_studies_are_refused(tmp_path, capsys):
    grid = GRIDS["straight"]
    write_small_result(tmp_path / "result", grid)
    write_series(tmp_path / "scan" / "a", grid)
    write_series(tmp_path / "scan" / "b", grid, study=f"{STUDY}.2")
    assert "2 studies" in refused(tmp_path, capsys)
    write_series(tmp_path / "scan" / "c", grid, patient=("Other", "ID-2"))
    assert "2 patients" in refused(tmp_path, capsys)


def test_other_scans_and_files_beside_the_series_do_no_harm(tmp_path):
    grid = GRIDS["straight"]
    write_series(tmp_path / "scan" / "other", GRIDS["oblique"], number=6)
    write_series(tmp_path / "scan" / "mixed", GRIDS["coronal"])
    write_series(tmp_path / "scan" / "scout", grid, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    (tmp_path / "scan" / "notes.txt").write_text("no image")
    (tmp_path / "scan" / "broken").write_bytes(b"\0" * 128 + b"DICM" + b"\xff" * 64)
    _, out = export(tmp_path, grid)
    assert gdcm(out / "net").geometry.difference(grid, 0.01) is None


def mend(folder, change) -> None:
    """Change every header of a folder, by whatever breaks the rules."""
    pydicom.config.settings.writing_validation_mode = pydicom.config.IGNORE
    try:
        for file in folder.iterdir():
            image = pydicom.dcmread(file)
            change(image)
            image.save_as(file)
    finally:
        pydicom.config.settings.writing_validation_mode = pydicom.config.RAISE


def test_identity_that_an_archive_would_not_take_is_refused(tmp_path, capsys):
    grid = GRIDS["straight"]
    write_small_result(tmp_path / "result", grid)
    write_series(tmp_path / "scan", grid)
    long = "X" * 80
    mend(tmp_path / "scan", lambda image: setattr(image, "PatientID", long))
    said = refused(tmp_path, capsys)
    assert "PatientID" in said
    assert long not in said
    objects(tmp_path, "--anonymous")


def test_a_series_without_its_study_is_refused_unless_anonymous(tmp_path, capsys):
    grid = GRIDS["straight"]
    write_small_result(tmp_path / "result", grid)
    write_series(tmp_path / "scan", grid)
    mend(tmp_path / "scan", lambda image: image.pop("StudyInstanceUID"))
    assert "StudyInstanceUID" in refused(tmp_path, capsys)
    objects(tmp_path, "--anonymous")


def test_broken_or_missing_values_beside_the_identity_are_left_empty(tmp_path):
    grid = GRIDS["straight"]
    write_small_result(tmp_path / "result", grid)
    write_series(tmp_path / "scan", grid)

    def change(image):
        image.StudyDescription = "D" * 300
        image.StudyDate = "yesterday"
        del image.FrameOfReferenceUID, image.PatientBirthDate, image.SequenceVariant

    mend(tmp_path / "scan", change)
    image = pydicom.dcmread(objects(tmp_path) / "net" / "00001.dcm")
    assert image.StudyDate == ""
    assert "StudyDescription" not in image
    assert pydicom.uid.UID(image.FrameOfReferenceUID).is_valid


def test_an_enhanced_multi_frame_scan_is_a_source(tmp_path):
    from dicom_fixtures import TIMES_S, enhanced, phantom, save

    grid = GRIDS["oblique"]
    result = write_small_result(tmp_path / "result", grid)
    save(enhanced(*phantom(), TIMES_S, grid), tmp_path / "scan")
    out = objects(tmp_path)
    read = gdcm(out / "net")
    np.testing.assert_array_equal(read.array, np.rint(1000 * result.maps["net"]))
    frames = pydicom.dcmread(next((tmp_path / "scan").iterdir())).PerFrameFunctionalGroupsSequence
    for file in (out / "net").iterdir():
        image = pydicom.dcmread(file)
        [source] = image.SourceImageSequence
        place = frames[source.ReferencedFrameNumber - 1].PlanePositionSequence[0]
        assert np.allclose(place.ImagePositionPatient, image.ImagePositionPatient, atol=1e-4)


def test_resampling_to_the_order_of_the_scan_changes_no_value():
    grid = GRIDS["oblique"]
    values = np.arange(np.prod(grid.shape), dtype=np.float32).reshape(grid.shape)
    from QSMSeparationLib.data.volume import reorient

    turned = reorient(Volume(values, grid))
    np.testing.assert_array_equal(resample(turned, grid, order=0).array, values)
