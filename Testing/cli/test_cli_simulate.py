"""``qsmsep simulate``: whose head it is, whose lesions, whose values."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np
import pytest
from command_line import facts_of, last_line, run
from small_head import small_anatomy

from QSMSeparationLib.data.volume import Geometry, Volume
from QSMSeparationLib.io.nifti import read_labels, read_map, write_volume
from QSMSeparationLib.io.source import read_source

# Level 0, as the demonstration has it, so that heads differ by what is asked for alone.
QUICK = ["--voxel", "4", "--seed", "1", "--realism", "0", "--progress", "none"]
TRUTH = "derivatives/truth/sub-01/anat/sub-01_"
HEADS = Path(os.environ.get("QSMSEP_DATA", Path(__file__).parents[2] / "../shared/data")) / "heads"


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """The head of the demonstration with other values, and lesions shaped as a rod."""
    folder = tmp_path_factory.mktemp("simulated")
    rod = np.zeros((20, 20, 20), np.uint8)
    rod[3:17, 8:12, 8:12] = 1  # 14 x 4 x 4 mm, as no drawn lesion is
    write_volume(Volume(rod, Geometry((20, 20, 20))), folder / "rod.nii.gz")
    arguments = ["--lesion-masks", folder / "rod.nii.gz", "--move-values", "0.3"]
    assert run("simulate", folder / "out", *QUICK, *arguments) == 0
    return folder / "out"


def truth_of(dataset, name):
    return read_map(dataset / f"{TRUTH}{name}.nii.gz").array


def test_a_dataset_can_be_read_back(other):
    (scan,) = read_source(other)
    assert scan.b0_tesla == 3
    assert scan.spin_echo is None
    assert facts_of(other / "dataset_description.json")["DatasetType"] == "raw"


def test_moved_values_are_other_values_of_the_same_tissue(shown, other):
    both = (shown / "dataset", other)
    tissue = [truth_of(dataset, "desc-tissue_dseg") for dataset in both]
    lesions = [truth_of(dataset, "desc-lesions_dseg") for dataset in both]
    before, after = (truth_of(dataset, "desc-paramagnetic_Chimap") for dataset in both)
    same = (tissue[0] == tissue[1]) & (lesions[0] == 0) & (lesions[1] == 0) & (before > 0)
    assert same.sum() > 0.9 * (before > 0).sum()
    change = np.abs(after[same] / before[same] - 1)
    assert 0.02 < np.median(change) < 0.4


def test_lesion_masks_give_other_shapes(shown, other):
    """Shapes themselves are tested in simulation; here, that the files reach them."""
    mine, drawn = (
        list(csv.DictReader((dataset / f"{TRUTH}lesions.csv").open()))
        for dataset in (other, shown / "dataset")
    )
    labels = truth_of(other, "desc-lesions_dseg")
    assert {int(row["id"]) for row in mine} >= set(np.unique(labels)) - {0}
    assert len(mine) >= 8
    assert len(mine) == len(drawn)
    assert (labels != truth_of(shown / "dataset", "desc-lesions_dseg")).any()


def test_labels_without_the_deep_nuclei_are_refused(tmp_path, capsys):
    anatomy = small_anatomy().labels
    write_volume(anatomy.like(anatomy.array.clip(0, 60)), tmp_path / "labels.nii.gz")
    arguments = ["--labels", tmp_path / "labels.nii.gz"]
    assert run("simulate", tmp_path / "out", *QUICK, *arguments) == 2
    assert "labels.nii.gz: no " in last_line(capsys)


@pytest.mark.slow
@pytest.mark.skipif(not HEADS.is_dir(), reason="the label maps are not here")
def test_labels_give_the_anatomy(shown, tmp_path):
    arguments = ["--labels", HEADS / "head01.nii.gz", "--lesion-count", "0"]
    assert run("simulate", tmp_path / "out", *QUICK, *arguments) == 0
    given = read_labels(HEADS / "head01.nii.gz").array
    mine, drawn = ((truth_of(d, "desc-brain_mask") > 0).sum() * 64 / 1000
                   for d in (tmp_path / "out", shown / "dataset"))  # fmt: skip
    brain_ml = np.isin(given, [2, 3, 7, 8, 10, 11, 12, 13, 16, 17, 18, 26, 28, 41, 42, 46, 47, 49,
                               50, 51, 52, 53, 54, 58, 60]).sum() / 1000  # fmt: skip
    assert abs(mine - brain_ml) < 0.25 * brain_ml
    assert abs(mine - drawn) > 1


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
