"""What the panel does: says whether a run can start, starts and stops it, shows how it goes."""

from __future__ import annotations

import html
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from QSMSeparationLib.mrml import layouts
from QSMSeparationLib.mrml.runs import Run
from QSMSeparationPanel import session
from QSMSeparationPanel.checks import Finding
from QSMSeparationPanel.computer import ComputerControls
from QSMSeparationPanel.dicom_database import DatabaseControls
from QSMSeparationPanel.job import CANCELLING, IDLE, INSTALLING, LOADING, PREPARING, Listener
from QSMSeparationPanel.later import later
from QSMSeparationPanel.methods import MethodControls
from QSMSeparationPanel.results import ResultControls
from QSMSeparationPanel.results_from_disk import ResultLoader
from QSMSeparationPanel.visits import VisitControls
from QSMSeparationPanel.worker import End, Step

_LOG_LINES = 2000
_TYPING_MS = 300
"""A folder is looked into when nothing was typed for so long."""
_STEPS = 1000  # of the progress bar


def _in_words(state: str) -> str:
    return {
        INSTALLING: _("installing what is missing"),
        PREPARING: _("writing the inputs"),
        LOADING: _("loading the results"),
        CANCELLING: _("stopping"),
    }.get(state, "")


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
    entered : callable
        Returns whether the panel is the one that the user sees.
    """

    def __init__(
        self,
        ui: Any,
        logic: Any,
        parameters: Callable[[], Any],
        entered: Callable[[], bool] = lambda: True,
    ) -> None:
        self._ui, self._logic, self._parameters, self._entered = ui, logic, parameters, entered
        self._refresh_asked = self._closed = self._views_wait = False
        self._started = 0.0
        self._methods = MethodControls(ui, self._set_parameter)
        self._computer = ComputerControls(ui, self._set_parameter)
        self.results = ResultControls(ui, ui.fourthSelector.currentNode, lambda: logic.running)
        self._database = DatabaseControls(ui, self._set_parameter)
        self.visits = VisitControls(ui, lambda: logic.running)
        self.loader = ResultLoader(ui, self._take_loaded)
        ui.logTextEdit.setMaximumBlockCount(_LOG_LINES)
        ui.applyButton.connect("clicked(bool)", lambda *_unused: self.apply())
        ui.cancelButton.connect("clicked(bool)", lambda *_unused: self._logic.cancel())
        self._connect_paths()
        ui.fourthSelector.connect(
            "currentNodeChanged(vtkMRMLNode*)", lambda *_unused: self._new_fourth()
        )
        manager = slicer.app.layoutManager()
        if manager is not None:
            layouts.register(manager)
        self._show_running(IDLE)

    # Parameters

    def _set_parameter(self, name: str, value: str) -> None:
        parameters = self._parameters()
        if parameters is not None:
            setattr(parameters, name, value)

    def _connect_paths(self) -> None:
        """Follow both paths; bound by name, an empty one would become ".".

        The widget tells of acceptable text only: that a path was emptied is told by the second
        signal alone, and of text that is no path it does not tell at all (see ``apply``).
        """
        self._paths = {"scanFolder": self._ui.scanFolderEdit, "weightsFile": self._ui.weightsEdit}
        self._shown_paths = dict.fromkeys(self._paths, "")
        self._typing = qt.QTimer()
        self._typing.setSingleShot(True)
        self._typing.setInterval(_TYPING_MS)
        self._typing.connect("timeout()", self._take_paths)
        for edit in self._paths.values():
            edit.connect("currentPathChanged(QString)", lambda *_unused: self._typing.start())
            edit.connect("validInputChanged(bool)", lambda *_unused: self._typing.start())

    def _take_paths(self, whatever: bool = False) -> None:
        """Take what was typed; text that is no path counts only if ``whatever`` is typed does."""
        self._typing.stop()
        parameters = self._parameters()
        if parameters is None or self._closed:
            return
        for name, edit in self._paths.items():
            path = edit.currentPath
            if name == "weightsFile" and not whatever and not path.endswith(".pt"):
                path = ""
            self._shown_paths[name] = path
            if getattr(parameters, name) != path:
                setattr(parameters, name, path)

    def _show_paths(self, parameters: Any) -> None:
        """Show paths that were set elsewhere; what is being typed stays."""
        for name, edit in self._paths.items():
            path = getattr(parameters, name)
            if path != self._shown_paths[name]:
                self._shown_paths[name] = path
                edit.currentPath = path
                self._typing.stop()

    def update(self) -> None:
        """Show what the parameters mean: inputs found, methods possible, ready or not."""
        parameters = self._parameters()
        if parameters is None or self._closed:
            return
        ui = self._ui
        frames = {"scan": ui.folderFrame, "maps": ui.mapsFrame, "database": ui.databaseFrame}
        for kind, frame in frames.items():
            frame.visible = kind == parameters.inputKind.value
        self._database.show(parameters)
        self._show_paths(parameters)
        inputs = self._logic.inputs(parameters)
        ui.inputsLabel.text = _as_html(inputs.findings)
        ui.lesionsLabel.text = _as_html(self._logic.lesion_findings(parameters))
        self._methods.show(parameters.method, parameters.inversion, parameters.settings, inputs)
        self._computer.show(parameters, inputs)
        if self._logic.running:
            self._enable_inputs(False)
        self._show_ready()

    def follow_anew(self) -> None:
        """Show all of another parameter node, and forget what was being typed."""
        self._typing.stop()
        parameters = self._parameters()
        for name, edit in self._paths.items():
            self._shown_paths[name] = edit.currentPath = getattr(parameters, name)
        self._typing.stop()
        self.update()

    def entered(self) -> None:
        """Show what came while another module was used."""
        self._computer.show_versions()
        if self._views_wait:
            self._show_views()

    def _show_ready(self) -> None:
        parameters = self._parameters()
        if parameters is None:
            return
        running = self._logic.running
        problems = [] if running else self._logic.problems(parameters)
        self._ui.applyButton.enabled = not running and not problems
        reason = _("Not ready: {reason}").format(reason=problems[0]) if problems else ""
        self._ui.applyButton.toolTip = reason or _("Separate the sources")
        self._ui.reasonLabel.text = reason
        self._ui.reasonLabel.visible = bool(reason)

    # A run

    def apply(self) -> None:
        """Start a run, or say why not."""
        parameters = self._parameters()
        if parameters is None or self._logic.running:
            return
        self._take_paths(whatever=True)
        self._ui.logTextEdit.clear()
        self._started = time.monotonic()
        try:
            self._logic.start(parameters, self)
        except (ValueError, OSError) as error:
            self._say(str(error), failed=True)
        else:
            session.keep(parameters)
            for edit in self._paths.values():
                edit.addCurrentPathToHistory()
        self._computer.show_versions()

    def on_state(self, state: str) -> None:
        """Show that a run begins, loads, stops or ended."""
        if not self._closed:
            self._show_running(state)

    def on_step(self, step: Step) -> None:
        """Show how far the run is, and the time left."""
        if self._closed:
            return
        share, left_s = step.run_done, step.run_eta_s
        if share is None:  # of a worker that knows its stage alone
            share, left_s = (step.done / step.of if step.of > 0 else None), step.eta_s
        bar = self._ui.progressBar
        bar.maximum = 0 if share is None else _STEPS
        bar.value = 0 if share is None else round(_STEPS * min(1.0, max(0.0, share)))
        left = ""
        if left_s and left_s >= 1:
            left = _(", about {time} left").format(time=_duration(left_s))
        self._ui.stageLabel.text = f"{step.stage}{left}"

    def on_text(self, text: str) -> None:
        """Add lines to the log."""
        if not self._closed:
            self._ui.logTextEdit.appendPlainText(text)

    def on_install(self, text: str) -> None:
        """Say what is being installed, before that begins."""
        if not self._closed:
            self._say(text)

    def on_end(self, end: End, runs: list[Run]) -> None:
        """Say how a run ended, and show its maps."""
        if self._closed:
            return
        self._show_ready()
        if end.status == "done":
            took = _duration(time.monotonic() - self._started)
            self._say(_("done in {time}").format(time=took))
            self.results.refresh(newest=True)
            self.visits.refresh()
            self._views_wait = True
            if self._entered():
                later(self._show_views)
            else:  # whatever the user does now, his views stay
                text = _("QSM Separation is done; its panel shows the maps")
                slicer.util.showStatusMessage(text, 10000)
        elif end.status == "cancelled":
            self._say(_("cancelled; nothing was kept"))
        else:
            self._say(end.message, failed=True)
            slicer.util.errorDisplay(end.message)

    def _show_views(self) -> None:
        if not self._closed and self._views_wait and self._entered():
            self._views_wait = False
            self._hide_drawn_lesions()
            self.results.show("row")

    def _hide_drawn_lesions(self) -> None:
        """Hide the lesions that were given: their outlines lie on the rims, in colors of no class."""
        parameters = self._parameters()
        lesions = parameters.lesions if parameters is not None else None
        if lesions is None or not lesions.IsA("vtkMRMLSegmentationNode"):
            return
        if display := lesions.GetDisplayNode():
            display.SetVisibility(False)

    def _show_running(self, state: str) -> None:
        ui, running = self._ui, state != IDLE
        ui.cancelButton.enabled = running and state not in (CANCELLING, INSTALLING)
        ui.progressBar.visible = running
        self._enable_inputs(not running)
        if words := _in_words(state):
            ui.progressBar.maximum = 0
            ui.stageLabel.text = words
        if running:
            self._show_ready()
        else:
            self.update()

    def _enable_inputs(self, enabled: bool) -> None:
        """Enable what is in the sections; the sections themselves can always be folded."""
        for section in (self._ui.scanButton, self._ui.lesionsButton, self._ui.methodButton):
            for widget in _contents(section):
                widget.enabled = enabled

    def _say(self, text: str, failed: bool = False) -> None:
        self._ui.stageLabel.text = _("Failed: {reason}").format(reason=text) if failed else text
        self._ui.logTextEdit.appendPlainText(text)

    # Results

    def refresh_results(self) -> None:
        """List the runs of the scene again."""
        if not self._closed:
            self.results.refresh()
            self.visits.refresh()

    def refresh_results_soon(self) -> None:
        """List them again when the application is idle: nodes go one by one."""
        if self._refresh_asked or self._closed or slicer.mrmlScene.IsClosing():
            return
        self._refresh_asked = True

        def refresh() -> None:
            self._refresh_asked = False
            self.refresh_results()

        later(refresh)

    def _take_loaded(self, run: Run) -> None:
        """Show a run that was loaded from the disk."""
        self.results.refresh(newest=True)
        self.visits.refresh()
        self._views_wait = True
        self._show_views()

    def forget_scene(self) -> None:
        """Let go of everything in a scene that is about to be closed."""
        self.loader.stop()
        self.visits.clear()
        self._views_wait = False
        self._typing.stop()
        self.results.clear()

    def _new_fourth(self) -> None:
        manager = slicer.app.layoutManager()
        shown = layouts.current(manager) if manager is not None else None
        if shown is not None and shown.name == "four" and not self._closed:
            self.results.show("four")

    def close(self) -> None:
        """Touch no widget any more; they are about to go."""
        self._typing.stop()
        self.loader.stop()
        self._database.close()
        self.visits.clear()
        self.results.clear()
        self._closed = True


def _contents(section: Any) -> Iterator[Any]:
    """Yield the widgets of a collapsible section, and of sections in it."""
    for child in section.children():
        if not child.inherits("QWidget"):
            continue
        if child.inherits("ctkCollapsibleButton"):
            yield from _contents(child)
        else:
            yield child


def _as_html(findings: Iterable[Finding]) -> str:
    """Return findings as lines, those in the way in red; names of nodes may hold anything."""
    lines = []
    for finding in findings:
        text = html.escape(finding.text, quote=False)
        lines.append(text if finding.ok else f'<span style="color:#c0392b">{text}</span>')
    return "<br>".join(lines)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    if minutes:
        return _("{minutes} min {seconds} s").format(minutes=minutes, seconds=rest)
    return _("{seconds} s").format(seconds=rest)
