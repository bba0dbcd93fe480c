"""BIDS folders, whole and damaged."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from dicom_fixtures import TIMES_S, link_in_a_circle, oblique_geometry, phantom
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from QSMSeparationLib.data.volume import Geometry, Volume
from QSMSeparationLib.io.bids import find_subjects, read_bids
from QSMSeparationLib.io.files import sha256
from QSMSeparationLib.io.nifti import write_volume
from QSMSeparationLib.io.source import read_source
from QSMSeparationLib.runtime.errors import InputError

GRID = oblique_geometry()
MAGNITUDE, PHASE = (a.astype(np.float32) for a in phantom())
FACTS = {"MagneticFieldStrength": 3, "Manufacturer": "Siemens"}
MODEST = settings(
    max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
)


def put(path: Path, array, sidecar=None, grid=GRID):
    """Write an image and its sidecar."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_volume(Volume(np.asarray(array), grid, path.name), path)
    if sidecar is not None:
        json_of(path).write_text(json.dumps(sidecar), encoding="utf-8")


def json_of(path: Path) -> Path:
    return path.with_name(path.name.split(".")[0] + ".json")


def put_scan(root: Path, subject="sub-01", session=None, parts=("mag", "phase"), extra=""):
    """Write one multi-echo scan and return its folder."""
    folder = root / subject / (session or "") / "anat"
    stem = f"{subject}_{session}" if session else subject
    signal = MAGNITUDE * np.exp(1j * PHASE)
    arrays = {"mag": MAGNITUDE, "phase": PHASE, "real": signal.real, "imag": signal.imag}
    for part in parts:
        for e, time in enumerate(TIMES_S):
            sidecar = {**FACTS, "EchoTime": time} | ({"Units": "rad"} if part == "phase" else {})
            name = f"{stem}{extra}_echo-{e + 1}_part-{part}_MEGRE.nii.gz"
            put(folder / name, arrays[part][e].astype(np.float32), sidecar)
    return folder


def edit(path: Path, **changes):
    """Change a sidecar; None removes a key."""
    facts = json.loads(path.read_text())
    facts.update(changes)
    path.write_text(json.dumps({k: v for k, v in facts.items() if v is not None}))


def assert_same_scan(scan, tolerance=1e-5):
    np.testing.assert_allclose(scan.magnitude, MAGNITUDE, rtol=1e-5)
    assert np.abs(np.angle(np.exp(1j * (scan.phase_rad - PHASE)))).max() < tolerance
    assert scan.echo_times_s == pytest.approx(TIMES_S)
    assert scan.b0_tesla == 3
    assert GRID.difference(scan.geometry, tolerance_mm=1e-3) is None


@pytest.mark.parametrize("parts", [("mag", "phase"), ("real", "imag")])
def test_a_dataset_a_subject_a_session(tmp_path, parts):
    put_scan(tmp_path, "sub-01", "ses-A", parts)
    put_scan(tmp_path, "sub-02", None, parts)
    link_in_a_circle(tmp_path / "sub-02")
    assert [s.name for s in read_bids(tmp_path)] == ["sub-01_ses-A", "sub-02"]
    for place in ("sub-02", "sub-02/anat", "sub-01", "sub-01/ses-A", "sub-01/ses-A/anat"):
        (scan,) = read_source(tmp_path / place)
        assert_same_scan(scan)
        assert scan.name == ("sub-02" if "02" in place else "sub-01_ses-A")
    assert len(find_subjects(tmp_path)) == 2
    with pytest.raises(InputError, match="2 sessions"):
        read_source(tmp_path, name="sub-09")


def test_repetition_time_and_flip_angle_are_read_where_they_make_sense(tmp_path):
    folder = put_scan(tmp_path)
    assert (read_bids(tmp_path)[0].tr_s, read_bids(tmp_path)[0].flip_deg) == (None, None)
    first = folder / "sub-01_echo-1_part-mag_MEGRE.json"
    edit(first, RepetitionTime=0.033, FlipAngle=15)
    scan = read_bids(tmp_path)[0]
    assert (scan.tr_s, scan.flip_deg) == (0.033, 15)
    edit(first, RepetitionTime=33, FlipAngle="15")
    assert (read_bids(tmp_path)[0].tr_s, read_bids(tmp_path)[0].flip_deg) == (None, None)


def test_hashes_are_those_of_the_files(tmp_path):
    put_scan(tmp_path)
    (scan,) = read_source(tmp_path)
    assert len(scan.inputs) == 12
    for name, digest in scan.inputs.items():
        assert digest == sha256(tmp_path / name)


def test_echoes_are_sorted_by_their_time_not_by_their_number(tmp_path):
    folder = put_scan(tmp_path)
    for part in ("mag", "phase"):
        for number, time in ((1, 0.016), (2, 0.004), (3, 0.010)):
            edit(folder / f"sub-01_echo-{number}_part-{part}_MEGRE.json", EchoTime=time)
    (scan,) = read_bids(tmp_path)
    assert scan.echo_times_s == pytest.approx(TIMES_S)
    np.testing.assert_allclose(scan.magnitude, MAGNITUDE[[1, 2, 0]], rtol=1e-5)


def test_inherited_sidecars_and_milliseconds(tmp_path):
    folder = put_scan(tmp_path)
    for path in folder.glob("*.json"):
        path.unlink()
    (tmp_path / "MEGRE.json").write_text(json.dumps({**FACTS, "MagneticFieldStrength": 7}))
    (tmp_path / "part-phase_MEGRE.json").write_text(json.dumps({"Units": "rad"}))
    for e, time in enumerate(TIMES_S):
        inherited = {"EchoTime": 1000 * time, "MagneticFieldStrength": 3}
        (tmp_path / "sub-01" / f"sub-01_echo-{e + 1}_MEGRE.json").write_text(json.dumps(inherited))
    (scan,) = read_bids(tmp_path)
    assert_same_scan(scan)
    assert any("ms" in note for note in scan.notes)


def put_4d(path, array, sidecar):
    volumes = []
    for echo in array:
        image = sitk.GetImageFromArray(echo)
        image.SetSpacing(GRID.spacing_mm)
        image.SetOrigin(GRID.origin_mm)
        image.SetDirection(GRID.direction)
        volumes.append(image)
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(sitk.JoinSeries(volumes), str(path))
    json_of(path).write_text(json.dumps(sidecar))


def test_four_dimensional_files(tmp_path):
    anat = tmp_path / "sub-01" / "anat"
    sidecar = {**FACTS, "EchoTime": list(TIMES_S)}
    put_4d(anat / "sub-01_part-mag_MEGRE.nii.gz", MAGNITUDE, sidecar)
    put_4d(anat / "sub-01_part-phase_MEGRE.nii", PHASE, sidecar)
    (scan,) = read_bids(tmp_path)
    assert_same_scan(scan)
    edit(anat / "sub-01_part-mag_MEGRE.json", EchoTime=0.004)
    with pytest.raises(InputError, match="3 echoes in the image but 1 EchoTime"):
        read_bids(tmp_path)


def test_spin_echo_and_mask(tmp_path):
    folder = put_scan(tmp_path)
    grid = oblique_geometry((5, 10, 8))
    for e, time in enumerate((0.02, 0.05)):
        facts = {**FACTS, "EchoTime": time}
        put(folder / f"sub-01_echo-{e + 1}_MESE.nii.gz", MAGNITUDE[e, :5], facts, grid)
    put(tmp_path / "mask.nii.gz", (MAGNITUDE[0] > 100).astype(np.uint8))
    (scan,) = read_bids(tmp_path, mask=tmp_path / "mask.nii.gz")
    assert scan.spin_echo.echo_times_s == pytest.approx((0.02, 0.05))
    np.testing.assert_allclose(scan.spin_echo.magnitude, MAGNITUDE[:2, :5])
    np.testing.assert_array_equal(scan.mask.array, MAGNITUDE[0] > 100)
    put(tmp_path / "other.nii.gz", np.ones((5, 10, 8), np.uint8), grid=grid)
    with pytest.raises(InputError, match=r"other.nii.gz .* matrix"):
        read_bids(tmp_path, mask=tmp_path / "other.nii.gz")


def test_two_runs_are_two_scans(tmp_path):
    put_scan(tmp_path, extra="_run-1")
    put_scan(tmp_path, extra="_run-2")
    assert [s.name for s in read_bids(tmp_path)] == ["sub-01_run-1", "sub-01_run-2"]


def first(folder, part="mag", echo=1, kind="json"):
    return folder / f"sub-01_echo-{echo}_part-{part}_MEGRE.{kind}"


def without_phase(folder):
    for path in folder.glob("*phase*"):
        path.unlink()


def one_phase_less(folder):
    first(folder, "phase", 3, "nii.gz").unlink()


def middle_echo_lost(folder):
    for path in folder.glob("*echo-2*"):
        path.unlink()


def one_echo(folder):
    for path in [*folder.glob("*echo-2*"), *folder.glob("*echo-3*")]:
        path.unlink()


def one_phase_of_three(folder):
    for echo in (2, 3):
        first(folder, "phase", echo, "nii.gz").unlink()
    edit(first(folder, "phase"), EchoTime=0.016)


def shifted(folder):
    moved = Geometry(GRID.shape, GRID.spacing_mm, (-30, -40.25, 12), GRID.direction)
    put(first(folder, "phase", 2, "nii.gz"), PHASE[1], grid=moved)


def slice_lost(folder):
    put(first(folder, "mag", 2, "nii.gz"), MAGNITUDE[1, :5], grid=oblique_geometry((5, 10, 8)))


def changed(**values):
    return lambda folder: edit(first(folder), **values)


def written(content):
    return lambda folder: first(folder).write_bytes(content)


def cut_off(folder):
    path = first(folder, kind="nii.gz")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) - 30])


def cut_off_uncompressed(folder):
    for part, values in (("mag", MAGNITUDE), ("phase", PHASE)):
        for e in range(3):
            first(folder, part, e + 1, "nii.gz").unlink()
            put(first(folder, part, e + 1, "nii"), values[e])
    path = first(folder, "mag", 2, "nii")
    path.write_bytes(path.read_bytes()[:-4])


def all_zero(folder):
    for e in range(3):
        put(first(folder, "mag", e + 1, "nii.gz"), np.zeros(GRID.shape, np.float32))


def half_phase(folder):
    for e in range(3):
        put(first(folder, "phase", e + 1, "nii.gz"), PHASE[e] / 2)
        edit(first(folder, "phase", e + 1), Units="arbitrary")


REFUSED = {
    "no phase": (without_phase, "no part-phase"),
    "one phase less": (one_phase_less, "16 ms has no phase"),
    "middle echo lost": (middle_echo_lost, "echo-2 of part-mag is missing"),
    "single echo": (one_echo, "single echo"),
    "phase difference": (one_phase_of_three, "phase difference"),
    "shifted": (shifted, r"part-phase.*grid.*position differs by 1\.5"),
    "slice lost": (slice_lost, "echo-2_part-mag.*matrix 8x10x6 against 8x10x5"),
    "echo time 0": (changed(EchoTime=0), "echo-1_part-mag.*EchoTime is 0"),
    "no echo time": (changed(EchoTime=None), "no EchoTime"),
    "echo time as text": (changed(EchoTime="4 ms"), "no number"),
    "echo time twice": (changed(EchoTime=0.01), "two echoes at 10 ms"),
    "some in ms": (changed(EchoTime=4), "neither s nor ms"),
    "no field": (changed(MagneticFieldStrength=7), "3 T"),
    "not JSON": (written(b"{"), "echo-1_part-mag_MEGRE.json: not valid JSON"),
    "deep JSON": (written(b"[" * 100_000), "not valid JSON"),
    "list": (written(b"[1]"), "a JSON object is needed"),
    "not UTF-8": (written(b'{"Manufacturer": "\xff"}'), "UTF-8"),
    "cut off": (cut_off, "echo-1_part-mag_MEGRE.nii.gz: damaged or cut off"),
    "cut off, uncompressed": (cut_off_uncompressed, r"echo-2_part-mag_MEGRE.nii: cut off"),
    "zero": (all_zero, "zero everywhere"),
    "half the circle": (half_phase, "none of the known spans"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_with_the_file_and_the_reason(tmp_path, case):
    damage, message = REFUSED[case]
    damage(put_scan(tmp_path))
    with pytest.raises(InputError, match=message) as caught:
        read_source(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A small scan on disk, uncompressed and compressed, with the bytes of its files."""
    root = tmp_path_factory.mktemp("fuzz")
    folder = root / "sub-01" / "anat"
    grid = Geometry((3, 4, 5), (1, 1, 2))
    for part, values in (("mag", MAGNITUDE), ("phase", PHASE)):
        for e in range(2):
            name = f"sub-01_echo-{e + 1}_part-{part}_MEGRE.{'nii' if e else 'nii.gz'}"
            facts = {**FACTS, "EchoTime": TIMES_S[e], "Units": "rad"}
            put(folder / name, values[e, :3, :4, :5], facts, grid)
    return root, {path: path.read_bytes() for path in sorted(folder.iterdir())}


def read_or_refuse(root):
    scans, refusal = [], "none"
    try:
        scans = read_source(root)
    except InputError as error:
        refusal = str(error)
    assert refusal
    assert "\n" not in refusal
    for scan in scans:
        assert np.isfinite(scan.magnitude).all()
        assert np.abs(scan.phase_rad).max() <= np.pi + 1e-6


def damaged(data, content):
    """Flip a few bytes, most of them in the header, and maybe cut the end off."""
    content = bytearray(content)
    for _ in range(data.draw(st.integers(0, 4))):
        last = data.draw(st.sampled_from([len(content), min(352, len(content))]))
        content[data.draw(st.integers(0, last - 1))] = data.draw(st.integers(0, 255))
    end = data.draw(st.one_of(st.just(len(content)), st.integers(0, len(content))))
    return bytes(content[:end])


@MODEST
@given(data=st.data())
def test_damaged_files_never_break_the_reader(small, data):
    root, files = small
    victim = data.draw(st.sampled_from(sorted(files)))
    content = files[victim]
    try:
        if victim.suffix == ".gz" and data.draw(st.booleans()):
            victim.write_bytes(gzip.compress(damaged(data, gzip.decompress(content)), 1))
        else:
            victim.write_bytes(damaged(data, content))
        read_or_refuse(root)
    finally:
        victim.write_bytes(content)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2)
    ),
    max_leaves=4,
)


@MODEST
@given(
    key=st.sampled_from(["EchoTime", "MagneticFieldStrength", "Manufacturer", "Units"]),
    value=JSON_VALUES | st.just(10**400) | st.sampled_from([0.005, 5, 3, [0.004], "rad"]),
    index=st.integers(0, 3),
)
def test_odd_sidecars_never_break_the_reader(small, key, value, index):
    root, files = small
    victim = [path for path in sorted(files) if path.suffix == ".json"][index]
    try:
        victim.write_text(json.dumps({**json.loads(files[victim]), key: value}))
        read_or_refuse(root)
    finally:
        victim.write_bytes(files[victim])
