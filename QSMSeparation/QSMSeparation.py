"""Susceptibility source separation in 3D Slicer: chi+, chi- and net chi beside MS lesions.

The module is thin: what is computed is in QSMSeparationLib, which runs in a process of its own;
what the panel is made of is in QSMSeparationPanel. Only the parameters, which are light, are imported
before they are needed.
"""

import importlib
import importlib.util
import sys
import time
from pathlib import Path
from typing import Any

import slicer
import vtk
from QSMSeparationPanel.parameters import InputKind as InputKind  # for scripts, as in the tutorial
from QSMSeparationPanel.parameters import QSMSeparationParameterNode
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin


class QSMSeparation(ScriptedLoadableModule):
    """The module as the application lists it."""

    def __init__(self, parent: Any) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("QSM Separation")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Quantification")]
        parent.dependencies = []
        parent.contributors = ["QSMSeparation contributors"]
        parent.helpText = (
            _(
                "Separates magnetic susceptibility of the brain into paramagnetic (iron) and "
                "diamagnetic (myelin) sources and measures MS lesions in both. Research use only, "
                "not for diagnosis."
            )
            + f'<p><a href="{DOCUMENTATION}">{_("Tutorial and documentation")}</a></p>'
        )
        parent.acknowledgementText = _(
            "Cite the papers of the methods that you use, which the panel names beside each: {papers}"
        ).format(papers=PAPERS)
        make_library_importable()
        slicer.app.connect("startupCompleted()", start_up)


DOCUMENTATION = "https://github.com/QSMSeparation/SlicerQSMSeparation"
PAPERS = (
    "Shin et al., NeuroImage 2021;240:118371; Kim et al., Hum Brain Mapp 2025;46:e70136; "
    "Li et al., arXiv:2506.13293; Yoon et al., NeuroImage 2018;179:199"
)


def start_up() -> None:
    """Offer the sample data, and make the layouts known before any saved scene asks for them."""
    register_sample_data()
    manager = slicer.app.layoutManager()
    if manager is not None:
        from QSMSeparationLib.mrml import layouts

        layouts.register(manager)


def make_library_importable() -> None:
    """Installed, the library lies beside this file; in a source checkout one folder up."""
    if importlib.util.find_spec("QSMSeparationLib") is None:
        sys.path.append(str(Path(__file__).resolve().parents[1]))


_WAIT_S = 0.005  # between two looks whether a run has ended
SAMPLE = "QSM separation digital head with MS lesions"
"""Name of the sample data."""


def register_sample_data() -> None:
    """Offer the digital head in the module Sample Data."""
    import SampleData

    icons = Path(__file__).parent / "Resources" / "Icons"
    SampleData.SampleDataLogic.registerCustomSampleDataSource(
        category="QSMSeparation",
        sampleName=SAMPLE,
        thumbnailFileName=str(icons / "QSMSeparation.png"),
        uris="",
        fileNames="",
        nodeNames="digital head",
        customDownloader=make_sample_data,
    )


def make_sample_data(source: Any = None) -> list[Any]:
    """Make the digital head on this computer; nothing is downloaded."""
    from QSMSeparationPanel.sample_data import download

    from QSMSeparationLib.runtime.errors import QSMSeparationError

    try:
        return download()
    except QSMSeparationError as error:
        slicer.util.errorDisplay(str(error))
        return []


class QSMSeparationWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The panel."""

    def __init__(self, parent: Any = None) -> None:
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic: QSMSeparationLogic | None = None
        self._parameters: QSMSeparationParameterNode | None = None
        self._binding: int | None = None
        self._controls: Any = None
        self._fresh = False  # whether the parameters are new, so that the last session's are taken
        self._top: Any = None

    def setup(self) -> None:
        """Build the panel."""
        ScriptedLoadableModuleWidget.setup(self)
        widget = slicer.util.loadUI(self.resourcePath("UI/QSMSeparation.ui"))
        self.layout.addWidget(widget)
        self.ui = slicer.util.childWidgetVariables(widget)
        widget.setMRMLScene(slicer.mrmlScene)
        self._top = widget
        self.logic = QSMSeparationLogic()
        self._fresh = self.logic.has_no_parameters()
        from QSMSeparationPanel.controls import PanelControls

        self._controls = PanelControls(
            self.ui, self.logic, lambda: self._parameters, lambda: self.parent.isEntered
        )
        scene = slicer.mrmlScene
        self.addObserver(scene, scene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(scene, scene.EndCloseEvent, self.onSceneEndClose)
        self.addObserver(scene, scene.EndImportEvent, self.onSceneEndImport)
        self.addObserver(scene, scene.NodeRemovedEvent, self.onNodeRemoved)
        self.initializeParameterNode()

    def cleanup(self) -> None:
        """Leave nothing running or observed."""
        self.setParameterNode(None)
        self.removeObservers()
        if self._controls is not None:
            self._controls.close()
        if self.logic is not None:
            self.logic.close()
        if self._top is not None:
            self._top.setMRMLScene(None)  # its selectors follow the scene no longer

    def enter(self) -> None:
        """Show the parameters of the present scene."""
        self.initializeParameterNode()
        self._controls.entered()

    def exit(self) -> None:
        """Stop following the parameters while another module is shown."""
        self.setParameterNode(None)

    def onSceneStartClose(self, caller: Any, event: Any) -> None:
        """End the run of a scene that goes."""
        if self.logic is not None:
            self.logic.cancel()
        self._controls.forget_scene()
        self.setParameterNode(None)

    def onSceneEndClose(self, caller: Any, event: Any) -> None:
        """Begin anew in the empty scene."""
        if self.logic is not None:
            self.logic.tidy(slicer.mrmlScene)
        self._fresh = True
        if self.parent.isEntered:
            self.initializeParameterNode()

    def onSceneEndImport(self, caller: Any, event: Any) -> None:
        """Show the runs of a scene that was opened."""
        self._fresh = False
        if self.parent.isEntered:
            self.initializeParameterNode()
        self._controls.refresh_results()

    def onNodeRemoved(self, caller: Any, event: Any) -> None:
        """Runs may have been deleted in another module."""
        self._controls.refresh_results_soon()

    def initializeParameterNode(self) -> None:
        """Follow the parameters of the present scene; new ones are those of the last session."""
        if self.logic is None:
            return
        parameters = self.logic.getParameterNode()
        if self._fresh:
            from QSMSeparationPanel import session

            session.restore(parameters)
        self._fresh = False
        self.setParameterNode(parameters)

    def setParameterNode(self, parameters: QSMSeparationParameterNode | None) -> None:
        """Bind the panel to a parameter node, or to none."""
        modified = vtk.vtkCommand.ModifiedEvent
        if self._parameters is not None:
            self._parameters.disconnectGui(self._binding)
            self.removeObserver(self._parameters, modified, self._update)
        self._parameters = parameters
        if parameters is not None:
            self._binding = parameters.connectGui(self.ui)
            self.addObserver(parameters, modified, self._update)
            self._controls.follow_anew()

    def _update(self, caller: Any = None, event: Any = None) -> None:
        self._controls.update()

    def onReload(self) -> None:
        """Reload the panel and the library too, which the application would keep."""
        self.cleanup()
        for prefix in ("QSMSeparationLib", "QSMSeparationPanel"):
            for name in sorted(n for n in sys.modules if n.split(".")[0] == prefix):
                del sys.modules[name]
        importlib.invalidate_caches()
        ScriptedLoadableModuleWidget.onReload(self)


class QSMSeparationLogic(ScriptedLoadableModuleLogic):
    """Runs a separation; works without a panel too.

    Examples
    --------
    In the Python console::

        logic = QSMSeparationLogic()
        parameters = logic.getParameterNode()
        parameters.inputKind = InputKind.MAPS
        parameters.field, parameters.r2prime, parameters.mask = field, r2prime, mask
        [run] = logic.separate(parameters)
        chi_para = run.node("chi_para")
    """

    def __init__(self) -> None:
        ScriptedLoadableModuleLogic.__init__(self)
        make_library_importable()
        from QSMSeparationPanel.checks import Inspector

        from QSMSeparationLib.mrml.runs import Sweeper

        self._inspector = Inspector()
        self._sweeper = Sweeper(slicer.mrmlScene)
        self._job: Any = None
        self._installing = False

    def getParameterNode(self) -> QSMSeparationParameterNode:
        """Return the parameters of the scene."""
        return QSMSeparationParameterNode(super().getParameterNode())

    def has_no_parameters(self) -> bool:
        """Return whether the scene has none yet: it is new, or was just cleared."""
        return not super().getParameterNode().HasParameter("method")

    @property
    def running(self) -> bool:
        """Whether a run has begun and not ended; what it lacks may be being installed."""
        return self._installing or (self._job is not None and self._job.active)

    def inputs(self, parameters: QSMSeparationParameterNode) -> Any:
        """Return what is known of the chosen inputs (:class:`checks.Inputs`)."""
        from QSMSeparationPanel.readiness import inputs_of

        return inputs_of(parameters, self._inspector)

    def lesion_findings(self, parameters: QSMSeparationParameterNode) -> list[Any]:
        """Return what is known of the chosen lesions."""
        return self._inspector.inspect_lesions(parameters.lesions)

    def problems(self, parameters: QSMSeparationParameterNode) -> list[str]:
        """Return why a run cannot start; empty when it can."""
        from QSMSeparationPanel.readiness import problems_of

        return problems_of(parameters, self.inputs(parameters), self.lesion_findings(parameters))

    def request(self, parameters: QSMSeparationParameterNode) -> Any:
        """Return what a run with these parameters is asked for (:class:`job.Request`)."""
        from QSMSeparationPanel.request import request_of

        return request_of(parameters, self.inputs(parameters))

    def start(self, parameters: QSMSeparationParameterNode, listener: Any) -> None:
        """Start a run; ``listener`` (:class:`job.Listener`) is told its end.

        Raises
        ------
        ValueError
            With the first reason why it cannot start.
        """
        from QSMSeparationPanel.job import Job

        problems = [_("a run is on its way")] if self.running else self.problems(parameters)
        if not problems and (reason := self._install(listener)):
            problems = [reason]
        if problems:
            raise ValueError(problems[0])
        self._job = Job(self.request(parameters), slicer.mrmlScene, listener)
        self._job.start()

    def _install(self, listener: Any) -> str:
        """Install what is missing; meanwhile nothing can be started. Return why it failed."""
        from QSMSeparationPanel.job import IDLE, INSTALLING
        from QSMSeparationPanel.packages import ensure_packages

        def tell(text: str) -> None:
            listener.on_state(INSTALLING)
            listener.on_install(text)

        self._installing = True
        try:
            return ensure_packages(tell)
        finally:
            self._installing = False
            listener.on_state(IDLE)

    def cancel(self) -> None:
        """Ask the run to stop; its end is told within two seconds."""
        if self._job is not None and self._job.active:
            self._job.cancel()

    def stop(self) -> None:
        """Stop the run now."""
        if self._job is not None and self._job.active:
            self._job.stop()

    def separate(self, parameters: QSMSeparationParameterNode) -> list[Any]:
        """Run and wait, for scripts; returns the runs that are in the scene then.

        Raises
        ------
        RuntimeError
            With the reason when the run failed or was cancelled.
        """
        from QSMSeparationPanel.job import Listener

        ends: list[Any] = []

        class Waiting(Listener):
            def on_end(self, end: Any, runs: list[Any]) -> None:
                ends.append((end, runs))

        self.start(parameters, Waiting())
        while not ends:
            slicer.app.processEvents()
            time.sleep(_WAIT_S)
        end, runs = ends[0]
        if end.status != "done":
            raise RuntimeError(end.message)
        return runs

    def tidy(self, scene: Any) -> None:
        """Take color tables away that nothing uses any more."""
        from QSMSeparationLib.mrml.colors import remove_unused

        remove_unused(scene)

    def close(self) -> None:
        """Stop everything."""
        self.stop()
        self._sweeper.stop()


class QSMSeparationTest(ScriptedLoadableModuleTest):
    """Looks whether the module works where it is installed: half a minute, without a network.

    "Reload and Test" in the panel (developer mode) or ``QSMSeparationTest().runTest()`` in the
    Python console; what was tested, and in which versions, is shown and logged.
    """

    def setUp(self) -> None:
        """Begin with an empty scene."""
        slicer.mrmlScene.Clear(False)

    def runTest(self, **_options: Any) -> None:
        """Run all tests, and say what they were run with."""
        from QSMSeparationPanel import self_test

        self.delayDisplay("\n".join(self_test.run(self)))

    def test_everything(self) -> None:
        """Run the same as one test."""
        self.runTest()
