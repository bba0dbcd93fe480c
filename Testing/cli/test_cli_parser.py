"""What all commands have in common: exit codes, one line for every error, JSON, cancelling."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from command_line import given, last_line, run


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
    code = process.wait(300)
    rest = process.stdout.read().splitlines()
    assert began["pid"] == process.pid
    assert first["stage"] == "anatomy and lesions"
    assert code == 130
    assert json.loads(rest[-1]) == {"stage": "error", "message": "cancelled"}
    assert not (tmp_path / "out").exists()
