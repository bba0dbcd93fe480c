"""A method of another package: installed, listed, run, and shown in the panel."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import host
import numpy as np
import pytest
from ellipsoid_head import ellipsoid_head

from QSMSeparationLib.data.volume import Geometry, Volume
from QSMSeparationLib.evaluation.metrics import demeaned_nrmse
from QSMSeparationLib.io.nifti import read_map
from QSMSeparationLib.io.outputs import Outputs

ROOT = Path(__file__).resolve().parents[2]
SPACING_MM = 2.0


def run(*command: object, place: Path | None = None) -> subprocess.CompletedProcess:
    paths = [str(p) for p in (place, ROOT, ROOT / "Testing") if p is not None]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    return subprocess.run(
        [str(part) for part in command], env=environment, capture_output=True, text=True, check=False
    )  # fmt: skip


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """A folder with the package of the example, installed as pip does."""
    place = tmp_path_factory.mktemp("plugin")
    done = run(
        sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation",
        "--no-index", "--target", place, ROOT / "examples" / "plugin",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return place


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    """A head of ellipsoids as files, and its truth."""
    head = ellipsoid_head(seed=1, shape=(40, 52, 44), spacing_kji=(SPACING_MM,) * 3)
    geometry = Geometry(head.mask.shape, (SPACING_MM,) * 3)
    outputs = Outputs(tmp_path_factory.mktemp("case"))
    with outputs:
        outputs.volume("field", Volume(head.maps.local_field.numpy(), geometry), {})
        outputs.volume("mask", Volume(head.mask.astype(np.uint8), geometry), {})
    return outputs.folder, head


def test_it_is_listed_beside_the_others(installed):
    listed = run(sys.executable, "-m", "QSMSeparationLib", "methods", "--json", place=installed)
    rows = {row["name"]: row for row in json.loads(listed.stdout)}
    assert {"tv", "medi"} <= set(rows)
    kinds = {p["name"]: p["kind"] for p in rows["medi"]["parameters"]}
    assert kinds["newton_steps"] == "int"
    assert kinds["merit"] == "bool"


def test_it_inverts_from_the_command_line_better_than_a_division(installed, case, tmp_path):
    folder, head = case
    files = ("--field", folder / "field.nii.gz", "--mask", folder / "mask.nii.gz")
    errors = {}
    for name, options in {"medi": ("--set", "newton_steps=6"), "tkd": ()}.items():
        out = tmp_path / name
        done = run(
            sys.executable, "-m", "QSMSeparationLib", "invert", out, *files,
            "--method", name, *options, "--progress", "none", place=installed,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        net = read_map(out / "sub-01_Chimap.nii.gz").array
        errors[name] = demeaned_nrmse(net, head.chi_ppm, head.mask)
        facts = json.loads((out / "sub-01_Chimap.json").read_text())
        assert facts["Inversion"] == name
    assert facts["InversionParameters"].keys() == {"threshold"}
    assert errors["medi"] < 0.75 * errors["tkd"]


def test_a_row_that_fails_is_told_in_one_line_and_the_rest_works(installed, tmp_path):
    (tmp_path / "qsmsep_broken-1.0.dist-info").mkdir()
    info = tmp_path / "qsmsep_broken-1.0.dist-info"
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: qsmsep-broken\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[qsmsep.methods]\nbroken = qsmsep_broken:ROWS\n")
    listed = run(sys.executable, "-m", "QSMSeparationLib", "methods", place=tmp_path)
    assert listed.returncode == 0
    [line] = [line for line in listed.stderr.splitlines() if "broken" in line]
    assert "qsmsep_broken" in line
    assert "closed-form" in listed.stdout


def test_it_is_in_the_list_of_the_panel_and_no_torch_is_loaded(installed):
    if reason := host.why_not():
        pytest.skip(reason)
    code = (
        "import sys, host; host.start(); host.load_module(sys.argv[1])\n"
        "widget = host.open_module('QSMSeparation'); combo = widget.ui.inversionComboBox\n"
        "print('found', combo.findData('medi') >= 0, 'torch', 'torch' in sys.modules)\n"
        "host.close_module('QSMSeparation')\n"
    )
    module = ROOT / "QSMSeparation" / "QSMSeparation.py"
    done = run(sys.executable, "-c", code, module, place=installed)
    assert "found True torch False" in done.stdout, done.stdout + done.stderr
