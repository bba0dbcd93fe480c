"""``qsmsep invert``: local field to net chi."""

from __future__ import annotations

import json

import numpy as np
from command_line import facts_of, given, last_line, run

from QSMSeparationLib.io.nifti import read_map, write_volume


def test_invert_writes_net_chi(case, tmp_path):
    arguments = ["invert", tmp_path, *given(case, "field", "mask"), "--progress", "none"]
    assert (
        run(*arguments, "--method", "tkd", "--set", "threshold=0.3", "--name", "sub-A7_ses-2") == 0
    )
    facts = json.loads((tmp_path / "sub-A7_ses-2_Chimap.json").read_text())
    assert facts["InversionParameters"] == {"threshold": 0.3}
    assert facts["Reference"] == "mean over the brain mask"


def test_the_magnitude_says_where_the_field_is_not_known(case, tmp_path):
    """Noise where there is no signal, as in a vein or at the edge of an air cavity."""
    rng = np.random.default_rng(5)
    field, mask = (read_map(case / f"{name}.nii.gz") for name in ("field", "mask"))
    truth = read_map(case / "qsm.nii.gz").array
    inside = mask.array > 0
    lost = inside & (rng.random(inside.shape) < 0.02)
    noise = np.where(lost, rng.normal(0, 0.2, inside.shape), 0).astype(np.float32)
    write_volume(field.like(field.array + noise), tmp_path / "noisy.nii.gz")
    magnitude = np.where(lost, 1, 1000).astype(np.float32)
    write_volume(field.like(magnitude), tmp_path / "magnitude.nii.gz")
    arguments = ["--field", tmp_path / "noisy.nii.gz", *given(case, "mask"), "--progress", "none"]
    errors = {}
    for name, extra in {
        "without": [],
        "with": ["--magnitude", tmp_path / "magnitude.nii.gz"],
    }.items():
        assert run("invert", tmp_path / name, *arguments, "--method", "tv", *extra) == 0
        net = read_map(tmp_path / name / "sub-01_Chimap.nii.gz").array
        errors[name] = np.std((net - truth)[inside & ~lost])
    assert errors["with"] < 0.5 * errors["without"]
    hashes = facts_of(tmp_path / "with" / "sub-01_Chimap.json")["InputSHA256"]
    assert set(hashes) == {"noisy.nii.gz", "mask.nii.gz", "magnitude.nii.gz"}


def test_a_phase_is_no_magnitude(case, tmp_path, capsys):
    arguments = [*given(case, "field", "mask"), "--magnitude", case / "field.nii.gz"]
    code = run("invert", tmp_path / "out", *arguments, "--method", "tkd", "--progress", "none")
    assert code == 2
    assert "field.nii.gz is no magnitude" in last_line(capsys)
