"""Slicer's MRML widgets (``slicer.qMRML*``) made of plain Qt over a real MRML scene.

Widgets that only show something keep the node they were given; those in which a node is chosen
have a file of their own, ``mrml_selectors.py``.
"""

from __future__ import annotations

from typing import ClassVar

import slicer
import vtk
from PySide6 import QtCore, QtWidgets
from PySide6.QtCore import Signal

from . import mrml_selectors
from .ctk_widgets import ctkSliderWidget, stored
from .scene_follower import SceneFollower, weakly


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


class qMRMLTableView(SceneFollower, QtWidgets.QTableView):
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
            self._tag = node.AddObserver(event, weakly(self._show_node))
        self._show_node()

    def _refresh(self) -> None:
        gone = self._node is not None and self._node.GetScene() is None
        if gone:
            self.setMRMLTableNode(None)

    def _show_node(self) -> None:
        self.model().show_table(self._node.GetTable() if self._node is not None else None)


class qMRMLSubjectHierarchyTreeView(SceneFollower, QtWidgets.QTreeView):
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


class qMRMLSegmentsTableView(SceneFollower, QtWidgets.QWidget):
    """The segments of a segmentation."""

    _node = None

    def segmentationNode(self) -> slicer.vtkMRMLSegmentationNode | None:
        return self._node

    def setSegmentationNode(self, node: slicer.vtkMRMLSegmentationNode | None) -> None:
        self._node = node


class qMRMLSegmentationShow3DButton(qMRMLSegmentsTableView):
    """The button that makes a surface of a segmentation."""


class qMRMLSliderWidget(SceneFollower, ctkSliderWidget):
    """A slider with the units of the scene."""

    quantity = stored(str, "quantity", "")


class qMRMLSpinBox(QtWidgets.QDoubleSpinBox):
    """Known by name alone, as Slicer's table of widgets for parameters asks for it."""


class qMRMLRangeWidget(QtWidgets.QWidget):
    """Known by name alone."""


def install() -> None:
    """Put the widgets of this file, and the selectors, into the module ``slicer``."""
    for name, value in (vars(mrml_selectors) | globals()).items():
        if name.startswith(("qMRML", "qSlicer")):
            setattr(slicer, name, value)
