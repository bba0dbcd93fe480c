"""NIfTI files without BIDS names: what dcm2niix writes, and files that say nothing of themselves."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from dicom_fixtures import TIMES_S, oblique_geometry, phantom

from QSMSeparationLib.data.volume import Geometry, Volume
from QSMSeparationLib.io.nifti import write_volume
from QSMSeparationLib.io.source import Given, find_scans, read_source
from QSMSeparationLib.runtime.errors import InputError

DATA = Path(os.environ.get("QSMSEP_DATA", Path(__file__).parents[2] / "../shared/data"))
GRID = oblique_geometry()
MAGNITUDE, PHASE = (a.astype(np.float32) for a in phantom())
FACTS = {"MagneticFieldStrength": 3, "Manufacturer": "Siemens", "ProtocolName": "gre",
         "RepetitionTime": 0.04, "FlipAngle": 15, "ScanningSequence": "GR"}  # fmt: skip


def put(path, array, sidecar=None, grid=GRID):
    write_volume(Volume(np.ascontiguousarray(array, np.float32), grid, path.name), path)
    if sidecar is not None:
        path.with_name(path.name.split(".")[0] + ".json").write_text(json.dumps(sidecar))


def put_4d(path, array):
    volumes = [sitk.GetImageFromArray(np.ascontiguousarray(echo)) for echo in array]
    for image in volumes:
        image.SetSpacing(GRID.spacing_mm)
        image.SetOrigin(GRID.origin_mm)
        image.SetDirection(GRID.direction)
    sitk.WriteImage(sitk.JoinSeries(volumes), str(path))


def converted(folder, names=("{}_e{}", "{}_e{}_ph"), words=("M", "P"), arrays=(MAGNITUDE, PHASE)):
    """Write what dcm2niix makes of a scan: magnitude as series 5, phase as series 6."""
    for series, name, word, array in zip((5, 6), names, words, arrays, strict=True):
        for e, time in enumerate(TIMES_S):
            facts = FACTS | {"EchoTime": time, "ImageType": ["ORIGINAL", "PRIMARY", word, "ND"]}
            put(folder / f"{name.format(series, e + 1)}.nii.gz", array[e], facts)


def assert_same_scan(scan, tolerance=1e-5):
    np.testing.assert_allclose(scan.magnitude, MAGNITUDE, rtol=1e-5)
    assert np.abs(np.angle(np.exp(1j * (scan.phase_rad - PHASE)))).max() < tolerance
    assert scan.echo_times_s == pytest.approx(TIMES_S)
    assert scan.b0_tesla == 3
    assert GRID.difference(scan.geometry, tolerance_mm=1e-3) is None


def test_a_folder_of_dcm2niix(tmp_path):
    converted(tmp_path)
    put(tmp_path / "2_t1.nii.gz", MAGNITUDE[0], {"EchoTime": 0.002, "ProtocolName": "t1"})
    put(tmp_path / "9_swi.nii.gz", MAGNITUDE[0],
        FACTS | {"EchoTime": 0.02, "ImageType": ["ORIGINAL", "PRIMARY", "M", "SWI"]})  # fmt: skip
    put(tmp_path / "lesions.nii.gz", MAGNITUDE[0])
    (scan,) = read_source(tmp_path, name="sub-A7")
    assert_same_scan(scan)
    assert scan.name == "sub-A7"
    assert len(scan.inputs) == 6
    assert (scan.tr_s, scan.flip_deg) == (0.04, 15)


def test_real_and_imaginary_parts_of_ge(tmp_path):
    signal = MAGNITUDE * np.exp(1j * PHASE)
    signal[:, 1::2] *= -1  # as GE's reconstruction leaves the slices
    converted(tmp_path, ("{}_e{}_real", "{}_e{}_imaginary"), ("M", "M"), (signal.real, signal.imag))
    for path in tmp_path.glob("*.json"):  # the type tells nothing, only the name does
        path.write_text(json.dumps({**json.loads(path.read_text()), "ImageType": ["ORIGINAL"]}))
    (scan,) = read_source(tmp_path)
    assert_same_scan(scan, 1e-4)
    assert any("opposite sign" in note for note in scan.notes)


def test_a_spin_echo_is_attached_and_two_protocols_are_two_scans(tmp_path):
    converted(tmp_path)
    for e, time in enumerate((0.02, 0.05)):
        facts = {"MagneticFieldStrength": 3, "EchoTime": time, "ScanningSequence": "SE"}
        put(tmp_path / f"8_se_e{e + 1}.nii.gz", MAGNITUDE[e], facts)
    for path in [*tmp_path.glob("5_*"), *tmp_path.glob("6_*")]:
        (tmp_path / f"1{path.name}").write_bytes(path.read_bytes())
    for path in tmp_path.glob("1?_*.json"):
        path.write_text(json.dumps({**json.loads(path.read_text()), "ProtocolName": "again"}))
    found = find_scans(tmp_path)
    assert [one.name for one in found] == ["sub-01_run-01", "sub-01_run-02"]
    scan = found[1].read()
    assert_same_scan(scan)
    assert scan.spin_echo.echo_times_s == pytest.approx((0.02, 0.05))


@pytest.mark.parametrize("form", ["one file an echo", "4-D"])
@pytest.mark.parametrize("times", [TIMES_S, (4, 10, 16)])
def test_files_that_say_nothing_of_themselves(tmp_path, form, times):
    if form == "4-D":
        put_4d(tmp_path / "my_magnitude.nii", MAGNITUDE)
        put_4d(tmp_path / "my_phase.nii", PHASE)
    else:
        for e in range(3):  # 8, 9, 10: in the natural order
            put(tmp_path / f"mag{8 + e}_mag.nii.gz", MAGNITUDE[e])
            put(tmp_path / f"pha{8 + e}_phase.nii.gz", PHASE[e])
    (scan,) = read_source(tmp_path, given=Given(echo_times_s=times, b0_tesla=3.0))
    assert_same_scan(scan)


def test_only_the_listed_files_are_used(tmp_path):
    converted(tmp_path)
    for e in range(3):
        facts = FACTS | {"EchoTime": TIMES_S[e], "ImageType": ["ORIGINAL", "PRIMARY", "M"]}
        put(tmp_path / f"other_{e}.nii.gz", MAGNITUDE[e], facts)
    with pytest.raises(InputError, match=r"2 images of the echo at 0\.004 s.*--files"):
        read_source(tmp_path)
    files = (*sorted(tmp_path.glob("5_*.nii.gz")), *sorted(tmp_path.glob("6_*.nii.gz")))
    (scan,) = read_source(tmp_path, given=Given(files=files))
    assert_same_scan(scan)


def nothing(folder):
    put(folder / "mag.nii.gz", MAGNITUDE[0])


def without_phase(folder):
    converted(folder)
    for path in folder.glob("*_ph.*"):
        path.unlink()


def coils(folder):
    converted(folder)
    for path in list(folder.glob("*.*")):
        for coil in range(2, 5):
            (folder / path.name.replace("_e", f"_c{coil}_e")).write_bytes(path.read_bytes())


def without_field_strength(folder):
    converted(folder)
    for path in folder.glob("*.json"):
        facts = json.loads(path.read_text())
        del facts["MagneticFieldStrength"]
        path.write_text(json.dumps(facts))


REFUSED = {
    nothing: (Given(), "--te.*BIDS names"),
    without_phase: (Given(), "no phase images beside them"),
    coils: (Given(), "4 images of the echo at 0.004 s, of separate coils"),
    without_field_strength: (Given(), "--b0"),
}


@pytest.mark.parametrize("make", REFUSED, ids=lambda f: f.__name__)
def test_refused_with_a_way_out(tmp_path, make):
    given, says = REFUSED[make]
    make(tmp_path)
    with pytest.raises(InputError, match=says) as caught:
        read_source(tmp_path, given=given)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("times", "says"),
    [
        ((4, 10), "3 magnitude echoes but 2 echo times"),
        ((4, 16, 10), "must increase"),
        ((0.6, 0.7, 0.8), "neither s nor ms"),
    ],
)
def test_echo_times_that_do_not_fit_are_refused(tmp_path, times, says):
    put_4d(tmp_path / "magnitude.nii", MAGNITUDE)
    put_4d(tmp_path / "phase.nii", PHASE)
    with pytest.raises(InputError, match=says):
        read_source(tmp_path, given=Given(echo_times_s=times, b0_tesla=3))


@pytest.mark.skipif(not (DATA / "gre_nifti_small").is_dir(), reason="the sample GRE is not here")
def test_real_gre_patch():
    folder = DATA / "gre_nifti_small"
    files = tuple(folder / f"romeo_small_{part}.nii" for part in ("Mag", "Phase"))
    (scan,) = read_source(folder, given=Given(files, (4, 8, 12), 7.0))
    assert scan.magnitude.shape == (3, 41, 51, 51)
    assert np.ptp(scan.phase_rad) == pytest.approx(2 * np.pi, rel=1e-3)
    files = tuple(folder / f"romeo_small2_{part}.nii" for part in ("Mag", "Phase"))
    with pytest.raises(InputError, match="single echo"):
        read_source(folder, given=Given(files, (4,), 7.0))


def test_interpolated_images_are_told(tmp_path):
    rng = np.random.default_rng(0)
    k, j, i = np.meshgrid(*[np.linspace(-1.2, 1.2, n) for n in (20, 48, 48)], indexing="ij")
    noise = rng.normal(size=(2, 20, 48, 48))
    signal = 100.0 * (k**2 + j**2 + i**2 < 1) + noise[0] + 1j * noise[1]
    space = np.fft.fftshift(np.fft.fftn(signal))
    image = np.fft.ifftn(np.fft.ifftshift(np.pad(space, ((0, 0), (8, 8), (8, 8)))))
    grid = Geometry(image.shape, (0.75, 0.75, 2.0))
    for e, time in enumerate(TIMES_S):
        turned = image * np.exp(2j * np.pi * 40 * i.mean() * time)
        for part, values in (("mag", np.abs(turned)), ("phase", np.angle(turned))):
            facts = FACTS | {"EchoTime": time, "Units": "rad"}
            put(tmp_path / f"{part}_{e}.nii.gz", values, facts, grid)
    (scan,) = read_source(tmp_path)
    (note,) = [note for note in scan.notes if "interpolated" in note]
    assert "made of 48 x 48 x 20" in note
    assert "true voxels 1 x 1 x 2 mm" in note
