"""Slicer's MRML widgets (``slicer.qMRML*``) made of plain Qt over a real MRML scene.

A selector follows the scene as the C++ one does: nodes that come and go, hidden nodes, node types
and attributes, "None". Widgets that only show something keep the node they were given.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from typing import ClassVar

import shiboken6
import slicer
import vtk
from PySide6 import QtCore, QtWidgets
from PySide6.QtCore import Property, Signal

from .ctk_widgets import ctkSliderWidget, row, stored


def _weakly(method: Callable[[], None]) -> Callable[..., None]:
    """Return an observer that calls `method` without keeping its widget alive."""
    reference = weakref.WeakMethod(method)

    def call(*_: object) -> None:
        alive = reference()
        if alive is not None and shiboken6.isValid(alive.__self__):
            alive()

    return call


class _SceneFollower:
    """Mixed into widgets that show nodes: call `_refresh` whenever the scene's nodes change."""

    _scene = None
    _scene_tags = ()

    def mrmlScene(self) -> slicer.vtkMRMLScene | None:
        return self._scene

    def setMRMLScene(self, scene: slicer.vtkMRMLScene | None) -> None:
        for tag in self._scene_tags:
            self._scene.RemoveObserver(tag)
        self._scene, self._scene_tags = scene, []
        if scene is not None:
            events = (
                scene.NodeAddedEvent,
                scene.NodeRemovedEvent,
                scene.EndCloseEvent,
                scene.EndImportEvent,
                scene.EndBatchProcessEvent,
            )
            follow = _weakly(self._follow)
            self._scene_tags = [scene.AddObserver(event, follow) for event in events]
        self._refresh()

    def _follow(self) -> None:
        scene = self._scene
        if scene is not None and not scene.IsClosing() and not scene.IsBatchProcessing():
            self._refresh()  # else at the end of it

    def _refresh(self) -> None:
        """Show the scene as it is now."""


class qMRMLWidget(QtWidgets.QWidget):
    """The top of a module's .ui: hands its scene to the children wired to it in the .ui file."""

    mrmlSceneChanged = Signal(object)
    _cpp_signals: ClassVar = {"mrmlSceneChanged(vtkMRMLScene*)": "mrmlSceneChanged"}

    def __init__(self, parent: QtWidgets.QWidget | None = None):
        super().__init__(parent)
        self._scene = None

    def mrmlScene(self) -> slicer.vtkMRMLScene | None:
        return self._scene

    def setMRMLScene(self, scene: slicer.vtkMRMLScene | None) -> None:
        self._scene = scene
        self.mrmlSceneChanged.emit(scene)


class qSlicerWidget(qMRMLWidget):
    """The older name of the same."""


class qMRMLNodeComboBox(_SceneFollower, QtWidgets.QWidget):
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
                self._watched[node] = node.AddObserver(event, _weakly(self._follow))

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


class qMRMLSegmentSelectorWidget(_SceneFollower, QtWidgets.QWidget):
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


class _TableModel(QtCore.QAbstractTableModel):
    """The cells of a vtkTable as text."""

    def __init__(self, parent: QtCore.QObject):
        super().__init__(parent)
        self._table: vtk.vtkTable | None = None

    def show_table(self, table: vtk.vtkTable | None) -> None:
        self.beginResetModel()
        self._table = table
        self.endResetModel()

    def rowCount(self, parent: object = None) -> int:
        return self._table.GetNumberOfRows() if self._table else 0

    def columnCount(self, parent: object = None) -> int:
        return self._table.GetNumberOfColumns() if self._table else 0

    def data(self, index: QtCore.QModelIndex, role: int = QtCore.Qt.DisplayRole) -> str | None:
        if role != QtCore.Qt.DisplayRole or not index.isValid():
            return None
        return self._table.GetValue(index.row(), index.column()).ToString()

    def headerData(self, section: int, orientation: object, role: int = QtCore.Qt.DisplayRole):
        if role != QtCore.Qt.DisplayRole:
            return None
        if orientation == QtCore.Qt.Horizontal:
            return self._table.GetColumnName(section)
        return str(section + 1)


class qMRMLTableView(_SceneFollower, QtWidgets.QTableView):
    """Show a table node; the column names stand in the header."""

    # Not called selectionChanged: a virtual method of QTableView has that name.
    _rows_chosen = Signal()
    _cpp_signals: ClassVar = {"selectionChanged()": "_rows_chosen"}

    def __init__(self, parent: QtWidgets.QWidget | None = None):
        super().__init__(parent)
        self._node, self._tag = None, None
        self.setModel(_TableModel(self))
        self.selectionModel().selectionChanged.connect(lambda *_: self._rows_chosen.emit())

    firstRowLocked = stored(bool, "firstRowLocked", False)
    transposed = stored(bool, "transposed", False)

    def mrmlTableNode(self) -> slicer.vtkMRMLTableNode | None:
        return self._node

    def setMRMLTableNode(self, node: slicer.vtkMRMLTableNode | None) -> None:
        if self._node is not None:
            self._node.RemoveObserver(self._tag)
        self._node = node
        if node is not None:
            event = vtk.vtkCommand.ModifiedEvent
            self._tag = node.AddObserver(event, _weakly(self._show_node))
        self._show_node()

    def _refresh(self) -> None:
        gone = self._node is not None and self._node.GetScene() is None
        if gone:
            self.setMRMLTableNode(None)

    def _show_node(self) -> None:
        self.model().show_table(self._node.GetTable() if self._node is not None else None)


class qMRMLSubjectHierarchyTreeView(_SceneFollower, QtWidgets.QTreeView):
    """The tree of the data: keeps the item that was chosen."""

    currentItemChanged = Signal(int)
    currentItemsChanged = Signal(object)
    nodeTypes = stored("QStringList", "nodeTypes", [])
    multiSelection = stored(bool, "multiSelection", False)
    contextMenuEnabled = stored(bool, "contextMenuEnabled", True)
    _item = 0

    def subjectHierarchyNode(self) -> slicer.vtkMRMLSubjectHierarchyNode:
        return slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(self._scene)

    def currentItem(self) -> int:
        return self._item

    def setCurrentItem(self, item: int) -> None:
        if item != self._item:
            self._item = item
            self.currentItemChanged.emit(item)
            self.currentItemsChanged.emit([item])

    def setCurrentNode(self, node: slicer.vtkMRMLNode) -> None:
        self.setCurrentItem(self.subjectHierarchyNode().GetItemByDataNode(node))


class qMRMLSegmentsTableView(_SceneFollower, QtWidgets.QWidget):
    """The segments of a segmentation."""

    _node = None

    def segmentationNode(self) -> slicer.vtkMRMLSegmentationNode | None:
        return self._node

    def setSegmentationNode(self, node: slicer.vtkMRMLSegmentationNode | None) -> None:
        self._node = node


class qMRMLSegmentationShow3DButton(qMRMLSegmentsTableView):
    """The button that makes a surface of a segmentation."""


class qMRMLSliderWidget(_SceneFollower, ctkSliderWidget):
    """A slider with the units of the scene."""

    quantity = stored(str, "quantity", "")


class qMRMLSpinBox(QtWidgets.QDoubleSpinBox):
    """Known by name alone, as Slicer's table of widgets for parameters asks for it."""


class qMRMLRangeWidget(QtWidgets.QWidget):
    """Known by name alone."""


def install() -> None:
    """Put the widgets of this file into the module ``slicer``."""
    for name, value in list(globals().items()):
        if name.startswith(("qMRML", "qSlicer")):
            setattr(slicer, name, value)
