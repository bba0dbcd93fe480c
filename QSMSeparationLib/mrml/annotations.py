"""Texts in the slice views: whose head it is, which map, which side, and that it is research.

The letters of the directions follow the view when it is turned. They are drawn into the view's
own renderer, as the application's Data Probe draws its ruler, so that pictures hold them too.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import slicer
import slicer.util
import vtk

from QSMSeparationLib.data.quantities import MAPS
from QSMSeparationLib.mrml import marks
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


def heading(volume: slicer.vtkMRMLVolumeNode, visit: str = "") -> str:
    """Return what stands in the corner of a view: subject, date and map, or the volume's name.

    Of two visits that are shown it is said which one a view shows.
    """
    role = marks.role_of(volume)
    if role not in MAPS:
        return volume.GetName()
    subject = volume.GetName().split(" ")[0]
    bright = ": bright = more" if MAPS[role].scale < 0 else ""
    first = " ".join(part for part in (subject, date_of(volume), visit) if part)
    return f"{first}\n{title(role, sidecar_of(volume))}{bright}"


def date_of(volume: slicer.vtkMRMLVolumeNode) -> str:
    """Return the date of a scan as its study or its sidecar knows it; empty when neither does."""
    tree = marks.hierarchy(volume.GetScene())
    item = tree.GetItemByDataNode(volume)
    while item and item != tree.GetSceneItemID():
        if date := tree.GetItemAttribute(item, _STUDY_DATE):
            return _readable(date)
        item = tree.GetItemParent(item)
    return _readable(str(sidecar_of(volume).get("AcquisitionDate", "")))


def _readable(date: str) -> str:
    return f"{date[:4]}-{date[4:6]}-{date[6:8]}" if len(date) == 8 and date.isdecimal() else date


class Annotations:
    """The texts of slice views: they follow what a view shows and how it is turned."""

    def __init__(self) -> None:
        self._views: dict[str, _ViewTexts] = {}

    def show(self, widgets: Iterable[Any]) -> None:
        """Write into slice widgets (qMRMLSliceWidget); texts that are there already stay."""
        for widget in widgets:
            key = widget.mrmlSliceNode().GetID()
            known = self._views.get(key)
            if known is None or known.view is not widget.sliceView():
                if known is not None:
                    known.remove()
                self._views[key] = _ViewTexts(widget)
            self._views[key].update()

    def clear(self) -> None:
        """Take all texts out of the views."""
        for texts in self._views.values():
            texts.remove()
        self._views = {}


class _ViewTexts:
    """The texts of one view."""

    def __init__(self, widget: Any) -> None:
        self.view = widget.sliceView()
        self._node = widget.mrmlSliceNode()
        self._composite = widget.sliceLogic().GetSliceCompositeNode()
        self._renderer = self.view.renderWindow().GetRenderers().GetFirstRenderer()
        self._edges = {
            "left": _text(0.01, 0.5, "left", "center", _FONT_PX),
            "right": _text(0.99, 0.5, "right", "center", _FONT_PX),
            "bottom": _text(0.5, 0.07, "center", "bottom", _FONT_PX),  # above the ruler
            "top": _text(0.5, 0.99, "center", "top", _FONT_PX),
        }
        self._heading = _text(0.01, 0.99, "left", "top", _FONT_PX)
        self._use = _text(0.01, 0.01, "left", "bottom", _SMALL_PX)
        self._use.SetInput(RESEARCH)
        for actor in self._actors():
            self._renderer.AddViewProp(actor)
        event = vtk.vtkCommand.ModifiedEvent
        self._tags = [
            (node, node.AddObserver(event, lambda *_: self.update()))
            for node in (self._node, self._composite)
        ]

    def _actors(self) -> list[vtk.vtkTextActor]:
        return [*self._edges.values(), self._heading, self._use]

    def update(self) -> None:
        """Write what the view shows now; nothing into one that shows nothing."""
        scene = self._composite.GetScene()
        identifier = self._composite.GetBackgroundVolumeID()
        volume = scene.GetNodeByID(identifier) if scene is not None and identifier else None
        for actor in self._actors():
            actor.SetVisibility(volume is not None)
        if volume is not None:
            self._heading.SetInput(heading(volume, self._node.GetAttribute(marks.VISIT) or ""))
            for edge, letters in edge_letters(self._node).items():
                self._edges[edge].SetInput(letters)

    def remove(self) -> None:
        """Take the texts out of the view."""
        for node, tag in self._tags:
            node.RemoveObserver(tag)
        for actor in self._actors():
            self._renderer.RemoveViewProp(actor)


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
