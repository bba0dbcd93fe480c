"""Which scans are left: by their inputs, the recipe, and what became of them."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from QSMSeparationLib.cohort.records import (
    DONE,
    FAILED,
    Record,
    read_record,
    reason_to_run,
    recipe_of,
    record_path,
    stamps,
    write_record,
)
from QSMSeparationLib.io.files import sha256
from QSMSeparationLib.pipeline.options import Options


@pytest.fixture
def scan(tmp_path):
    """A dataset of one file, and the record of its scan."""
    root, out = tmp_path / "bids", tmp_path / "out"
    root.mkdir()
    out.mkdir()
    (root / "image.nii").write_bytes(b"voxels")
    (out / "map.nii").write_bytes(b"map")
    inputs = stamps([root / "image.nii"], root)
    known = {name: dict(s) | {"sha256": sha256(root / name)} for name, s in inputs.items()}
    recipe = recipe_of(Options(), keep=False)
    return root, out, Record("sub-01", DONE, "", known, recipe, ("map.nii",))


def reason(scan, record=None, recipe=None, retry=False):
    root, out, own = scan
    now = stamps([root / "image.nii"], root)
    return reason_to_run(record or own, now, recipe or own.recipe, root, out, retry)


def test_what_is_done_is_left_alone(scan):
    assert reason(scan) == ""
    root, out, own = scan
    assert reason_to_run(None, own.inputs, own.recipe, root, out) == "new"


def test_a_file_that_was_only_copied_is_the_same(scan):
    os.utime(scan[0] / "image.nii", (1, 1))
    assert reason(scan) == ""


def test_another_file_of_the_same_size_is_noticed(scan):
    (scan[0] / "image.nii").write_bytes(b"VOXELS")
    os.utime(scan[0] / "image.nii", (1, 1))
    assert "image.nii has changed" in reason(scan)


def test_outputs_that_are_gone_are_made_again(scan):
    (scan[1] / "map.nii").unlink()
    assert "map.nii is missing" in reason(scan)


@pytest.mark.parametrize(
    ("options", "what"),
    [
        (Options(inversion="tkd"), "other options"),
        (Options(parameters={"relaxivity_3t": 200}), "other options"),
        (Options(device="cuda"), ""),
    ],
)
def test_options_count_and_the_device_does_not(scan, options, what):
    assert reason(scan, recipe=recipe_of(options, keep=False)) == what


def test_weights_and_version_count(scan):
    own = dict(scan[2].recipe)
    assert reason(scan, recipe=own | {"weights": {"chi-sepnet": "other"}}) == "other weights"
    assert reason(scan, recipe=own | {"version": "9"}) == "other version"


def test_what_failed_is_tried_again_when_asked_or_when_something_changed(scan):
    failed = replace(scan[2], status=FAILED, reason="cut off", outputs=())
    assert reason(scan, failed) == ""
    assert reason(scan, failed, retry=True) == "tried again"
    (scan[0] / "image.nii").write_bytes(b"all voxels")
    assert "has changed" in reason(scan, failed)


def test_a_record_that_can_not_be_read_is_none(tmp_path, scan):
    write_record(tmp_path, scan[2])
    assert read_record(tmp_path, "sub-01") == scan[2]
    for text in ("{", "[]", '{"name": 1}'):
        record_path(tmp_path, "sub-01").write_text(text)
        assert read_record(tmp_path, "sub-01") is None
    left = [p.name for p in Path(record_path(tmp_path, "x").parent).iterdir()]
    assert left == ["sub-01.json"]
