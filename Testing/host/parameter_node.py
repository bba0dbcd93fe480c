"""``slicer.parameterNodeWrapper``: typed parameters in a MRML node, bound to widgets.

Written from the documented behavior. Kinds of parameter: str, int, float, bool, Path, Enum, a
MRML node (or a union of node classes), and lists and dictionaries of plain values. Values are
checked when they are set and kept as text in the node, so they survive scene files. Widgets are
bound by their ``SlicerParameterName``, both ways, and only the pairs of widget class and type that
Slicer has are accepted.
"""

from __future__ import annotations

import enum
import json
import sys
import types
import typing
from collections.abc import Callable

import slicer
import vtk

from . import parameter_widgets
from .parameter_validators import Default, Validator

PROPERTY = "SlicerParameterName"


class Parameter:
    """One parameter: how it is checked, written to a node and read back."""

    def __init__(self, name: str, hint: object, default: object = None):
        self.name = name
        self.hint = hint
        self.type, self.annotations = split_hint(hint)
        self.node_types = _node_types(self.type)
        self.validators = [a for a in self.annotations if isinstance(a, Validator)]
        self.default = default if default is not None else self._first_value()

    def find(self, kind: type) -> object | None:
        """Return the annotation of class `kind`, or None."""
        return next((a for a in self.annotations if isinstance(a, kind)), None)

    def _first_value(self) -> object:
        given = self.find(Default)
        if given is not None:
            return given.value
        if self.node_types:
            return None
        if _is_enum(self.type):
            return next(iter(self.type))
        return (typing.get_origin(self.type) or self.type)()

    def refuse_union_without_none(self) -> None:
        """Raise TypeError where Slicer's does: None, the first value of nodes, fits no member."""
        members = typing.get_args(self.type)
        if len(members) > 1 and self.node_types and type(None) not in members:
            raise TypeError(f"Unable to write value 'None' of type '{type(None)}' ({self.name})")

    def check(self, value: object) -> None:
        """Raise TypeError or ValueError unless `value` may be kept."""
        if self.node_types:
            if value is not None and not isinstance(value, self.node_types):
                names = " or ".join(t.__name__ for t in self.node_types)
                raise TypeError(f"{self.name} must be a {names}, is {type(value).__name__}")
        else:
            kind = typing.get_origin(self.type) or self.type
            allowed = (int, float) if kind is float else kind
            if not isinstance(value, allowed):
                raise TypeError(f"{self.name} must be {kind.__name__}, is {value!r}")
        for validator in self.validators:
            validator.validate(value)

    def write(self, node: slicer.vtkMRMLNode, value: object) -> None:
        """Check `value` and put it into `node`."""
        self.check(value)
        if self.node_types:
            node.SetParameter(self.name, "")  # says that it was set, as None is a value too
            node.SetNodeReferenceID(self.name, value.GetID() if value is not None else None)
        elif _is_enum(self.type):
            node.SetParameter(self.name, value.name)
        elif typing.get_origin(self.type) or self.type in (list, dict, tuple):
            node.SetParameter(self.name, json.dumps(value))
        else:
            node.SetParameter(self.name, str(value))

    def read(self, node: slicer.vtkMRMLNode) -> object:
        """Return the value in `node`; put the default there first where there is none."""
        if not node.HasParameter(self.name):
            self.write(node, self.default)
        if self.node_types:
            return node.GetNodeReference(self.name)
        text = node.GetParameter(self.name)
        if self.type is bool:
            return text == "True"
        if _is_enum(self.type):
            return self.type[text]
        origin = typing.get_origin(self.type) or self.type
        if origin in (list, dict, tuple):
            return origin(json.loads(text))
        return self.type(text)


def split_hint(hint: object) -> tuple[object, list]:
    """Return the bare type of a type hint and its annotations."""
    if typing.get_origin(hint) is typing.Annotated:
        bare, *annotations = typing.get_args(hint)
        return bare, annotations
    return hint, []


def _is_enum(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, enum.Enum)


def _node_types(kind: object) -> tuple[type, ...]:
    union = typing.get_origin(kind) in (typing.Union, types.UnionType)
    members = [m for m in (typing.get_args(kind) if union else (kind,)) if m is not type(None)]
    is_node = all(isinstance(m, type) and issubclass(m, slicer.vtkMRMLNode) for m in members)
    return tuple(members) if is_node else ()


class _Wrapper:
    """What the decorator adds to a class of parameters."""

    allParameters: typing.ClassVar[dict[str, Parameter]]

    def __init__(self, parameterNode: slicer.vtkMRMLNode):
        self.parameterNode = parameterNode
        self._bindings: dict[int, list[tuple[str, object]]] = {}
        self._updating_widgets = False
        for parameter in self.allParameters.values():
            parameter.refuse_union_without_none()
            parameter.read(parameterNode)

    def _parameter(self, name: str) -> Parameter:
        if name not in self.allParameters:
            known = ", ".join(self.allParameters)
            raise ValueError(f"Cannot find a param with the given name: {name} (known: {known})")
        return self.allParameters[name]

    def getValue(self, name: str) -> object:
        return self._parameter(name).read(self.parameterNode)

    def setValue(self, name: str, value: object) -> None:
        self._parameter(name).write(self.parameterNode, value)

    def default(self, name: str) -> Default:
        return Default(self._parameter(name).default)

    def isCached(self, name: str) -> bool:
        self._parameter(name)
        return False

    def connectGui(self, gui: object) -> int:
        """Bind every widget of `gui` (a widget, or an object with widgets as attributes)."""
        if hasattr(gui, "findChildren"):
            import qt

            widgets = gui.findChildren(qt.QWidget)
        else:
            widgets = vars(gui).values()
        named = {w.property(PROPERTY): w for w in widgets if w.property(PROPERTY)}
        return self.connectParametersToGui(named)

    def connectParametersToGui(self, mapping: dict[str, object]) -> int:
        """Bind parameters to widgets; the returned tag is for `disconnectGui`."""
        parameters = [self._parameter(name) for name in mapping]
        connectors = [
            (p.name, parameter_widgets.connector(p, widget))
            for p, widget in zip(parameters, mapping.values(), strict=True)
        ]
        for name, connector in connectors:
            connector.write(self.getValue(name))
            connector.connect(self._taker(name, connector))
        event = vtk.vtkCommand.ModifiedEvent
        tag = self.parameterNode.AddObserver(event, lambda *_: self._update_widgets())
        self._bindings[tag] = connectors
        return tag

    def disconnectGui(self, tag: int) -> None:
        """Undo a binding; an unknown tag is ignored."""
        if tag in self._bindings:
            self.parameterNode.RemoveObserver(tag)
            for _, connector in self._bindings.pop(tag):
                connector.disconnect()

    def _taker(self, name: str, connector: object) -> Callable[..., None]:
        def take(*_: object) -> None:
            if not self._updating_widgets:
                self.setValue(name, connector.read())

        return take

    def _update_widgets(self) -> None:
        if self._updating_widgets:
            return
        self._updating_widgets = True
        try:
            for connectors in list(self._bindings.values()):
                for name, connector in connectors:
                    connector.write(self.getValue(name))
        finally:
            self._updating_widgets = False

    def StartModify(self) -> int:
        return self.parameterNode.StartModify()

    def EndModify(self, was_modifying: int) -> int:
        return self.parameterNode.EndModify(was_modifying)

    def AddObserver(self, event: object, callback: Callable, priority: float = 0.0) -> int:
        return self.parameterNode.AddObserver(event, callback, priority)

    def RemoveObserver(self, tag: int) -> None:
        self.parameterNode.RemoveObserver(tag)

    def Modified(self) -> None:
        self.parameterNode.Modified()


def parameterNodeWrapper(cls: type | None = None) -> object:
    """Class decorator: make the annotated attributes of a class parameters of a MRML node."""
    if cls is None:
        return parameterNodeWrapper
    parameters = {}
    for name, hint in typing.get_type_hints(cls, include_extras=True).items():
        parameters[name] = Parameter(name, hint, getattr(cls, name, None))
        setattr(cls, name, _as_property(name))
    for name, member in vars(_Wrapper).items():
        if name.startswith("__") and name != "__init__":
            continue
        if name != "__init__" and hasattr(cls, name):
            raise ValueError(f"Cannot use reserved name '{name}' in a parameterNodeWrapper")
        setattr(cls, name, member)
    cls.allParameters = parameters
    cls.dataType = staticmethod(lambda name: parameters[name].hint)
    cls._is_parameter_node_wrapper = True
    return cls


def _as_property(name: str) -> property:
    return property(
        lambda self: self.getValue(name), lambda self, value: self.setValue(name, value)
    )


def install() -> None:
    """Register the module ``slicer.parameterNodeWrapper``."""
    from . import parameter_validators

    module = types.ModuleType("slicer.parameterNodeWrapper", __doc__)
    for name, value in vars(parameter_validators).items():
        if isinstance(value, type):
            setattr(module, name, value)
    module.parameterNodeWrapper = parameterNodeWrapper
    module.isParameterNodeWrapper = lambda x: getattr(x, "_is_parameter_node_wrapper", False)
    module.SlicerParameterNamePropertyName = PROPERTY
    sys.modules[module.__name__] = slicer.parameterNodeWrapper = module
