"""DICOM folders: the same phantom must come back from every vendor's files."""

import copy
import os
from io import BytesIO
from pathlib import Path

import dicom_fixtures as fixtures
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from QSMSeparationLib.data.volume import from_sitk
from QSMSeparationLib.io._dicom_frames import quiet_pydicom, read_pixels
from QSMSeparationLib.io.dicom import read_dicom
from QSMSeparationLib.io.source import read_source
from QSMSeparationLib.runtime.errors import InputError

DATA = Path(os.environ.get("QSMSEP_DATA", Path(__file__).parents[2] / "../shared/data"))
TIMES = fixtures.TIMES_S
GRID = fixtures.oblique_geometry()
MAGNITUDE, PHASE = fixtures.phantom()
MODEST = settings(
    max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
)


def siemens(**tags):
    return fixtures.siemens(MAGNITUDE, PHASE, TIMES, GRID, **tags)


def is_phase(dataset):
    return "P" in dataset.ImageType


VENDORS = {
    "siemens -4096..4094": (siemens, fixtures.STEP),
    "siemens 0..4095": (lambda: siemens(rescaled=False), fixtures.STEP),
    "ge real and imaginary": (lambda: fixtures.ge(MAGNITUDE, PHASE, TIMES, GRID, False), None),
    "ge alternating slices": (lambda: fixtures.ge(MAGNITUDE, PHASE, TIMES, GRID), None),
    "philips mrad": (lambda: fixtures.philips(MAGNITUDE, PHASE, TIMES, GRID), fixtures.STEP),
    "philips rad": (lambda: fixtures.philips(MAGNITUDE, PHASE, TIMES, GRID, 1.0), fixtures.STEP),
    "enhanced": (lambda: fixtures.enhanced(MAGNITUDE, PHASE, TIMES, GRID), fixtures.STEP),
}


@pytest.mark.parametrize("vendor", VENDORS)
def test_every_vendor_gives_the_same_scan(tmp_path, vendor):
    make, step = VENDORS[vendor]
    fixtures.save(make(), tmp_path, nested=True)
    (tmp_path / "d0" / "notes.txt").write_text("no image")
    fixtures.link_in_a_circle(tmp_path)
    (scan,) = read_dicom(tmp_path)
    assert scan.echo_times_s == pytest.approx(TIMES)
    assert scan.b0_tesla == 3
    assert (scan.tr_s, scan.flip_deg) == pytest.approx((0.040, 15))
    assert GRID.difference(scan.geometry, tolerance_mm=1e-3) is None
    error = np.abs(np.angle(np.exp(1j * (scan.phase_rad - PHASE))))
    inside = MAGNITUDE > 100
    tolerance = 0.51 * step if step else 1 / (20 * MAGNITUDE[inside].min())
    # The top step of the integers stands for -pi and pi, so that a half step more may be lost.
    assert error[inside].max() < tolerance + (0.5 * step if step else 0)
    assert np.median(error) < 0.3 * (step or fixtures.STEP) or step is None
    ratio = scan.magnitude[inside] / MAGNITUDE[inside]
    np.testing.assert_allclose(ratio, np.median(ratio), rtol=2e-4)
    assert scan.phase_rad.dtype == scan.magnitude.dtype == np.float32


def test_geometry_does_not_depend_on_the_order_of_slices(tmp_path):
    datasets = siemens()
    fixtures.save(datasets[::-1], tmp_path)
    (scan,) = read_source(tmp_path, name="sub-A7")
    assert scan.name == "sub-A7"
    assert np.linalg.det(scan.geometry.direction_matrix) == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(scan.geometry.b0_kji, GRID.b0_kji, atol=1e-6)


def test_geometry_agrees_with_gdcm(tmp_path):
    """An independent reader of the same oblique slices puts them in the same place."""
    magnitude = [d for d in siemens() if not is_phase(d) and d.EchoTime == 4]
    fixtures.save(magnitude, tmp_path / "echo")
    names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(tmp_path / "echo"))
    theirs = from_sitk(sitk.ReadImage(names), "GDCM")
    fixtures.save(siemens(), tmp_path / "scan")
    (scan,) = read_dicom(tmp_path / "scan")
    assert theirs.geometry.difference(scan.geometry, tolerance_mm=1e-3) is None
    np.testing.assert_array_equal(theirs.array, scan.magnitude[0])


@pytest.mark.parametrize("name", ["RLE", "jp2klossless", "jpeg_ls_lossless", "implicit", "expb"])
def test_transfer_syntaxes(name):
    """Files that come with pydicom: one image, stored in several ways."""
    folder = Path(pydicom.__file__).parent / "data" / "test_files"
    if not (folder / f"MR_small_{name}.dcm").is_file():
        pytest.skip("this pydicom comes without its sample files")
    with quiet_pydicom():
        plain = read_pixels(folder / "MR_small.dcm")
        np.testing.assert_array_equal(read_pixels(folder / f"MR_small_{name}.dcm"), plain)


def without_phase(datasets):
    return [d for d in datasets if not is_phase(d)]


def echo_time_zero(datasets):
    datasets[0].EchoTime = 0
    return datasets


def one_echo(datasets):
    return [d for d in datasets if d.EchoTime == 4]


def one_phase(datasets):
    return [d for d in datasets if not is_phase(d) or d.EchoTime == 16]


def slice_lost(datasets):
    return [d for n, d in enumerate(datasets) if n % 6 != 2]


def last_slice_lost_once(datasets):
    return datasets[:-1]


def echo_lost(datasets):
    return [d for d in datasets if not is_phase(d) or d.EchoTime != 10]


def slice_twice(datasets):
    return [*datasets, datasets[3]]


def coils_apart(datasets):
    return [d for d in datasets for _ in range(8)]


def turned_slice(datasets):
    datasets[2].ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    return datasets


def other_pixel_size(datasets):
    for dataset in filter(is_phase, datasets):
        dataset.PixelSpacing = [2, 2]
    return datasets


def other_patient(datasets):
    datasets[0].PatientID = "another"
    return datasets


def without_field_strength(datasets):
    for dataset in datasets:
        del dataset.MagneticFieldStrength
    return datasets


def without_position(datasets):
    del datasets[5].ImagePositionPatient
    return datasets


def spin_echo_only(datasets):
    for dataset in datasets:
        dataset.ScanningSequence = "SE"
    return datasets


def constant_phase(datasets):
    for dataset in filter(is_phase, datasets):
        dataset.PixelData = bytes(len(dataset.PixelData))
    return datasets


def negative_spacing(datasets):
    datasets[1].PixelSpacing = [-1, 1]
    return datasets


def difference_image(datasets):
    for dataset in filter(is_phase, datasets):
        dataset.ImageType = ["DERIVED", "PRIMARY", "P", "PHASE DIFFERENCE"]
    return datasets


REFUSED = {
    without_phase: "no phase images",
    echo_time_zero: "EchoTime is 0",
    one_echo: "single echo",
    one_phase: "phase difference",
    difference_image: "phase difference",
    slice_lost: "slice is missing after slice 2",
    last_slice_lost_once: "5 slices but 6",
    echo_lost: "10 ms has no phase",
    slice_twice: "lie where another one is",
    coils_apart: "every slice is there 8 times, images of separate coils",
    turned_slice: "different geometry",
    other_pixel_size: "pixel size 0.9x1.1 mm against 2x2 mm",
    other_patient: "2 patients",
    without_field_strength: "MagneticFieldStrength is missing",
    without_position: "where the image lies",
    spin_echo_only: "spin-echo",
    constant_phase: "the same everywhere",
    negative_spacing: "impossible voxel size",
}


@pytest.mark.parametrize("damage", REFUSED, ids=lambda f: f.__name__)
def test_refused_with_the_reason(tmp_path, damage):
    fixtures.save(damage(siemens()), tmp_path)
    with pytest.raises(InputError, match=REFUSED[damage]) as caught:
        read_dicom(tmp_path)
    assert_clean(str(caught.value))


def assert_clean(message):
    """One line, and nothing of the patient."""
    assert message
    assert "\n" not in message
    for secret in (*fixtures.PATIENT, "Quackenbush", "Zelda", "77421"):
        assert secret not in message


def test_no_identity_anywhere(tmp_path, capfd, caplog, recwarn):
    datasets = siemens()
    datasets[0].add_new("PatientBirthDate", "DA", "19991332")  # invalid: pydicom would quote it
    fixtures.save(datasets, tmp_path)
    recwarn.clear()
    caplog.clear()
    (scan,) = read_dicom(tmp_path)
    captured = capfd.readouterr()
    spoken = [*scan.notes, scan.name, *scan.inputs, *scan.inputs.values(), captured.out]
    spoken += [captured.err, caplog.text, *(str(w.message) for w in recwarn)]
    for text in spoken:
        assert_clean(text or "-")
    assert set(scan.inputs) == {"series-002", "series-003"}


def test_two_scans_a_localizer_and_a_screen_shot_in_one_folder(tmp_path):
    localizer = fixtures.classic(MAGNITUDE[:1, :3], ["M", "ND"], [0.005], GRID, 1, FlipAngle=8)
    localizer[1].ImageOrientationPatient = [0, 1, 0, 0, 0, -1]
    swi = fixtures.classic(MAGNITUDE[:1], ["M", "SWI"], [0.02], GRID, 8)
    shot = fixtures.classic(MAGNITUDE[:1, :1], ["M"], [0.02], GRID, 9)
    shot[0].SOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    del shot[0].ImagePositionPatient
    again = fixtures.siemens(MAGNITUDE * 2, PHASE, TIMES, GRID, first=6)
    fixtures.save([*again, *siemens(), *localizer, *swi, *shot], tmp_path)
    scans = read_dicom(tmp_path)
    assert [scan.name for scan in scans] == ["sub-01_run-01", "sub-01_run-02"]
    np.testing.assert_array_equal(scans[1].magnitude, 2 * scans[0].magnitude)


def test_a_spin_echo_series_is_attached(tmp_path):
    times = (0.02, 0.04, 0.08)
    grid = fixtures.oblique_geometry((4, 10, 8))
    train = fixtures.classic(
        MAGNITUDE[:, :4], ["M", "SE"], times, grid, 7, ScanningSequence="SE", RepetitionTime=3000
    )
    fixtures.save([*siemens(), *train], tmp_path)
    (scan,) = read_dicom(tmp_path)
    assert scan.spin_echo.echo_times_s == pytest.approx(times)
    assert grid.difference(scan.spin_echo.geometry) is None
    np.testing.assert_array_equal(scan.spin_echo.magnitude, MAGNITUDE[:, :4])


def test_a_single_slice_is_read(tmp_path):
    grid = fixtures.oblique_geometry((1, 10, 8))
    fixtures.save(fixtures.siemens(MAGNITUDE[:, :1], PHASE[:, :1], TIMES, grid), tmp_path)
    (scan,) = read_dicom(tmp_path)
    assert scan.geometry.shape == (1, 10, 8)
    assert scan.geometry.spacing_mm[2] == pytest.approx(1.5)


def test_sizes_that_no_file_holds_are_refused_at_once(tmp_path):
    datasets = siemens()
    datasets[0].Rows = datasets[0].Columns = 4096
    fixtures.save(datasets, tmp_path)
    with pytest.raises(InputError, match="cut off"):
        read_dicom(tmp_path)


def encoded(datasets):
    files = []
    for dataset in datasets:
        stream = BytesIO()
        dataset.save_as(stream, enforce_file_format=True)
        files.append(stream.getvalue())
    return files


SMALL = (MAGNITUDE[:2, :2], PHASE[:2, :2], TIMES[:2], fixtures.oblique_geometry((2, 10, 8)))
DATASETS = fixtures.siemens(*SMALL)
CLASSIC = encoded(DATASETS)
ENHANCED = encoded(fixtures.enhanced(*SMALL))


def read_or_refuse(folder):
    """Reading must give sound scans or one clean line."""
    try:
        scans = read_dicom(folder)
    except InputError as error:
        assert_clean(str(error))
        return
    for scan in scans:
        assert np.isfinite(scan.magnitude).all()
        assert np.abs(scan.phase_rad).max() <= np.pi + 1e-6


def write_all(folder, files):
    for path in folder.iterdir():
        path.unlink()
    for n, content in enumerate(files):
        (folder / f"{n}.dcm").write_bytes(content)


@pytest.mark.parametrize("kind", ["classic", "enhanced"])
@MODEST
@given(data=st.data())
def test_damaged_bytes_never_break_the_reader(tmp_path, kind, data):
    files = CLASSIC if kind == "classic" else ENHANCED
    victim = data.draw(st.integers(0, len(files) - 1))
    content = bytearray(files[victim])
    for _ in range(data.draw(st.integers(0, 4))):
        place = data.draw(st.integers(132, len(content) - 1))
        content[place] = data.draw(st.integers(0, 255))
    length = data.draw(st.one_of(st.just(len(content)), st.integers(0, len(content))))
    write_all(tmp_path, [*files[:victim], bytes(content[:length]), *files[victim + 1 :]])
    read_or_refuse(tmp_path)


ODD_VALUES = {
    "Rows": [0, 1, 65535],
    "Columns": [0, 11],
    "BitsAllocated": [0, 1, 8, 64],
    "BitsStored": [0, 40000],
    "PixelRepresentation": [1, 7],
    "SamplesPerPixel": [0, 3],
    "NumberOfFrames": ["0", "-4", "2147483647", ""],
    "EchoTime": ["", "-1", "1e300", "0", "4.00001"],
    "MagneticFieldStrength": ["-3", "30000", "1e9", ""],
    "PixelSpacing": [["1e-300", "1"], ["1", ""], ["1e300", "1e300"], []],
    "ImageOrientationPatient": [["0"] * 6, ["1", "0", "0", "1", "0", "0"], ["1"]],
    "ImagePositionPatient": [["1e300"] * 3, ["0", "0", "0"], []],
    "RescaleSlope": ["0", "1e300", "-2", ""],
    "RescaleIntercept": ["1e300", "-1"],
    "SeriesNumber": ["999999999999", "", "-7"],
    "SeriesInstanceUID": ["", "9"],
    "ImageType": [[], ["ORIGINAL"], ["ORIGINAL", "PRIMARY", "R"], ["ORIGINAL", "PRIMARY", "I"]],
    "ScanningSequence": [["SE", "GR"], "", "SE"],
    "Modality": ["CT", ""],
}


@MODEST
@given(data=st.data())
def test_odd_header_values_never_break_the_reader(tmp_path, data):
    keyword = data.draw(st.sampled_from(sorted(ODD_VALUES)))
    value = data.draw(st.sampled_from([None, *ODD_VALUES[keyword]]))
    files = list(CLASSIC)
    for n in data.draw(st.sampled_from([[0], [6], [0, 1, 2, 3], range(8)])):
        dataset = copy.deepcopy(DATASETS[n])
        if value is not None:
            setattr(dataset, keyword, value)
        elif keyword in dataset:
            delattr(dataset, keyword)
        (files[n],) = encoded([dataset])
    write_all(tmp_path, files)
    read_or_refuse(tmp_path)


@pytest.mark.skipif(not (DATA / "dicom_megre").is_dir(), reason="the sample DICOM is not here")
def test_real_siemens_scan():
    (scan,) = read_source(DATA / "dicom_megre")
    assert scan.echo_times_s == pytest.approx((0.004, 0.010, 0.016))
    assert scan.geometry.shape == (1, 64, 54)
    assert scan.phase_rad.min() < -3
    assert scan.phase_rad.max() > 3


@pytest.mark.skipif(not (DATA / "dicom_refuse").is_dir(), reason="the sample DICOM is not here")
def test_real_field_map_is_refused():
    with pytest.raises(InputError, match="phase difference"):
        read_source(DATA / "dicom_refuse")
