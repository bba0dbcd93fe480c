"""Sample data: a digital head with MS lesions, made on this computer without a network."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

from QSMSeparationLib.io.nifti import read_labels, read_volume
from QSMSeparationLib.mrml.convert import oriented_image
from QSMSeparationLib.mrml.volumes import fill_node
from QSMSeparationLib.runtime.errors import QSMSeparationError
from QSMSeparationPanel.packages import ensure_packages
from QSMSeparationPanel.parameters import InputKind
from QSMSeparationPanel.worker import End, Step, Worker

_being_made = False
FOLDER = "QSMSeparation-digital-head"
OPTIONS = ("--voxel", "1.5", "--spin-echo", "--seed", "1")
"""A head of 1.5 mm with 16 lesions: half a minute of computing, 100 MB on disk."""


def download(options: tuple[str, ...] = OPTIONS) -> list[Any]:
    """Make the head, unless it is there, and load it; the panel is set to its folder.

    Returns
    -------
    list of nodes
        The magnitude of its last echo and its lesions.

    Raises
    ------
    QSMSeparationError
        When a package is missing, or the head could not be made.
    """
    folder = Path(slicer.app.cachePath) / FOLDER
    anat = folder / "sub-01" / "anat"
    if not (anat / "sub-01_echo-1_part-mag_MEGRE.nii.gz").is_file():
        _simulate(folder, options)
    truth = folder / "derivatives" / "truth" / "sub-01" / "anat"
    magnitude = sorted(anat.glob("sub-01_echo-*_part-mag_MEGRE.nii.gz"))[-1]
    head = _add_magnitude(magnitude)
    lesions = _add_lesions(truth / "sub-01_desc-lesions_dseg.nii.gz", head)
    _set_panel(folder, lesions)
    return [head, lesions]


def _simulate(folder: Path, options: tuple[str, ...]) -> None:
    """Run ``qsmsep simulate`` while the application goes on; one at a time."""
    global _being_made
    if _being_made:
        raise QSMSeparationError(_("the digital head is being made; wait for it"))
    if reason := ensure_packages(slicer.util.showStatusMessage):
        raise QSMSeparationError(reason)
    shutil.rmtree(folder, ignore_errors=True)
    ends: list[End] = []
    worker = Worker(["simulate", str(folder), *options], _show, lambda text: None, ends.append)
    _being_made = True
    slicer.app.connect("aboutToQuit()", worker.stop)
    worker.start()
    try:
        while not ends:
            slicer.app.processEvents()
            time.sleep(0.005)
    finally:
        worker.stop()
        slicer.app.disconnect("aboutToQuit()", worker.stop)
        _being_made = False
    if ends[0].status != "done":
        shutil.rmtree(folder, ignore_errors=True)
        text = _("the digital head could not be made: {reason}")
        raise QSMSeparationError(text.format(reason=ends[0].message))


def _show(step: Step) -> None:
    left_s = step.eta_s if step.run_eta_s is None else step.run_eta_s
    left = _(", about {seconds} s left").format(seconds=f"{left_s:.0f}") if left_s else ""
    text = _("Digital head: {stage}{left}").format(stage=step.stage, left=left)
    slicer.util.showStatusMessage(text)


def _add_magnitude(path: Path) -> slicer.vtkMRMLScalarVolumeNode:
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "digital head T2*w")
    fill_node(node, read_volume(path))
    node.CreateDefaultDisplayNodes()
    return node


def _add_lesions(
    path: Path, head: slicer.vtkMRMLScalarVolumeNode
) -> slicer.vtkMRMLSegmentationNode:
    scene = slicer.mrmlScene
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "digital head MS lesions")
    node.CreateDefaultDisplayNodes()
    logic = slicer.modules.segmentations.logic()
    logic.ImportLabelmapToSegmentationNode(oriented_image(read_labels(path)), node)
    node.SetReferenceImageGeometryParameterFromVolumeNode(head)
    node.GetDisplayNode().SetVisibility2DFill(False)
    node.GetDisplayNode().SetVisibility2DOutline(True)
    return node


def _set_panel(folder: Path, lesions: slicer.vtkMRMLSegmentationNode) -> None:
    """Choose the head in the panel, so that only Separate is left to press."""
    from QSMSeparation import QSMSeparationLogic

    logic = QSMSeparationLogic()
    parameters = logic.getParameterNode()
    parameters.inputKind = InputKind.SCAN
    parameters.scanFolder, parameters.subject = str(folder), ""
    parameters.lesions = lesions
    logic.close()
