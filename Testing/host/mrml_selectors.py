"""Slicer's widgets in which a node is chosen, made of plain Qt over a real MRML scene.

A selector follows the scene as the C++ one does: nodes that come and go, hidden nodes, node types
and attributes, "None".
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

import slicer
import vtk
from PySide6 import QtWidgets
from PySide6.QtCore import Property, Signal

from .ctk_widgets import row, stored
from .scene_follower import SceneFollower, weakly


class qMRMLNodeComboBox(SceneFollower, QtWidgets.QWidget):
    """Choose a node of the scene."""

    currentNodeChanged = Signal(object)
    currentNodeIDChanged = Signal(str)
    nodeAddedByUser = Signal(object)
    nodeActivated = Signal(object)
    _cpp_signals: ClassVar = {
        "currentNodeChanged(vtkMRMLNode*)": "currentNodeChanged",
        "currentNodeChanged(bool)": "currentNodeChanged",
        "nodeAddedByUser(vtkMRMLNode*)": "nodeAddedByUser",
        "nodeActivated(vtkMRMLNode*)": "nodeActivated",
    }

    def __init__(self, parent: QtWidgets.QWidget | None = None):
        super().__init__(parent)
        self._ids: list[str | None] = []
        self._current: str | None = None
        self._attributes: dict[str, list[tuple[str, object]]] = {}
        self._watched: dict[slicer.vtkMRMLNode, int] = {}
        self._combo = QtWidgets.QComboBox()
        row(self, self._combo)
        self._combo.currentIndexChanged.connect(self._picked)

    def _option(kind: object, name: str, default: object) -> Property:
        return stored(kind, name, default, notify="_optionChanged")

    _optionChanged = Signal(object)
    nodeTypes = _option("QStringList", "nodeTypes", [])
    hideChildNodeTypes = _option("QStringList", "hideChildNodeTypes", [])
    noneEnabled = _option(bool, "noneEnabled", False)
    addEnabled = _option(bool, "addEnabled", True)
    removeEnabled = _option(bool, "removeEnabled", True)
    renameEnabled = _option(bool, "renameEnabled", False)
    editEnabled = _option(bool, "editEnabled", False)
    showHidden = _option(bool, "showHidden", False)
    showChildNodeTypes = _option(bool, "showChildNodeTypes", True)
    selectNodeUponCreation = _option(bool, "selectNodeUponCreation", True)
    baseName = _option(str, "baseName", "")
    noneDisplay = _option(str, "noneDisplay", "None")
    interactionNodeSingletonTag = _option(str, "interactionNodeSingletonTag", "")

    _on_nodeTypes = _on_hideChildNodeTypes = _on_noneEnabled = lambda self: self._refresh()
    _on_showHidden = _on_showChildNodeTypes = _on_noneDisplay = lambda self: self._refresh()

    def setNodeTypeLabel(self, label: str, node_type: str) -> None:
        """Name a type in the menu that adds nodes: there is no such menu here."""

    def addAttribute(self, node_type: str, name: str, value: object = None) -> None:
        self._attributes.setdefault(node_type, []).append((name, value))
        self._refresh()

    def removeAttribute(self, node_type: str, name: str) -> None:
        kept = [pair for pair in self._attributes.get(node_type, []) if pair[0] != name]
        self._attributes[node_type] = kept
        self._refresh()

    def currentNode(self) -> slicer.vtkMRMLNode | None:
        known = self._scene is not None and self._current is not None
        return self._scene.GetNodeByID(self._current) if known else None

    def setCurrentNode(self, node: slicer.vtkMRMLNode | None) -> None:
        self.setCurrentNodeID(node.GetID() if node is not None else "")

    def setCurrentNodeID(self, node_id: str | None) -> None:
        wanted = node_id if node_id in self._ids else None
        if wanted is None and not self.noneEnabled and self._ids:
            return  # as in C++: where None is no choice, the present node stays
        self._choose(wanted)

    currentNodeID = Property(str, lambda self: self._current or "", setCurrentNodeID)

    def nodeCount(self) -> int:
        return sum(node_id is not None for node_id in self._ids)

    def nodeFromIndex(self, index: int) -> slicer.vtkMRMLNode | None:
        offset = self._ids[:1] == [None]
        return self._scene.GetNodeByID(self._ids[index + offset])

    def addNode(self, node_type: str = "") -> slicer.vtkMRMLNode:
        node = self._scene.AddNewNodeByClass(node_type or self.nodeTypes[0], self.baseName)
        if self.selectNodeUponCreation:
            self.setCurrentNode(node)
        self.nodeAddedByUser.emit(node)
        return node

    def _candidates(self) -> dict[slicer.vtkMRMLNode, str]:
        """Return the nodes of the scene that are of the wanted types, each with its type."""
        if self._scene is None:
            return {}
        types, left_out = self.nodeTypes, self.hideChildNodeTypes
        children_too, found = self.showChildNodeTypes, {}
        # Asked by class, or else by their common base: the scene does that much faster than Python.
        wanted = types[0] if len(types) == 1 else "vtkMRMLNode"
        for node in slicer.util.getNodesByClass(wanted, self._scene) if types else ():
            name = node.GetClassName()
            fits = node.IsA if children_too else name.__eq__
            kind = next((node_type for node_type in types if fits(node_type)), None)
            if kind is not None and name not in left_out:
                found[node] = kind
        return found

    def _accepts(self, node: slicer.vtkMRMLNode, kind: str) -> bool:
        if node.GetHideFromEditors() and not self.showHidden:
            return False
        return all(_has_attribute(node, *pair) for pair in self._attributes.get(kind, ()))

    def _watch(self, nodes: Iterable[slicer.vtkMRMLNode]) -> None:
        """Follow changes of the name, the attributes and the visibility of `nodes` only."""
        for gone in set(self._watched) - set(nodes):
            gone.RemoveObserver(self._watched.pop(gone))
        for node in nodes:
            if node not in self._watched:
                event = vtk.vtkCommand.ModifiedEvent
                self._watched[node] = node.AddObserver(event, weakly(self._follow))

    def _refresh(self) -> None:
        candidates = self._candidates()
        self._watch(candidates)
        nodes = [node for node, kind in candidates.items() if self._accepts(node, kind)]
        none = [None] if self.noneEnabled else []
        self._ids = none + [node.GetID() for node in nodes]
        self._combo.blockSignals(True)
        self._combo.clear()
        self._combo.addItems([self.noneDisplay] * len(none) + [node.GetName() for node in nodes])
        self._combo.blockSignals(False)
        if self._current in self._ids:
            self._show_current()
        else:
            self._choose(self._ids[0] if self._ids else None)

    def _show_current(self) -> None:
        self._combo.blockSignals(True)
        known = self._current in self._ids
        self._combo.setCurrentIndex(self._ids.index(self._current) if known else -1)
        self._combo.blockSignals(False)

    def _choose(self, node_id: str | None) -> None:
        changed = node_id != self._current
        self._current = node_id
        self._show_current()
        if changed:
            self.currentNodeChanged.emit(self.currentNode())
            self.currentNodeIDChanged.emit(node_id or "")

    def _picked(self, index: int) -> None:
        self._choose(self._ids[index] if 0 <= index < len(self._ids) else None)


def _has_attribute(node: slicer.vtkMRMLNode, name: str, value: object) -> bool:
    found = node.GetAttribute(name)
    return found is not None and (value is None or found == str(value))


class qMRMLSegmentSelectorWidget(SceneFollower, QtWidgets.QWidget):
    """Choose a segmentation and one of its segments."""

    currentNodeChanged = Signal(object)
    currentSegmentChanged = Signal(str)
    _cpp_signals: ClassVar = {"currentNodeChanged(vtkMRMLNode*)": "currentNodeChanged"}

    def __init__(self, parent: QtWidgets.QWidget | None = None):
        super().__init__(parent)
        self._nodes = qMRMLNodeComboBox()
        self._nodes.nodeTypes = ["vtkMRMLSegmentationNode"]
        self._segments = QtWidgets.QComboBox()
        row(self, self._nodes, self._segments)
        self._nodes.currentNodeChanged.connect(self._node_changed)
        self._segments.currentIndexChanged.connect(self._segment_changed)

    def _get_none(self) -> bool:
        return self._nodes.noneEnabled

    def _set_none(self, value: bool) -> None:
        self._nodes.noneEnabled = value

    noneEnabled = Property(bool, _get_none, _set_none)
    segmentationNodeSelectorVisible = stored(bool, "segmentationNodeSelectorVisible", True)

    def _refresh(self) -> None:
        self._nodes.setMRMLScene(self._scene)

    def currentNode(self) -> slicer.vtkMRMLSegmentationNode | None:
        return self._nodes.currentNode()

    def setCurrentNode(self, node: slicer.vtkMRMLSegmentationNode | None) -> None:
        self._nodes.setCurrentNode(node)

    def currentSegmentID(self) -> str:
        return self._segments.currentData or ""

    def setCurrentSegmentID(self, segment_id: str) -> None:
        self._segments.setCurrentIndex(self._segments.findData(segment_id))

    def _node_changed(self, node: slicer.vtkMRMLSegmentationNode | None) -> None:
        self._segments.clear()
        segmentation = node.GetSegmentation() if node is not None else None
        for index in range(segmentation.GetNumberOfSegments() if segmentation else 0):
            segment = segmentation.GetNthSegment(index)
            self._segments.addItem(segment.GetName(), segmentation.GetNthSegmentID(index))
        self.currentNodeChanged.emit(node)

    def _segment_changed(self) -> None:
        self.currentSegmentChanged.emit(self.currentSegmentID())
