"""``qt.QUiLoader`` that builds .ui files with the ctk and qMRML stand-ins and wires their scenes.

Stricter than Qt's: an unknown ctk or qMRML class, a property that the class does not have and a
connection that cannot be made raise, because in Slicer they would fail silently.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import ctk
import qt
import slicer
from PySide6 import QtCore, QtUiTools, QtWidgets

_TOOLKITS = ("ctk", "qMRML", "qSlicer")
_SCENE_CHANGED = "mrmlSceneChanged(vtkMRMLScene*)"
_SET_SCENE = "setMRMLScene(vtkMRMLScene*)"


class QUiLoader(QtUiTools.QUiLoader):
    """Load a .ui file as Slicer's loader does."""

    def createWidget(
        self, class_name: str, parent: QtWidgets.QWidget | None = None, name: str = ""
    ) -> QtWidgets.QWidget:
        if not class_name.startswith(_TOOLKITS):
            return super().createWidget(class_name, parent, name)
        cls = getattr(ctk if class_name.startswith("ctk") else slicer, class_name, None)
        if cls is None:
            raise RuntimeError(f"the test host has no stand-in for the widget class {class_name}")
        widget = cls(parent)
        widget.setObjectName(name)
        return widget

    def load(self, file: QtCore.QFile, parent: QtWidgets.QWidget | None = None):
        path = file.fileName()
        if file.isOpen():
            file.close()
        tree = ElementTree.parse(path)
        root = tree.getroot()
        connections = root.find("connections")
        if connections is not None:
            root.remove(connections)  # Qt's loader does not know the signals of stand-ins
        _make_custom_properties_dynamic(root)
        data = QtCore.QBuffer()
        data.setData(ElementTree.tostring(root))
        data.open(QtCore.QIODevice.ReadOnly)
        widget = super().load(data, parent)
        children = {c.objectName: c for c in [widget, *widget.findChildren(QtCore.QObject)]}
        _set_custom_properties(root, children, path)
        for connection in connections if connections is not None else ():
            _connect(connection, children, path)
        return widget


def _custom(root: ElementTree.Element) -> list[ElementTree.Element]:
    return [w for w in root.iter("widget") if w.get("class", "").startswith(_TOOLKITS)]


def _make_custom_properties_dynamic(root: ElementTree.Element) -> None:
    """Mark the properties of stand-ins so that Qt's loader does not skip those it cannot see."""
    for widget in _custom(root):
        for prop in widget.findall("property"):
            prop.attrib.pop("stdset", None)


def _set_custom_properties(
    root: ElementTree.Element, children: dict[str, QtCore.QObject], path: str
) -> None:
    for element in _custom(root):
        widget = children[element.get("name")]
        for prop in element.findall("property"):
            name = prop.get("name")
            if name.startswith("Slicer"):
                continue  # dynamic by intent
            if widget.metaObject().indexOfProperty(name) < 0:
                raise RuntimeError(
                    f"{path}: {element.get('class')} has no property {name} (in the test host)"
                )


def _connect(
    connection: ElementTree.Element, children: dict[str, QtCore.QObject], path: str
) -> None:
    sender, signal, receiver, slot = (
        connection.findtext(tag) for tag in ("sender", "signal", "receiver", "slot")
    )
    for name in (sender, receiver):
        if name not in children:
            raise RuntimeError(f"{path}: a connection names {name}, which is not in the file")
    if (signal == _SCENE_CHANGED) != (slot == _SET_SCENE):
        raise RuntimeError(f"{path}: cannot connect {signal} to {slot}")
    method = getattr(children[receiver], slot.split("(")[0], None)
    if method is None:
        raise RuntimeError(f"{path}: {receiver} has no slot {slot}")
    children[sender].connect(signal, method)


def install() -> None:
    """Make this the loader that ``slicer.util.loadUI`` uses."""
    qt.QUiLoader = QUiLoader
