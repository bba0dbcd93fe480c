"""Which scans get a GPU on a cluster: workers of a real scheduler, the work itself left out."""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict

import pytest

from QSMSeparationLib.cohort import worker
from QSMSeparationLib.cohort.engine import run_by_workers
from QSMSeparationLib.cohort.gpus import device_here
from QSMSeparationLib.cohort.need import Crew
from QSMSeparationLib.cohort.records import DONE, recipe_of
from QSMSeparationLib.cohort.scans import ScanTask
from QSMSeparationLib.cohort.worker import Job, Outcome
from QSMSeparationLib.pipeline.options import Options
from QSMSeparationLib.runtime.errors import Cancelled
from QSMSeparationLib.runtime.progress import NullSink, Progress

distributed = pytest.importorskip("distributed")


class Said(NullSink):
    """Keeps what is said, and stops the run at a word."""

    def __init__(self, stop_at="nothing"):
        self.lines, self.stop_at, self.progress = [], stop_at, Progress(self)

    def message(self, text):
        self.lines.append(text)
        if self.stop_at in text:
            self.progress.cancel()


@pytest.fixture
def cluster():
    """Return how to start a scheduler with one worker of two threads for each number of GPUs."""
    started = []

    def begin(*gpus):
        options = [{"nthreads": 2, "dashboard": False, "resources": {"GPU": n}} for n in gpus]
        workers = {n: {"cls": distributed.Worker, "options": one} for n, one in enumerate(options)}
        scheduler = {"cls": distributed.Scheduler, "options": {"dashboard": False, "port": 0}}
        started.append(distributed.SpecCluster(workers, scheduler, silence_logs=50))
        return started[-1]

    yield begin
    for one in started:
        one.close()


@pytest.fixture
def devices(monkeypatch):
    """Take the place of the work; returns what every worker computed on, and on how many at once."""
    used, now, most, lock = defaultdict(list), Counter(), Counter(), threading.Lock()

    def pretend(task, job, before, progress):
        place = distributed.get_worker().name, job.options.device
        with lock:
            used[place[0]].append(place[1])
            now[place] += 1
            most[place] = max(most[place], now[place])
        time.sleep(0.1)
        with lock:
            now[place] -= 1
        return Outcome(task.name, DONE)

    monkeypatch.setattr(worker, "_work", pretend)
    monkeypatch.setattr(worker, "_prepare_process", lambda threads: None)
    return used, most


def run(cluster, out, device, said):
    tasks = [ScanTask(f"sub-{n:02d}", str(out), str(out), {}, {}) for n in range(16)]
    options = Options(device=device)
    heard: list[Outcome] = []
    run_by_workers(
        tasks, Job(str(out), options, recipe_of(options, False)), Crew(2, 1, 2**30), heard.append,
        said.progress, cluster.scheduler_address,
    )  # fmt: skip
    assert Counter(one.status for one in heard) == {DONE: len(tasks)}, heard


def test_a_worker_that_announces_a_gpu_gives_it_to_one_scan_and_the_others_use_processors(
    cluster, devices, tmp_path
):
    said = Said()
    run(cluster(1, 0), tmp_path, "auto", said)
    used, most = devices
    assert set(used[0]) == {"auto", "cpu"}  # its other thread leaves the GPU to the first
    assert most[0, "auto"] == 1
    assert set(used[1]) == {"cpu"}
    assert "1 of 2 workers announce a GPU; the others use their processor" in said.lines


def test_scans_that_must_have_a_gpu_go_only_where_one_is_free(cluster, devices, tmp_path):
    run(cluster(1, 0), tmp_path, "cuda", Said())
    used, most = devices
    assert set(used) == {0}
    assert most == {(0, "cuda"): 1}


def test_scans_that_wait_for_a_gpu_say_so(cluster, tmp_path):
    said = Said(stop_at="the scans wait for one")
    with pytest.raises(Cancelled):
        run(cluster(0), tmp_path, "cuda", said)
    assert "no worker announces a GPU" in said.lines[-1]


def test_outside_of_a_cluster_the_device_is_what_was_asked_for():
    for asked in ("auto", "cpu", "cuda"):
        with device_here(asked) as device:
            assert device == asked
