"""Export DICOM...: a run as objects in the study of its scan, made by the worker."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from slicer.i18n import tr as _

from QSMSeparationLib.mrml import marks
from QSMSeparationLib.mrml.runs import Run
from QSMSeparationPanel import packages
from QSMSeparationPanel.dialogs import choose_folder
from QSMSeparationPanel.results_to_disk import subject_of
from QSMSeparationPanel.sweep import sweep_after
from QSMSeparationPanel.work_on_runs import WorkOnRuns
from QSMSeparationPanel.worker import End, Step

_NEEDED = {"chi_para", "net", marks.MASK}


class DicomExport(WorkOnRuns):
    """Writes a run as DICOM objects; used once.

    They are made in a hidden folder beside their own, so that a worker that is killed leaves
    nothing where the user looks.

    Parameters
    ----------
    run : Run
        What to write.
    series : Path
        Folder with the DICOM series of the scan.
    out : Path
        New folder for the objects.
    anonymous : bool
        Leave out who it is.
    tell, ended : callable
        As of :class:`work_on_runs.WorkOnRuns`.
    """

    def __init__(
        self,
        run: Run,
        series: Path,
        out: Path,
        anonymous: bool,
        tell: Callable[[str], None],
        ended: Callable[[End], None],
    ) -> None:
        self._hidden = Path(tempfile.mkdtemp(prefix=".qsmsep-", dir=out.parent))
        self._series, self._out, self._anonymous = series, out, anonymous
        super().__init__({"result": run}, tell, ended)

    def arguments(self) -> list[str]:
        """Return the command ``dicom``."""
        arguments = ["dicom", str(self.folder / "result"), str(self._hidden / "dicom")]
        arguments += ["--like", str(self._series)]
        return [*arguments, "--anonymous"] if self._anonymous else arguments

    def take(self, end: End) -> str:
        """Put the objects into their place."""
        try:
            (self._hidden / "dicom").rename(self._out)
        except OSError as error:
            text = _("{folder} can't be written: {reason}")
            return text.format(folder=self._out, reason=error.strerror)
        return ""

    def words(self, step: Step) -> str:
        """Return the stage and how far it is."""
        share = step.done / max(1, step.of) if step.run_done is None else step.run_done
        percent = round(100 * share)
        return _("{stage}: {percent} %").format(stage=step.stage, percent=percent)

    def _end(self, end: End) -> None:
        sweep_after(end, self._hidden)
        super()._end(end)


class DicomControls:
    """The button, what goes on behind it, and the line that says how it went.

    Parameters
    ----------
    ui : object
        Widgets of the panel by name.
    busy : callable
        Returns whether a run is on its way.
    """

    def __init__(self, ui: Any, busy: Callable[[], bool]) -> None:
        self._ui, self._busy = ui, busy
        self._run: Run | None = None
        self._out = Path()
        self._export: DicomExport | None = None
        self._ended_export: DicomExport | None = None
        self._asking = False
        ui.dicomButton.connect("clicked(bool)", lambda *_unused: self._ask())
        ui.cancelDicomButton.connect("clicked(bool)", lambda *_unused: self._cancel())
        self._say("")

    @property
    def active(self) -> bool:
        """Whether objects are being made."""
        return self._export is not None

    def show(self, run: Run | None) -> None:
        """Offer to write a run; one that is being written is written to its end."""
        same = run is not None and self._run is not None and run.folder == self._run.folder
        self._run = run
        self._say(self._ui.dicomLabel.text if same or self.active else "")

    def stop(self) -> None:
        """Stop now."""
        if self._export is not None:
            self._export.stop()

    def _cancel(self) -> None:
        if self._export is not None:
            self._export.cancel()

    def _ask(self) -> None:
        if self._busy():
            self._say(_("a run is on its way; export when it has ended"))
            return
        series = choose_folder(_("Folder with the DICOM series of the scan"))
        out = choose_folder(_("Folder for the DICOM objects")) if series else ""
        if out and self._run is not None:
            self.export(self._run, Path(series), Path(out))

    def export(self, run: Run, series: Path, folder: Path) -> None:
        """Write a run into a new folder below one, or say why not."""
        if self.active or self._asking:
            return
        self._out = folder / f"{subject_of(run)}_dicom"
        if self._out.exists():
            text = _("{folder} already exists; choose another folder")
            self._say(text.format(folder=self._out))
            return
        self._asking = True  # while a package is installed, the application takes clicks
        try:
            packages.offer_highdicom(self._say)
        finally:
            self._asking = False
        anonymous = self._ui.anonymousCheckBox.checked
        try:
            self._export = DicomExport(run, series, self._out, anonymous, self._say, self._ended)
        except OSError as error:
            text = _("{folder} can't be written: {reason}")
            self._say(text.format(folder=folder, reason=error.strerror))
            return
        self._export.start()

    def _ended(self, end: End) -> None:
        # Kept: its process must not be deleted within its own signal.
        self._ended_export, self._export = self._export, None
        if end.status == "done":
            text = _("{number} DICOM series are in {folder}")
            text = text.format(number=len(end.outputs), folder=self._out)
            if not packages.has_highdicom():
                text += _("; exact maps, segments and the lesion report need highdicom")
            self._say(text)
        elif end.status == "cancelled":
            self._say(_("cancelled; nothing was kept"))
        else:
            self._say(_("Failed: {reason}").format(reason=end.message))

    def _say(self, text: str) -> None:
        ui = self._ui
        possible = self._run is not None and set(self._run.nodes()) >= _NEEDED
        ui.dicomButton.enabled = possible and not self.active and not self._asking
        ui.anonymousCheckBox.enabled = ui.dicomButton.enabled
        ui.cancelDicomButton.enabled = self.active
        ui.dicomLabel.text = text
        ui.dicomLabel.visible = bool(text)
