"""The results part of the panel: views, windows, lesion table, review, checks, export."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import qt
import slicer
import vtk
from slicer.i18n import tr as _

from QSMSeparationLib.data.quantities import SD_OF
from QSMSeparationLib.lesions.classes import CLASSES as CLASS_ROWS
from QSMSeparationLib.lesions.classes import class_words
from QSMSeparationLib.mrml import colors, layouts, marks, windows
from QSMSeparationLib.mrml.export import TABLE_NAME, export_steps, write_text
from QSMSeparationLib.mrml.legends import relabel_legends, show_legends
from QSMSeparationLib.mrml.lesion_list import COLUMNS
from QSMSeparationLib.mrml.lesions import color_by_class, show_outlines
from QSMSeparationLib.mrml.review import CLASSES, reviewed_csv, set_review
from QSMSeparationLib.mrml.rim_sectors import hide_sectors, show_sectors
from QSMSeparationLib.mrml.runs import Run, find_runs, remove_run
from QSMSeparationLib.mrml.table import rows_of
from QSMSeparationLib.mrml.volumes import b0_of
from QSMSeparationLib.runtime.errors import QSMSeparationError
from QSMSeparationPanel import tables
from QSMSeparationPanel.later import later

_CHECK_COLUMNS = (("name", _("Check")), ("status", _("Result")), ("value", _("Value")), ("unit", _("Unit")),
                  ("advice", _("What to do")))  # fmt: skip
_FADE_ROLES = (("chi_para", _("χ+")), ("chi_dia", _("|χ−|")))
OUTLINES_KEY, NEXT_KEY, PREVIOUS_KEY = "Ctrl+Shift+O", "Ctrl+Shift+N", "Ctrl+Shift+P"
"""Keys that hide the outlines and go from lesion to lesion."""


class ResultControls:
    """Shows the runs of the scene and lets a reader work with one.

    Parameters
    ----------
    ui : object
        Widgets of the panel by name.
    fourth : callable
        Returns the volume that the user chose for the fourth view, or None.
    """

    def __init__(self, ui: Any, fourth: Any) -> None:
        self._ui, self._fourth = ui, fourth
        self._filling = False
        self._observed: tuple[slicer.vtkMRMLTableNode, int] | None = None
        self._export: Iterator[str] | None = None
        self._window_chosen = False
        self._rows: list[dict[str, str]] = []
        self.run: Run | None = None
        for preset in windows.PRESETS:
            ui.windowComboBox.addItem(preset.title, preset.name)
        for name, title in colors.CHOICES:
            ui.netColorComboBox.addItem(title, name)
        for role, title in _FADE_ROLES:
            ui.fadeComboBox.addItem(title, role)
        for column, combo in (
            ("review_para", ui.reviewParaComboBox), ("review_dia", ui.reviewDiaComboBox)
        ):  # fmt: skip
            combo.addItem(_("as computed"), "")
            for name in CLASSES[column]:
                combo.addItem(class_words(name, column.removeprefix("review_")), name)
        ui.colorsLabel.text = _palette()
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
        ui.lesionTable.connect("itemSelectionChanged()", self._chosen_lesion)
        ui.reviewParaComboBox.connect(
            "currentIndexChanged(int)", lambda *_unused: self._review_class("review_para")
        )
        ui.reviewDiaComboBox.connect(
            "currentIndexChanged(int)", lambda *_unused: self._review_class("review_dia")
        )
        ui.remarkEdit.connect("editingFinished()", self._review_remark)
        ui.removeButton.connect("clicked(bool)", lambda *_unused: self._remove())
        ui.saveTableButton.connect("clicked(bool)", lambda *_unused: self._ask_table())
        ui.exportButton.connect("clicked(bool)", lambda *_unused: self._ask_export())
        ui.reportButton.connect("clicked(bool)", lambda *_unused: self._open_report())
        self._add_keys()

    def _add_keys(self) -> None:
        """Let keys work wherever the focus is, as long as the panel is shown."""
        slots = (self._toggle_outlines, lambda: self.step(1), lambda: self.step(-1))
        self._keys = []
        for keys, slot in zip((OUTLINES_KEY, NEXT_KEY, PREVIOUS_KEY), slots, strict=True):
            shortcut = qt.QShortcut(qt.QKeySequence(keys), self._ui.lesionTable)
            shortcut.setContext(qt.Qt.ApplicationShortcut)
            shortcut.connect("activated()", slot)
            self._keys.append(shortcut)
        outlines = self._ui.outlinesCheckBox
        outlines.toolTip = f"{outlines.toolTip} ({OUTLINES_KEY})"
        table = self._ui.lesionTable
        table.toolTip = f"{table.toolTip} ({NEXT_KEY}, {PREVIOUS_KEY})"

    def _toggle_outlines(self) -> None:
        self._ui.outlinesCheckBox.checked = not self._ui.outlinesCheckBox.checked

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
        self._observe(nodes.get(marks.LESION_TABLE))
        ui = self._ui
        for widget in (
            *self._layout_buttons(),
            ui.removeButton,
            ui.exportButton,
            ui.windowComboBox,
            ui.netColorComboBox,
        ):
            widget.enabled = run is not None
        ui.sdCheckBox.enabled = set(SD_OF.values()) <= set(nodes)
        ui.saveTableButton.enabled = marks.LESION_TABLE in nodes
        ui.reportButton.enabled = marks.REPORT in nodes
        self._fill_lesions()
        self._fill_checks(nodes.get(marks.CHECKS))
        self._window_chosen = False
        self._show_preset(nodes)

    def _observe(self, table: slicer.vtkMRMLTableNode | None) -> None:
        if self._observed is not None:
            node, tag = self._observed
            node.RemoveObserver(tag)
        self._observed = None
        if table is not None:
            event = vtk.vtkCommand.ModifiedEvent
            self._observed = (
                table,
                table.AddObserver(event, lambda *_unused: self._fill_lesions()),
            )

    def _remove(self) -> None:
        if self.run is None:
            return
        question = _("Remove '{run}' with its maps, lesions, remarks and tables?")
        question = question.format(run=self.run.title)
        if slicer.util.confirmOkCancelDisplay(question):
            self._observe(None)
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
            self._go_to_lesion()

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
        nodes = self.run.nodes()
        if lesions := nodes.get(marks.LESIONS):
            show_outlines(lesions, self._ui.outlinesCheckBox.checked)
        self._show_sectors()
        show_legends(nodes, self._ui.legendsCheckBox.checked)

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

    # Lesions

    def _fill_lesions(self) -> None:
        table = self.run.node(marks.LESION_TABLE) if self.run is not None else None
        kept = self.lesion
        self._rows = rows_of(table) if table is not None else []
        self._filling = True
        tables.fill(self._ui.lesionTable, COLUMNS, self._rows)
        for n, row in enumerate(self._rows):
            if int(row["id"]) == kept:
                tables.choose(self._ui.lesionTable, n)
        self._filling = False
        self._show_review()

    @property
    def lesion(self) -> int | None:
        """Number of the lesion whose row is chosen."""
        chosen = tables.chosen(self._ui.lesionTable)
        return int(self._rows[chosen]["id"]) if chosen is not None else None

    def step(self, by: int) -> None:
        """Go to the next lesion of the list, or the one before; round at its ends."""
        table = self._ui.lesionTable
        if table.rowCount:
            first = -1 if by > 0 else 0
            row = table.currentRow() if table.selectedItems() else first
            table.selectRow((row + by) % table.rowCount)

    def _row(self) -> dict[str, str] | None:
        table = self.run.node(marks.LESION_TABLE) if self.run is not None else None
        rows = rows_of(table) if table is not None else []
        return next((row for row in rows if int(row["id"]) == self.lesion), None)

    def _chosen_lesion(self) -> None:
        if self._filling:
            return
        self._show_review()
        self._narrow()
        self._show_sectors()
        self._go_to_lesion()

    def _show_sectors(self) -> None:
        """Show what a rim call rests on, where the outlines are shown."""
        row = self._row()
        if self.run is None:
            return
        rim = row if row and "rim" in (row["class_para"], row["review_para"]) else None
        if rim is not None and self._ui.outlinesCheckBox.checked:
            show_sectors(self.run, rim)
        else:
            hide_sectors(self.run)

    def _go_to_lesion(self) -> None:
        row = self._row()
        if row is not None:
            layouts.go_to(slicer.mrmlScene, layouts.center_of(row))

    def _show_review(self) -> None:
        row, ui = self._row(), self._ui
        self._filling = True
        ui.reviewFrame.enabled = row is not None
        ui.reviewLabel.text = (
            _("Lesion {number}").format(number=row["id"])
            if row
            else _("Choose a lesion in the table")
        )
        for column, combo in (
            ("review_para", ui.reviewParaComboBox), ("review_dia", ui.reviewDiaComboBox)
        ):  # fmt: skip
            combo.setCurrentIndex(combo.findData(row[column] if row else ""))
        ui.remarkEdit.text = row["remark"] if row else ""
        self._filling = False

    def _review_class(self, column: str) -> None:
        combo = {"review_para": self._ui.reviewParaComboBox}.get(column, self._ui.reviewDiaComboBox)
        if not self._filling:
            self._review(column, combo.itemData(combo.currentIndex))

    def _review_remark(self) -> None:
        if not self._filling:
            self._review("remark", self._ui.remarkEdit.text)

    def _review(self, column: str, value: str) -> None:
        lesion = self.lesion
        if self.run is None or lesion is None:
            return
        nodes = self.run.nodes()
        set_review(nodes[marks.LESION_TABLE], lesion, column, value)
        if marks.LESIONS in nodes:
            color_by_class(nodes[marks.LESIONS], nodes[marks.LESION_TABLE])

    # Checks, export, report

    def _fill_checks(self, table: slicer.vtkMRMLTableNode | None) -> None:
        rows = rows_of(table) if table is not None else []
        widget = self._ui.checksTable
        widget.setColumnCount(len(_CHECK_COLUMNS))
        widget.setHorizontalHeaderLabels([title for _name, title in _CHECK_COLUMNS])
        widget.setRowCount(len(rows))
        for n, row in enumerate(rows):
            for m, (name, _title) in enumerate(_CHECK_COLUMNS):
                widget.setItem(n, m, qt.QTableWidgetItem(row[name]))

    def _ask_table(self) -> None:
        if path := choose_file(_("Save lesion table"), TABLE_NAME):
            self.save_table(Path(path))

    def save_table(self, path: Path) -> None:
        """Save the lesion table with the reviewer's classes and remarks."""
        if self.run is None:
            return
        with slicer.util.tryWithErrorDisplay(_("{path} can't be written.").format(path=path)):
            write_text(path, reviewed_csv(self.run.need(marks.LESION_TABLE)))

    def _ask_export(self) -> None:
        if path := choose_folder(_("Export maps, table and report")):
            self.export(Path(path))

    def export(self, folder: Path) -> None:
        """Write maps, lesions, table and report; one file whenever the application is idle."""
        if self.run is None:
            return
        subject = self.run.need("chi_para").GetName().split(" ")[0]
        steps = export_steps(self.run, folder, subject)
        self._export = steps
        self._ui.exportButton.enabled = False

        def advance() -> None:
            try:
                name = next(steps)
            except StopIteration:
                slicer.util.showStatusMessage(_("Exported to {folder}").format(folder=folder), 5000)
            except QSMSeparationError as error:
                slicer.util.errorDisplay(str(error))
            else:
                slicer.util.showStatusMessage(_("Writing {name}").format(name=name))
                later(advance)
                return
            self._export = None
            self._ui.exportButton.enabled = self.run is not None

        later(advance)

    @property
    def exporting(self) -> bool:
        """Whether files are being written."""
        return self._export is not None

    def _open_report(self) -> None:
        if self.run is None:
            return
        # Not in the temporary folder: browsers that are shut in (snap) cannot read it there.
        path = Path(slicer.app.cachePath) / "QSMSeparation-report.html"
        with slicer.util.tryWithErrorDisplay(_("The report can't be opened.")):
            write_text(path, self.run.need(marks.REPORT).GetText())
            open_page(path)


def choose_file(title: str, name: str) -> str:
    """Ask for a CSV file to write; empty when the user changed his mind."""
    return qt.QFileDialog.getSaveFileName(slicer.util.mainWindow(), title, name, "CSV (*.csv)")


def choose_folder(title: str) -> str:
    """Ask for a folder; empty when the user changed his mind."""
    return qt.QFileDialog.getExistingDirectory(slicer.util.mainWindow(), title)


def open_page(path: Path) -> None:
    """Open a page of this computer in the browser."""
    qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(str(path)))


def _palette() -> str:
    """Return the colors of the outlines with their classes, as HTML."""
    return "&nbsp; ".join(
        f'<span style="color:{row.color}">&#9632;</span>&nbsp;{row.para.replace(" ", "&nbsp;")}'
        for row in CLASS_ROWS.values()
    )
