"""The lesions of a run as a segmentation, and their outlines in the views.

A line on the border of a lesion lies on its rim, which is a voxel or two thick and is what a
reader judges. So the views show the outline of the lesion grown by one voxel in the plane of the
slices, which runs through its surroundings. The outlines are a helper of the display: made anew
from the segmentation when they are shown, neither listed nor saved with the scene.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import slicer
import vtk
from numpy.typing import NDArray
from scipy import ndimage

from QSMSeparationLib.data.volume import Geometry, Volume, resample
from QSMSeparationLib.lesions.classes import class_rgb
from QSMSeparationLib.mrml import marks
from QSMSeparationLib.mrml.convert import labels_of, oriented_image, segment_ids
from QSMSeparationLib.mrml.table import REVIEW_COLUMNS, rows_of

TERMINOLOGY = (
    "Segmentation category and type - DICOM master list"
    "~SCT^49755003^Morphologically Altered Structure~SCT^52988006^Lesion~^^"
    "~Anatomic codes - DICOM master list~SCT^12738006^Brain~^^"
)
"""Standard terminology of a lesion, as segments keep it and DICOM SEG objects take it over.

The category is one of Slicer's master list, whose types name no plain lesion (mass, nodule, edema
and others); so the type is given by its SNOMED code, which need not be in the list to be exported.
"""

_TAG = "QSMSeparation.Lesion"
_THICKNESS_PX = 1


def add_lesions(
    scene: slicer.vtkMRMLScene,
    labels: Volume,
    rows: list[dict[str, str]],
    run: str,
    subject: str,
    reference: slicer.vtkMRMLScalarVolumeNode | None,
) -> slicer.vtkMRMLSegmentationNode:
    """Add one segment a lesion, and show the outlines.

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
    _fill(node, labels, reference)
    by_id = {int(row["id"]): row for row in rows}
    for segment in _segments(node):
        row = by_id.get(number_of(segment), {})
        segment.SetName(row.get("name") or f"lesion {number_of(segment)}")
        segment.SetColor(*class_rgb(row.get("class_para", "")))
    show_outlines(node)
    return node


def labels_by_number(
    lesions: slicer.vtkMRMLSegmentationNode, reference: slicer.vtkMRMLVolumeNode | None = None
) -> Volume:
    """Return lesions as labels by their numbers in the table."""
    merged = labels_of(lesions, reference)
    numbers = np.array([0, *(number_of(one) for one in _segments(lesions))], dtype=np.int16)
    return merged.like(numbers[merged.array])


def grown_labels(labels: NDArray[np.integer]) -> NDArray[np.integer]:
    """Return lesions grown by one voxel within each slice; none grows into another.

    A slice that shows no part of a lesion shows no outline of it either.
    """
    cross = ndimage.generate_binary_structure(2, 1)[None]
    around = ndimage.grey_dilation(labels, footprint=cross)
    return np.where(labels > 0, labels, around).astype(labels.dtype)


def show_outlines(
    lesions: slicer.vtkMRMLSegmentationNode,
    visible: bool = True,
    views: Sequence[str] | None = None,
) -> None:
    """Show or hide the outlines of lesions; shown, they follow what was edited since.

    Parameters
    ----------
    lesions : vtkMRMLSegmentationNode
        Lesions of a run.
    visible : bool
        Whether they are shown.
    views : sequence of str, optional
        Ids of the views that show them, none for all; without it as they were.
    """
    lesions.GetDisplayNode().SetVisibility(False)
    outlines = outlines_of(lesions)
    if not visible:
        if outlines is not None:
            outlines.GetDisplayNode().SetVisibility(False)
        return
    if outlines is None:
        outlines = _add_outlines(lesions)
    elif outlines.GetSegmentation().GetMTime() < lesions.GetSegmentation().GetMTime():
        outlines.GetSegmentation().RemoveAllSegments()
        _fill_outlines(outlines, lesions)
    display = outlines.GetDisplayNode()
    if views is not None and tuple(views) != tuple(display.GetViewNodeIDs()):
        display.RemoveAllViewNodeIDs()
        for view in views:
            display.AddViewNodeID(view)
    display.SetVisibility(True)


def outlines_of(
    lesions: slicer.vtkMRMLSegmentationNode,
) -> slicer.vtkMRMLSegmentationNode | None:
    """Return the outlines of lesions, or None where they were never shown."""
    return lesions.GetNodeReference(marks.OUTLINES)


def color_by_class(node: slicer.vtkMRMLSegmentationNode, table: slicer.vtkMRMLTableNode) -> None:
    """Color lesions by the reviewer's class in chi+, or else the computed one."""
    classes = {
        int(row["id"]): row[REVIEW_COLUMNS[0]] or row["class_para"] for row in rows_of(table)
    }
    for segment in (*_segments(node), *_segments(outlines_of(node))):
        color = class_rgb(classes.get(number_of(segment), ""))
        if not np.allclose(segment.GetColor(), color):
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


def _fill(
    node: slicer.vtkMRMLSegmentationNode,
    labels: Volume,
    reference: slicer.vtkMRMLScalarVolumeNode | None,
) -> None:
    """Give a segmentation one segment a label, which knows its number and what it is."""
    if node.GetDisplayNode() is None:
        node.CreateDefaultDisplayNodes()
        node.GetDisplayNode().SetAttribute(marks.RUN, marks.run_of(node))
    logic = slicer.modules.segmentations.logic()
    logic.ImportLabelmapToSegmentationNode(oriented_image(labels), node)
    if reference is not None:
        node.SetReferenceImageGeometryParameterFromVolumeNode(reference)
    for segment in _segments(node):
        segment.SetTag(_TAG, str(int(segment.GetLabelValue())))
        segment.SetTag(slicer.vtkSegment.GetTerminologyEntryTagName(), TERMINOLOGY)


def _add_outlines(lesions: slicer.vtkMRMLSegmentationNode) -> slicer.vtkMRMLSegmentationNode:
    node = slicer.vtkMRMLSegmentationNode()
    node.SetName(f"{lesions.GetName()} outlines")
    node.SetAttribute(marks.RUN, marks.run_of(lesions))
    node.HideFromEditorsOn()
    node.SetSaveWithScene(False)
    lesions.GetScene().AddNode(node)
    _fill_outlines(node, lesions)
    display = node.GetDisplayNode()
    display.SetSaveWithScene(False)
    _draw_thin(display)
    lesions.SetNodeReferenceID(marks.OUTLINES, node.GetID())
    return node


def _fill_outlines(
    outlines: slicer.vtkMRMLSegmentationNode, lesions: slicer.vtkMRMLSegmentationNode
) -> None:
    labels = labels_by_number(lesions)
    # One voxel more on every side than the lesions fill, into which they can grow.
    room = resample(labels, _wider(labels.geometry), order=0)
    _fill(outlines, room.like(grown_labels(room.array)), None)
    colors = {number_of(one): (one.GetName(), one.GetColor()) for one in _segments(lesions)}
    for segment in _segments(outlines):
        name, color = colors[number_of(segment)]
        segment.SetName(name)
        segment.SetColor(*color)


def _wider(grid: Geometry) -> Geometry:
    corner = grid.world(np.array([-1.0, -1.0, -1.0]))
    shape = tuple(n + 2 for n in grid.shape)
    return Geometry(shape, grid.spacing_mm, tuple(corner), grid.direction)


def _draw_thin(display: slicer.vtkMRMLSegmentationDisplayNode) -> None:
    """Draw outlines only, so that the maps below can be read."""
    modified = display.StartModify()
    display.SetAllSegmentsVisibility2DFill(False)
    display.SetVisibility2DFill(False)
    display.SetAllSegmentsVisibility2DOutline(True)
    display.SetVisibility2DOutline(True)
    display.SetOpacity2DOutline(1.0)
    display.SetSliceIntersectionThickness(_THICKNESS_PX)
    display.EndModify(modified)


def _segments(node: slicer.vtkMRMLSegmentationNode | None) -> list[slicer.vtkSegment]:
    if node is None:
        return []
    return [node.GetSegmentation().GetSegment(one) for one in segment_ids(node)]
