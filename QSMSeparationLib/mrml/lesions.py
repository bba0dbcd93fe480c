"""The lesions of a run as a segmentation: outlines in every view, coloured by their class."""

from __future__ import annotations

import slicer
import vtk

from QSMSeparationLib.data.volume import Volume
from QSMSeparationLib.mrml import marks
from QSMSeparationLib.mrml.convert import oriented_image, segment_ids
from QSMSeparationLib.mrml.table import REVIEW_COLUMNS, rows_of

CLASS_COLORS = {
    # Class in chi+; hues that are neither grey nor on the red-blue scale of net chi.
    "rim": (1.00, 0.20, 0.90),
    "hyper": (1.00, 0.75, 0.00),
    "iso": (0.95, 1.00, 0.35),
    "hypo": (0.20, 1.00, 0.45),
    "small": (0.70, 0.70, 0.70),
}
_OTHER = (0.95, 1.00, 0.35)
_TAG = "QSMSeparation.Lesion"


def add_lesions(
    scene: slicer.vtkMRMLScene,
    labels: Volume,
    rows: list[dict[str, str]],
    run: str,
    subject: str,
    reference: slicer.vtkMRMLVolumeNode | None,
) -> slicer.vtkMRMLSegmentationNode:
    """Add one segment a lesion, shown as an outline.

    Parameters
    ----------
    scene : vtkMRMLScene
        Where to.
    labels : Volume
        Lesions by their number.
    rows : list of dict
        Rows of ``lesions.csv``; names and classes come from them.
    run, subject : str
        The run's identifier, and the name to begin with.
    reference : vtkMRMLVolumeNode or None
        A map of the run, whose grid the segments have.
    """
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", f"{subject} lesions")
    marks.mark(node, run, marks.LESIONS)
    node.CreateDefaultDisplayNodes()
    node.GetDisplayNode().SetAttribute(marks.RUN, run)
    logic = slicer.modules.segmentations.logic()
    logic.ImportLabelmapToSegmentationNode(oriented_image(labels), node)
    if reference is not None:
        node.SetReferenceImageGeometryParameterFromVolumeNode(reference)
    by_id = {int(row["id"]): row for row in rows}
    for segment in _segments(node):
        number = int(segment.GetLabelValue())
        segment.SetTag(_TAG, str(number))
        name = by_id.get(number, {}).get("name") or f"lesion {number}"
        segment.SetName(name)
        segment.SetColor(*CLASS_COLORS.get(by_id.get(number, {}).get("class_para", ""), _OTHER))
    show_outlines(node)
    return node


def show_outlines(node: slicer.vtkMRMLSegmentationNode, visible: bool = True) -> None:
    """Show or hide lesions: outlines only, so that the maps below can be read."""
    display = node.GetDisplayNode()
    modified = display.StartModify()
    display.SetAllSegmentsVisibility2DFill(False)
    display.SetVisibility2DFill(False)
    display.SetAllSegmentsVisibility2DOutline(True)
    display.SetVisibility2DOutline(True)
    display.SetOpacity2DOutline(1.0)
    display.SetSliceIntersectionThickness(2)
    display.SetVisibility(visible)
    display.EndModify(modified)


def color_by_class(node: slicer.vtkMRMLSegmentationNode, table: slicer.vtkMRMLTableNode) -> None:
    """Colour the outlines by the reviewer's class in chi+, or else the computed one."""
    classes = {
        int(row["id"]): row[REVIEW_COLUMNS[0]] or row["class_para"] for row in rows_of(table)
    }
    for segment in _segments(node):
        color = CLASS_COLORS.get(classes.get(number_of(segment), ""), _OTHER)
        if segment.GetColor() != color:
            segment.SetColor(*color)


def number_of(segment: slicer.vtkSegment) -> int:
    """Return the number of the lesion that a segment is."""
    value = vtk.reference("")
    return int(str(value)) if segment.GetTag(_TAG, value) else int(segment.GetLabelValue())


def segment_of(node: slicer.vtkMRMLSegmentationNode, lesion: int) -> str | None:
    """Return the id of the segment of a lesion."""
    for identifier in segment_ids(node):
        if number_of(node.GetSegmentation().GetSegment(identifier)) == lesion:
            return identifier
    return None


def _segments(node: slicer.vtkMRMLSegmentationNode) -> list[slicer.vtkSegment]:
    return [node.GetSegmentation().GetSegment(one) for one in segment_ids(node)]
