"""Texts in the slice views: whose head it is, which map, which side, and that it is research.

The letters of the directions follow the view when it is turned. They are drawn into the view's
own renderer, as the application's Data Probe draws its ruler, so that pictures hold them too.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
import slicer.util
import vtk

from QSMSeparationLib.data.quantities import MAPS
from QSMSeparationLib.mrml import marks
from QSMSeparationLib.mrml.runs import Run
from QSMSeparationLib.mrml.volumes import sidecar_of, title

RESEARCH = "Research use only"
_STUDY_DATE = "DICOM.StudyDate"  # attribute of studies in the subject hierarchy
_SECOND_LETTER = 0.38
"""Share of a second direction from which an oblique view gets two letters: about 22 degrees."""
_FONT_PX = 14
_SMALL_PX = 11


def direction(ras: np.ndarray) -> str:
    """Return the letters of a direction of the patient: ``R``, ``AS``."""
    order = np.argsort(-np.abs(ras))
    letters = [("LR", "PA", "IS")[axis][int(ras[axis] > 0)] for axis in order]
    return letters[0] + (letters[1] if abs(ras[order[1]]) > _SECOND_LETTER else "")


def edge_letters(node: slicer.vtkMRMLSliceNode) -> dict[str, str]:
    """Return the letters at the ``left``, ``right``, ``bottom`` and ``top`` edge of a view."""
    to_ras = slicer.util.arrayFromVTKMatrix(node.GetSliceToRAS())
    across, up = to_ras[:3, 0], to_ras[:3, 1]
    return {
        "left": direction(-across),
        "right": direction(across),
        "bottom": direction(-up),
        "top": direction(up),
    }


def heading(run: Run, role: str) -> str:
    """Return what stands in the corner of a view: subject, date, map."""
    first = run.node("chi_para")
    subject = first.GetName().split(" ")[0] if first is not None else ""
    lines = [" ".join(part for part in (subject, date_of(run)) if part)]
    node = run.node(role)
    if node is not None and role in MAPS:
        bright = ": bright = more" if role == "chi_dia" else ""
        lines.append(f"{title(role, sidecar_of(node))}{bright}")
    return "\n".join(line for line in lines if line)


def date_of(run: Run) -> str:
    """Return the date of the scan as the scene or the sidecar knows it; empty when neither does."""
    tree = marks.hierarchy(run.scene)
    item = run.folder
    while item and item != tree.GetSceneItemID():
        if date := tree.GetItemAttribute(item, _STUDY_DATE):
            return _readable(date)
        item = tree.GetItemParent(item)
    first = run.node("chi_para")
    return _readable(str(sidecar_of(first).get("AcquisitionDate", ""))) if first else ""


def _readable(date: str) -> str:
    return f"{date[:4]}-{date[4:6]}-{date[6:8]}" if len(date) == 8 and date.isdecimal() else date


class Annotations:
    """The texts of the views that show a run.

    They stay until :meth:`clear`; :meth:`show` renews them.
    """

    def __init__(self) -> None:
        self._views: dict[str, _ViewTexts] = {}

    def show(self, widgets: list[tuple[str, Any]], run: Run) -> None:
        """Write into views.

        Parameters
        ----------
        widgets : list of (str, qMRMLSliceWidget)
            Every view with the role of its map; empty for a volume of the user.
        run : Run
            What they show.
        """
        self.clear()
        for role, widget in widgets:
            texts = _ViewTexts(widget)
            texts.write(heading(run, role))
            self._views[widget.mrmlSliceNode().GetID()] = texts

    def clear(self) -> None:
        """Take all texts out of the views."""
        for texts in self._views.values():
            texts.remove()
        self._views = {}


class _ViewTexts:
    """The texts of one view."""

    def __init__(self, widget: Any) -> None:
        self._view, self._node = widget.sliceView(), widget.mrmlSliceNode()
        self._renderer = self._view.renderWindow().GetRenderers().GetFirstRenderer()
        self._edges = {
            "left": _text(0.01, 0.5, "left", "center", _FONT_PX),
            "right": _text(0.99, 0.5, "right", "center", _FONT_PX),
            "bottom": _text(0.5, 0.01, "center", "bottom", _FONT_PX),
            "top": _text(0.5, 0.99, "center", "top", _FONT_PX),
        }
        self._heading = _text(0.01, 0.99, "left", "top", _FONT_PX)
        self._use = _text(0.01, 0.01, "left", "bottom", _SMALL_PX)
        self._use.SetInput(RESEARCH)
        for actor in self._actors():
            self._renderer.AddViewProp(actor)
        event = vtk.vtkCommand.ModifiedEvent
        self._tag = self._node.AddObserver(event, lambda *_: self._turn())
        self._turn()

    def _actors(self) -> list[vtk.vtkTextActor]:
        return [*self._edges.values(), self._heading, self._use]

    def write(self, text: str) -> None:
        """Write the heading."""
        self._heading.SetInput(text)
        self._view.scheduleRender()

    def remove(self) -> None:
        """Take the texts out of the view."""
        self._node.RemoveObserver(self._tag)
        for actor in self._actors():
            self._renderer.RemoveViewProp(actor)
        self._view.scheduleRender()

    def _turn(self) -> None:
        for edge, letters in edge_letters(self._node).items():
            self._edges[edge].SetInput(letters)


def _text(x: float, y: float, across: str, up: str, size: int) -> vtk.vtkTextActor:
    """Return a text at a place of the view, its size in pixels whatever the view's."""
    actor = vtk.vtkTextActor()
    actor.GetPositionCoordinate().SetCoordinateSystemToNormalizedViewport()
    actor.SetPosition(x, y)
    style = actor.GetTextProperty()
    style.SetFontSize(size)
    style.SetColor(1.0, 1.0, 1.0)
    style.ShadowOn()
    getattr(style, {"left": "SetJustificationToLeft", "right": "SetJustificationToRight",
                    "center": "SetJustificationToCentered"}[across])()  # fmt: skip
    getattr(style, {"bottom": "SetVerticalJustificationToBottom",
                    "top": "SetVerticalJustificationToTop",
                    "center": "SetVerticalJustificationToCentered"}[up])()  # fmt: skip
    return actor
