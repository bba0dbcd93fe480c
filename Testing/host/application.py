"""``slicer.app``, ``slicer.mrmlScene`` and ``slicer.modules`` over the real MRML libraries."""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
import types
from collections.abc import Callable
from pathlib import Path

import slicer
import vtk
from PySide6 import QtCore, QtWidgets
from PySide6.QtCore import Property, Signal

from . import qt_shim
from .dicom_database import DICOMDatabase
from .io_manager import IOManager

# Module of Slicer: class of its logic. Their Qt parts do not exist here.
_LOGICS = {
    "Volumes": "vtkSlicerVolumesLogic",
    "Segmentations": "vtkSlicerSegmentationsModuleLogic",
    "SubjectHierarchy": "vtkSlicerSubjectHierarchyModuleLogic",
    "Tables": "vtkSlicerTablesLogic",
    "Colors": "vtkSlicerColorLogic",
    "Markups": "vtkSlicerMarkupsLogic",
    "Units": "vtkSlicerUnitsLogic",
}


_LAUNCHER = """#!/bin/sh
"{0}" "$@"
code=$?
[ $code -le 130 ] || {{
  echo "error: [{0}] exit abnormally - Report the problem." >&2
  exit 1
}}
exit $code
"""


class ModuleManager(QtCore.QObject):
    """``slicer.app.moduleManager()``: modules by name, and the signal of their end."""

    moduleAboutToBeUnloaded = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self._modules: dict[str, object] = {}

    def module(self, name: str) -> object | None:
        return self._modules.get(name)

    def add(self, module: object) -> None:
        """Register a module as ``slicer.modules.<name in lower case>``."""
        self._modules[module.name] = module
        setattr(slicer.modules, module.name.lower(), module)
        setattr(slicer.moduleNames, module.name, module.name)

    def factoryManager(self) -> ModuleManager:
        return self

    def loadedModuleNames(self) -> list[str]:
        return list(self._modules)


class Application(QtWidgets.QApplication):
    """``slicer.app``: a Qt application with a scene, and no main window."""

    startupCompleted = Signal()
    testing = False
    restarts = 0
    translator = None
    """Not in Slicer: testing mode, how often a restart was asked for, a translator of texts."""

    def __init__(self) -> None:
        super().__init__(["Slicer"])
        self.setOrganizationName("SlicerTestHost")
        self.setApplicationName("Slicer")
        self.setApplicationVersion("5.12.4")
        self._folder = tempfile.mkdtemp(prefix="slicer-test-host-")
        atexit.register(shutil.rmtree, self._folder, ignore_errors=True)
        ini = QtCore.QSettings.IniFormat
        QtCore.QSettings.setDefaultFormat(ini)
        QtCore.QSettings.setPath(ini, QtCore.QSettings.UserScope, self._folder)
        _offer_python_slicer(Path(self._folder, "bin"))
        self._scene = slicer.vtkMRMLScene()
        self._logic = _application_logic(self._scene, self._folder)
        self._modules = ModuleManager()
        self._io = IOManager(self._scene)
        self._layout_manager = None
        self._paused = 0

    def _folder_path(self) -> str:
        return self._folder

    def _sub_folder(self, name: str) -> str:
        path = Path(self._folder, name)
        path.mkdir(exist_ok=True)
        return str(path)

    temporaryPath = Property(str, lambda self: self._sub_folder("temporary"))
    cachePath = Property(str, lambda self: self._sub_folder("cache"))
    defaultScenePath = Property(str, _folder_path)
    slicerHome = Property(str, _folder_path)
    extensionsInstallPath = Property(str, _folder_path)
    majorVersion = Property(int, lambda self: 5)
    minorVersion = Property(int, lambda self: 12)
    revision = Property(str, lambda self: "0")
    documentationBaseUrl = Property(str, lambda self: "")
    os = Property(str, lambda self: "linux")

    def mrmlScene(self) -> slicer.vtkMRMLScene:
        return self._scene

    def applicationLogic(self) -> slicer.vtkSlicerApplicationLogic:
        return self._logic

    def moduleManager(self) -> ModuleManager:
        return self._modules

    def coreIOManager(self) -> IOManager:
        return self._io

    ioManager = coreIOManager

    def layoutManager(self) -> object:
        if self._layout_manager is None:
            from .views import LayoutManager

            self._layout_manager = LayoutManager(self._scene, self._logic)
        return self._layout_manager

    def settings(self) -> QtCore.QSettings:
        return QtCore.QSettings()

    userSettings = revisionUserSettings = settings

    def testingEnabled(self) -> bool:
        return self.testing

    def commandOptions(self) -> types.SimpleNamespace:
        return types.SimpleNamespace(testingEnabled=self.testing, noMainWindow=True)

    def restart(self) -> None:
        self.restarts += 1

    def startupEnvironment(self) -> QtCore.QProcessEnvironment:
        return QtCore.QProcessEnvironment.systemEnvironment()

    def moduleDocumentationUrl(self, name: str) -> str:
        return f"{self.documentationBaseUrl}{name}"

    def translate(self, context: str, text: str) -> str:
        return self.translator(text) if self.translator else text

    def pauseRender(self) -> None:
        self._paused += 1

    def resumeRender(self) -> None:
        self._paused -= 1


def _offer_python_slicer(folder: Path) -> None:
    """Put a program ``PythonSlicer`` into PATH that runs this Python.

    As in Slicer it is a launcher (CTKAppLauncher): killing it does not kill the Python that it
    started; when that one is killed or crashes, the launcher says so and ends with 1.
    """
    folder.mkdir()
    if sys.platform == "win32":
        (folder / "PythonSlicer.bat").write_text(f'@"{sys.executable}" %*\n', encoding="utf-8")
    else:
        program = folder / "PythonSlicer"
        program.write_text(_LAUNCHER.format(sys.executable), encoding="utf-8")
        program.chmod(0o755)
    os.environ["PATH"] = os.pathsep.join([str(folder), os.environ.get("PATH", "")])


def _application_logic(scene: slicer.vtkMRMLScene, folder: str) -> slicer.vtkSlicerApplicationLogic:
    logic = slicer.vtkSlicerApplicationLogic()
    Path(folder, "share", "ColorFiles").mkdir(parents=True)  # else a warning that it is missing
    logic.SetHomeDirectory(folder)
    logic.SetShareDirectory("share")
    logic.SetTemporaryPath(folder)
    logic.SetMRMLScene(scene)
    remote = slicer.vtkMRMLRemoteIOLogic()  # has the cache into which scene bundles are unpacked
    remote.GetCacheManager().SetRemoteCacheDirectory(folder)
    remote.SetMRMLApplicationLogic(logic)
    remote.SetMRMLScene(scene)
    remote.AddDataIOToScene()
    logic.remote_io = remote
    colors = logic.GetColorLogic()
    colors.SetMRMLApplicationLogic(logic)
    colors.SetMRMLScene(scene)
    colors.AddDefaultColorNodes()
    return logic


def start() -> Application:
    """Make the application and set ``slicer.app``, ``slicer.mrmlScene`` and ``slicer.modules``."""
    slicer.modules = types.ModuleType("slicer.modules")
    slicer.moduleNames = types.SimpleNamespace()
    app = Application()
    slicer.app, slicer.mrmlScene = app, app.mrmlScene()
    slicer.dicomDatabase = DICOMDatabase()
    for name, class_name in _LOGICS.items():
        logic = getattr(slicer, class_name)()
        logic.SetMRMLApplicationLogic(app.applicationLogic())  # before the scene, else an error
        logic.SetMRMLScene(app.mrmlScene())
        app.applicationLogic().SetModuleLogic(name, logic)
        app.moduleManager().add(
            types.SimpleNamespace(name=name, logic=lambda logic=logic: logic, path="")
        )
    crosshair = slicer.vtkMRMLCrosshairNode()
    crosshair.SetSingletonTag("default")
    app.mrmlScene().AddNode(crosshair)
    _keep_subject_hierarchy(app.mrmlScene())
    qt_shim.set_static(QtCore.QTimer, "singleShot", _single_shot)
    return app


def _single_shot(after_ms: int, function: Callable[[], object]) -> None:
    """Do as Slicer's slicerqt.py: the timer, and what it calls, stay until the application ends."""
    timer = QtCore.QTimer(slicer.app.moduleManager())
    timer.setSingleShot(True)
    timer.timeout.connect(function)
    timer.start(after_ms)


def _keep_subject_hierarchy(scene: slicer.vtkMRMLScene) -> None:
    """Give data nodes an item in the tree, which in Slicer the Qt plugins do."""
    kinds = ("vtkMRMLDisplayableNode", "vtkMRMLTableNode", "vtkMRMLTextNode")
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode

    def add_item(node: slicer.vtkMRMLNode) -> None:
        if node.GetHideFromEditors() or not any(node.IsA(kind) for kind in kinds):
            return
        tree = hierarchy(scene)
        if not tree.GetItemByDataNode(node):
            tree.CreateItem(tree.GetSceneItemID(), node)

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def added(caller: object, event: str, node: slicer.vtkMRMLNode) -> None:
        if not scene.IsImporting():  # the file has a tree of its own
            add_item(node)

    def imported(caller: object, event: str) -> None:
        for node in [scene.GetNthNode(i) for i in range(scene.GetNumberOfNodes())]:
            add_item(node)

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def removed(caller: object, event: str, node: slicer.vtkMRMLNode) -> None:
        tree = None if scene.IsClosing() else hierarchy(scene)
        item = tree.GetItemByDataNode(node) if tree else 0
        if item:
            tree.RemoveItem(item, False, False)

    scene.AddObserver(scene.NodeAddedEvent, added)
    scene.AddObserver(scene.EndImportEvent, imported)
    scene.AddObserver(scene.NodeAboutToBeRemovedEvent, removed)
    hierarchy(scene)  # made on first use
