"""Windows over the application's: which file, which folder, a page in the browser."""

from __future__ import annotations

from pathlib import Path

import qt
import slicer


def choose_file(title: str, name: str) -> str:
    """Ask for a CSV file to write; empty when the user changed his mind."""
    return qt.QFileDialog.getSaveFileName(slicer.util.mainWindow(), title, name, "CSV (*.csv)")


def choose_folder(title: str) -> str:
    """Ask for a folder; empty when the user changed his mind."""
    return qt.QFileDialog.getExistingDirectory(slicer.util.mainWindow(), title)


def open_page(path: Path) -> None:
    """Open a page of this computer in the browser."""
    qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(str(path)))
