"""Lists of lesions in the panel: numbers that sort as such, swatches, explanations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import qt
from slicer.i18n import tr as _

from QSMSeparationLib.mrml.lesion_list import Cell, Column, Row

_SWATCH_PX = 10


def fill(widget: Any, columns: Sequence[Column], rows: Sequence[Row]) -> None:
    """Fill a table widget with rows; it is sorted as before. Its signals are the caller's matter."""
    widget.setSortingEnabled(False)
    widget.setColumnCount(len(columns))
    widget.setHorizontalHeaderLabels([_(column.heading) for column in columns])
    for m, column in enumerate(columns):
        widget.horizontalHeaderItem(m).setToolTip(_(column.tip))
    widget.setRowCount(len(rows))
    for n, row in enumerate(rows):
        for m, column in enumerate(columns):
            item = _item(column.cell(row), column.right)
            item.setData(qt.Qt.UserRole, n)
            widget.setItem(n, m, item)
    widget.setSortingEnabled(True)
    widget.resizeColumnsToContents()


def chosen(widget: Any) -> int | None:
    """Return which of the rows that were filled in is chosen, however they are sorted."""
    item = widget.item(widget.currentRow(), 0) if widget.selectedItems() else None
    return int(item.data(qt.Qt.UserRole)) if item is not None else None


def choose(widget: Any, row: int) -> None:
    """Choose one of the rows that were filled in."""
    for n in range(widget.rowCount):
        if int(widget.item(n, 0).data(qt.Qt.UserRole)) == row:
            widget.selectRow(n)


def _item(cell: Cell, right: bool) -> Any:
    """Return the item of a cell; numbers are kept as numbers, so that they sort as such."""
    item = qt.QTableWidgetItem()
    if right and cell.text:
        value = float(cell.sort)
        item.setData(qt.Qt.DisplayRole, int(value) if value.is_integer() else round(value, 1))
    else:
        item.setText(cell.text)
    if right:
        alignment = int(qt.Qt.AlignRight) | int(qt.Qt.AlignVCenter)
        item.setData(qt.Qt.TextAlignmentRole, alignment)
    if cell.color:
        swatch = qt.QPixmap(_SWATCH_PX, _SWATCH_PX)
        swatch.fill(qt.QColor(cell.color))
        item.setIcon(qt.QIcon(swatch))
    item.setToolTip(cell.tip)
    return item
