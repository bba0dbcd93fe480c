"""A folder of results into the scene, one step at a time so that the window stays alive."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import slicer

from QSMSeparationLib.data.quantities import MAPS, QUANTITIES
from QSMSeparationLib.data.structures import ANATOMY
from QSMSeparationLib.data.volume import Volume
from QSMSeparationLib.io.derivatives import RESULT_MARKER, SIGN_CONVENTION, result_prefix
from QSMSeparationLib.io.nifti import read_labels, read_volume
from QSMSeparationLib.mrml import marks
from QSMSeparationLib.mrml.anatomy import add_anatomy
from QSMSeparationLib.mrml.export import TABLE_NAME
from QSMSeparationLib.mrml.lesions import add_lesions, color_by_class
from QSMSeparationLib.mrml.runs import Run, add_run, parent_for, put_in, remove_run, unused_title
from QSMSeparationLib.mrml.table import add_checks_table, add_lesion_table, read_rows
from QSMSeparationLib.mrml.volumes import add_mask, add_volume
from QSMSeparationLib.mrml.waiting import in_a_thread
from QSMSeparationLib.runtime.errors import InputError

Steps = Generator[str, None, Run]
_MOST_ENTRIES = 200_000
"""So many files and folders are looked through for results: a whole disk is no result."""


@dataclass(frozen=True)
class ResultFiles:
    """The files of one subject's result.

    Parameters
    ----------
    folder : Path
        Where they lie.
    subject : str
        What their names begin with: ``sub-01``.
    """

    folder: Path
    subject: str

    def path(self, suffix: str) -> Path:
        """Return the path of a file by what follows the subject's name."""
        return self.folder / f"{self.subject}_{suffix}"

    def beside(self, name: str) -> Path:
        """Return the path of a table or page: with the subject's name where others share its folder."""
        own = self.path(name)
        return own if own.is_file() else self.folder / name

    def maps(self) -> dict[str, Path]:
        """Return the maps that are there, by name."""
        paths = {name: self.path(f"{row.bids}.nii.gz") for name, row in MAPS.items()}
        return {name: path for name, path in paths.items() if path.is_file()}


def find_results(folder: Path) -> list[ResultFiles]:
    """Return the results in a folder, at any depth; raise InputError when there is none."""
    return _exhaust(search_results(Path(folder)))


def search_results(path: Path) -> Generator[str, None, list[ResultFiles]]:
    """Find the results in a folder, or the one that a file is of; yields every folder's name.

    Raises
    ------
    InputError
        With one line when there is none, or too much to look through.
    """
    if path.is_file():
        return [_result_of(path)]
    found: list[ResultFiles] = []
    seen = 0
    for folder, folders, files in os.walk(path):
        folders.sort()
        found += _results_among(Path(folder), files)
        seen += len(folders) + len(files)
        if seen > _MOST_ENTRIES:
            raise InputError(f"{path} holds too much to look through; choose the folder of a run")
        yield folder
    if not found:
        raise InputError(f"{path} holds no result (*{RESULT_MARKER}); choose the folder of a run")
    return found


def _results_among(folder: Path, names: list[str]) -> list[ResultFiles]:
    prefixes = sorted(prefix for name in names if (prefix := result_prefix(name)))
    return [ResultFiles(folder, prefix) for prefix in prefixes]


def _result_of(file: Path) -> ResultFiles:
    """Return the result whose file it is; a table that several share is of none."""
    found = _results_among(file.parent, [one.name for one in file.parent.iterdir()])
    own = [one for one in found if file.name.startswith(f"{one.subject}_")]
    if own:
        return max(own, key=lambda one: len(one.subject))
    if len(found) == 1:
        return found[0]
    what = "belongs to no result" if not found else f"may be of {len(found)} results"
    raise InputError(f"{file.name} {what}; choose one of the maps (*{RESULT_MARKER})")


def load_result(
    files: ResultFiles,
    scene: slicer.vtkMRMLScene,
    reference: slicer.vtkMRMLVolumeNode | None = None,
) -> Run:
    """Load a result at once; see :func:`load_steps`."""
    return _exhaust(load_steps(files, scene, reference))


def _exhaust(steps: Generator[str, None, Any]) -> Any:
    """Take all steps at once and return what they return."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def load_steps(
    files: ResultFiles,
    scene: slicer.vtkMRMLScene,
    reference: slicer.vtkMRMLVolumeNode | None = None,
) -> Steps:
    """Load a result; yields the name of every file, and returns the run.

    When it is closed before its end, or fails, nothing is left in the scene.

    Parameters
    ----------
    files : ResultFiles
        What to load.
    scene : vtkMRMLScene
        Where to.
    reference : vtkMRMLVolumeNode, optional
        The input of the run: results lie exactly where it lies, and below its study.
    """
    facts = _sidecar(files.path(MAPS["chi_para"].bids + ".json"))
    identifier = uuid.uuid4().hex
    title = f"QSM separation {files.subject} ({facts.get('Separation', 'method unknown')})"
    run = add_run(scene, identifier, unused_title(scene, title), parent_for(scene, reference))
    try:
        for role, path in files.maps().items():
            volume = yield from _read(read_volume, path)
            sidecar = _sidecar(Path(f"{str(path)[:-7]}.json"))
            put_in(
                run,
                add_volume(scene, volume, role, sidecar, identifier, files.subject, reference),
            )
            yield path.name
        mask = files.path(f"{QUANTITIES['mask'].bids}.nii.gz")
        if mask.is_file():
            labels = yield from _read(read_volume, mask)
            put_in(run, add_mask(scene, labels, identifier, files.subject, reference))
        yield from _load_anatomy(files, run)
        yield from _load_lesions(files, run)
        put_in(run, add_checks_table(scene, facts, identifier, files.subject))
        _load_report(files, run)
    except BaseException:  # also when the generator is closed because the user cancelled
        remove_run(run)
        raise
    return run


def _read(read: Callable[[Path], Volume], path: Path) -> Generator[str, None, Volume]:
    return (yield from in_a_thread(path.name, lambda: read(path)))


def _load_anatomy(files: ResultFiles, run: Run) -> Generator[str, None, None]:
    """Load the structures of the brain, where the run labeled it."""
    path = files.path(f"{ANATOMY}.nii.gz")
    if not path.is_file():
        return
    labels = yield from _read(read_labels, path)
    reference = run.node("chi_para")
    put_in(run, add_anatomy(run.scene, labels, run.identifier, files.subject, reference))
    yield path.name


def _load_lesions(files: ResultFiles, run: Run) -> Generator[str, None, None]:
    """Load the lesion labels and their table, where the run had lesions."""
    table, labels = files.beside("lesions.csv"), files.path("desc-lesions_dseg.nii.gz")
    if not table.is_file():  # an export of the panel has the reviewer's columns
        table = files.folder / TABLE_NAME
    if not table.is_file():
        return
    rows = read_rows(table)
    list_of_lesions = add_lesion_table(run.scene, rows, run.identifier, files.subject)
    put_in(run, list_of_lesions)
    if labels.is_file():
        volume = yield from _read(read_labels, labels)
        reference = run.node("chi_para")
        node = add_lesions(run.scene, volume, rows, run.identifier, files.subject, reference)
        color_by_class(node, list_of_lesions)
        put_in(run, node)
    yield table.name


def _load_report(files: ResultFiles, run: Run) -> None:
    """Keep the report page in the scene: its file may be in a folder that is going to go."""
    path = files.beside("report.html")
    if not path.is_file():
        return
    node = run.scene.AddNewNodeByClass("vtkMRMLTextNode", f"{files.subject} report")
    marks.mark(node, run.identifier, marks.REPORT)
    node.SetText(path.read_text(encoding="utf-8"))
    put_in(run, node)


def _sidecar(path: Path) -> dict[str, Any]:
    """Return a sidecar; empty where there is none."""
    if not path.is_file():
        return {"SignConvention": SIGN_CONVENTION}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        raise InputError(
            f"{path.name} can't be read as a sidecar; run the separation again"
        ) from None
    return content if isinstance(content, dict) else {}
