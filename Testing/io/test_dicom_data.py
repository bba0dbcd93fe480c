"""Exact maps, segments, lesion report and summary: read back by other programs, and validated."""

import csv
import io
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from dicom_result import (
    GRIDS,
    PATIENT,
    STUDY,
    lesion_labels,
    small_result,
    write_series,
    write_small_result,
)

from QSMSeparationLib.cli.parser import main
from QSMSeparationLib.data.volume import from_sitk, resample
from QSMSeparationLib.io.dicom_out import study
from QSMSeparationLib.pipeline import dicom_export

pytest.importorskip("highdicom", reason="the extra 'dicom' is not installed")

EXACT = {"chi_para": "chi+ data [ppm]", "chi_dia": "chi- data [ppm]", "net": "net chi data [ppm]",
         "r2prime": "R2' measured data [Hz]", "chi_para_sd": "SD of chi+ data [ppm]"}  # fmt: skip


def program(name: str) -> str:
    """Return a program of the system or of the Python package dcmqi; skip where it is missing."""
    here = shutil.which(name, path=str(Path(sys.executable).parent))
    found = here or shutil.which(name) or shutil.which(name, path="/usr/sbin")
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def export(folder: Path, *options: str, name: str = "dicom") -> Path:
    out = folder / name
    arguments = ["dicom", str(folder / "result"), str(out), "--like", str(folder / "scan")]
    assert main([*arguments, "--progress", "none", *options]) == 0
    return out


@pytest.fixture(scope="module", params=GRIDS.values(), ids=GRIDS)
def exported(request, tmp_path_factory):
    """A result with its objects, on a straight, an oblique and a coronal grid."""
    folder = tmp_path_factory.mktemp("dicom")
    write_small_result(folder / "result", request.param)
    write_series(folder / "scan", request.param)
    return export(folder), request.param


@pytest.fixture
def result(tmp_path):
    write_small_result(tmp_path / "result", GRIDS["straight"])
    write_series(tmp_path / "scan", GRIDS["straight"])
    return tmp_path


def read(folder: Path, name: str) -> pydicom.Dataset:
    return pydicom.dcmread(folder / name / "00001.dcm")


def convert(command: str, file: Path, out: Path) -> list[Path]:
    out.mkdir()
    subprocess.run(
        [program(command), "--inputDICOM", str(file), "--outputDirectory", str(out),
         "--outputType", "nrrd", "--prefix", "a"],
        check=True, capture_output=True,
    )  # fmt: skip
    return sorted(out.glob("*.nrrd"))


def test_parametric_maps_hold_the_exact_values_in_their_place(exported):
    out, grid = exported
    for name, title in EXACT.items():
        image = read(out, f"{name}_data")
        frames = image.PerFrameFunctionalGroupsSequence
        corners = [f.PlanePositionSequence[0].ImagePositionPatient for f in frames]
        expected = grid.world(np.array([(k, 0, 0) for k in range(len(frames))]))
        np.testing.assert_allclose(np.array(corners, float), expected, atol=1e-4)
        np.testing.assert_array_equal(image.pixel_array, small_result(grid).maps[name])
        assert image.SeriesDescription == title
        [mapping] = image.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence
        unit = mapping.MeasurementUnitsCodeSequence[0].CodeValue
        assert unit.strip("[]") == title.rsplit("[")[-1].strip("]")


def test_dcmqi_reads_the_same_maps(exported, tmp_path):
    out, grid = exported
    for name in ("net", "chi_dia"):
        file = out / f"{name}_data" / "00001.dcm"
        [path] = convert("paramap2itkimage", file, tmp_path / name)
        volume = from_sitk(sitk.ReadImage(str(path)))
        assert volume.geometry.difference(grid, 0.01) is None
        np.testing.assert_array_equal(volume.array, small_result(grid).maps[name])


def test_dcmqi_reads_the_same_lesions(exported, tmp_path):
    out, grid = exported
    paths = convert("segimage2itkimage", out / "lesions" / "00001.dcm", tmp_path / "segments")
    labels = lesion_labels(grid)
    for path, number in zip(paths, (2, 5), strict=True):
        segment = resample(from_sitk(sitk.ReadImage(str(path))), grid, order=0).array
        np.testing.assert_array_equal(segment > 0, labels.array == number)


def test_dcmqi_reads_the_values_of_the_table(exported, tmp_path):
    out, grid = exported
    told = tmp_path / "report.json"
    report = out / "lesion_report" / "00001.dcm"
    subprocess.run(
        [program("tid1500reader"), "--inputDICOM", str(report), "--outputMetadata", str(told)],
        check=True, capture_output=True,
    )  # fmt: skip
    groups = json.loads(told.read_text(encoding="utf-8"))["Measurements"]
    segments = read(out, "lesions").SegmentSequence
    assert [g["TrackingUniqueIdentifier"] for g in groups] == [s.TrackingUID for s in segments]
    items = {m["quantity"]["CodeMeaning"]: m for m in groups[0]["measurementItems"]}
    mean = 1000 * small_result(grid).maps["chi_para"][lesion_labels(grid).array == 2].mean()
    assert float(items["chi+ of the lesion"]["value"]) == pytest.approx(mean, rel=1e-4)
    assert items["chi+ of the lesion"]["units"]["CodeValue"] == "[ppb]"
    assert float(items["chi+ of the core minus NAWM"]["value"]) == 12.5
    assert "|chi-| of the core minus NAWM" not in items  # not known


def words_of(report: pydicom.Dataset) -> dict[str, dict[str, str]]:
    """Return the coded and free words of a report by question, by lesion."""
    found: dict[str, dict[str, str]] = {}
    [measurements] = [
        item for item in report.ContentSequence
        if item.ConceptNameCodeSequence[0].CodeMeaning == "Imaging Measurements"
    ]  # fmt: skip
    for group in measurements.ContentSequence:
        said = {}
        for item in group.ContentSequence:
            question = item.ConceptNameCodeSequence[0].CodeMeaning
            if item.ValueType == "CODE":
                said[question] = item.ConceptCodeSequence[0].CodeMeaning
            elif item.ValueType == "TEXT":
                said[question] = item.TextValue
        found[said["Tracking Identifier"]] = said
    return found


def test_report_holds_classes_confidence_and_what_it_is_for(exported):
    said = words_of(read(exported[0], "lesion_report"))
    assert set(said) == {"Lesion 2", "Lesion 5"}
    assert said["Lesion 2"]["Class in chi+"] == "more iron"
    assert said["Lesion 2"]["Class in |chi-|"] == "less myelin"
    assert said["Lesion 2"]["Confidence of the class in |chi-|"] == "borderline"
    assert said["Lesion 2"]["Location of lesion"] == "periventricular"
    assert "NOT FOR DIAGNOSIS" in said["Lesion 2"]["Comment"]


def review(folder: Path, **changes: str) -> None:
    """Write the table again as the panel does, with the reviewer's columns."""
    table = next(folder.rglob("lesions.csv"))
    rows = list(csv.DictReader(io.StringIO(table.read_text(encoding="utf-8"))))
    rows = [row | dict.fromkeys(("review_para", "review_dia", "remark"), "") for row in rows]
    rows[0] |= changes
    with (table.parent / "lesions_reviewed.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def test_edits_of_the_user_are_in_the_report_under_new_numbers(result):
    before = export(result)
    review(result / "result", review_para="rim", remark="seen on two slices")
    after = export(result, name="again")
    said = words_of(read(after, "lesion_report"))["Lesion 2"]
    assert said["Class in chi+"] == "more iron"
    assert said["Class in chi+ by the reviewer"] == "iron rim"
    assert said["Remark of the reviewer"] == "seen on two slices"
    for name in ("lesion_report", "summary"):
        assert read(before, name).SOPInstanceUID != read(after, name).SOPInstanceUID
    assert read(before, "net_data").SOPInstanceUID == read(after, "net_data").SOPInstanceUID
    tracked = [read(out, "lesions").SegmentSequence[0].TrackingUID for out in (before, after)]
    assert tracked[0] == tracked[1]


def bytes_of(out: Path) -> dict[str, bytes]:
    return {str(file.relative_to(out)): file.read_bytes() for file in out.rglob("*.dcm")}


@pytest.mark.parametrize("options", [(), ("--anonymous",)])
def test_the_same_result_gives_the_same_bytes_whenever_it_is_written(result, options):
    first = export(result, *options)
    time.sleep(1.1)  # DICOM counts seconds
    again = export(result, *options, name="again")
    assert bytes_of(first) == bytes_of(again)
    kinds = {"net", "net_data", "lesions", "lesion_report", "summary"}
    assert kinds <= {folder.name for folder in first.iterdir()}


def test_objects_are_of_the_time_when_the_result_was_made(result):
    for image in map(pydicom.dcmread, export(result).rglob("*.dcm")):
        assert (image.ContentDate, image.ContentTime) == ("20240103", "174506")


def test_a_result_that_does_not_say_when_it_was_made_is_of_the_time_of_its_file(result):
    when = datetime(2021, 5, 6, 7, 8, 9)
    for file in (result / "result").rglob("*"):
        if file.suffix == ".json":
            facts = json.loads(file.read_text()) | {"Created": "yesterday"}
            file.write_text(json.dumps(facts))
        os.utime(file, (when.timestamp(), when.timestamp()))
    image = read(export(result), "net_data")
    assert (image.ContentDate, image.ContentTime) == ("20210506", "070809")


def test_another_version_gives_other_objects_of_the_same_lesions(result, monkeypatch):
    before = export(result)
    monkeypatch.setattr(study, "__version__", "99.0")
    after = export(result, name="again")
    old, new = (
        {pydicom.dcmread(file).SOPInstanceUID for file in out.rglob("*.dcm")}
        for out in (before, after)
    )
    assert not old & new
    tracked = [read(out, "lesions").SegmentSequence[0].TrackingUID for out in (before, after)]
    assert tracked[0] == tracked[1]


def test_all_objects_are_of_the_study_and_know_each_other(exported):
    out, _ = exported
    objects = [pydicom.dcmread(file) for file in out.rglob("*.dcm")]
    numbers = {}
    for image in objects:
        assert image.StudyInstanceUID == STUDY
        assert (str(image.PatientName), image.PatientID) == PATIENT
        numbers.setdefault(image.SeriesNumber, set()).add(image.SeriesInstanceUID)
    assert all(len(uids) == 1 for uids in numbers.values())
    there = {image.SOPInstanceUID for image in objects}
    [study] = read(out, "lesion_report").CurrentRequestedProcedureEvidenceSequence
    referred = {one.ReferencedSOPInstanceUID
                for series in study.ReferencedSeriesSequence
                for one in series.ReferencedSOPSequence}  # fmt: skip
    assert referred <= there
    assert read(out, "lesions").SOPInstanceUID in referred


def test_anonymous_objects_hold_no_words_of_the_user_either(result):
    review(result / "result", remark="like Ms Mueller's sister", name="lesion of Mueller")
    out = export(result, "--anonymous")
    for file in out.rglob("*.dcm"):
        raw = file.read_bytes()
        assert not [word for word in (b"Mueller", PATIENT[1].encode(), b"1970", b"1.2.840.99999")
                    if word in raw]  # fmt: skip
        assert pydicom.dcmread(file).PatientIdentityRemoved == "YES"


def test_a_result_without_lesions_has_maps_and_a_summary(result):
    for file in [*(result / "result").rglob("*lesions*")]:
        file.unlink()
    names = {folder.name for folder in export(result).iterdir()}
    assert {"net", "net_data", "summary"} <= names
    assert not names & {"lesions", "lesion_report"}


def test_a_broken_lesion_table_is_told(result, capsys):
    next((result / "result").rglob("lesions.csv")).write_text("a,b\n1,2\n", encoding="utf-8")
    arguments = ["dicom", str(result / "result"), str(result / "out"), "--like"]
    assert main([*arguments, str(result / "scan"), "--progress", "none"]) == 2
    assert "lesions.csv is no lesion table" in capsys.readouterr().err


def test_without_highdicom_maps_for_reading_are_written_and_the_rest_is_told(
    result, capsys, monkeypatch
):
    monkeypatch.setattr(dicom_export, "has_highdicom", lambda: False)
    arguments = ["dicom", str(result / "result"), str(result / "out"), "--like"]
    assert main([*arguments, str(result / "scan")]) == 0
    assert "pip install 'qsm-separation[dicom]'" in "".join(capsys.readouterr())
    names = {folder.name for folder in (result / "out").iterdir()}
    assert names == {"chi_para", "chi_dia", "net", "r2prime", "r2star", "summary"}


def test_summary_shows_maps_lesions_and_words(exported):
    image = read(exported[0], "summary")
    pixels = image.pixel_array
    assert pixels.shape[1:] == (1800, 3)
    colored = np.ptp(pixels.astype(int), axis=-1) > 60
    assert colored.sum() > 500  # outlines and classes
    assert not colored[:150].any()
    assert "NOT FOR DIAGNOSIS" in image.ImageComments


def test_dciodvfy_finds_no_error(exported):
    assert_valid(exported[0])


def test_dciodvfy_finds_no_error_in_anonymous_objects(result):
    assert_valid(export(result, "--anonymous"))


def assert_valid(out: Path) -> None:
    validator = program("dciodvfy")
    files = [folder / "00001.dcm" for folder in out.iterdir()]
    files += [*(out / "net").iterdir()]
    for file in files:
        told = subprocess.run([validator, "-new", str(file)], capture_output=True, text=True)
        errors = [line for line in told.stderr.splitlines() if line.startswith("Error")]
        assert errors == [], file


def test_dcmtk_sends_and_receives_the_set(result, tmp_path):
    receiver, sender = program("storescp"), program("storescu")
    out = export(result)
    port = free_port()
    received = tmp_path / "received"
    received.mkdir()
    archive = subprocess.Popen([receiver, "-od", str(received), "+B", str(port)])
    try:
        wait_for(port)
        sent = subprocess.run(
            [sender, "-aec", "ARCHIVE", "+sd", "+r", "--required", "127.0.0.1", str(port), str(out)],
            capture_output=True, text=True,
        )  # fmt: skip
        assert sent.returncode == 0, sent.stderr[-500:]
    finally:
        archive.terminate()
        archive.wait(10)
    files = [pydicom.dcmread(file) for file in out.rglob("*.dcm")]
    arrived = {i.SOPInstanceUID: i for i in map(pydicom.dcmread, received.iterdir())}
    assert len(arrived) == len(files)
    for image in files:
        assert arrived[image.SOPInstanceUID] == image


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def wait_for(port: int) -> None:
    for _ in range(100):
        with socket.socket() as one:
            if one.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError("storescp did not start")
