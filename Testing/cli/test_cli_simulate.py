"""``qsmsep simulate``: whose head it is, whose lesions, whose values."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from command_line import facts_of, last_line, run
from small_head import small_anatomy

from QSMSeparationLib.data.volume import Geometry, Volume
from QSMSeparationLib.io.nifti import read_labels, read_map, write_volume
from QSMSeparationLib.io.source import read_source

QUICK = ["--voxel", "4", "--seed", "3", "--progress", "none"]
TRUTH = "derivatives/truth/sub-01/anat/sub-01_"


def synthseg_labels(path):
    """Write the ellipsoids of the small head with the numbers that SynthSeg gives."""
    anatomy = small_anatomy().labels
    array = anatomy.array.copy()
    array[array >= 900] = 0  # structures that only the digital head knows
    write_volume(Volume(array, anatomy.geometry), path)
    return path


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    folder = tmp_path_factory.mktemp("simulated") / "plain"
    assert run("simulate", folder, *QUICK) == 0
    return folder


def true_map(folder, name):
    return read_map(folder / f"{TRUTH}{name}.nii.gz").array


def test_a_dataset_can_be_read_back(plain):
    (scan,) = read_source(plain)
    assert scan.b0_tesla == 3
    assert facts_of(plain / "dataset_description.json")["DatasetType"] == "raw"
    lesions = read_labels(plain / f"{TRUTH}desc-lesions_dseg.nii.gz")
    rows = list(csv.DictReader((plain / f"{TRUTH}lesions.csv").open()))
    assert {int(row["id"]) for row in rows} >= set(np.unique(lesions.array)) - {0}


def test_moved_values_are_other_values_of_the_same_head(plain, tmp_path):
    assert run("simulate", tmp_path / "moved", *QUICK, "--move-values", "0.3") == 0
    for name in ("desc-tissue_dseg", "desc-brain_mask"):
        same = [read_labels(f / f"{TRUTH}{name}.nii.gz").array for f in (plain, tmp_path / "moved")]
        np.testing.assert_array_equal(*same)
    before, after = (
        true_map(f, "desc-paramagnetic_Chimap") for f in (plain, tmp_path / "moved")
    )
    inside = before > 0
    change = np.abs(after[inside] - before[inside]) / before[inside]
    assert 0.02 < np.median(change) < 0.5


def test_lesion_masks_give_the_shapes(tmp_path):
    shape = np.zeros((20, 20, 20), np.uint8)
    shape[4:16, 8:12, 8:12] = 1  # 12 x 4 x 4 mm: a rod, as no drawn lesion is
    write_volume(Volume(shape, Geometry((20, 20, 20))), tmp_path / "rod.nii.gz")
    arguments = ["--lesion-masks", tmp_path / "rod.nii.gz", "--lesion-count", "4"]
    assert run("simulate", tmp_path / "out", *QUICK, *arguments) == 0
    rows = list(csv.DictReader((tmp_path / "out" / f"{TRUTH}lesions.csv").open()))
    assert rows
    volumes = [float(row["volume_mm3"]) for row in rows]
    assert any(60 < volume < 1500 for volume in volumes)


def test_labels_give_the_anatomy(tmp_path):
    labels = synthseg_labels(tmp_path / "labels.nii.gz")
    arguments = ["--labels", labels, "--lesion-count", "0"]
    assert run("simulate", tmp_path / "out", *QUICK, *arguments) == 0
    tissue = read_labels(tmp_path / "out" / f"{TRUTH}desc-tissue_dseg.nii.gz")
    assert tissue.array.any()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--move-values", "0.95"], "--move-values"),
        (["--lesion-count", "201"], "--lesion-count"),
        (["--labels", "nowhere.nii.gz"], "does not exist"),
        (["--lesion-masks", "nowhere.nii.gz"], "does not exist"),
        (["--name", "sub-1_run-2"], "sub-01"),
    ],
)
def test_impossible_heads_are_refused(tmp_path, capsys, arguments, says):
    assert run("simulate", tmp_path / "out", *QUICK, *arguments) == 2
    assert says in last_line(capsys)
    assert not (tmp_path / "out").exists()
