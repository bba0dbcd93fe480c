"""Scripted modules: their base classes, and loading, opening, reloading and closing one.

``slicer.ScriptedLoadableModule``, ``slicer.i18n``, ``slicer.packaging`` and ``SampleData`` are not
part of slicer-core; what modules use of them is here.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import types
import unittest
from pathlib import Path
from typing import ClassVar

import qt
import slicer
import slicer.util

from . import packaging
from .mrml_widgets import qMRMLWidget


class ScriptedLoadableModule:
    """Base of the class that describes a module."""

    def __init__(self, parent: object):
        super().__init__()
        self.parent = parent
        self.moduleName = type(self).__name__
        for extension in (".svg", ".png"):
            icon = Path(self.resourcePath(f"Icons/{self.moduleName}{extension}"))
            if icon.is_file():
                parent.icon = qt.QIcon(str(icon))
                break
        if not hasattr(slicer, "selfTests"):
            slicer.selfTests = {}
        slicer.selfTests[self.moduleName] = self.runTest

    def resourcePath(self, filename: str) -> str:
        return os.path.join(os.path.dirname(self.parent.path), "Resources", filename)

    def getDefaultModuleDocumentationLink(self, docPage: str | None = None) -> str:
        return slicer.app.moduleDocumentationUrl(self.moduleName)

    def runTest(self, msec: int = 100, **options: object) -> None:
        case = getattr(sys.modules[type(self).__module__], f"{self.moduleName}Test")()
        case.messageDelay = msec
        case.runTest(**options)


class ScriptedLoadableModuleWidget:
    """Base of the class that fills a module's panel."""

    def __init__(self, parent: object = None):
        super().__init__()
        self.moduleName = type(self).__name__.removesuffix("Widget")
        self.developerMode = False
        if parent is None:
            parent = qMRMLWidget()
            parent.setLayout(qt.QVBoxLayout())
            parent.setMRMLScene(slicer.mrmlScene)
            self.parent, self.layout = parent, parent.layout()
            self.setup()
            parent.show()
        else:
            self.parent, self.layout = parent, parent.layout()
        slicer.app.moduleManager().connect(
            "moduleAboutToBeUnloaded(QString)", self._onModuleAboutToBeUnloaded
        )

    def resourcePath(self, filename: str) -> str:
        folder = os.path.dirname(slicer.util.modulePath(self.moduleName))
        return os.path.join(folder, "Resources", filename)

    def setup(self) -> None:
        """Fill the panel."""

    def cleanup(self) -> None:
        """Called before the module goes."""

    def _onModuleAboutToBeUnloaded(self, name: str) -> None:
        if name == self.moduleName:
            self.cleanup()
            slicer.app.moduleManager().disconnect(
                "moduleAboutToBeUnloaded(QString)", self._onModuleAboutToBeUnloaded
            )

    def onReload(self) -> None:
        slicer.util.reloadScriptedModule(self.moduleName)


class ScriptedLoadableModuleLogic:
    """Base of the class that does a module's work."""

    def __init__(self, parent: object = None):
        super().__init__()
        self.moduleName = type(self).__name__.removesuffix("Logic")
        self.isSingletonParameterNode = True

    def getParameterNode(self) -> slicer.vtkMRMLScriptedModuleNode:
        kind = "vtkMRMLScriptedModuleNode"
        node = None
        if self.isSingletonParameterNode:
            node = slicer.mrmlScene.GetSingletonNode(self.moduleName, kind)
        else:
            node = next(iter(self.getAllParameterNodes()), None)
        if node is None:
            node = slicer.mrmlScene.AddNode(self.createParameterNode())
        node.SetAttribute("ModuleName", self.moduleName)
        return node

    def getAllParameterNodes(self) -> list[slicer.vtkMRMLScriptedModuleNode]:
        nodes = slicer.util.getNodesByClass("vtkMRMLScriptedModuleNode")
        return [n for n in nodes if n.GetAttribute("ModuleName") == self.moduleName]

    def createParameterNode(self) -> slicer.vtkMRMLScriptedModuleNode:
        node = slicer.mrmlScene.CreateNodeByClass("vtkMRMLScriptedModuleNode")
        node.UnRegister(None)
        if self.isSingletonParameterNode:
            node.SetSingletonTag(self.moduleName)
        node.SetAttribute("ModuleName", self.moduleName)
        node.SetModuleName(self.moduleName)
        node.SetName(slicer.mrmlScene.GenerateUniqueName(self.moduleName))
        return node


class ScriptedLoadableModuleTest(unittest.TestCase):
    """Base of a module's own test class."""

    def __init__(self, methodName: str = "runTest"):
        super().__init__(methodName)
        self.messageDelay = 0

    def delayDisplay(self, message: str, *args: object, **options: object) -> None:
        slicer.util.delayDisplay(message, self.messageDelay)

    def runTest(self, **options: object) -> None:
        """Run every method with "test" in its name."""
        for name in [
            name for name in dir(self) if "test" in name and callable(getattr(self, name))
        ]:
            self.setUp()
            getattr(self, name)()
            self.tearDown()


class ModuleParent:
    """What a module's class gets as ``parent``: only the attributes that exist can be set."""

    __slots__ = (
        "acknowledgementText",
        "associatedNodeTypes",
        "categories",
        "contributors",
        "dependencies",
        "helpText",
        "hidden",
        "icon",
        "index",
        "instance",
        "name",
        "panel",
        "path",
        "title",
        "widgetRepresentationCreationEnabled",
    )

    def __init__(self, path: Path):
        self.path, self.name = str(path), path.stem
        self.title = self.helpText = self.acknowledgementText = ""
        self.categories, self.dependencies, self.contributors = [], [], []
        self.associatedNodeTypes = []
        self.icon = self.instance = self.panel = None
        self.hidden, self.index = False, -1

    def logic(self) -> None:
        return None

    def widgetRepresentation(self) -> ModulePanel:
        if self.panel is None:
            self.panel = ModulePanel(self.name)
            self.panel.reload()
        return self.panel

    def createNewWidgetRepresentation(self) -> ModulePanel:
        panel = ModulePanel(self.name)
        panel.reload()
        return panel


class ModulePanel(qMRMLWidget):
    """The panel of a module: ``parent`` of its widget class."""

    def __init__(self, name: str):
        super().__init__()
        self._name, self._widget, self._entered = name, None, False
        self.setLayout(qt.QVBoxLayout())
        self.setMRMLScene(slicer.mrmlScene)

    isEntered = qt.Property(bool, lambda self: self._entered)

    def self(self) -> ScriptedLoadableModuleWidget:
        return self._widget

    def reload(self) -> None:
        """Make the module's widget anew, from the class as it is now."""
        widget_class = getattr(sys.modules[self._name], f"{self._name}Widget")
        self._widget = widget_class(self)
        setattr(slicer.modules, f"{self._name}Widget", self._widget)
        self._widget.setup()

    def enter(self) -> None:
        self._entered = True
        self._call("enter")

    def exit(self) -> None:
        self._entered = False
        self._call("exit")

    def _call(self, name: str) -> None:
        """Call a method of the module's widget; like Slicer, which does without those it lacks."""
        getattr(self._widget, name, lambda: None)()


class SampleDataLogic:
    """``SampleData.SampleDataLogic``: keeps what was registered."""

    sources: ClassVar[list[dict]] = []

    @classmethod
    def registerCustomSampleDataSource(cls, *args: object, **options: object) -> None:
        names = ("category", "sampleName", "uris", "fileNames", "nodeNames")
        cls.sources.append({**dict(zip(names, args, strict=False)), **options})

    @classmethod
    def download(cls, sample_name: str) -> object:
        """Do what a click on the sample's button does: call its own downloader."""
        source = next(s for s in cls.sources if s["sampleName"] == sample_name)
        return source["customDownloader"](types.SimpleNamespace(**source))


def install() -> None:
    """Register what scripted modules import beside Slicer's Python layer."""
    _register("SampleData", SampleDataLogic=SampleDataLogic)
    slicer.qSlicerScriptedLoadableModule = ModuleParent
    slicer.qSlicerScriptedLoadableModuleWidget = ModulePanel


def install_bases() -> None:
    """Register the imitation of Slicer's Python layer, where no checkout of it is at hand."""
    names = ("", "Widget", "Logic", "Test")
    bases = {f"ScriptedLoadableModule{n}": globals()[f"ScriptedLoadableModule{n}"] for n in names}
    _register("slicer.ScriptedLoadableModule", __all__=list(bases), **bases)
    _register("slicer.i18n", tr=_translated, translate=slicer.app.translate)
    _register("slicer.packaging", **_public(packaging))


def _register(name: str, **members: object) -> None:
    module = types.ModuleType(name)
    vars(module).update(members)
    sys.modules[name] = module
    if name.startswith("slicer."):
        setattr(slicer, name.removeprefix("slicer."), module)


def _translated(text: str) -> str:
    """Return a text as it is, after a translator of the test (``host.translate``)."""
    return slicer.app.translate("", text)


def _public(module: types.ModuleType) -> dict[str, object]:
    return {name: value for name, value in vars(module).items() if not name.startswith("_")}


def load(path: str | Path) -> types.ModuleType:
    """Do what Slicer does at its start with a module's file; return the imported module."""
    path = Path(path).resolve()
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    parent = ModuleParent(path)
    slicer.app.moduleManager().add(parent)
    parent.instance = getattr(module, path.stem)(parent)
    setattr(slicer.modules, f"{path.stem}Instance", parent.instance)
    started = slicer.app.startupCompleted
    if slicer.app.isSignalConnected(qt.QMetaMethod.fromSignal(started)):
        started.emit()
        started.disconnect()  # the next module's start is not this one's
    return module


def show(name: str) -> ScriptedLoadableModuleWidget:
    """Show a loaded module's panel, as when the user chooses it; return its widget object."""
    panel = slicer.app.moduleManager().module(name).widgetRepresentation()
    panel.resize(480, 800)
    panel.show()
    panel.enter()
    return panel.self()


def close(name: str) -> None:
    """Take a module's panel away, as at the end of the application."""
    module = slicer.app.moduleManager().module(name)
    slicer.app.moduleManager().moduleAboutToBeUnloaded.emit(name)
    if module.panel is not None:
        module.panel.setMRMLScene(None)
        module.panel.deleteLater()
        module.panel = None
        slicer.app.sendPostedEvents(None, qt.QEvent.DeferredDelete)
