"""A small cohort from its scans to its page: what is done stays done, what fails is told."""

from __future__ import annotations

import csv
import json
import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from small_cohort import small_cohort

from QSMSeparationLib.cli.bids_app import main as bids_app
from QSMSeparationLib.cli.parser import main
from QSMSeparationLib.cohort import one_scan
from QSMSeparationLib.io import files

NAMES = ["sub-01", "sub-02_ses-1", "sub-02_ses-2"]
# One thread: two that wait for each other on busy cores take several times as long over a small head.
QUICK = ("--method", "r2star-qsm", "--inversion", "tkd", "--set", "relaxivity_3t=200", "--workers", "1",
         "--threads", "1", "--progress", "json")  # fmt: skip
DAMAGED = "sub-01/anat/sub-01_echo-2_part-mag_MEGRE.nii.gz"


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Three scans, one of which is cut off, and lesions beside them."""
    folder = tmp_path_factory.mktemp("cohort")
    root = small_cohort(folder / "bids", NAMES, lesions_in=folder / "lesions")
    whole = root / DAMAGED
    shutil.move(whole, folder / "whole.nii.gz")
    whole.write_bytes((folder / "whole.nii.gz").read_bytes()[:3000])
    return folder


def participant(dataset, *more):
    return main(
        ["cohort", str(dataset / "bids"), str(dataset / "out"), "participant", *QUICK,
         "--lesions-from", str(dataset / "lesions"), *more]
    )  # fmt: skip


@pytest.fixture(scope="module")
def ran(dataset):
    assert participant(dataset) == 1  # one failed
    return dataset


def states(dataset):
    files = sorted((dataset / "out/.cohort/scans").glob("*.json"))
    return {file.stem: json.loads(file.read_text())["status"] for file in files}


def test_a_damaged_scan_is_recorded_and_the_others_are_done(ran):
    assert states(ran) == dict.fromkeys(NAMES[1:], "done") | {"sub-01": "failed"}
    record = json.loads((ran / "out/.cohort/scans/sub-01.json").read_text())
    assert "cut off" in record["reason"]
    assert not list((ran / "out").glob("sub-01/**/*.nii.gz"))
    done = json.loads((ran / "out/.cohort/scans/sub-02_ses-1.json").read_text())
    assert all((ran / "out" / name).is_file() for name in done["outputs"])
    assert "thumbnails/sub-02_ses-1.jpg" in done["outputs"]


def test_the_same_command_does_nothing_again(ran, monkeypatch, capsys):
    before = {p: p.stat().st_mtime_ns for p in (ran / "out").rglob("*") if p.is_file()}
    monkeypatch.setattr(one_scan, "process_scan", None)
    assert participant(ran) == 0
    assert "0 of 3 scans" in capsys.readouterr().out
    assert before == {p: p.stat().st_mtime_ns for p in (ran / "out").rglob("*") if p.is_file()}


def test_a_scan_that_was_mended_is_run_and_only_that(ran, capsys, monkeypatch):
    hashed: list[str] = []
    sha256 = files._sha256
    monkeypatch.setattr(files, "_sha256", lambda path: (hashed.append(path.name), sha256(path))[1])
    shutil.copy(ran / "whole.nii.gz", ran / "bids" / DAMAGED)
    assert participant(ran, "--dry-run") == 0
    told = capsys.readouterr().out
    assert "sub-01: sub-01_echo-2_part-mag_MEGRE.nii.gz has changed" in told
    assert "sub-02" not in told
    hashed.clear()
    assert participant(ran) == 0
    assert hashed.count(Path(DAMAGED).name) == 1  # for record and provenance
    assert set(states(ran).values()) == {"done"}


def test_the_group_has_tables_their_dictionaries_and_a_page(ran):
    arguments = [str(ran / "bids"), str(ran / "out"), "group", "--visits", "--progress", "none"]
    assert bids_app(arguments) == 0
    with (ran / "out/cohort.tsv").open() as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    assert [row["scan"] for row in rows] == NAMES
    assert [row["session_id"] for row in rows] == ["n/a", "ses-1", "ses-2"]
    assert {row["scanner"] for row in rows} == {"Skyra", "Prisma"}
    about = json.loads((ran / "out/cohort.json").read_text())
    assert set(about) == set(rows[0])
    with (ran / "out/lesions.tsv").open() as stream:
        lesions = list(csv.DictReader(stream, delimiter="\t"))
    assert len(lesions) == 4 * len(NAMES)
    assert (ran / "out/regions.tsv").read_text().startswith("participant_id\tsession_id\tscan")
    page = (ran / "out/cohort.html").read_text()
    for session in ("ses-1", "ses-2"):
        link = f'<a href="sub-02/{session}/anat/report.html">'
        assert f"{link}{session}</a>" in page  # from the change between the visits
        assert (ran / "out/sub-02" / session / "anat/report.html").is_file()


FAKE = """#!/bin/sh
n=$(ls "$JOBS" | wc -l)
echo "$@" > "$JOBS/$n.args"
cat > "$JOBS/$n.sh"
echo "$((100 + n));cluster"
"""


def test_the_script_for_slurm_does_what_is_left_of_a_participant_and_then_the_group(ran, tmp_path):
    out, jobs = tmp_path / "out", tmp_path / "jobs"
    shutil.copytree(ran / "out", out)
    records = out / ".cohort/scans"
    for name in ("sub-01", "sub-02_ses-2"):
        (records / f"{name}.json").unlink()
    before = (records / "sub-02_ses-1.json").stat().st_mtime_ns
    jobs.mkdir()
    sbatch = tmp_path / "sbatch"
    sbatch.write_text(FAKE)
    sbatch.chmod(sbatch.stat().st_mode | stat.S_IXUSR)
    script = tmp_path / "submit.sh"
    arguments = [
        "cohort", str(ran / "bids"), str(out), "participant", "--sbatch", str(script), *QUICK,
        "--lesions-from", str(ran / "lesions"),
    ]  # fmt: skip
    assert main(arguments) == 0
    assert main(arguments) == 2, "the script is not overwritten"
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "JOBS": str(jobs)}
    subprocess.run(["bash", str(script)], env=environment, check=True)
    array, group = (jobs / f"{n}.sh" for n in (0, 2))
    assert "--array=1-2%20" in array.read_text()
    assert "--dependency=afterany:100" in (jobs / "2.args").read_text()
    subprocess.run(["bash", str(array)], env=environment | {"SLURM_ARRAY_TASK_ID": "2"}, check=True)
    assert sorted(p.stem for p in records.iterdir()) == NAMES[1:]
    assert (records / "sub-02_ses-1.json").stat().st_mtime_ns == before  # by the same options
    record = json.loads((records / "sub-02_ses-2.json").read_text())
    assert record["recipe"]["options"]["parameters"] == {"relaxivity_3t": "200"}
    assert record["summary"]["lesions"] == 4
    subprocess.run(["bash", str(group)], env=environment, check=True)
    assert "Not run yet" in (out / "cohort.html").read_text()


def test_a_folder_that_holds_nothing_of_it_is_told(tmp_path, dataset):
    nowhere, empty = str(tmp_path / "nowhere"), str(tmp_path)
    for arguments in ([nowhere, empty, "participant"], [empty, empty, "participant"],
                      [str(dataset / "bids"), str(tmp_path / "no_out"), "group"]):  # fmt: skip
        assert main(["cohort", *arguments, "--progress", "none"]) == 2
