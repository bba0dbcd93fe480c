"""The engine of cohorts: scans an hour with one and two workers, and what planning and tables cost.

Run: python Testing/benchmarks/bench_cohort.py [--scans 24] [--many 2000] [--voxel 2] [--json FILE]

Small simulated scans are run by one worker, by two (one thread each), and by a loop of 'qsmsep run'
with all cores; on an idle machine of two cores two workers should do 1.8 times as many as one. Then
records of many scans are planned and gathered: seconds and memory. Last, all of them are handed to
two workers, who find them done: what is left is the engine alone, its time a scan and the memory of
the process that holds the scheduler after the first 24 scans and after all.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "phantoms"))

from small_cohort import small_cohort

from QSMSeparationLib.cohort.engine import run_by_workers
from QSMSeparationLib.cohort.group import gather
from QSMSeparationLib.cohort.need import Crew
from QSMSeparationLib.cohort.page import render_page
from QSMSeparationLib.cohort.records import read_record, read_records, recipe_of, write_record
from QSMSeparationLib.cohort.scans import Chosen, ScanTask, find_tasks, what_to_do
from QSMSeparationLib.cohort.worker import ELSEWHERE, Job, Outcome
from QSMSeparationLib.pipeline.options import Options
from QSMSeparationLib.runtime.progress import Progress

START = [sys.executable, "-m", "QSMSeparationLib"]


def seconds_of(command: list[str], threads: int) -> float:
    """Run a command and return how long it took."""
    began = time.monotonic()
    subprocess.run(
        [*START, *command, "--progress", "none"],
        check=True,
        env=os.environ | {"OMP_NUM_THREADS": str(threads)},
    )
    return time.monotonic() - began


def throughput(dataset: Path, scans: int) -> dict[str, float]:
    """Return the scans an hour of each way to run them."""
    rates = {}
    for workers in (1, 2):
        out = dataset.parent / f"out{workers}"
        command = ["cohort", str(dataset), str(out), "participant", "--workers", str(workers),
                   "--threads", "1"]  # fmt: skip
        rates[f"{workers} worker{'s' if workers > 1 else ''}"] = (
            3600 * scans / seconds_of(command, 1)
        )
    began = time.monotonic()
    for folder in sorted(dataset.glob("sub-*")):
        seconds_of(["run", str(folder), str(dataset.parent / "loop" / folder.name)], 2)
    rates["loop of qsmsep run"] = 3600 * scans / (time.monotonic() - began)
    return rates


def many(dataset: Path, count: int) -> dict[str, float]:
    """Return what it costs to plan so many scans, and to gather their tables."""
    root, out = dataset.parent / "many", dataset.parent / "out1"
    one = read_record(out, "sub-01")
    assert one is not None
    wide = dataset.parent / "wide"
    for number in range(1, count + 1):
        name = f"sub-{number:04d}"
        for path in (dataset / "sub-01").rglob("*"):
            if path.is_file():
                target = root / str(path.relative_to(dataset)).replace("sub-01", name)
                target.parent.mkdir(parents=True, exist_ok=True)
                if not target.exists():
                    os.link(path, target)
        outputs = tuple(o.replace("sub-01", name) for o in one.outputs)
        inputs = {key.replace("sub-01", name): value for key, value in one.inputs.items()}
        write_record(wide, replace(one, name=name, outputs=outputs, inputs=inputs))
        for before, after in zip(one.outputs, outputs, strict=True):
            (wide / after).parent.mkdir(parents=True, exist_ok=True)
            os.link(out / before, wide / after)
    recipe, began = recipe_of(Options(), False), time.monotonic()
    todo = what_to_do(find_tasks(root, Chosen()), recipe, wide, False)
    planned = time.monotonic() - began
    assert not [one for one in todo if one.reason]
    began = time.monotonic()
    records = read_records(wide)
    page = render_page(gather(records, wide), records, [], "many")
    found = {
        "scans": count,
        "seconds to plan": planned,
        "seconds for the tables": time.monotonic() - began,
        "page in MB": len(page) / 1e6,
        "peak memory in MiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    return found | engine([one.task for one in todo], Job(str(wide), Options(), recipe))


def engine(tasks: list[ScanTask], job: Job) -> dict[str, float]:
    """Return what the engine costs for scans that its workers find done."""
    memory: list[float] = []
    told: list[float] = []

    def heard(outcome: Outcome) -> None:
        assert outcome.status == ELSEWHERE, outcome.reason
        memory.append(memory_mib())
        told.append(time.monotonic())

    run_by_workers(tasks, job, Crew(2, 1, 2**30), heard, Progress())
    few = min(24, len(tasks))
    return {
        "engine: ms a scan": 1000 * (told[-1] - told[few - 1]) / max(1, len(tasks) - few),
        f"engine: MiB after {few} scans": memory[few - 1],
        "engine: MiB after all": memory[-1],
    }


def memory_mib() -> float:
    """Return the memory of this process now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scans", type=int, default=24)
    parser.add_argument("--many", type=int, default=2000)
    parser.add_argument("--voxel", type=float, default=2.0)
    parser.add_argument("--json", type=Path, metavar="FILE")
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="qsmsep-cohort-"))
    try:
        names = [f"sub-{n:02d}" for n in range(1, given.scans + 1)]
        dataset = small_cohort(folder / "bids", names, given.voxel)
        shutil.rmtree(dataset / "derivatives")
        found = {
            "scans an hour": throughput(dataset, given.scans),
            "many": many(dataset, given.many),
        }
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps(found, indent=1))
    if given.json:
        given.json.write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
