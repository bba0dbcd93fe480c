"""``qt.QUiLoader`` that builds .ui files with the ctk and qMRML stand-ins and wires their scenes.

Stricter than Qt's: an unknown ctk or qMRML class, a property that the class does not have and a
connection that cannot be made raise, because in Slicer they would fail silently.
"""

from __future__ import annotations

import functools
import operator
import re
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
        widget = _class(class_name)(parent)
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
        enumerations = _take_custom_enumerations(root)
        data = QtCore.QBuffer()
        data.setData(ElementTree.tostring(root))
        data.open(QtCore.QIODevice.ReadOnly)
        widget = super().load(data, parent)
        children = {c.objectName: c for c in [widget, *widget.findChildren(QtCore.QObject)]}
        _check_custom_properties(root, children, path)
        for name, prop, value in enumerations:
            children[name].setProperty(prop, value)
        for connection in connections if connections is not None else ():
            _connect(connection, children, path)
        return widget


def _class(name: str) -> type[QtWidgets.QWidget]:
    cls = getattr(ctk if name.startswith("ctk") else slicer, name, None)
    if cls is None:
        raise RuntimeError(f"the test host has no stand-in for the widget class {name}")
    return cls


def _custom(root: ElementTree.Element) -> list[ElementTree.Element]:
    return [w for w in root.iter("widget") if w.get("class", "").startswith(_TOOLKITS)]


def _take_custom_enumerations(root: ElementTree.Element) -> list[tuple[str, str, int]]:
    """Take flags such as ``ctkPathLineEdit::Dirs`` out: to Qt's loader they are only numbers.

    Returns
    -------
    list
        Name of the widget, name of the property, value.
    """
    taken = []
    for widget in _custom(root):
        cls = _class(widget.get("class"))
        for prop in [p for p in widget.findall("property") if p.find("set") is not None]:
            names = re.findall(rf"{cls.__name__}::(\w+)", prop.findtext("set"))
            value = functools.reduce(operator.or_, (getattr(cls, name) for name in names), 0)
            taken.append((widget.get("name"), prop.get("name"), value))
            widget.remove(prop)
    return taken


def _check_custom_properties(
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
