"""A small scripted module that has one parameter of every kind, for the tests of the host."""

import enum
import pathlib
from typing import Annotated

import qt
import slicer
import vtk
from slicer import vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode
from slicer.i18n import tr as _
from slicer.parameterNodeWrapper import Choice, WithinRange, parameterNodeWrapper
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin


class HostDemo(ScriptedLoadableModule):
    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("Host demo")
        parent.categories = ["Testing"]


class Color(enum.Enum):
    RED = 1
    BLUE = 2

    def label(self):
        return self.name.capitalize()


@parameterNodeWrapper
class HostDemoParameterNode:
    volume: vtkMRMLScalarVolumeNode
    lesions: vtkMRMLSegmentationNode
    method: Annotated[str, Choice(["quick", "slow"])] = "quick"
    color: Color = Color.BLUE
    weight: Annotated[float, WithinRange(0, 1)] = 0.25
    rounds: Annotated[int, WithinRange(1, 9)] = 3
    folder: pathlib.Path
    name: str
    keep: bool = True


class HostDemoWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.parameters = None
        self.tag = None

    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)
        widget = slicer.util.loadUI(self.resourcePath("UI/HostDemo.ui"))
        self.layout.addWidget(widget)
        self.ui = slicer.util.childWidgetVariables(widget)
        widget.setMRMLScene(slicer.mrmlScene)
        self.logic = HostDemoLogic()
        scene = slicer.mrmlScene
        self.addObserver(scene, scene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(scene, scene.EndCloseEvent, self.onSceneEndClose)
        self.ui.applyButton.connect("clicked(bool)", self.onApply)
        self.setParameterNode(self.logic.getParameterNode())

    def cleanup(self):
        self.setParameterNode(None)
        self.removeObservers()

    def onSceneStartClose(self, caller, event):
        self.setParameterNode(None)

    def onSceneEndClose(self, caller, event):
        if self.parent.isEntered:
            self.setParameterNode(self.logic.getParameterNode())

    def setParameterNode(self, node):
        if self.parameters:
            self.parameters.disconnectGui(self.tag)
            self.removeObserver(self.parameters, vtk.vtkCommand.ModifiedEvent, self.checkCanApply)
        self.parameters = node
        if node:
            self.tag = node.connectGui(self.ui)
            self.addObserver(node, vtk.vtkCommand.ModifiedEvent, self.checkCanApply)
            self.checkCanApply()

    def checkCanApply(self, caller=None, event=None):
        self.ui.applyButton.enabled = self.parameters.volume is not None

    def onApply(self):
        with slicer.util.tryWithErrorDisplay(_("Failed to compute."), waitCursor=True):
            self.logic.process(self.parameters.volume, self.parameters.weight)


class HostDemoLogic(ScriptedLoadableModuleLogic):
    def __init__(self):
        ScriptedLoadableModuleLogic.__init__(self)
        self.process_object = None
        self.lines = []

    def getParameterNode(self):
        return HostDemoParameterNode(super().getParameterNode())

    def process(self, volume, weight):
        if weight == 0:
            raise ValueError("the weight is zero")
        slicer.util.arrayFromVolume(volume)[:] *= weight
        slicer.util.arrayFromVolumeModified(volume)

    def start(self, program, arguments):
        self.process_object = qt.QProcess()
        self.process_object.readyReadStandardOutput.connect(self.onOutput)
        self.process_object.start(program, arguments)

    def onOutput(self):
        text = self.process_object.readAllStandardOutput().data().decode("utf-8", "replace")
        self.lines += text.splitlines()
