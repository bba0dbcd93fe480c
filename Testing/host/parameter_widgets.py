"""Which widget can show which kind of parameter, and how it is read and written.

The table at the end has the pairs that Slicer has, and like Slicer it goes by the exact class of
the widget: a ``ctkComboBox`` cannot be bound, for example.
"""

from __future__ import annotations

import enum
import math
import pathlib
from collections.abc import Callable
from dataclasses import dataclass, field

import ctk
import qt
import slicer

from .parameter_validators import Choice, Decimals, Maximum, Minimum, SingleStep, WithinRange


@dataclass
class Connector:
    """A widget seen as a value: the signal of its change, reading and writing it."""

    widget: object
    signal: str
    read: Callable[[], object]
    write: Callable[[object], None]
    _slot: Callable | None = field(default=None, init=False)

    def connect(self, slot: Callable) -> None:
        self._slot = slot
        getattr(self.widget, self.signal).connect(slot)

    def disconnect(self) -> None:
        getattr(self.widget, self.signal).disconnect(self._slot)


def _attribute(widget: object, name: str, signal: str) -> Connector:
    return Connector(
        widget, signal, lambda: getattr(widget, name), lambda v: setattr(widget, name, v)
    )


def _checked(parameter: object, widget: object) -> Connector:
    if not widget.checkable:
        widget.checkable = True
    return _attribute(widget, "checked", "toggled")


def _number(parameter: object, widget: object) -> Connector:
    for annotation, name in ((Decimals, "decimals"), (SingleStep, "singleStep")):
        found = parameter.find(annotation)
        if found is not None:
            setattr(widget, name, found.value)
    within = parameter.find(WithinRange)
    low = within or parameter.find(Minimum)
    high = within or parameter.find(Maximum)
    if isinstance(widget, (qt.QSlider, ctk.ctkSliderWidget)) and not (low and high):
        raise RuntimeError(f"{parameter.name}: a slider needs a parameter with both bounds")
    limits = (-(2**31), 2**31 - 1) if parameter.type is int else (-math.inf, math.inf)
    widget.minimum = low.minimum if low else limits[0]
    widget.maximum = high.maximum if high else limits[1]
    return _attribute(widget, "value", "valueChanged")


def _text(parameter: object, widget: object) -> Connector:
    def write(value: str) -> None:
        if widget.text != value:  # else the cursor would jump while one types
            widget.text = value

    return Connector(widget, "textChanged", lambda: widget.text, write)


def _plain_text(parameter: object, widget: object) -> Connector:
    return Connector(widget, "textChanged", widget.toPlainText, widget.setPlainText)


def _choices(parameter: object, widget: object) -> Connector:
    if isinstance(parameter.type, type) and issubclass(parameter.type, enum.Enum):
        values = list(parameter.type)
        label = getattr(parameter.type, "label", lambda value: value.name)
    else:
        choice = parameter.find(Choice)
        if choice is None:
            raise RuntimeError(f"{parameter.name}: a combo box needs a Choice annotation")
        values, label = choice.choices, str
    widget.clear()
    widget.addItems([label(value) for value in values])

    def write(value: object) -> None:
        widget.currentIndex = values.index(value)

    return Connector(widget, "currentIndexChanged", lambda: values[widget.currentIndex], write)


def _path(name: str, signal: str) -> Callable[[object, object], Connector]:
    def make(parameter: object, widget: object) -> Connector:
        return Connector(
            widget,
            signal,
            lambda: parameter.type(getattr(widget, name)),
            lambda value: setattr(widget, name, str(value)),
        )

    return make


def _node(parameter: object, widget: object) -> Connector:
    widget.nodeTypes = [t.__name__ for t in parameter.node_types]
    return Connector(widget, "currentNodeChanged", widget.currentNode, widget.setCurrentNode)


def _tree_node(parameter: object, widget: object) -> Connector:
    widget.nodeTypes = [t.__name__ for t in parameter.node_types]

    def read() -> object:
        return widget.subjectHierarchyNode().GetItemDataNode(widget.currentItem())

    def write(node: object) -> None:
        if node is None:
            widget.clearSelection()
        else:
            widget.setCurrentNode(node)

    return Connector(widget, "currentItemsChanged", read, write)


def _kind(parameter: object) -> object:
    """Return the type by which the table is searched."""
    if parameter.node_types:
        return slicer.vtkMRMLNode
    kind = parameter.type
    if isinstance(kind, type) and issubclass(kind, pathlib.PurePath):
        return pathlib.Path
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return enum.Enum
    return kind


_TABLE: dict[tuple[type, object], Callable[[object, object], Connector]] = {
    (qt.QCheckBox, bool): _checked,
    (qt.QPushButton, bool): _checked,
    (qt.QSlider, int): _number,
    (qt.QSpinBox, int): _number,
    (qt.QDoubleSpinBox, float): _number,
    (ctk.ctkSliderWidget, float): _number,
    **{(qt.QComboBox, kind): _choices for kind in (int, float, str, bool, enum.Enum)},
    (qt.QLineEdit, str): _text,
    (qt.QTextEdit, str): _plain_text,
    (ctk.ctkPathLineEdit, pathlib.Path): _path("currentPath", "currentPathChanged"),
    (ctk.ctkDirectoryButton, pathlib.Path): _path("directory", "directoryChanged"),
    (slicer.qMRMLNodeComboBox, slicer.vtkMRMLNode): _node,
    (slicer.qMRMLSubjectHierarchyTreeView, slicer.vtkMRMLNode): _tree_node,
}


def connector(parameter: object, widget: object) -> Connector:
    """Return the connector of `widget` for `parameter`, or raise as Slicer does."""
    make = _TABLE.get((type(widget), _kind(parameter)))
    if make is None:
        raise RuntimeError(
            f"Unable to create GUI connector from datatype '{parameter.hint}' of {parameter.name} "
            f"to widget type '{type(widget).__name__}'"
        )
    return make(parameter, widget)
