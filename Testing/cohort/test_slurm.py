"""The script for SLURM on a real one: a controller and a node of our own, for the time of the test."""

from __future__ import annotations

import os
import platform
import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest
from small_cohort import small_cohort

from QSMSeparationLib.cli.parser import main

pytestmark = pytest.mark.slow

CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
AuthType=auth/none
CredType=cred/none
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/controller.pid
SlurmdPidFile={folder}/node.pid
SlurmctldLogFile={folder}/controller.log
SlurmdLogFile={folder}/node.log
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
MpiDefault=none
ReturnToService=2
SchedulerParameters=sched_interval=2
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 RealMemory=6000 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


@pytest.fixture
def slurm(tmp_path):
    """Start a controller and a node; returns the environment in which ``sbatch`` finds them."""
    programs = [shutil.which(name) for name in ("slurmctld", "slurmd", "sbatch")]
    if not all(programs) or os.geteuid() != 0:
        pytest.skip("slurmctld, slurmd, sbatch (slurm-wlm) and root are needed")
    for name in ("state", "spool"):
        (tmp_path / name).mkdir()
    configuration = tmp_path / "slurm.conf"
    configuration.write_text(
        CONFIGURATION.format(host=platform.node(), folder=tmp_path, ports=free_ports(2))
    )
    environment = os.environ | {"SLURM_CONF": str(configuration), "OMP_NUM_THREADS": "1"}
    started = [
        subprocess.Popen([str(program), "-D", "-f", str(configuration)], env=environment,
                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for program in programs[:2]
    ]  # fmt: skip
    yield environment
    for process in started:
        process.terminate()
        process.wait(timeout=30)


def until_exists(file: Path, folder: Path) -> None:
    end = time.monotonic() + 400
    while not file.exists():
        logs = "\n".join(p.read_text()[-1500:] for p in sorted(folder.rglob("*.log")))
        assert time.monotonic() < end, logs
        time.sleep(1)


def test_a_real_slurm_runs_the_participants_and_then_the_group(slurm, tmp_path):
    dataset = small_cohort(tmp_path / "bids", ["sub-01", "sub-02"])
    out, script = tmp_path / "out", tmp_path / "submit.sh"
    arguments = [
        "cohort", str(dataset), str(out), "participant", "--sbatch", str(script), "--threads", "1",
        "--method", "r2star-qsm", "--inversion", "tkd", "--progress", "none",
    ]  # fmt: skip
    assert main(arguments) == 0
    time.sleep(5)  # the node registers itself
    submitted = subprocess.run(
        ["bash", str(script)], env=slurm, check=False, capture_output=True, text=True
    )
    assert submitted.returncode == 0, submitted.stderr
    until_exists(out / "cohort.html", tmp_path)
    records = sorted(path.stem for path in (out / ".cohort/scans").glob("*.json"))
    assert records == ["sub-01", "sub-02"]
    logs = sorted(path.name for path in (out / ".cohort/logs").iterdir())
    assert len(logs) == 3
