"""The sectors that a rim call rests on, as dots around the lesion on the slice that shows it best.

Dots in the color of a rim mark sectors that stand above core and white matter, grey dots those
that do not; sectors that cannot be judged get none.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
from numpy.typing import NDArray

from QSMSeparationLib.data.volume import Volume
from QSMSeparationLib.lesions.classes import class_rgb
from QSMSeparationLib.lesions.rim import SLICE_SECTORS, sector_angles, slice_axis
from QSMSeparationLib.mrml import marks
from QSMSeparationLib.mrml.lesions import labels_by_number
from QSMSeparationLib.mrml.runs import Run

_DOT_MM = 1.0
_AWAY_MM = 2.5
"""From the border of the lesion to the dots: beyond the outline, which runs a voxel outside."""


def sector_points(
    labels: Volume, lesion: int, sectors: str, middle_lps: tuple[float, float, float]
) -> NDArray[np.float64]:
    """Return where the dots of all sectors lie, (sector, 3) in LPS.

    Parameters
    ----------
    labels : Volume
        Lesions by their number, on the grid of the maps.
    lesion : int
        Which one.
    sectors : str
        A sign a sector.
    middle_lps : tuple of float
        Middle of the lesion on the slice of the sectors.
    """
    grid = labels.geometry
    scale = np.asarray(grid.spacing_kji)
    axis = slice_axis(grid.b0_kji)
    plane = [a for a in range(3) if a != axis]
    middle = grid.index(np.asarray(middle_lps))
    number = int(np.clip(np.rint(middle[axis]), 0, grid.shape[axis] - 1))
    inside = np.argwhere(np.take(labels.array == lesion, number, axis=axis))
    away = (inside - middle[plane]) * scale[plane]
    points = np.tile(middle, (len(sectors), 1))
    for n, angle in enumerate(sector_angles()):
        along = np.array([np.sin(angle), np.cos(angle)])
        radius = float((away @ along).max(initial=0.0)) + _AWAY_MM
        points[n, plane] += radius * along / scale[plane]
    return grid.world(points)


def show_sectors(run: Run, row: dict[str, Any]) -> slicer.vtkMRMLMarkupsFiducialNode | None:
    """Show the sectors of a lesion, and hide those of any other; None where it has none.

    Parameters
    ----------
    run : Run
        The run.
    row : dict
        The lesion's row of the table.
    """
    hide_sectors(run)
    signs = str(row.get("rim_sectors", ""))[1:]
    lesions, reference = run.node(marks.LESIONS), run.node("chi_para")
    if len(signs) != SLICE_SECTORS or lesions is None or reference is None:
        return None
    x, y, z = (float(row[f"rim_{axis}_lps_mm"]) for axis in "xyz")
    labels = labels_by_number(lesions, reference)
    points = sector_points(labels, int(float(row["id"])), signs, (x, y, z))
    return _dots(run, points, signs)


def hide_sectors(run: Run) -> None:
    """Take the dots of a run away."""
    lesions = run.node(marks.LESIONS)
    node = lesions.GetNodeReference(marks.SECTORS) if lesions is not None else None
    if node is not None:
        display = node.GetDisplayNode()
        run.scene.RemoveNode(node)
        if display is not None:
            run.scene.RemoveNode(display)


def _dots(run: Run, points: NDArray[np.float64], signs: str) -> slicer.vtkMRMLMarkupsFiducialNode:
    node = slicer.vtkMRMLMarkupsFiducialNode()
    lesions = run.need(marks.LESIONS)
    node.SetName(f"{lesions.GetName()} sectors")
    node.SetAttribute(marks.RUN, run.identifier)
    node.HideFromEditorsOn()
    node.SetSaveWithScene(False)
    run.scene.AddNode(node)
    node.CreateDefaultDisplayNodes()
    for (x, y, z), sign in zip(points, signs, strict=True):
        if sign != ".":
            n = node.AddControlPoint(-x, -y, z)
            node.SetNthControlPointSelected(n, sign == "+")
    node.SetLocked(True)
    display = node.GetDisplayNode()
    display.SetSaveWithScene(False)
    display.SetAttribute(marks.RUN, run.identifier)
    display.SetPointLabelsVisibility(False)
    display.SetPropertiesLabelVisibility(False)
    display.SetSelectedColor(*class_rgb("rim"))
    display.SetColor(*class_rgb("small"))
    display.SetUseGlyphScale(False)
    display.SetGlyphSize(_DOT_MM)
    lesions.SetNodeReferenceID(marks.SECTORS, node.GetID())
    return node
