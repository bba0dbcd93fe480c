"""``qsmsep run``: several scans one after the other, each with its own files and its own fate."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from command_line import facts_of, last_line, run
from small_head import small_head

from QSMSeparationLib.data.volume import Volume
from QSMSeparationLib.io import found
from QSMSeparationLib.io.nifti import read_excitation, read_map, write_volume
from QSMSeparationLib.io.outputs import Outputs
from QSMSeparationLib.io.source import find_scans
from QSMSeparationLib.runtime.errors import Cancelled
from QSMSeparationLib.simulation.dataset import write_dataset
from QSMSeparationLib.simulation.protocol import Protocol
from QSMSeparationLib.simulation.rasterize import rasterize
from QSMSeparationLib.simulation.scanner import simulate_scan

QUICK = ["--method", "closed-form", "--inversion", "tkd"]
GRE_ONLY = ["--method", "r2star-qsm", "--inversion", "tkd"]


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    """Two subjects: sub-01 with a spin echo, sub-02 without."""
    folder = tmp_path_factory.mktemp("scans")
    fine = rasterize(small_head(), 1.5)
    for name, train in (("sub-01", tuple(0.015 * n for n in range(1, 7))), ("sub-02", ())):
        protocol = Protocol(voxel_mm=(3.0,) * 3, spin_echo_times_s=train)
        scan, truth = simulate_scan(fine, protocol, name)
        with Outputs(folder / name) as outputs:
            write_dataset(scan, truth, [], outputs)
        (folder / "bids").mkdir(exist_ok=True)
        shutil.move(folder / name / name, folder / "bids" / name)
    write_volume(Volume(truth.mask.astype(np.uint8), truth.geometry), folder / "mask.nii.gz")
    return folder


def copy_of(scans, tmp_path):
    return shutil.copytree(scans / "bids", tmp_path / "bids")


def json_lines(capsys) -> list[dict]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def lose_an_echo(bids, subject="sub-01"):
    for path in (bids / subject / "anat").glob("*echo-2_part-phase*"):
        path.unlink()


def test_every_scan_has_its_own_files_and_the_folder_describes_itself(scans, tmp_path, capsys):
    assert run("run", scans / "bids", tmp_path, *GRE_ONLY, "--keep", "--progress", "json") == 0
    last = json_lines(capsys)[-1]
    assert last["stage"] == "done"
    assert "failed" not in last
    outputs = last["outputs"]
    assert outputs["sub-01 net"].endswith("sub-01_Chimap.nii.gz")
    assert "sub-01 r2prime" in outputs
    assert "sub-02 r2prime" not in outputs
    assert not [path for path in outputs.values() if not Path(path).is_file()]
    for what in ("total_field", "trust", "net", "s0"):
        assert f"sub-02 {what}" in outputs
    # The magnitude at TE 0 can go to 'separate --s0' as it is.
    assert read_excitation(outputs["sub-02 s0"]) == (0.033, 15.0)
    said = facts_of(tmp_path / "dataset_description.json")
    assert said["DatasetType"] == "derivative"
    assert said["GeneratedBy"][0]["Name"] == "QSMSeparation"
    maps = [read_map(path) for what, path in outputs.items() if path.endswith(".nii.gz")]
    assert all(np.isfinite(volume.array).all() for volume in maps)
    # A third subject into the same folder: the description stays, nothing is in the way.
    (tmp_path / "dataset_description.json").write_text('{"Name": "mine"}')
    again = ["run", scans / "bids" / "sub-02", tmp_path, *GRE_ONLY, "--name", "sub-03"]
    assert run(*again, "--progress", "none") == 0
    assert facts_of(tmp_path / "dataset_description.json") == {"Name": "mine"}


def test_of_several_scans_a_failing_one_is_told_and_the_others_go_on(scans, tmp_path, capsys):
    bids = copy_of(scans, tmp_path)
    lose_an_echo(bids)
    assert run("run", bids, tmp_path / "out", *GRE_ONLY, "--progress", "json") == 1
    lines = json_lines(capsys)
    assert lines[-1]["stage"] == "done"
    assert list(lines[-1]["failed"]) == ["sub-01"]
    assert "echo-2 of part-phase is missing" in lines[-1]["failed"]["sub-01"]
    assert "sub-02 net" in lines[-1]["outputs"]
    assert not [what for what in lines[-1]["outputs"] if what.startswith("sub-01")]
    assert not (tmp_path / "out" / "sub-01").exists()
    assert any("sub-01 failed" in line.get("message", "") for line in lines)


def test_one_scan_alone_keeps_its_own_exit_code(scans, tmp_path, capsys):
    bids = copy_of(scans, tmp_path)
    lose_an_echo(bids)
    assert run("run", bids / "sub-01", tmp_path / "out", "--progress", "none") == 2
    assert "echo-2 of part-phase is missing" in last_line(capsys)
    assert not (tmp_path / "out").exists()


def test_cancelling_stops_all_scans(scans, tmp_path, capsys, monkeypatch):
    seen = []

    def cancelled(self, report):
        seen.append(self.name)
        raise Cancelled

    monkeypatch.setattr(found.FoundScan, "read", cancelled)
    assert run("run", scans / "bids", tmp_path / "out", "--progress", "none") == 130
    assert seen == ["sub-01"]
    assert last_line(capsys).endswith("cancelled")


def test_nothing_is_read_before_the_outputs_and_lesions_are_checked(
    scans, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(found.FoundScan, "read", lambda *_: pytest.fail("a scan was read"))
    lesions = ["--lesions", scans / "mask.nii.gz"]
    assert run("run", scans / "bids", tmp_path / "out", *lesions, "--progress", "none") == 2
    assert "--lesions is for one scan" in last_line(capsys)
    old = tmp_path / "out" / "sub-02" / "anat" / "report.html"
    old.parent.mkdir(parents=True)
    old.write_text("last week's")
    assert run("run", scans / "bids", tmp_path / "out", "--progress", "none") == 2
    assert "report.html already exists" in last_line(capsys)
    assert old.read_text() == "last week's"


def test_scans_are_read_one_at_a_time(scans):
    listed = find_scans(scans / "bids")
    assert [one.name for one in listed] == ["sub-01", "sub-02"]
    shutil.move(scans / "bids" / "sub-02", scans / "elsewhere")
    try:
        assert listed[0].read().spin_echo is not None
    finally:
        shutil.move(scans / "elsewhere", scans / "bids" / "sub-02")
    assert listed[1].read().spin_echo is None


def test_two_runs_of_one_session_share_a_folder(scans, tmp_path, capsys):
    bids = tmp_path / "bids"
    for n in (1, 2):
        for path in (scans / "bids" / "sub-02" / "anat").iterdir():
            target = bids / "sub-02" / "anat" / path.name.replace("sub-02_", f"sub-02_run-{n}_")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
    assert run("run", bids, tmp_path / "out", *GRE_ONLY, "--progress", "none") == 0
    names = {path.name for path in (tmp_path / "out" / "sub-02" / "anat").iterdir()}
    for n in (1, 2):
        assert {f"sub-02_run-{n}_Chimap.nii.gz", f"sub-02_run-{n}_report.html"} <= names


def test_equal_file_names_keep_their_hashes(scans, tmp_path):
    name = "sub-02_echo-1_part-mag_MEGRE.nii.gz"
    lesions = tmp_path / name  # named as an echo of the scan
    volume = read_map(scans / "mask.nii.gz")
    labels = np.zeros(volume.array.shape, np.uint8)
    inside = np.argwhere(volume.array > 0)
    k, j, i = inside[len(inside) // 2]
    labels[k - 1 : k + 2, j - 1 : j + 2, i - 1 : i + 2] = 1
    write_volume(volume.like(labels), lesions)
    source = scans / "bids" / "sub-02" / "anat"
    arguments = ["run", source, tmp_path / "out", *GRE_ONLY, "--lesions", lesions]
    assert run(*arguments, "--progress", "none") == 0
    sidecar = tmp_path / "out" / "sub-02" / "anat" / "sub-02_Chimap.json"
    hashes = facts_of(sidecar)["InputSHA256"]
    assert hashes[name] != hashes[f"lesions/{name}"]


def test_plain_nifti_files_by_a_list_with_echo_times(scans, tmp_path, capsys):
    anat = scans / "bids" / "sub-02" / "anat"
    source = tmp_path / "plain"
    source.mkdir()
    names = []
    for part in ("mag", "phase"):
        for echo in range(1, 6):
            image = anat / f"sub-02_echo-{echo}_part-{part}_MEGRE.nii.gz"
            names.append(f"{part}_{echo}.nii.gz")
            shutil.copy(image, source / names[-1])
    shutil.copy(anat / "sub-02_echo-1_part-mag_MEGRE.nii.gz", source / "mag_0_old.nii.gz")
    times = [
        facts_of(anat / f"sub-02_echo-{e}_part-mag_MEGRE.json")["EchoTime"] for e in range(1, 6)
    ]
    listed = tmp_path / "list.txt"
    listed.write_text("\n".join([*names[:5], *(str(source / name) for name in names[5:]), ""]))
    arguments = ["run", source, tmp_path / "out", "--files", listed, *GRE_ONLY]
    arguments += ["--progress", "none", "--b0", 3]
    assert run(*arguments, "--te", *times) == 0
    assert run("run", anat, tmp_path / "bids", *GRE_ONLY, "--progress", "none") == 0
    net = "{}/anat/{}_Chimap.nii.gz"
    mine = read_map(tmp_path / "out" / net.format("sub-01", "sub-01")).array
    theirs = read_map(tmp_path / "bids" / net.format("sub-02", "sub-02")).array
    assert mine == pytest.approx(theirs, abs=1e-5)
    listed.write_text("nowhere.nii.gz")
    assert run(*arguments, "--te", *times) == 2
    assert "nowhere.nii.gz" in last_line(capsys)


def test_echo_times_are_not_for_sources_that_know_them(scans, tmp_path, capsys):
    arguments = ["run", scans / "bids", tmp_path / "out", "--progress", "none"]
    assert run(*arguments, "--te", 0.004, 0.01) == 2
    assert "--te is for NIfTI files without sidecars" in last_line(capsys)
