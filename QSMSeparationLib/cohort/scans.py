"""The scans of a cohort: which there are, what belongs to them, and which are to be run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from QSMSeparationLib.cohort.labels import FoundLabels, Labels
from QSMSeparationLib.cohort.records import (
    FAILED,
    read_record,
    reason_to_run,
    relative,
    stamps,
)
from QSMSeparationLib.io.bids import find_bids, find_subjects, sidecar_files
from QSMSeparationLib.io.found import FoundScan
from QSMSeparationLib.runtime.errors import InputError


@dataclass(frozen=True)
class ScanTask:
    """A scan with all that a worker needs: paths and plain values only.

    Parameters
    ----------
    name : str
        BIDS name.
    root, folder : str
        The dataset, and the folder of the subject or session in it.
    inputs : dict
        Size and time of every input, by its path below the dataset.
    labels : dict
        Paths of ``lesions``, ``tissue`` and ``regions``, where there are any.
    """

    name: str
    root: str
    folder: str
    inputs: Mapping[str, Mapping[str, Any]]
    labels: Mapping[str, str]

    def found(self) -> FoundScan:
        """Return the scan as its folder has it now."""
        for one in find_bids(self.folder):
            if one.name == self.name:
                return one
        raise InputError(f"{self.name} is no longer in {self.folder}")

    @property
    def label_paths(self) -> Labels:
        """The label maps that belong to it."""
        return Labels(**{name: Path(path) for name, path in self.labels.items()})

    def as_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)


@dataclass(frozen=True)
class Chosen:
    """Which scans of a dataset, and which labels.

    Parameters
    ----------
    participants, sessions : tuple of str
        Labels without ``sub-`` and ``ses-``; all without any.
    lesions_from, tissue_from : Path, optional
        Derivatives with lesion segmentations, and with FreeSurfer or SynthSeg labels.
    regions : Path, optional
        A label map to measure in.
    """

    participants: tuple[str, ...] = ()
    sessions: tuple[str, ...] = ()
    lesions_from: Path | None = None
    tissue_from: Path | None = None
    regions: Path | None = None


@dataclass(frozen=True)
class Todo:
    """A scan with the reason why it is run, or not: ``reason`` is empty when it is not."""

    task: ScanTask
    reason: str
    status: str = ""


def find_tasks(root: Path, chosen: Chosen) -> list[ScanTask]:
    """Return the scans of a dataset, by name; no image is read.

    Raises
    ------
    InputError
        When there are none, or a participant that was asked for is not there.
    """
    there = find_subjects(root)
    folders = [folder for folder in there if _is_chosen(folder, root, chosen)]
    _require_chosen(root, there, folders, chosen)
    lesions = FoundLabels(chosen.lesions_from, ("lesion", "lesions"))
    tissue = FoundLabels(chosen.tissue_from, ("aseg", "aparcaseg", "synthseg", "tissue"))
    tasks = []
    for folder in folders:
        for one in find_bids(folder):
            labels = {"lesions": lesions.of(one.name), "tissue": tissue.of(one.name)}
            labels |= {"regions": chosen.regions}
            given = {name: path.absolute() for name, path in labels.items() if path is not None}
            files = [*one.files, *sidecar_files(one.files), *given.values()]
            tasks.append(
                ScanTask(
                    one.name,
                    str(root),
                    str(folder),
                    stamps(sorted(set(files)), root),
                    {name: str(path) for name, path in given.items()},
                )
            )
    return sorted(tasks, key=lambda task: task.name)


def scan_names(root: Path) -> list[str]:
    """Return the names of all scans of a dataset."""
    return sorted(one.name for folder in find_subjects(root) for one in find_bids(folder))


def what_to_do(
    tasks: Sequence[ScanTask], recipe: Mapping[str, Any], out: Path, retry: bool
) -> list[Todo]:
    """Say of every scan whether it is run, and why."""
    found = []
    for task in tasks:
        record = read_record(out, task.name)
        reason = reason_to_run(record, task.inputs, recipe, Path(task.root), out, retry)
        found.append(Todo(task, reason, record.status if record else ""))
    return found


def failed_before(todo: Iterable[Todo]) -> list[str]:
    """Return the names of scans that failed and are not tried again."""
    return [one.task.name for one in todo if not one.reason and one.status == FAILED]


def _is_chosen(folder: Path, root: Path, chosen: Chosen) -> bool:
    parts = relative(folder, root).split("/")
    subject = next((p[4:] for p in parts if p.startswith("sub-")), "")
    session = next((p[4:] for p in parts if p.startswith("ses-")), "")
    return (not chosen.participants or subject in chosen.participants) and (
        not chosen.sessions or session in chosen.sessions
    )


def _require_chosen(
    root: Path, there: Sequence[Path], folders: Sequence[Path], chosen: Chosen
) -> None:
    """Refuse a dataset without scans, a participant that it lacks, a choice of nothing."""
    if not there:
        raise InputError(
            f"{root.name}: no MEGRE images with BIDS names (sub-XX/anat/..._MEGRE.nii.gz)"
        )
    names = {part for folder in there for part in folder.parts}
    missing = [label for label in chosen.participants if f"sub-{label}" not in names]
    if missing:
        raise InputError(f"{root.name} has no gradient-echo scan of sub-{missing[0]}")
    if not folders:
        raise InputError(f"{root.name} has no such session: {', '.join(chosen.sessions)}")
