"""The command line as a script sees it: files, exit codes, one line for every error."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from QSMSeparationLib.cli.demo import has_desktop
from QSMSeparationLib.cli.parser import main
from QSMSeparationLib.data.volume import Geometry, Volume
from QSMSeparationLib.io.nifti import read_map, write_volume
from QSMSeparationLib.physics.dipole import DipoleOperator

GEOMETRY = Geometry((24, 28, 26), (1.5, 1.5, 2.0), (4, 5, 6), (1, 0, 0, 0, 0.8, -0.6, 0, 0.6, 0.8))


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    """Maps of a ball of tissue with an iron and a myelin inclusion, on a tilted grid."""
    folder = tmp_path_factory.mktemp("case")
    k, j, i = np.meshgrid(*[np.arange(n) for n in GEOMETRY.shape], indexing="ij")

    def ball(centre, radius):
        return sum((a - c) ** 2 for a, c in zip((k, j, i), centre, strict=True)) <= radius**2

    mask = ball((12, 14, 13), 10)
    para = 0.02 * mask + 0.10 * ball((12, 12, 10), 3)
    dia = -0.02 * mask - 0.05 * ball((12, 17, 16), 3)
    chi = torch.from_numpy((para + dia).astype(np.float32))
    field = DipoleOperator(GEOMETRY.shape, GEOMETRY.spacing_kji, GEOMETRY.b0_kji, pad=1.0)(
        chi
    ).numpy()
    maps = {
        "mask": mask.astype(np.uint8),
        "field": field * mask,
        "qsm": chi.numpy() * mask,
        "r2prime": 114.0 * (para - dia),
        "r2star": (114.0 * (para - dia) + 14.0) * mask,
        "r2": 14.0 * mask,
        "para": para,
        "dia": dia,
    }
    for name, array in maps.items():
        array = array if name == "mask" else array.astype(np.float32)
        write_volume(Volume(array, GEOMETRY), folder / f"{name}.nii.gz")
    return folder


def run(*arguments) -> int:
    return main([str(a) for a in arguments])


def given(case, *names) -> list:
    return [item for name in names for item in (f"--{name}", case / f"{name}.nii.gz")]


def last_line(capsys) -> str:
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1, lines
    return lines[0]


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


def test_invert_writes_net_chi(case, tmp_path):
    arguments = ["invert", tmp_path, *given(case, "field", "mask"), "--progress", "none"]
    assert (
        run(*arguments, "--method", "tkd", "--set", "threshold=0.3", "--name", "sub-A7_ses-2") == 0
    )
    facts = json.loads((tmp_path / "sub-A7_ses-2_Chimap.json").read_text())
    assert facts["InversionParameters"] == {"threshold": 0.3}
    assert facts["Reference"] == "mean over the brain mask"


def test_methods_as_json_names_inputs_and_citations(capsys):
    assert run("methods", "--json") == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["closed-form"]["needs"] == ["net", "r2prime"]
    assert all(row["citation"] for row in rows.values())


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
        ("r2prime", lambda a: a / 1000, r"changed_r2prime.*1/ms by 1000"),
        ("mask", lambda a: a * 0, r"changed_mask.*empty"),
        ("mask", lambda a: a * 0.5, r"changed_mask.*fractions"),
        ("mask", lambda a: a + 1, r"changed_mask.*no mask"),
    ],
)
def test_unusable_maps_are_refused_in_one_line(case, tmp_path, capsys, name, change, says):
    import re

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


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["separate", "OUT"], "--mask"),
        (["frobnicate"], "invalid choice"),
        (["separate", "OUT", "--mask", "nowhere.nii.gz", "--field", "x.nii.gz"], "--r2prime"),
        (["separate", "OUT", "--mask", "m", "--field", "x", "--r2prime", "r"], "does not exist"),
        (
            ["separate", "OUT", "--mask", "m", "--field", "x", "--r2prime", "r", "--dr-para", "-3"],
            "dr-para",
        ),
        (
            [
                "separate",
                "OUT",
                "--mask",
                "m",
                "--field",
                "x",
                "--r2prime",
                "r",
                "--name",
                "Anna B",
            ],
            "sub-01",
        ),
        (
            ["separate", "OUT", "--mask", "m", "--field", "x", "--r2prime", "r", "--set", "a"],
            "PARAMETER=VALUE",
        ),
        (["simulate", "OUT", "--voxel", "1", "2"], "--voxel"),
        (["simulate", "OUT", "--seed", "-1"], "seed"),
        (["simulate", "OUT", "--te", "0.02", "0.01"], "echo times"),
        (["evaluate", "nowhere", "OUT"], "simulate"),
    ],
)
def test_wrong_usage_is_one_line_and_code_2(tmp_path, capsys, arguments, says):
    code = run(
        *[str(tmp_path / "out") if a == "OUT" else a for a in arguments], "--progress", "none"
    )
    assert code == 2
    assert says in last_line(capsys)
    assert not (tmp_path / "out").exists()


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


def test_json_progress_ends_with_the_outputs(case, tmp_path, capsys):
    arguments = ["separate", tmp_path, *given(case, "qsm", "r2prime", "mask"), "--progress", "json"]
    assert run(*arguments) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[-1]["stage"] == "done"
    assert lines[-1]["outputs"]["chi_para"].endswith("sub-01_desc-paramagnetic_Chimap.nii.gz")
    assert all({"stage", "done", "of", "eta_s"} <= set(line) for line in lines[:-1])
    assert all({"run_done", "run_eta_s"} <= set(line) for line in lines[1:-1])


def test_json_errors_are_json(tmp_path, capsys):
    assert run("separate", tmp_path / "x", "--progress", "json") == 2
    begin, error = map(json.loads, capsys.readouterr().out.splitlines())
    assert (begin["stage"], begin["pid"]) == ("start", os.getpid())
    assert error["stage"] == "error"


def test_closing_stdin_cancels_a_run_and_leaves_nothing(tmp_path):
    command = [sys.executable, "-m", "QSMSeparationLib", "simulate", str(tmp_path / "out")]
    process = subprocess.Popen(
        [*command, "--voxel", "2", "--progress", "json"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    began, first = (json.loads(process.stdout.readline()) for _ in range(2))
    process.stdin.close()
    start = time.monotonic()
    code = process.wait(60)
    rest = process.stdout.read().splitlines()
    assert began["pid"] == process.pid
    assert first["stage"] == "anatomy and lesions"
    assert code == 130
    assert json.loads(rest[-1]) == {"stage": "error", "message": "cancelled"}
    assert time.monotonic() - start < 60
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("arguments", [["--help"], ["methods"], ["methods", "--json"]])
def test_help_and_the_list_of_methods_load_no_numerical_library(arguments):
    code = (
        "import sys\n"
        "from QSMSeparationLib.cli.parser import main\n"
        "try:\n"
        f"    code = main({arguments!r})\n"
        "except SystemExit as leaving:\n"
        "    code = leaving.code\n"
        "slow = {'torch', 'numpy', 'scipy', 'SimpleITK', 'skimage', 'pydicom'} & set(sys.modules)\n"
        "sys.exit(f'{code} {slow}' if code or slow else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdin=subprocess.DEVNULL)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [({}, False), ({"DISPLAY": ":0"}, True), ({"DISPLAY": ":0", "CI": "true"}, False)],
)
def test_a_browser_is_opened_on_a_desktop_only(monkeypatch, environment, expected):
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "CI"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.platform", "linux")
    assert has_desktop() is expected
