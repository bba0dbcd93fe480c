"""``qsmsep separate``: maps made elsewhere in, signed sources out, unusable maps refused."""

from __future__ import annotations

import json
import re
import shutil
from datetime import datetime, timedelta, timezone

import numpy as np
import pytest
import SimpleITK as sitk
from command_line import GEOMETRY, facts_of, given, last_line, run
from untrained import untrained

from QSMSeparationLib.data.volume import Geometry, Volume
from QSMSeparationLib.io.nifti import read_map, write_volume
from QSMSeparationLib.training.two_sources import JOINT_NET_SIZE


def test_separate_recovers_the_sources_it_was_given(case, tmp_path):
    assert (
        run("separate", tmp_path, *given(case, "qsm", "r2prime", "mask"), "--progress", "none") == 0
    )
    para = read_map(tmp_path / "sub-01_desc-paramagnetic_Chimap.nii.gz")
    dia = read_map(tmp_path / "sub-01_desc-diamagnetic_Chimap.nii.gz")
    net = read_map(tmp_path / "sub-01_Chimap.nii.gz")
    assert para.array.min() >= 0 >= dia.array.max()
    assert para.array + dia.array == pytest.approx(net.array, abs=1e-6)
    assert GEOMETRY.difference(para.geometry, 1e-3) is None
    # Net chi is referenced to its mean; half of that shift goes into each source.
    inside = read_map(case / "mask.nii.gz").array > 0
    shift = read_map(case / "qsm.nii.gz").array[inside].mean() / 2
    iron = read_map(case / "para.nii.gz").array > 0.1
    assert para.array[iron] == pytest.approx(0.12 - shift, abs=1e-4)
    facts = json.loads((tmp_path / "sub-01_desc-diamagnetic_Chimap.json").read_text())
    assert "chi- <= 0" in facts["SignConvention"]
    assert facts["Units"] == "ppm"
    assert facts["RelaxivityPara_HzPerPpm"] == 114
    assert len(facts["InputSHA256"]["qsm.nii.gz"]) == 64
    made = datetime.fromisoformat(facts["Created"])
    assert abs(datetime.now(timezone.utc) - made) < timedelta(minutes=10)


def test_separate_inverts_the_field_when_no_qsm_is_given(case, tmp_path):
    inputs = given(case, "field", "r2star", "r2", "mask")
    code = run("separate", tmp_path, *inputs, "--method", "closed-form", "--progress", "none")
    assert code == 0
    net = read_map(tmp_path / "sub-01_Chimap.nii.gz").array
    truth = read_map(case / "qsm.nii.gz").array
    inside = read_map(case / "mask.nii.gz").array > 0
    assert np.corrcoef(net[inside], truth[inside])[0, 1] > 0.8
    assert abs(net[inside].mean()) < 1e-6


def test_relaxivity_scales_with_the_field(case, tmp_path):
    arguments = [*given(case, "qsm", "r2prime", "mask"), "--progress", "none"]
    assert (
        run("separate", tmp_path / "a", *arguments, "--b0", 1.5, "--dr-para", 228, "--dr-dia", 228)
        == 0
    )
    assert run("separate", tmp_path / "b", *arguments) == 0
    name = "sub-01_desc-paramagnetic_Chimap.nii.gz"
    a, b = read_map(tmp_path / "a" / name).array, read_map(tmp_path / "b" / name).array
    assert a == pytest.approx(b, abs=1e-6)


def with_array(case, tmp_path, name, change) -> str:
    volume = read_map(case / f"{name}.nii.gz")
    path = tmp_path / f"changed_{name}.nii.gz"
    write_volume(volume.like(change(volume.array.copy()).astype(np.float32)), path)
    return str(path)


def poke_nan(array):
    array[12, 14, 13] = np.nan
    return array


@pytest.mark.parametrize(
    ("name", "change", "says"),
    [
        ("field", poke_nan, r"changed_field.*NaN"),
        ("field", lambda a: a * 127.7 * 100, r"changed_field.*ppm"),
        (
            "field",
            lambda a: a * (0.6 / np.abs(a[a != 0]).mean()),
            r"likely it is in Hz, divide by 127",
        ),
        ("field", lambda a: a * 1000, r"likely it is in (Hz|ppb), divide by 1"),
        ("field", lambda a: a * 1e-6, r"a share of B0, multiply by 1000000"),
        ("field", lambda a: 0 * a + 0.01, r"changed_field.*the same value \(0.01\) everywhere"),
        ("r2prime", lambda a: a / 1000, r"changed_r2prime.*1/ms by 1000"),
        ("r2prime", lambda a: -a, r"changed_r2prime.*100 % of the mask is negative"),
        ("mask", lambda a: a * 0, r"changed_mask.*empty"),
        ("mask", lambda a: a * 0.5, r"changed_mask.*fractions"),
        ("mask", lambda a: a + 1, r"changed_mask.*no mask"),
    ],
)
def test_unusable_maps_are_refused_in_one_line(case, tmp_path, capsys, name, change, says):
    paths = {n: str(case / f"{n}.nii.gz") for n in ("field", "r2prime", "mask")}
    paths[name] = with_array(case, tmp_path, name, change)
    arguments = [item for n, path in paths.items() for item in (f"--{n}", path)]
    assert run("separate", tmp_path / "out", *arguments, "--progress", "none") == 2
    assert re.search(says, last_line(capsys))
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


def test_other_geometry_is_refused_by_name(case, tmp_path, capsys):
    volume = read_map(case / "r2prime.nii.gz")
    moved = Geometry(GEOMETRY.shape, GEOMETRY.spacing_mm, (0, 0, 0), GEOMETRY.direction)
    write_volume(Volume(volume.array, moved), tmp_path / "moved.nii.gz")
    arguments = [*given(case, "field", "mask"), "--r2prime", tmp_path / "moved.nii.gz"]
    assert run("separate", tmp_path / "out", *arguments, "--progress", "none") == 2
    assert "moved.nii.gz" in (line := last_line(capsys))
    assert "position" in line


def test_unknown_method_lists_the_known_ones(case, tmp_path, capsys):
    arguments = [
        *given(case, "field", "r2prime", "mask"),
        "--method",
        "magic",
        "--progress",
        "none",
    ]
    assert run("separate", tmp_path / "out", *arguments) == 2
    assert "closed-form" in last_line(capsys)


def test_results_are_not_overwritten_unasked(case, tmp_path, capsys):
    arguments = ["separate", tmp_path, *given(case, "qsm", "r2prime", "mask"), "--progress", "none"]
    assert run(*arguments) == 0
    before = (tmp_path / "sub-01_Chimap.nii.gz").stat().st_mtime_ns
    assert run(*arguments) == 2
    assert "--overwrite" in last_line(capsys)
    assert (tmp_path / "sub-01_Chimap.nii.gz").stat().st_mtime_ns == before
    assert run(*arguments, "--overwrite") == 0


def test_truncated_file_is_refused(case, tmp_path, capsys):
    whole = (case / "field.nii.gz").read_bytes()
    (tmp_path / "cut.nii.gz").write_bytes(whole[: len(whole) // 2])
    arguments = ["--field", tmp_path / "cut.nii.gz", *given(case, "r2prime", "mask")]
    assert run("separate", tmp_path / "out", *arguments, "--progress", "none") == 2
    assert "cut.nii.gz" in last_line(capsys)


def test_complex_numbers_are_refused(case, tmp_path, capsys):
    image = sitk.ReadImage(str(case / "field.nii.gz"))
    twice = sitk.RealAndImaginaryToComplex(image, image)
    sitk.WriteImage(twice, str(tmp_path / "complex.nii.gz"))
    arguments = ["--field", tmp_path / "complex.nii.gz", *given(case, "r2prime", "mask")]
    assert run("separate", tmp_path / "out", *arguments, "--progress", "none") == 2
    assert "complex.nii.gz: complex numbers" in last_line(capsys)


def test_inputs_of_one_name_keep_their_hashes(case, tmp_path):
    arguments = []
    for name in ("qsm", "r2prime", "mask"):
        (tmp_path / name).mkdir()
        shutil.copy(case / f"{name}.nii.gz", tmp_path / name / "map.nii.gz")
        arguments += [f"--{name}", tmp_path / name / "map.nii.gz"]
    assert run("separate", tmp_path / "out", *arguments, "--progress", "none") == 0
    hashes = facts_of(tmp_path / "out" / "sub-01_Chimap.json")["InputSHA256"]
    assert set(hashes) == {f"{name}/map.nii.gz" for name in ("qsm", "r2prime", "mask")}
    assert len(set(hashes.values())) == 3
    assert facts_of(tmp_path / "out" / "dataset_description.json")["DatasetType"] == "derivative"


@pytest.fixture(scope="module")
def joint(tmp_path_factory):
    """Arguments of a separation by a joint network that learned nothing."""
    weights = untrained(tmp_path_factory.mktemp("joint"), "joint-net", JOINT_NET_SIZE, gain=30)
    return ["--method", "joint-net", "--weights", weights, "--progress", "none"]


def with_s0(case, tmp_path, **sidecar):
    """Write a magnitude at TE 0 that is lower in myelin, and its sidecar."""
    dia = read_map(case / "dia.nii.gz")
    inside = read_map(case / "mask.nii.gz").array > 0
    s0 = (900 * np.exp(15 * dia.array) * inside).astype(np.float32)
    write_volume(dia.like(s0), tmp_path / "s0.nii.gz")
    if sidecar:
        (tmp_path / "s0.json").write_text(json.dumps(sidecar))
    return tmp_path / "s0.nii.gz"


def para_of(folder):
    return read_map(folder / "sub-01_desc-paramagnetic_Chimap.nii.gz").array


def test_the_magnitude_at_te0_counts_with_the_tr_and_flip_angle_of_its_sidecar(
    case, tmp_path, joint
):
    s0 = with_s0(case, tmp_path, RepetitionTime=0.035, FlipAngle=15)
    inputs = [*given(case, "field", "qsm", "r2star", "mask"), *joint]
    assert run("separate", tmp_path / "with", *inputs, "--s0", s0) == 0
    assert run("separate", tmp_path / "without", *inputs) == 0
    (tmp_path / "s0.json").unlink()
    said = ["--s0", s0, "--tr", 0.035, "--flip-angle", 15]
    assert run("separate", tmp_path / "said", *inputs, *said) == 0
    told, untold, by_hand = (para_of(tmp_path / n) for n in ("with", "without", "said"))
    assert told == pytest.approx(by_hand, abs=1e-7)
    assert np.abs(told - untold).max() > 1e-3
    name = "sub-01_desc-paramagnetic_Chimap.json"
    facts, others = (facts_of(tmp_path / n / name) for n in ("with", "without"))
    assert facts["MagnitudeAtTE0"] == "used"
    assert (facts["RepetitionTimeExcitation"], facts["FlipAngle"]) == (0.035, 15)
    assert others["MagnitudeAtTE0"].startswith("not used")
    assert "FlipAngle" not in others
    assert any("without the magnitude at TE 0" in note for note in others["Notes"])


@pytest.mark.parametrize(
    ("sidecar", "arguments", "says"),
    [
        ({}, [], "s0.nii.gz: TR and flip angle.*--tr"),
        ({"RepetitionTime": 0.035}, ["--tr", 0.035], "s0.nii.gz: TR and flip angle"),
        ({"RepetitionTime": 35, "FlipAngle": 15}, [], "s0.nii.gz: TR and flip angle"),
        ({"FlipAngle": 15}, ["--tr", 35], "--tr 35 is outside 0.001 to 20 s"),
    ],
)
def test_a_magnitude_at_te0_without_what_weights_it_is_refused(
    case, tmp_path, joint, capsys, sidecar, arguments, says
):
    s0 = with_s0(case, tmp_path, **sidecar)
    inputs = [*given(case, "field", "qsm", "r2star", "mask"), *joint, "--s0", s0, *arguments]
    assert run("separate", tmp_path / "out", *inputs) == 2
    assert re.search(says, last_line(capsys))


def test_tr_without_the_magnitude_that_it_weights_is_refused(case, tmp_path, joint, capsys):
    inputs = [*given(case, "field", "r2star", "mask"), *joint, "--tr", 0.035]
    assert run("separate", tmp_path / "out", *inputs) == 2
    assert "--s0" in last_line(capsys)


def test_a_method_that_cannot_use_the_magnitude_at_te0_says_so(case, tmp_path):
    s0 = with_s0(case, tmp_path, RepetitionTime=0.035, FlipAngle=15)
    inputs = [*given(case, "qsm", "r2star", "mask"), "--s0", s0, "--method", "r2star-qsm"]
    assert run("separate", tmp_path / "out", *inputs, "--progress", "none") == 0
    facts = facts_of(tmp_path / "out" / "sub-01_Chimap.json")
    assert "MagnitudeAtTE0" not in facts
    assert any("no use of the magnitude at TE 0" in note for note in facts["Notes"])


def test_the_joint_network_refuses_other_field_strengths_in_one_line(case, tmp_path, joint, capsys):
    inputs = [*given(case, "field", "r2star", "mask"), *joint, "--b0", 7]
    assert run("separate", tmp_path / "out", *inputs) == 2
    assert "r2star-joint" in last_line(capsys)
    assert not (tmp_path / "out").exists()
