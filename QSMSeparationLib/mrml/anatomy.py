"""The structures of the brain as a segmentation: named, coded, hidden until wanted."""

from __future__ import annotations

import colorsys

import slicer

from QSMSeparationLib.data.structures import FIRST_OF_BRAIN, STRUCTURES, Structure
from QSMSeparationLib.data.volume import Volume
from QSMSeparationLib.mrml import marks
from QSMSeparationLib.mrml.convert import oriented_image, segment_ids

_SIDES = {"left": "SCT^7771000^Left", "right": "SCT^24028007^Right", "": "^^"}


def add_anatomy(
    scene: slicer.vtkMRMLScene,
    labels: Volume,
    run: str,
    subject: str,
    reference: slicer.vtkMRMLScalarVolumeNode | None,
) -> slicer.vtkMRMLSegmentationNode:
    """Add one segment a structure and side; the views show them when the user asks for it.

    Parameters
    ----------
    scene : vtkMRMLScene
        Where to.
    labels : Volume
        Label numbers of :mod:`QSMSeparationLib.data.structures`.
    run, subject : str
        The run's identifier, and the name to begin with.
    reference : vtkMRMLVolumeNode or None
        A map of the run, whose grid the segments have.
    """
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", f"{subject} anatomy")
    marks.mark(node, run, marks.ANATOMY)
    node.CreateDefaultDisplayNodes()
    node.GetDisplayNode().SetAttribute(marks.RUN, run)
    node.GetDisplayNode().SetVisibility(False)
    logic = slicer.modules.segmentations.logic()
    logic.ImportLabelmapToSegmentationNode(oriented_image(labels), node)
    if reference is not None:
        node.SetReferenceImageGeometryParameterFromVolumeNode(reference)
    known = _by_number()
    for identifier in segment_ids(node):
        segment = node.GetSegmentation().GetSegment(identifier)
        if int(segment.GetLabelValue()) in known:
            _describe(segment, *known[int(segment.GetLabelValue())])
    return node


def _by_number() -> dict[int, tuple[Structure, str, float]]:
    """Return structure, side and hue by label number."""
    found = {}
    inside = STRUCTURES[FIRST_OF_BRAIN:]
    for n, structure in enumerate(inside):
        hue = n / len(inside)
        if structure.left == structure.right:
            found[structure.left] = (structure, "", hue)
        else:
            found[structure.left] = (structure, "left", hue)
            found[structure.right] = (structure, "right", hue)
    return found


def _describe(segment: slicer.vtkSegment, structure: Structure, side: str, hue: float) -> None:
    """Give a segment its name, color and standard term; the right side is a little darker."""
    segment.SetName(f"{side} {structure.name}".strip())
    segment.SetColor(*colorsys.hsv_to_rgb(hue, 0.55, 0.8 if side == "right" else 0.95))
    if structure.code is not None:
        tag = slicer.vtkSegment.GetTerminologyEntryTagName()
        segment.SetTag(tag, terminology(structure, side))


def terminology(structure: Structure, side: str) -> str:
    """Return the standard term of a structure, as segments keep it."""
    code = structure.code
    assert code is not None
    return (
        "Segmentation category and type - DICOM master list"
        f"~SCT^123037004^Anatomical Structure~{code.scheme}^{code.value}^{code.meaning}"
        f"~{_SIDES[side]}~Anatomic codes - DICOM master list~^^~^^"
    )
