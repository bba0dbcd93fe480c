"""Faults with real processes: afterwards the outputs are those of a run that nothing disturbed."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from small_cohort import small_cohort

from QSMSeparationLib.cohort.cluster import connected
from QSMSeparationLib.cohort.need import Crew

pytest.importorskip("distributed")
pytestmark = pytest.mark.slow

NAMES = [f"sub-{n:02d}" for n in range(1, 5)]
QUICK = ("--method", "r2star-qsm", "--inversion", "tkd", "--threads", "1", "--progress", "auto")
_TIMES = re.compile(r'"(SecondsPerStage|seconds|mtime_ns|Created)": (\{[^}]*\}|[\d.]+|"[^"]*")')


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("faults")
    return small_cohort(folder / "bids", NAMES, voxel_mm=2.5, lesions_in=folder / "lesions")


def start(dataset, out, *more) -> subprocess.Popen:
    command = [
        sys.executable, "-m", "QSMSeparationLib", "cohort", str(dataset), str(out), "participant",
        *QUICK, "--lesions-from", str(dataset.parent / "lesions"), *(more or ("--workers", "2")),
    ]  # fmt: skip
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
        # Whoever runs the tests in the background ignores interrupts, and so would this process.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def finished(process: subprocess.Popen, code: int = 0) -> str:
    said, _ = process.communicate(timeout=600)
    assert process.returncode == code, said
    return said


def until(condition: Callable[[], object], timeout_s: float = 240) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.05)


def records(out: Path) -> list[Path]:
    return sorted((out / ".cohort/scans").glob("sub-*.json"))


def claims(out: Path) -> list[Path]:
    return sorted((out / ".cohort/claims").glob("sub-*"))


def content(out: Path) -> dict[str, bytes]:
    """Return all files of a cohort, without the times that a run took."""
    found = {}
    for path in out.rglob("*"):
        if not path.is_file() or path.suffix == ".html":
            continue
        data = path.read_bytes()
        if path.suffix == ".json":
            data = _TIMES.sub("", data.decode()).encode()
        found[path.relative_to(out).as_posix()] = data
    return found


@pytest.fixture(scope="module")
def undisturbed(dataset, tmp_path_factory):
    out = tmp_path_factory.mktemp("undisturbed") / "out"
    finished(start(dataset, out))
    assert len(records(out)) == len(NAMES)
    return content(out)


def test_a_killed_worker_loses_nothing(dataset, undisturbed, tmp_path):
    process = start(dataset, tmp_path)
    until(lambda: claims(tmp_path))
    holder = int(claims(tmp_path)[0].read_text().split()[1])
    assert holder != process.pid
    os.kill(holder, signal.SIGKILL)
    finished(process)
    assert content(tmp_path) == undisturbed


def ready() -> tuple[bool, str | None, int]:
    """Return what a worker has imported, how many threads libraries have, and its parent."""
    library = "QSMSeparationLib.cohort.one_scan"
    return library in sys.modules, os.environ.get("OMP_NUM_THREADS"), os.getppid()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere each worker imports for itself")
def test_workers_are_copies_of_a_process_that_can_be_copied():
    with connected(Crew(2, 1, 2**30)) as client:
        found = client.run(ready)
        assert {one[:2] for one in found.values()} == {(True, "1")}
        (parent,) = {one[2] for one in found.values()}
        assert len(os.listdir(f"/proc/{parent}/task")) == 1  # other threads would be lost in a copy


def test_an_interrupted_run_goes_on_where_it_stopped(dataset, undisturbed, tmp_path):
    process = start(dataset, tmp_path)
    until(lambda: records(tmp_path))
    process.send_signal(signal.SIGINT)
    finished(process, 130)
    before = {path: path.stat().st_mtime_ns for path in records(tmp_path)}
    assert 0 < len(before) < len(NAMES)
    said = finished(start(dataset, tmp_path))
    assert f"{len(NAMES) - len(before)} of {len(NAMES)} scans are to be run" in said
    assert before == {path: path.stat().st_mtime_ns for path in before}
    assert content(tmp_path) == undisturbed


def test_two_runs_at_once_share_the_work(dataset, undisturbed, tmp_path):
    said = [finished(p) for p in [start(dataset, tmp_path, "--workers", "1") for _ in range(2)]]
    assert sum(text.count("done in") for text in said) == len(NAMES)
    assert content(tmp_path) == undisturbed


@pytest.fixture
def cluster(tmp_path):
    """Start a scheduler with two workers; returns how to start another one at its place."""
    started: list[subprocess.Popen] = []

    def dask(*words: str) -> subprocess.Popen:
        code = "import sys; from dask.__main__ import main; sys.argv[0] = 'dask'; main()"
        process = subprocess.Popen(
            [sys.executable, "-c", code, *words],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        started.append(process)
        return process

    def begin(number: int) -> tuple[str, subprocess.Popen]:
        place = tmp_path / f"scheduler-{number}.json"
        scheduler = dask("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard",
                         "--scheduler-file", str(place))  # fmt: skip
        until(place.exists, 60)
        dask("worker", "--scheduler-file", str(place), "--nworkers", "2", "--nthreads", "1",
             "--no-dashboard", "--local-directory", str(tmp_path / "scratch"))  # fmt: skip
        time.sleep(0.2)
        return json.loads(place.read_text())["address"], scheduler

    yield begin
    for process in started:
        process.kill()
        process.wait()


def test_a_lost_scheduler_is_told_and_another_one_does_what_is_left(
    dataset, undisturbed, tmp_path, cluster
):
    out = tmp_path / "out"
    address, scheduler = cluster(1)
    process = start(dataset, out, "--scheduler", address)
    until(lambda: records(out))
    scheduler.kill()
    assert "the scheduler was lost" in finished(process, 1)
    until(lambda: not claims(out))  # workers finish what they have begun
    address, _ = cluster(2)
    finished(start(dataset, out, "--scheduler", address))
    assert content(out) == undisturbed


@pytest.fixture
def small_disk(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)],
        check=False,
        capture_output=True,
    )
    if mounted.returncode:
        pytest.skip("mounting a small disk needs root")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=False)


def test_a_full_disk_leaves_no_half_a_scan(dataset, undisturbed, small_disk):
    out = small_disk / "out"
    said = finished(start(dataset, out, "--workers", "1"), 1)
    assert "No space left" in said or "could not" in said.lower()
    for path in records(out):
        record = json.loads(path.read_text())
        assert all((out / name).is_file() for name in record["outputs"])
    subprocess.run(["mount", "-o", "remount,size=300m", str(small_disk)], check=True)
    finished(start(dataset, out, "--workers", "1"))
    assert content(out) == undisturbed


def test_a_scheduler_that_is_not_there_is_told_in_one_line(dataset, tmp_path):
    process = start(dataset, tmp_path, "--scheduler", "tcp://127.0.0.1:9")
    assert "no scheduler answers at tcp://127.0.0.1:9" in finished(process, 2)
