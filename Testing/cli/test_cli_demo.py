"""``qsmsep demo``: everything that it promises, once."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from command_line import facts_of, last_line, run

from QSMSeparationLib.cli.demo import has_desktop
from QSMSeparationLib.io.nifti import read_labels, read_map
from QSMSeparationLib.io.source import read_source


def test_every_dataset_says_what_it_is(shown):
    kinds = {
        ".": "derivative",
        "dataset": "raw",
        "dataset/derivatives/truth": "derivative",
    }
    for place, kind in kinds.items():
        said = facts_of(shown / place / "dataset_description.json")
        assert said["DatasetType"] == kind
        assert said["BIDSVersion"]
        assert said["Name"]
    assert len(list(shown.rglob("dataset_description.json"))) == len(kinds)


def test_sidecars_hold_the_hashes_of_the_scan(shown):
    (scan,) = read_source(shown / "dataset")
    assert len(scan.inputs) > 10
    for sidecar in (shown / "sub-01" / "anat").glob("*map.json"):
        assert facts_of(sidecar)["InputSHA256"] == scan.inputs


def test_maps_table_picture_and_intermediate_maps(shown):
    anat = shown / "sub-01" / "anat"
    truth = shown / "dataset" / "derivatives" / "truth" / "sub-01" / "anat"
    name = "sub-01_Chimap.nii.gz"  # of the maps the one that voxels of 4 mm leave much of
    net, true_net = read_map(anat / name).array, read_map(truth / name).array
    inside = read_labels(anat / "sub-01_desc-brain_mask.nii.gz").array > 0
    assert np.corrcoef(net[inside], true_net[inside])[0, 1] > 0.5
    for kept in ("desc-total_fieldmap", "desc-reliability_probseg"):
        assert np.ptp(read_map(anat / f"sub-01_{kept}.nii.gz").array) > 0
    rows = list(csv.DictReader((anat / "lesions.csv").open()))
    assert len(rows) >= 8
    (score,) = csv.DictReader((shown / "scores.csv").open())
    assert 0 < float(score["net_xsim"]) <= 1
    assert (shown / "demo.png").read_bytes().startswith(b"\x89PNG")
    assert "<html" in (anat / "report.html").read_text()


def test_a_demonstration_is_not_overwritten_unasked(shown, capsys):
    assert run("demo", shown, "--progress", "none") == 2
    assert "--overwrite" in last_line(capsys)


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
