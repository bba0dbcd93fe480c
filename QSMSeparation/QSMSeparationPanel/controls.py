"""What the panel does: says whether a run can start, starts and stops it, shows how it goes."""

from __future__ import annotations

import html
import time
from collections.abc import Callable, Iterable
from typing import Any

import qt
import slicer

from QSMSeparationLib.mrml import layouts
from QSMSeparationLib.mrml.runs import Run
from QSMSeparationPanel.checks import Finding
from QSMSeparationPanel.job import CANCELLING, IDLE, LOADING, PREPARING, Listener
from QSMSeparationPanel.methods import MethodControls
from QSMSeparationPanel.results import ResultControls
from QSMSeparationPanel.worker import SOON_MS, End, Step

_STATES = {
    PREPARING: "writing the inputs",
    LOADING: "loading the results",
    CANCELLING: "stopping",
}
_LOG_LINES = 2000


class PanelControls(Listener):
    """Joins the widgets, the logic and the parameters.

    Parameters
    ----------
    ui : object
        Widgets of the panel by name.
    logic : QSMSeparationLogic
        Runs the separation.
    parameters : callable
        Returns the present parameter node, or None.
    """

    def __init__(self, ui: Any, logic: Any, parameters: Callable[[], Any]) -> None:
        self._ui, self._logic, self._parameters = ui, logic, parameters
        self._refresh_asked = self._closed = False
        self._started = 0.0
        self._methods = MethodControls(ui, self._set_parameter)
        self.results = ResultControls(ui, ui.fourthSelector.currentNode)
        ui.logTextEdit.setMaximumBlockCount(_LOG_LINES)
        ui.applyButton.connect("clicked(bool)", lambda *_: self.apply())
        ui.cancelButton.connect("clicked(bool)", lambda *_: self._logic.cancel())
        self._paths = {"scanFolder": ui.scanFolderEdit, "weightsFile": ui.weightsEdit}
        for name, edit in self._paths.items():
            # Not bound by name: a pathlib.Path as parameter would show "." for an empty one.
            edit.connect(
                "currentPathChanged(QString)", lambda path, name=name: self._set_path(name, path)
            )
        ui.fourthSelector.connect("currentNodeChanged(vtkMRMLNode*)", lambda *_: self._new_fourth())
        manager = slicer.app.layoutManager()
        if manager is not None:
            layouts.register(manager)
        self._show_running(IDLE)

    # Parameters

    def _set_parameter(self, name: str, value: str) -> None:
        parameters = self._parameters()
        if parameters is not None:
            setattr(parameters, name, value)

    def _set_path(self, name: str, path: str) -> None:
        parameters = self._parameters()
        if parameters is not None and getattr(parameters, name) != path:
            setattr(parameters, name, path)

    def update(self) -> None:
        """Show what the parameters mean: inputs found, methods possible, ready or not."""
        parameters = self._parameters()
        if parameters is None or self._closed:
            return
        ui = self._ui
        from_maps = parameters.inputKind.value == "maps"
        ui.folderFrame.visible, ui.mapsFrame.visible = not from_maps, from_maps
        for name, edit in self._paths.items():
            if edit.currentPath != getattr(parameters, name):
                edit.currentPath = getattr(parameters, name)
        inputs = self._logic.inputs(parameters)
        ui.inputsLabel.text = _as_html(inputs.findings)
        ui.lesionsLabel.text = _as_html(self._logic.lesion_findings(parameters))
        self._methods.show(parameters.method, parameters.inversion, parameters.settings, inputs)
        self._show_ready()

    def _show_ready(self) -> None:
        parameters = self._parameters()
        if parameters is None:
            return
        running = self._logic.running
        problems = [] if running else self._logic.problems(parameters)
        self._ui.applyButton.enabled = not running and not problems
        reason = f"Not ready: {problems[0]}" if problems else ""
        self._ui.applyButton.toolTip = reason or "Separate the sources"
        self._ui.reasonLabel.text = reason
        self._ui.reasonLabel.visible = bool(reason)

    # A run

    def apply(self) -> None:
        """Start a run, or say why not."""
        parameters = self._parameters()
        if parameters is None or self._logic.running:
            return
        self._ui.logTextEdit.clear()
        self._started = time.monotonic()
        try:
            self._logic.start(parameters, self)
        except (ValueError, OSError) as error:
            self._say(str(error), failed=True)

    def on_state(self, state: str) -> None:
        """Show that a run begins, loads, stops or ended."""
        if not self._closed:
            self._show_running(state)

    def on_step(self, step: Step) -> None:
        """Show how far the present stage is, and the time left for it."""
        if self._closed:
            return
        bar = self._ui.progressBar
        bar.maximum = 1000 if step.of > 0 else 0
        bar.value = round(1000 * min(1.0, max(0.0, step.done / step.of))) if step.of > 0 else 0
        left = f", about {_duration(step.eta_s)} left" if step.eta_s and step.eta_s >= 1 else ""
        self._ui.stageLabel.text = f"{step.stage}{left}"

    def on_text(self, text: str) -> None:
        """Add lines to the log."""
        if not self._closed:
            self._ui.logTextEdit.appendPlainText(text)

    def on_end(self, end: End, runs: list[Run]) -> None:
        """Say how a run ended, and show its maps."""
        if self._closed:
            return
        self._show_ready()
        if end.status == "done":
            self._say(f"done in {_duration(time.monotonic() - self._started)}")
            self.results.refresh(newest=True)
            qt.QTimer.singleShot(SOON_MS, self._show_views)
        elif end.status == "cancelled":
            self._say("cancelled; nothing was kept")
        else:
            self._say(end.message, failed=True)
            slicer.util.errorDisplay(end.message)

    def _show_views(self) -> None:
        if not self._closed:
            self.results.show("row")

    def _show_running(self, state: str) -> None:
        ui, running = self._ui, state != IDLE
        ui.cancelButton.enabled = running and state != CANCELLING
        ui.progressBar.visible = running
        for frame in (ui.scanButton, ui.lesionsButton, ui.methodButton):
            frame.enabled = not running
        if state in _STATES:
            ui.progressBar.maximum = 0
            ui.stageLabel.text = _STATES[state]
        self._show_ready()

    def _say(self, text: str, failed: bool = False) -> None:
        self._ui.stageLabel.text = f"Failed: {text}" if failed else text
        self._ui.logTextEdit.appendPlainText(text)

    # Results

    def refresh_results(self) -> None:
        """List the runs of the scene again."""
        if not self._closed:
            self.results.refresh()

    def refresh_results_soon(self) -> None:
        """List them again when the application is idle: nodes go one by one."""
        if self._refresh_asked or self._closed or slicer.mrmlScene.IsClosing():
            return
        self._refresh_asked = True

        def refresh() -> None:
            self._refresh_asked = False
            self.refresh_results()

        qt.QTimer.singleShot(SOON_MS, refresh)

    def forget_scene(self) -> None:
        """Let go of everything in a scene that is about to be closed."""
        self.results.clear()

    def _new_fourth(self) -> None:
        manager = slicer.app.layoutManager()
        shown = layouts.current(manager) if manager is not None else None
        if shown is not None and shown.name == "four" and not self._closed:
            self.results.show("four")

    def close(self) -> None:
        """Touch no widget any more; they are about to go."""
        self.results.clear()
        self._closed = True


def _as_html(findings: Iterable[Finding]) -> str:
    """Return findings as lines, those in the way in red; names of nodes may hold anything."""
    lines = []
    for finding in findings:
        text = html.escape(finding.text, quote=False)
        lines.append(text if finding.ok else f'<span style="color:#c0392b">{text}</span>')
    return "<br>".join(lines)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
