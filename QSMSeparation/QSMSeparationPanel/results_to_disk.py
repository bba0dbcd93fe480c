"""What leaves the application: the lesion table, a folder with the whole result, the report."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

from QSMSeparationLib.mrml import marks
from QSMSeparationLib.mrml.export import TABLE_NAME, export_steps, write_text
from QSMSeparationLib.mrml.review import reviewed_csv
from QSMSeparationLib.mrml.runs import Run
from QSMSeparationLib.runtime.errors import QSMSeparationError
from QSMSeparationPanel.dialogs import choose_file, choose_folder, open_page
from QSMSeparationPanel.later import later


class ResultSaver:
    """Writes the run that is shown, as the reader left it.

    Parameters
    ----------
    ui : object
        Widgets of the panel by name.
    """

    def __init__(self, ui: Any) -> None:
        self._ui = ui
        self._run: Run | None = None
        self._export: Iterator[str] | None = None
        ui.saveTableButton.connect("clicked(bool)", lambda *_unused: self._ask_table())
        ui.exportButton.connect("clicked(bool)", lambda *_unused: self._ask_export())
        ui.reportButton.connect("clicked(bool)", lambda *_unused: self._open_report())

    def show(self, run: Run | None) -> None:
        """Offer what this run has."""
        self._run = run
        nodes = run.nodes() if run is not None else {}
        self._ui.exportButton.enabled = run is not None
        self._ui.saveTableButton.enabled = marks.LESION_TABLE in nodes
        self._ui.reportButton.enabled = marks.REPORT in nodes

    def _ask_table(self) -> None:
        if path := choose_file(_("Save lesion table"), TABLE_NAME):
            self.save_table(Path(path))

    def save_table(self, path: Path) -> None:
        """Save the lesion table with the reviewer's classes and remarks."""
        if self._run is None:
            return
        with slicer.util.tryWithErrorDisplay(_("{path} can't be written.").format(path=path)):
            write_text(path, reviewed_csv(self._run.need(marks.LESION_TABLE)))

    def _ask_export(self) -> None:
        if path := choose_folder(_("Export maps, table and report")):
            self.export(Path(path))

    def export(self, folder: Path) -> None:
        """Write maps, lesions, table and report; one file whenever the application is idle."""
        if self._run is None:
            return
        steps = export_steps(self._run, folder, subject_of(self._run))
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
            self._ui.exportButton.enabled = self._run is not None

        later(advance)

    @property
    def exporting(self) -> bool:
        """Whether files are being written."""
        return self._export is not None

    def _open_report(self) -> None:
        if self._run is None:
            return
        # Not in the temporary folder: browsers that are shut in (snap) cannot read it there.
        path = Path(slicer.app.cachePath) / "QSMSeparation-report.html"
        with slicer.util.tryWithErrorDisplay(_("The report can't be opened.")):
            write_text(path, self._run.need(marks.REPORT).GetText())
            open_page(path)


def subject_of(run: Run) -> str:
    """Return the name that files of a run begin with."""
    return run.need("chi_para").GetName().split(" ")[0]
