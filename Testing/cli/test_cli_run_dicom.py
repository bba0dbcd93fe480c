"""``qsmsep run --dicom``: objects beside the maps, in the study of the scan, or refused at once."""

from __future__ import annotations

import shutil

import numpy as np
import pydicom
import pytest
from command_line import facts_of, last_line, run
from dicom_fixtures import save, siemens
from dicom_result import HEADER, PATIENT, STUDY
from small_head import small_head

from QSMSeparationLib.cohort import dicom_copies, one_scan
from QSMSeparationLib.io.outputs import Outputs
from QSMSeparationLib.simulation.dataset import write_dataset
from QSMSeparationLib.simulation.protocol import Protocol
from QSMSeparationLib.simulation.rasterize import rasterize
from QSMSeparationLib.simulation.scanner import simulate_scan

pytest.importorskip("highdicom", reason="the extra 'dicom' is not installed")

QUICK = ["--method", "r2star-qsm", "--inversion", "tkd", "--progress", "none"]


def write_scan(scan, folder, first=2, study=STUDY, **tags) -> None:
    """Write a scan as two DICOM series with the identity of a patient."""
    magnitude = np.rint(scan.magnitude * 2000 / scan.magnitude.max())
    tags = {"patient": PATIENT, "study": study, **HEADER, **tags}
    measured = magnitude, scan.phase_rad, scan.echo_times_s, scan.geometry
    images = siemens(*measured, first=first, **tags)
    for n, image in enumerate(images):
        image.SOPInstanceUID = f"{image.SeriesInstanceUID}.{n}"
        image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
    save(images, folder)


@pytest.fixture(scope="module")
def scan():
    fine = rasterize(small_head(), 1.5)
    return simulate_scan(fine, Protocol(voxel_mm=(4.0,) * 3, spin_echo_times_s=()), "sub-01")


@pytest.fixture(scope="module")
def folder(scan, tmp_path_factory):
    """The scan as DICOM and as BIDS."""
    folder = tmp_path_factory.mktemp("scans")
    write_scan(scan[0], folder / "scan")
    with Outputs(folder / "bids") as outputs:
        write_dataset(*scan, [], outputs)
    shutil.rmtree(folder / "bids" / "derivatives", ignore_errors=True)
    return folder


@pytest.fixture(scope="module")
def done(folder, tmp_path_factory):
    """A run of the DICOM folder with its objects."""
    out = tmp_path_factory.mktemp("done")
    assert run("run", folder / "scan", out, *QUICK, "--dicom") == 0
    return out / "sub-01" / "anat"


@pytest.fixture
def no_work(monkeypatch):
    """Fail if anything is computed."""
    monkeypatch.setattr(one_scan, "reconstruct", lambda *_: pytest.fail("it was computed"))


def bytes_of(out) -> dict[str, bytes]:
    return {str(file.relative_to(out)): file.read_bytes() for file in out.rglob("*.dcm")}


def refused(capsys, tmp_path, *arguments) -> str:
    """Return the one line of a run that is refused and leaves nothing."""
    assert run("run", *arguments[:1], tmp_path / "out", *QUICK, *arguments[1:]) == 2
    assert not (tmp_path / "out").exists()
    return last_line(capsys)


def test_a_dicom_scan_gets_its_objects_in_its_own_study(folder, done):
    images = [pydicom.dcmread(file) for file in (done / "dicom" / "net").iterdir()]
    assert {(i.StudyInstanceUID, i.PatientID) for i in images} == {(STUDY, PATIENT[1])}
    magnitude = {
        image.SOPInstanceUID
        for image in map(pydicom.dcmread, (folder / "scan").iterdir())
        if "M" in image.ImageType
    }
    made_of = {image.SourceImageSequence[0].ReferencedSOPInstanceUID for image in images}
    assert made_of <= magnitude
    assert len(made_of) == len(images)


def test_objects_are_those_that_the_command_dicom_writes(folder, done, tmp_path):
    arguments = ["dicom", done, tmp_path / "dicom", "--like", folder / "scan"]
    assert run(*arguments, "--progress", "none") == 0
    assert bytes_of(tmp_path / "dicom") == bytes_of(done / "dicom")
    assert "net_data/00001.dcm" in bytes_of(done / "dicom")


def test_a_converted_scan_goes_with_the_series_that_is_named(folder, tmp_path):
    series = ["--dicom", folder / "scan", "--anonymous"]
    assert run("run", folder / "bids", tmp_path, *QUICK, *series) == 0
    out = tmp_path / "sub-01" / "anat"
    made = facts_of(out / "sub-01_Chimap.json")["Created"][:10].replace("-", "").encode()
    for raw in bytes_of(out / "dicom").values():
        assert not [s for s in (PATIENT[1].encode(), STUDY.encode(), b"20240102", made) if s in raw]
    image = pydicom.dcmread(out / "dicom" / "net" / "00001.dcm")
    assert image.PatientIdentityRemoved == "YES"


def test_two_scans_of_a_session_have_a_folder_each(scan, tmp_path, capsys):
    write_scan(scan[0], tmp_path / "scan" / "a", first=2)
    write_scan(scan[0], tmp_path / "scan" / "b", first=12, AcquisitionTime="120000")
    assert run("run", tmp_path / "scan", tmp_path / "out", *QUICK, "--dicom") == 0
    anat = tmp_path / "out" / "sub-01" / "anat"
    for n, series in ((1, f"{STUDY}.2."), (2, f"{STUDY}.12.")):
        image = pydicom.dcmread(anat / f"sub-01_run-0{n}_dicom" / "net" / "00001.dcm")
        made_of = image.SourceImageSequence[0].ReferencedSOPInstanceUID
        assert made_of.startswith(series)
    wrong = ["--dicom", tmp_path / "scan"]
    assert run("run", tmp_path / "scan", tmp_path / "other", *QUICK, *wrong) == 2
    assert "--dicom SERIES is for one scan" in last_line(capsys)


def test_what_can_go_with_no_series_is_refused_before_anything_is_computed(
    folder, scan, tmp_path, capsys, no_work, monkeypatch
):
    def said(*arguments) -> str:
        return refused(capsys, tmp_path, *arguments)

    bids, series = folder / "bids", folder / "scan"
    assert "--dicom alone is for a DICOM folder" in said(bids, "--dicom")
    assert "--anonymous is for DICOM objects" in said(series, "--anonymous")
    assert "is no folder" in said(bids, "--dicom", tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    assert "no files" in said(bids, "--dicom", tmp_path / "empty")
    (tmp_path / "empty" / "notes.txt").write_text("no image")
    assert "no MR images" in said(bids, "--dicom", tmp_path / "empty")
    write_scan(scan[0], tmp_path / "two" / "a")
    write_scan(scan[0], tmp_path / "two" / "b", study=f"{STUDY}.2")
    assert "2 studies" in said(bids, "--dicom", tmp_path / "two")
    (tmp_path / "moved").mkdir()
    for file in series.iterdir():
        image = pydicom.dcmread(file)
        image.PixelSpacing = [7, 7]
        image.save_as(tmp_path / "moved" / file.name)
    assert "on the grid of the maps" in said(bids, "--dicom", tmp_path / "moved")
    monkeypatch.setattr(dicom_copies, "has_highdicom", lambda: False)
    assert "pip install 'qsm-separation[dicom]'" in said(series, "--dicom")


def test_identity_that_an_archive_would_not_take_is_told_before_the_work(
    folder, tmp_path, capsys, no_work
):
    shutil.copytree(folder / "scan", tmp_path / "scan")
    for file in (tmp_path / "scan").iterdir():
        image = pydicom.dcmread(file)
        del image.StudyInstanceUID
        image.save_as(file)
    said = refused(capsys, tmp_path, folder / "bids", "--dicom", tmp_path / "scan")
    assert "StudyInstanceUID" in said


def test_objects_that_are_there_are_replaced_only_when_asked(folder, tmp_path, capsys, no_work):
    old = tmp_path / "out" / "sub-01" / "anat" / "dicom" / "old.dcm"
    old.parent.mkdir(parents=True)
    old.write_text("last week's")
    assert run("run", folder / "scan", tmp_path / "out", *QUICK, "--dicom") == 2
    assert "already exists" in last_line(capsys)
    assert old.read_text() == "last week's"


def test_overwriting_replaces_the_whole_set(folder, done, tmp_path):
    out = tmp_path / "out" / "sub-01" / "anat"
    shutil.copytree(done, out)
    (out / "dicom" / "net" / "99999.dcm").write_text("of another result")
    again = ["--dicom", "--overwrite"]
    assert run("run", folder / "scan", tmp_path / "out", *QUICK, *again) == 0
    assert set(bytes_of(out / "dicom")) == set(bytes_of(done / "dicom"))


def test_maps_stay_when_their_objects_cannot_be_written(folder, tmp_path, capsys, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(dicom_copies, "export_dicom", full)
    assert run("run", folder / "scan", tmp_path, *QUICK, "--dicom") == 1
    assert "the maps are written, but not their DICOM objects" in last_line(capsys)
    assert (tmp_path / "sub-01" / "anat" / "sub-01_Chimap.nii.gz").is_file()
