"""PythonQt's ``qt`` module, imitated over PySide6.

PythonQt differs from PySide6 in ways that scripted modules rely on:

- Qt properties are attributes: ``label.text`` is the value (so ``label.text()`` fails), and
  ``button.enabled = False`` sets it. Setters and ``isX()`` methods stay.
- ``button.connect("clicked(bool)", f)`` connects by the name of the signal; an unknown one raises.
- Attributes that a Qt object does not have cannot be set: ``button.enabeld = True`` raises.
- ``className()`` and ``name`` exist on every object.

``install()`` puts the four into PySide6's classes, once for the process, and registers ``qt``.
"""

from __future__ import annotations

import functools
import re
import sys
import types
from collections.abc import Callable, Iterator

from PySide6 import QtCore, QtGui, QtNetwork, QtUiTools, QtWidgets

once = QtCore.QTimer.singleShot
"""PySide6's own, for the stand-ins; that of Slicer leaves timers behind."""
_MODULES = (QtCore, QtGui, QtWidgets, QtNetwork, QtUiTools)
# Virtual getters that Qt calls itself: as Python properties they would call themselves for ever.
# They stay methods here (in PythonQt they are values); setting them works.
_VIRTUAL_GETTERS = {"sizeHint", "minimumSizeHint", "spacing", "duration", "QProgressBar.text"}
_NAMES = {"Qt", "Signal", "Slot", "Property"}


def install() -> types.ModuleType:
    """Change PySide6's classes as described above and return the module registered as ``qt``."""
    if "qt" in sys.modules:
        return sys.modules["qt"]
    for cls in _qobject_classes():
        _expose_properties(cls)
        cls.__setattr__ = _strict_setattr
        if "__getattribute__" in vars(cls):
            cls.__getattribute__ = _with_named_signals(cls.__getattribute__)
    base = QtCore.QObject
    base.className = lambda self: self.metaObject().className()
    base.name = property(base.objectName, base.setObjectName)
    base.objectName = base.name
    qt = types.ModuleType("qt", __doc__)
    for module in _MODULES:
        for name in dir(module):
            if name in _NAMES or re.match(r"Q[A-Z]", name):
                setattr(qt, name, getattr(module, name))
    qt.QProcess = QProcess
    sys.modules["qt"] = qt
    return qt


_SPARED: list[object] = []


class QProcess(QtCore.QProcess):
    """Tells of a deletion that would crash in PythonQt on Qt 5.15.

    PythonQt deletes an object that it owns with the last reference to it, at once. Within the
    object's own ``errorOccurred`` Qt 5.15 goes on using it after that, which Qt 6 does not. And a
    program that is not there is told later by Qt 5.15, within ``start`` by Qt 6.
    """

    def __init__(self, parent: QtCore.QObject | None = None):
        super().__init__(parent)
        self._state = types.SimpleNamespace(telling=0, starting=False)

    def start(self, *arguments: object) -> None:
        self._state.starting = True
        super().start(*arguments)
        self._state.starting = False

    def deleteLater(self) -> None:
        """Ask for the end without taking the object from Python, which PySide6 would do."""
        QtCore.QMetaObject.invokeMethod(self, "deleteLater", QtCore.Qt.QueuedConnection)

    def __del__(self) -> None:
        if self._state.telling:
            _SPARED.append(self)  # or the tests would end here
            error = RuntimeError("a QProcess went in its own errorOccurred: Slicer crashes there")
            sys.excepthook(type(error), error, None)


def _guarded(process: QProcess, slot: Callable) -> Callable:
    """Return a slot of ``errorOccurred`` that notes while it runs; it must not keep the process."""
    state = process._state

    def call(*arguments: object) -> None:
        if state.starting:
            once(0, lambda: call(*arguments))
            return
        state.telling += 1
        try:
            slot(*arguments)
        finally:
            state.telling -= 1

    return call


def _qobject_classes() -> Iterator[type]:
    for module in _MODULES:
        for name in dir(module):
            cls = getattr(module, name)
            if isinstance(cls, type) and issubclass(cls, QtCore.QObject):
                yield cls


def _expose_properties(cls: type) -> None:
    meta = cls.staticMetaObject
    for index in range(meta.propertyOffset(), meta.propertyCount()):
        name = meta.property(index).name()
        if name != "objectName" and not {name, f"{cls.__name__}.{name}"} & _VIRTUAL_GETTERS:
            setattr(cls, name, _Attribute(name, getattr(cls, name, None)))


class _Attribute:
    """A Qt property seen as an attribute; on the class, what was there before (a static method)."""

    def __init__(self, name: str, on_class: object):
        self._name, self._on_class = name, on_class

    def __get__(self, instance: QtCore.QObject | None, owner: type) -> object:
        if instance is None:
            return self._on_class
        return QtCore.QObject.property(instance, self._name)

    def __set__(self, instance: QtCore.QObject, value: object) -> None:
        if not QtCore.QObject.setProperty(instance, self._name, value):
            owner = type(instance).__name__
            raise AttributeError(f"cannot set property {self._name} of {owner} to {value!r}")


def set_static(cls: type, name: str, function: Callable) -> None:
    """Give a class another static method where it has a property of the same name."""
    vars(cls)[name]._on_class = function


def _strict_setattr(self: QtCore.QObject, name: str, value: object) -> None:
    """Set a property or an attribute of a Python subclass; refuse what the class does not know."""
    cls = type(self)
    known = next((vars(base)[name] for base in cls.__mro__ if name in vars(base)), None)
    if isinstance(known, QtCore.Property) or name in _VIRTUAL_GETTERS:
        QtCore.QObject.setProperty(self, name, value)
    elif hasattr(type(known), "__set__"):
        known.__set__(self, value)
    elif known is None and not name.startswith("_") and _is_stand_in_or_qt(cls):
        if isinstance(value, QtCore.QObject) and value.objectName == name:
            return  # PySide6's .ui loader names children as attributes, PythonQt's does not
        raise AttributeError(
            f"attribute '{name}' does not exist on {cls.__name__} "
            "and creation of dynamic attributes is not supported"
        )
    else:
        self.__dict__[name] = value


def _is_stand_in_or_qt(cls: type) -> bool:
    return cls.__module__.startswith(("PySide6.", f"{__package__}."))


def _with_named_signals(original: Callable) -> Callable:
    """Return a ``__getattribute__`` that gives `_connect` and `_disconnect` under their names.

    Shiboken treats the two specially before it looks at the class, so that they cannot be replaced
    there; and a few classes (QProcess, QMenu, ...) have a ``__getattribute__`` of their own.
    """

    def getattribute(self: QtCore.QObject, name: str) -> object:
        value = original(self, name)
        if name == "connect":
            return functools.partial(_connect, self, value)
        if name == "disconnect":
            return functools.partial(_disconnect, self, value)
        return value

    return getattribute


def _connect(self: QtCore.QObject, original: Callable, *args: object) -> object:
    if len(args) == 2 and isinstance(args[0], str) and callable(args[1]):
        told = args[0].startswith("errorOccurred") and isinstance(self, QProcess)
        _signal(self, args[0]).connect(_guarded(self, args[1]) if told else args[1])
        return True
    return original(*args)  # PySide6 calls it itself, with the object in front


def _disconnect(self: QtCore.QObject, original: Callable, *args: object) -> object:
    if len(args) == 2 and isinstance(args[0], str) and callable(args[1]):
        return _signal(self, args[0]).disconnect(args[1])
    return original(*args)


def _signal(self: QtCore.QObject, signature: str) -> Callable:
    """Return the bound signal that is called `signature`, such as ``clicked(bool)``.

    Signals of stand-ins carry Python objects where the C++ class has a MRML node: the class
    attribute ``_cpp_signals`` has the attribute for each such C++ signature.
    """
    alias = getattr(type(self), "_cpp_signals", {}).get(signature)
    if alias:
        return getattr(self, alias)
    match = re.match(r"(\w+)\((.*)\)$", signature)
    bound = getattr(self, match[1], None) if match else None
    wanted = QtCore.QMetaObject.normalizedSignature(signature)
    wanted = wanted if isinstance(wanted, str) else str(wanted.data(), "ascii")
    if bound is None or self.metaObject().indexOfSignal(wanted) < 0:
        raise ValueError(f"no signal {signature} in {type(self).__name__}")
    try:
        return bound[match[2]] if match[2] else bound
    except (KeyError, IndexError, TypeError):
        return bound  # not overloaded: the only one it has
