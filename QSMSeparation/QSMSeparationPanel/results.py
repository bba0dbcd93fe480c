"""The results part of the panel: runs, their views and windows, checks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from QSMSeparationLib.data.quantities import SD_OF
from QSMSeparationLib.mrml import colors, layouts, marks, windows
from QSMSeparationLib.mrml.legends import relabel_legends, show_legends
from QSMSeparationLib.mrml.runs import Run, find_runs, remove_run
from QSMSeparationLib.mrml.table import rows_of
from QSMSeparationLib.mrml.volumes import b0_of
from QSMSeparationPanel.dicom_export import DicomControls
from QSMSeparationPanel.lesions import LesionControls
from QSMSeparationPanel.results_to_disk import ResultSaver

_CHECK_COLUMNS = (("name", _("Check")), ("status", _("Result")), ("value", _("Value")), ("unit", _("Unit")),
                  ("advice", _("What to do")))  # fmt: skip
_FADE_ROLES = (("chi_para", _("χ+")), ("chi_dia", _("|χ−|")))


class ResultControls:
    """Shows the runs of the scene and lets a reader work with one.

    Parameters
    ----------
    ui : object
        Widgets of the panel by name.
    fourth : callable
        Returns the volume that the user chose for the fourth view, or None.
    busy : callable
        Returns whether a run is on its way.
    """

    def __init__(self, ui: Any, fourth: Any, busy: Callable[[], bool]) -> None:
        self._ui, self._fourth = ui, fourth
        self._filling = False
        self._window_chosen = False
        self.run: Run | None = None
        for preset in windows.PRESETS:
            ui.windowComboBox.addItem(preset.title, preset.name)
        for name, title in colors.CHOICES:
            ui.netColorComboBox.addItem(title, name)
        for role, title in _FADE_ROLES:
            ui.fadeComboBox.addItem(title, role)
        self.lesions = LesionControls(ui, self._narrow)
        self.saver = ResultSaver(ui)
        self.dicom = DicomControls(ui, busy)
        ui.fadeFrame.enabled = False
        self._connect()
        self.refresh()

    def _connect(self) -> None:
        ui = self._ui
        for one, button in zip(layouts.LAYOUTS, self._layout_buttons(), strict=True):
            button.text = one.title
            button.connect("clicked(bool)", lambda *_unused, name=one.name: self.show(name))
        ui.runComboBox.connect("currentIndexChanged(int)", lambda *_unused: self._chosen_run())
        ui.windowComboBox.connect("currentIndexChanged(int)", lambda *_unused: self._set_windows())
        ui.netColorComboBox.connect(
            "currentIndexChanged(int)", lambda *_unused: self._set_net_color()
        )
        ui.fadeSlider.connect("valueChanged(double)", lambda *_unused: self._fade())
        ui.fadeComboBox.connect("currentIndexChanged(int)", lambda *_unused: self._fade())
        ui.outlinesCheckBox.connect("toggled(bool)", lambda *_unused: self._set_overlays())
        ui.legendsCheckBox.connect("toggled(bool)", lambda *_unused: self._set_overlays())
        ui.sdCheckBox.connect("toggled(bool)", lambda *_unused: self._show_again())
        ui.removeButton.connect("clicked(bool)", lambda *_unused: self._remove())

    def _layout_buttons(self) -> list[Any]:
        return [self._ui.rowButton, self._ui.fourButton, self._ui.fadeButton]

    # Runs

    def refresh(self, newest: bool = False) -> None:
        """List the runs of the scene; keep the one that is shown, or go to the newest."""
        runs = find_runs(slicer.mrmlScene)
        kept = self.run.folder if self.run is not None and not newest else None
        index = next((n for n, run in enumerate(runs) if run.folder == kept), len(runs) - 1)
        self._filling = True
        self._ui.runComboBox.clear()
        for run in runs:
            self._ui.runComboBox.addItem(run.title, run.folder)
        self._ui.runComboBox.setCurrentIndex(index)
        self._filling = False
        self._take(runs[index] if runs else None)

    def clear(self) -> None:
        """Forget everything of the scene, which is about to be closed."""
        self.dicom.stop()
        self._filling = True
        self._ui.runComboBox.clear()
        self._filling = False
        self._take(None)

    def _chosen_run(self) -> None:
        if self._filling:
            return
        runs = find_runs(slicer.mrmlScene)
        index = self._ui.runComboBox.currentIndex
        self._take(runs[index] if 0 <= index < len(runs) else None)
        self._show_again()

    def _show_again(self) -> None:
        """Show the run in the layout that is there."""
        manager = slicer.app.layoutManager()
        shown = layouts.current(manager) if manager is not None else None
        if shown is not None:
            self.show(shown.name)

    def _take(self, run: Run | None) -> None:
        self.run = run
        nodes = run.nodes() if run is not None else {}
        ui = self._ui
        for widget in (
            *self._layout_buttons(),
            ui.removeButton,
            ui.windowComboBox,
            ui.netColorComboBox,
        ):
            widget.enabled = run is not None
        ui.sdCheckBox.enabled = set(SD_OF.values()) <= set(nodes)
        self.lesions.show(run)
        self.saver.show(run)
        self.dicom.show(run)
        self._fill_checks(nodes.get(marks.CHECKS))
        self._window_chosen = False
        self._show_preset(nodes)

    def _remove(self) -> None:
        if self.run is None:
            return
        question = _("Remove '{run}' with its maps, lesions, remarks and tables?")
        question = question.format(run=self.run.title)
        if slicer.util.confirmOkCancelDisplay(question):
            self.lesions.follow(None)
            run, self.run = self.run, None
            remove_run(run)
            self.refresh()

    # Views

    def show(self, name: str) -> None:
        """Show the run in one of the layouts."""
        manager = slicer.app.layoutManager()
        if self.run is None or manager is None:
            return
        with slicer.util.tryWithErrorDisplay(_("The views can't be shown.")):
            layouts.show(manager, self.run, name, self._fourth(), self._ui.sdCheckBox.checked)
            self._ui.fadeFrame.enabled = name == "fade"
            self._set_overlays()
            if name == "fade":
                self._fade()
            self.lesions.go_to_chosen()

    def _fade(self) -> None:
        manager = slicer.app.layoutManager()
        if self.run is None or manager is None or self._filling:
            return
        shown = layouts.current(manager)
        if shown is not None and shown.name == "fade":
            role = self._ui.fadeComboBox.itemData(self._ui.fadeComboBox.currentIndex)
            layouts.fade(manager, self.run, role, self._ui.fadeSlider.value)

    def _set_overlays(self) -> None:
        if self.run is None:
            return
        self.lesions.show_overlays()
        show_legends(self.run.nodes(), self._ui.legendsCheckBox.checked)

    def _show_preset(self, nodes: dict[str, Any]) -> None:
        if "net" not in nodes:
            return
        shown = windows.preset_of(nodes)
        index = windows.PRESETS.index(shown) if shown is not None else -1
        color = self._ui.netColorComboBox.findData(colors.shown_in(nodes["net"]))
        self._filling = True
        self._ui.windowComboBox.setCurrentIndex(index)
        self._ui.netColorComboBox.setCurrentIndex(color)
        self._filling = False

    def _set_net_color(self) -> None:
        combo, nodes = self._ui.netColorComboBox, self.run.nodes() if self.run else {}
        if "net" in nodes and not self._filling and combo.currentIndex >= 0:
            colors.show_in(nodes["net"], combo.itemData(combo.currentIndex))

    def _narrow(self) -> None:
        """Show lesions in narrow windows, unless the reader chose others for this run."""
        if not self._window_chosen:
            narrow = windows.PRESETS.index(windows.preset("narrow"))
            self._ui.windowComboBox.setCurrentIndex(narrow)
            self._window_chosen = False

    def _set_windows(self) -> None:
        index = self._ui.windowComboBox.currentIndex
        if self.run is None or self._filling or index < 0:
            return
        self._window_chosen = True
        nodes = self.run.nodes()
        windows.apply_preset(nodes, windows.PRESETS[index], b0_of(nodes["chi_para"]))
        relabel_legends(nodes)

    # Checks

    def _fill_checks(self, table: slicer.vtkMRMLTableNode | None) -> None:
        rows = rows_of(table) if table is not None else []
        widget = self._ui.checksTable
        widget.setColumnCount(len(_CHECK_COLUMNS))
        widget.setHorizontalHeaderLabels([title for _name, title in _CHECK_COLUMNS])
        widget.setRowCount(len(rows))
        for n, row in enumerate(rows):
            for m, (name, _title) in enumerate(_CHECK_COLUMNS):
                widget.setItem(n, m, qt.QTableWidgetItem(row[name]))
