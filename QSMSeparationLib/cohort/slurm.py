"""A script that hands a cohort to SLURM: an array over participants, then the tables over all."""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from pathlib import Path

from QSMSeparationLib.cohort.need import Need
from QSMSeparationLib.cohort.scans import ScanTask
from QSMSeparationLib.io.bids_names import entities_of

_MARGIN = 1.5
_SLOWER = 4.0
"""Memory is asked for with half as much again, and four times the time on two cores: nodes differ,
and a job that is killed for its time has done nothing."""
_LEAST_MINUTES = 10
_GROUP_MEMORY_MB, _GROUP_MINUTES = 2048, 60


def sbatch_script(
    tasks: Sequence[ScanTask],
    need: Need,
    participant: Sequence[str],
    group: Sequence[str],
    logs: Path,
    cores: int = 2,
    at_once: int = 20,
) -> str:
    """Return the script: run with ``bash``, it submits both jobs.

    Parameters
    ----------
    tasks : sequence of ScanTask
        The scans; those of one participant are one element of the array.
    need : Need
        What the largest scan needs.
    participant, group : sequence of str
        Commands: that of a participant lacks its label at the end.
    logs : Path
        Folder for what the jobs say.
    cores : int
        Of an element.
    at_once : int
        Elements that run at a time.
    """
    labels = participants(tasks)
    scans = max(sum(_label(task) == label for task in tasks) for label in labels)
    minutes = max(_LEAST_MINUTES, math.ceil(_SLOWER * scans * need.seconds / 60))
    memory = math.ceil(_MARGIN * need.memory_bytes / 2**20)
    folder = shlex.quote(str(logs))
    return f"""#!/bin/bash
# {len(tasks)} scans of {len(labels)} participants. Start with: bash THIS_FILE
# What is done stays done: started again, it does what is left.
set -eu
mkdir -p {folder}

participants=$(sbatch --parsable <<'ARRAY'
#!/bin/bash
#SBATCH --job-name=qsmsep
#SBATCH --array=1-{len(labels)}%{at_once}
#SBATCH --cpus-per-task={cores}
#SBATCH --mem={memory}M
#SBATCH --time={minutes}
#SBATCH --output={logs}/%A_%a.log
set -eu
labels=({" ".join(shlex.quote(label) for label in labels)})
export OMP_NUM_THREADS={cores}
{_command(participant)} "${{labels[SLURM_ARRAY_TASK_ID-1]}}"
ARRAY
)

# Also when some failed: the tables say which.
sbatch --parsable --dependency="afterany:${{participants%%;*}}" <<'GROUP'
#!/bin/bash
#SBATCH --job-name=qsmsep-group
#SBATCH --mem={_GROUP_MEMORY_MB}M
#SBATCH --time={_GROUP_MINUTES}
#SBATCH --output={logs}/%j_group.log
set -eu
{_command(group)}
GROUP
"""


def participants(tasks: Sequence[ScanTask]) -> list[str]:
    """Return the labels of all participants, in order."""
    return list(dict.fromkeys(_label(task) for task in tasks))


def _label(task: ScanTask) -> str:
    return entities_of(task.name)["sub"]


def _command(words: Sequence[str]) -> str:
    return " ".join(shlex.quote(word) for word in words)
