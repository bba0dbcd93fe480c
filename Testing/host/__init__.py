"""A stand-in for the 3D Slicer application, for tests of scripted modules without Slicer.

The MRML scene, the nodes, the module logics and the slice views are the real ones, from the
``slicer-core`` wheel. What is missing there (everything Qt) is imitated over PySide6: ``qt``,
``ctk``, ``slicer.qMRML*``, ``slicer.app``, ``slicer.util``'s dialogs, the parameter node wrapper
and the base classes of scripted modules. Nothing here knows the module under test.

Start it before anything imports ``qt``, ``ctk`` or a module::

    import host
    host.start()
    host.load_module("MyModule/MyModule.py")
    widget = host.open_module("MyModule")          # the MyModuleWidget object
    widget.ui.applyButton.click()
    host.wait_for(lambda: not widget.logic.running)
    assert host.dialogs.texts("errorDisplay") == []
    host.close_module("MyModule")

With pytest, put ``from host.fixtures import *`` into the conftest.py of the tests' folder: it starts
the host before the tests are imported (or skips them with the reason), clears the scene around
every test and fails a test in which an exception was raised in a slot or an observer. Tests written
as plain ``unittest`` over ``import slicer`` then run here and in Slicer alike.

Slice views are rendered off screen by the real displayable managers (segmentation outlines, color
legends, crosshair), which needs EGL or OSMesa; the fixture ``pictures`` skips where there is none::

    manager = slicer.app.layoutManager()
    manager.setLayout(my_layout)
    manager.resizeViews(400, 400)
    manager.savePicture("views.png")               # all views, arranged as in the layout
    panel = slicer.modules.MyModuleWidget.parent.grab()   # the module's panel, a QPixmap

What stays untested: PythonQt's own behavior (object lifetime, overloads, conversions of enums and
of int to double), Qt 5, the look of ctk and qMRML widgets and what the stand-ins leave out, the
application's IO plugins and DICOM, installing extensions and packages, Windows and macOS.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import time
import types
from collections.abc import Callable, Iterator
from pathlib import Path

dialogs = None
"""The messages and questions so far (``dialogs.Dialogs``), once the host has started."""


def why_not() -> str:
    """Return why the host cannot start here, or "" if it can."""
    for package, wheel in (("slicer", "slicer-core"), ("vtk", "vtk"), ("PySide6", "PySide6")):
        if importlib.util.find_spec(package) is None:
            return f"{wheel} is not installed"
    try:
        import PySide6.QtWidgets  # noqa: F401
        import slicer  # noqa: F401
    except ImportError as error:  # a library of the system is missing, such as libEGL
        return f"the test host cannot start: {error}"
    return ""


def start() -> object:
    """Start the host once for this process and return ``slicer.app``."""
    global dialogs
    if dialogs is not None:
        import slicer

        return slicer.app
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    from . import qt_shim

    qt_shim.install()
    from . import ctk_widgets

    ctk_widgets.install()
    from . import slicer_source

    slicer_source.install_util()
    import slicer.util

    from . import application, mrml_widgets
    from .dialogs import Dialogs

    mrml_widgets.install()
    app = application.start()
    from . import parameter_node, scripted_modules, ui_loader

    ui_loader.install()
    scripted_modules.install()
    if not slicer_source.install():
        scripted_modules.install_bases()
        parameter_node.install()
    dialogs = Dialogs()
    dialogs.install()
    return app


def load_module(path: str | Path) -> types.ModuleType:
    """Import a scripted module's file and register it as Slicer does at its start."""
    from . import scripted_modules

    return scripted_modules.load(path)


def open_module(name: str) -> object:
    """Show a module's panel, as when the user chooses it; return its widget object."""
    from . import scripted_modules

    return scripted_modules.show(name)


def close_module(name: str) -> None:
    """Clean a module's panel up and delete it, as at the end of the application."""
    from . import scripted_modules

    scripted_modules.close(name)


@contextlib.contextmanager
def testing_mode() -> Iterator[None]:
    """Let the application run as with ``--testing``: dialogs do not open, tests install nothing."""
    import slicer

    slicer.app.testing = True
    try:
        yield
    finally:
        slicer.app.testing = False


def wait_for(condition: Callable[[], object], seconds: float = 20.0) -> object:
    """Let the application run until `condition` holds; return what it returned last."""
    import slicer

    end = time.monotonic() + seconds
    while not (met := condition()) and time.monotonic() < end:
        slicer.app.processEvents()
        time.sleep(0.002)
    return met
