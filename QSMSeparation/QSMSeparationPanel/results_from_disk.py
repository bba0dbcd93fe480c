"""Load a result...: what ``qsmsep run`` or ``separate`` wrote, as a run like any other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from QSMSeparationLib.mrml.load import ResultFiles, load_steps, search_results
from QSMSeparationLib.mrml.runs import Run
from QSMSeparationPanel.dialogs import choose_folder
from QSMSeparationPanel.idle_steps import IdleSteps

_FILES = "(*.nii.gz *.json *.csv *.html)"


class ResultLoader:
    """Finds results on the disk, asks which where there are several, and loads.

    Parameters
    ----------
    ui : object
        Widgets of the panel by name.
    loaded : callable
        Gets the run that is in the scene then.
    """

    def __init__(self, ui: Any, loaded: Callable[[Run], None]) -> None:
        self._ui, self._loaded = ui, loaded
        self._steps = IdleSteps()
        self._found: list[ResultFiles] = []
        ui.loadFolderButton.connect("clicked(bool)", lambda *_unused: self._ask_folder())
        ui.loadFileButton.connect("clicked(bool)", lambda *_unused: self._ask_file())
        ui.resultChoiceButton.connect("clicked(bool)", lambda *_unused: self._load_chosen())
        self._show("")

    @property
    def active(self) -> bool:
        """Whether a result is looked for or loaded."""
        return self._steps.active

    def load(self, path: Path) -> None:
        """Load the result in a folder, or the one that a file is of."""
        self._found = []
        self._show(_("looking for results in {path}").format(path=path))
        self._go_on(search_results(path), self._take_found)

    def stop(self) -> None:
        """Stop; a result that is half loaded goes again."""
        self._steps.stop()
        self._found = []
        self._show("")

    def _ask_folder(self) -> None:
        if path := choose_folder(_("Folder of a result")):
            self.load(Path(path))

    def _ask_file(self) -> None:
        window = slicer.util.mainWindow()
        title, files = _("One file of a result"), f"{_('Results')} {_FILES}"
        if path := qt.QFileDialog.getOpenFileName(window, title, "", files):
            self.load(Path(path))

    def _take_found(self, found: list[ResultFiles]) -> None:
        if len(found) == 1:
            self._load(found[0])
            return
        combo = self._ui.resultChoiceComboBox
        combo.clear()
        for files in found:
            combo.addItem(f"{files.subject}  ({files.folder.parent.name}/{files.folder.name})")
        combo.setCurrentIndex(0)
        self._found = found
        text = _("{number} results are there: choose which to load")
        self._show(text.format(number=len(found)))

    def _load_chosen(self) -> None:
        index = self._ui.resultChoiceComboBox.currentIndex
        if 0 <= index < len(self._found):
            self._load(self._found[index])

    def _load(self, files: ResultFiles) -> None:
        self._show(_("loading {subject}").format(subject=files.subject))
        self._go_on(load_steps(files, slicer.mrmlScene), self._take_run)

    def _take_run(self, run: Run) -> None:
        self._show("" if not self._found else _("loaded; choose another, or go on"))
        self._loaded(run)

    def _go_on(self, steps: Any, then: Callable[[Any], None]) -> None:
        self._steps.start(steps, lambda value: self._after(then, value), self._fail)
        self._enable(False)

    def _after(self, then: Callable[[Any], None], value: Any) -> None:
        self._enable(True)
        then(value)

    def _fail(self, error: Exception) -> None:
        self._enable(True)
        self._show(" ".join(str(error).split())[:400] or repr(error))

    def _enable(self, enabled: bool) -> None:
        ui = self._ui
        for button in (ui.loadFolderButton, ui.loadFileButton, ui.resultChoiceButton):
            button.enabled = enabled

    def _show(self, text: str) -> None:
        self._ui.resultLabel.text = text
        self._ui.resultLabel.visible = bool(text)
        self._ui.resultChoiceFrame.visible = bool(self._found)
        if not self._steps.active:
            self._enable(True)
