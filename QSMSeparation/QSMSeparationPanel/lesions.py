"""The lesions of a run in the panel: their list, the keys that go through it, the review."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt
import slicer
import vtk
from slicer.i18n import tr as _

from QSMSeparationLib.lesions.classes import CLASSES as CLASS_ROWS
from QSMSeparationLib.lesions.classes import class_words
from QSMSeparationLib.mrml import layouts, marks
from QSMSeparationLib.mrml.lesion_list import COLUMNS
from QSMSeparationLib.mrml.lesions import color_by_class, show_outlines
from QSMSeparationLib.mrml.review import CLASSES, set_review
from QSMSeparationLib.mrml.rim_sectors import hide_sectors, show_sectors
from QSMSeparationLib.mrml.runs import Run
from QSMSeparationLib.mrml.table import rows_of
from QSMSeparationPanel import tables

OUTLINES_KEY, NEXT_KEY, PREVIOUS_KEY = "Ctrl+Shift+O", "Ctrl+Shift+N", "Ctrl+Shift+P"
"""Keys that hide the outlines and go from lesion to lesion."""


class LesionControls:
    """Lists the lesions of the run that is shown, goes to them, and takes a reader's classes.

    Parameters
    ----------
    ui : object
        Widgets of the panel by name.
    chosen : callable
        Called when a lesion was chosen, before the views go to it.
    """

    def __init__(self, ui: Any, chosen: Callable[[], None]) -> None:
        self._ui, self._on_chosen = ui, chosen
        self._run: Run | None = None
        self._filling = False
        self._observed: tuple[slicer.vtkMRMLTableNode, int] | None = None
        self.rows: list[dict[str, str]] = []
        for column, combo in self._review_boxes().items():
            combo.addItem(_("as computed"), "")
            for name in CLASSES[column]:
                combo.addItem(class_words(name, column.removeprefix("review_")), name)
            combo.connect(
                "currentIndexChanged(int)",
                lambda *_unused, column=column: self._review_class(column),
            )
        ui.colorsLabel.text = _palette()
        ui.lesionTable.connect("itemSelectionChanged()", self._choose)
        ui.remarkEdit.connect("editingFinished()", self._review_remark)
        self._add_keys()

    def _review_boxes(self) -> dict[str, Any]:
        ui = self._ui
        return {"review_para": ui.reviewParaComboBox, "review_dia": ui.reviewDiaComboBox}

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

    # The list

    def show(self, run: Run | None) -> None:
        """List the lesions of a run, and follow its table."""
        self._run = run
        table = run.node(marks.LESION_TABLE) if run is not None else None
        self.follow(table)
        self._fill()

    def follow(self, table: slicer.vtkMRMLTableNode | None) -> None:
        """List the lesions again whenever this table changes, and no other."""
        if self._observed is not None:
            node, tag = self._observed
            node.RemoveObserver(tag)
        self._observed = None
        if table is not None:
            tag = table.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_unused: self._fill())
            self._observed = (table, tag)

    def _fill(self) -> None:
        table = self._run.node(marks.LESION_TABLE) if self._run is not None else None
        kept = self.chosen
        self.rows = rows_of(table) if table is not None else []
        self._filling = True
        tables.fill(self._ui.lesionTable, COLUMNS, self.rows)
        for n, row in enumerate(self.rows):
            if int(row["id"]) == kept:
                tables.choose(self._ui.lesionTable, n)
        self._filling = False
        self._show_review()

    @property
    def chosen(self) -> int | None:
        """Number of the lesion whose row is chosen."""
        chosen = tables.chosen(self._ui.lesionTable)
        return int(self.rows[chosen]["id"]) if chosen is not None else None

    def step(self, by: int) -> None:
        """Go to the next lesion of the list, or the one before; round at its ends."""
        table = self._ui.lesionTable
        if table.rowCount:
            first = -1 if by > 0 else 0
            row = table.currentRow() if table.selectedItems() else first
            table.selectRow((row + by) % table.rowCount)

    def row(self) -> dict[str, str] | None:
        """Return the row of the chosen lesion as the table of the run has it now."""
        table = self._run.node(marks.LESION_TABLE) if self._run is not None else None
        rows = rows_of(table) if table is not None else []
        return next((row for row in rows if int(row["id"]) == self.chosen), None)

    def _choose(self) -> None:
        if self._filling:
            return
        self._show_review()
        self._on_chosen()
        self._show_sectors()
        self.go_to_chosen()

    # In the views

    def show_overlays(self) -> None:
        """Show outlines, and what a rim call rests on, if the reader wants them."""
        if self._run is None:
            return
        if lesions := self._run.node(marks.LESIONS):
            show_outlines(lesions, self._ui.outlinesCheckBox.checked)
        self._show_sectors()

    def _show_sectors(self) -> None:
        """Show what a rim call rests on, where the outlines are shown."""
        row = self.row()
        if self._run is None:
            return
        rim = row if row and "rim" in (row["class_para"], row["review_para"]) else None
        if rim is not None and self._ui.outlinesCheckBox.checked:
            show_sectors(self._run, rim)
        else:
            hide_sectors(self._run)

    def go_to_chosen(self) -> None:
        """Move all views to the chosen lesion."""
        row = self.row()
        if row is not None:
            layouts.go_to(slicer.mrmlScene, layouts.center_of(row))

    # The review

    def _show_review(self) -> None:
        row, ui = self.row(), self._ui
        self._filling = True
        ui.reviewFrame.enabled = row is not None
        ui.reviewLabel.text = (
            _("Lesion {number}").format(number=row["id"])
            if row
            else _("Choose a lesion in the table")
        )
        for column, combo in self._review_boxes().items():
            combo.setCurrentIndex(combo.findData(row[column] if row else ""))
        ui.remarkEdit.text = row["remark"] if row else ""
        self._filling = False

    def _review_class(self, column: str) -> None:
        combo = self._review_boxes()[column]
        if not self._filling:
            self._review(column, combo.itemData(combo.currentIndex))

    def _review_remark(self) -> None:
        if not self._filling:
            self._review("remark", self._ui.remarkEdit.text)

    def _review(self, column: str, value: str) -> None:
        lesion = self.chosen
        if self._run is None or lesion is None:
            return
        nodes = self._run.nodes()
        set_review(nodes[marks.LESION_TABLE], lesion, column, value)
        if marks.LESIONS in nodes:
            color_by_class(nodes[marks.LESIONS], nodes[marks.LESION_TABLE])


def _palette() -> str:
    """Return the colors of the outlines with their classes, as HTML."""
    return "&nbsp; ".join(
        f'<span style="color:{row.color}">&#9632;</span>&nbsp;{row.para.replace(" ", "&nbsp;")}'
        for row in CLASS_ROWS.values()
    )
