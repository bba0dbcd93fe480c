"""Regions and tissue of a user, given to the commands that measure."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from command_line import GEOMETRY, given, run

from QSMSeparationLib.data.volume import Geometry, Volume
from QSMSeparationLib.io.nifti import read_labels, write_volume


@pytest.fixture
def labels(case, tmp_path):
    """Two halves of the ball, named by a table."""
    mask = read_labels(case / "mask.nii.gz").array
    halves = mask * np.where(np.arange(mask.shape[2]) > 12, 1, 2)
    path = tmp_path / "halves.nii.gz"
    write_volume(Volume(halves.astype(np.uint8), GEOMETRY), path)
    (tmp_path / "halves.tsv").write_text("index\tname\n1\tleft half\n2\tright half\n")
    return path


def test_separate_measures_in_the_regions_that_are_given(case, labels, tmp_path) -> None:
    maps = given(case, "field", "qsm", "r2prime", "mask")
    out = tmp_path / "out"
    arguments = ["--method", "closed-form", "--regions", labels, "--progress", "none"]
    assert run("separate", out, *maps, *arguments) == 0
    rows = list(csv.DictReader((out / "regions.csv").open()))
    assert [row["region"] for row in rows] == ["left half", "right half"]
    difference = float(rows[0]["para_left_minus_right_ppb"])
    means = [float(row["para_mean_ppb"]) for row in rows]
    assert difference == pytest.approx(means[0] - means[1], abs=1e-3)
    assert "left half" in (out / "report.html").read_text(encoding="utf-8")


def test_regions_equal_those_that_separate_measured(case, labels, tmp_path) -> None:
    table = tmp_path / "regions.csv"
    maps = ["--para", case / "para.nii.gz", "--dia", case / "dia.nii.gz", "--labels", labels]
    assert run("regions", table, *maps, "--progress", "none") == 0
    rows = list(csv.DictReader(table.open()))
    assert all(float(row["net_mean_ppb"]) != 0 for row in rows)
    assert run("regions", table, *maps, "--progress", "none") == 2  # never overwritten unasked


def test_anatomy_of_an_empty_image_is_refused(tmp_path, capsys) -> None:
    empty = Volume(np.zeros((30, 30, 30), np.float32), Geometry((30, 30, 30)))
    write_volume(empty, tmp_path / "empty.nii.gz")
    out = tmp_path / "out"
    assert run("anatomy", tmp_path / "empty.nii.gz", out, "--progress", "none") == 2
    assert not out.exists()
