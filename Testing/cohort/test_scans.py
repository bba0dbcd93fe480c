"""Which scans a cohort has, and the label maps that belong to each."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from QSMSeparationLib.cohort.need import crew_for, need_of
from QSMSeparationLib.cohort.scans import Chosen, find_tasks
from QSMSeparationLib.runtime.errors import InputError


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"0")
    return path


@pytest.fixture
def dataset(tmp_path):
    root = tmp_path / "bids"
    touch(root / "MEGRE.json")
    for name in ("sub-01", "sub-02", "sub-03_ses-a", "sub-03_ses-b"):
        folder = root / name.replace("_", "/") / "anat"
        for echo in (1, 2):
            for part in ("mag", "phase"):
                touch(folder / f"{name}_echo-{echo}_part-{part}_MEGRE.nii.gz")
    return root


def test_every_scan_is_found_with_all_that_it_is_made_from(dataset):
    tasks = find_tasks(dataset, Chosen())
    assert [task.name for task in tasks] == ["sub-01", "sub-02", "sub-03_ses-a", "sub-03_ses-b"]
    assert set(tasks[0].inputs) == {
        "MEGRE.json",
        *(f"sub-01/anat/sub-01_echo-{e}_part-{p}_MEGRE.nii.gz" for e in (1, 2) for p in ("mag", "phase")),
    }  # fmt: skip


def test_participants_and_sessions_are_chosen_by_label(dataset):
    names = [task.name for task in find_tasks(dataset, Chosen(("03", "01"), ("b",)))]
    assert names == ["sub-03_ses-b"]
    with pytest.raises(InputError, match="sub-77"):
        find_tasks(dataset, Chosen(("77",)))


def test_labels_are_found_by_subject_and_session(dataset, tmp_path):
    labels = tmp_path / "derivatives"
    of_b = touch(labels / "sub-03/ses-b/anat/sub-03_ses-b_desc-lesions_dseg.nii.gz")
    touch(labels / "sub-03/ses-a/anat/sub-03_ses-a_desc-other_dseg.nii.gz")
    of_1 = touch(labels / "sub-01/anat/sub-01_space-orig_label-lesion_mask.nii.gz")
    found = {
        t.name: t.labels.get("lesions") for t in find_tasks(dataset, Chosen(lesions_from=labels))
    }
    assert found == {
        "sub-01": str(of_1), "sub-02": None, "sub-03_ses-a": None, "sub-03_ses-b": str(of_b)
    }  # fmt: skip


def test_labels_that_are_not_there_or_twice_are_told(dataset, tmp_path):
    labels = tmp_path / "derivatives"
    with pytest.raises(InputError, match="no folder"):
        find_tasks(dataset, Chosen(lesions_from=labels))
    touch(labels / "sub-01/anat/sub-01_T1w.nii.gz")
    with pytest.raises(InputError, match="desc-lesion"):
        find_tasks(dataset, Chosen(lesions_from=labels))
    for kind in ("desc-lesions_dseg", "label-lesion_mask"):
        touch(labels / f"sub-01/anat/sub-01_{kind}.nii.gz")
    with pytest.raises(InputError, match="several label maps"):
        find_tasks(dataset, Chosen(lesions_from=labels))


def test_as_many_workers_as_memory_cores_and_scans_allow(dataset, monkeypatch):
    need = need_of(find_tasks(dataset, Chosen()))
    monkeypatch.setattr("QSMSeparationLib.cohort.need.available_cores", lambda: 8)
    monkeypatch.setattr(
        "QSMSeparationLib.cohort.need.available_memory", lambda: 2.6 * need.memory_bytes
    )
    assert crew_for(need, 100).workers == 2
    assert crew_for(need, 100).threads == 4
    monkeypatch.setattr("QSMSeparationLib.cohort.need.available_memory", lambda: 1e15)
    assert crew_for(need, 100).workers == 8
    assert crew_for(need, 3).workers == 3
    assert crew_for(need, 100, on_gpu=True).workers == 1
    assert crew_for(need, 100, workers=2, on_gpu=True).workers == 2
    assert crew_for(need, 100, workers=5, threads=2) == type(crew_for(need, 1))(
        5, 2, need.memory_bytes
    )


def test_whoever_plans_or_makes_the_tables_does_not_wait_for_torch():
    said = subprocess.run(
        [sys.executable, "-c", "import sys, QSMSeparationLib.cohort.engine, QSMSeparationLib.cohort.page; "
         "print('torch' in sys.modules)"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert said.stdout.strip() == "False"
