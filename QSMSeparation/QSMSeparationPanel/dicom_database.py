"""A scan from the application's DICOM database: patient, study, series.

Names of patients are shown where they are chosen, and go nowhere else: what a run writes is named
after the subject that the user gave, or ``sub-01``.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from functools import partial
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from QSMSeparationLib.io.dicom_series import SeriesLook, look_at, series_of_scan
from QSMSeparationLib.mrml.waiting import in_a_thread
from QSMSeparationPanel.checks import Finding, Inputs
from QSMSeparationPanel.idle_steps import IdleSteps

_CHANGES_MS = 500
"""While files are imported the database changes all the time: it is read when it has rested."""
_MODALITY = "MR"
_SIGNALS = ("databaseChanged()", "opened()")


def database() -> Any:
    """Return the application's DICOM database, or None where there is none or it is closed."""
    found = getattr(slicer, "dicomDatabase", None)
    return found if found is not None and found.isOpen else None


def files_of(series: str) -> tuple[Path, ...]:
    """Return the files of series, whose UIDs are separated by spaces."""
    known = database()
    if known is None:
        return ()
    return tuple(Path(file) for uid in series.split() for file in known.filesForSeries(uid))


def _series_of(study: str) -> list[tuple[str, str]]:
    """Return the MR series of a study in their order: UID, and number with description."""
    known = database()
    if known is None or not study:
        return []
    uids = [
        uid
        for uid in known.seriesForStudy(study)
        if known.fieldForSeries("Modality", uid) == _MODALITY
    ]
    numbers = {uid: known.fieldForSeries("SeriesNumber", uid) for uid in uids}
    uids.sort(key=lambda uid: _number(numbers[uid]))
    return [(uid, f"{numbers[uid]}  {known.descriptionForSeries(uid)}".strip()) for uid in uids]


def inspect_series(series: str) -> Inputs:
    """Return what is known of the chosen series."""
    scan = {"local_field", "net", "r2star"}
    reason = _problem(series.split())
    if reason:
        return Inputs(frozenset(scan | {"r2prime"}), (Finding(reason, ok=False),))
    scan.add("r2prime")  # what is inside is known when it is read
    text = _("DICOM: {number} series; R2' needs a multi-echo spin echo among them")
    return Inputs(frozenset(scan), (Finding(text.format(number=len(series.split()))),))


def _problem(uids: list[str]) -> str:
    known = database()
    if known is None:
        return _("the DICOM database is not open; open the module DICOM once")
    if not uids:
        return _("choose the series of one scan: magnitude and phase")
    studies = {known.studyForSeries(uid) for uid in uids}
    if "" in studies:
        return _("a chosen series is not in the DICOM database any more; choose again")
    if len(studies) > 1:
        return _("choose series of one study")
    return ""


class DatabaseControls:
    """Lets the user choose patient, study and series.

    Parameters
    ----------
    ui : object
        Widgets of the panel by name.
    set_parameter : callable
        Takes the name of a parameter and its value.
    """

    def __init__(self, ui: Any, set_parameter: Callable[[str, str], None]) -> None:
        self._ui, self._set = ui, set_parameter
        self._filling = self._listed = False
        self._shown = ""  # the parameter as the list shows it
        self._steps = IdleSteps()
        self._changes = qt.QTimer()
        self._changes.setSingleShot(True)
        self._changes.setInterval(_CHANGES_MS)
        self._changes.connect("timeout()", self._list_again)
        self._database = getattr(slicer, "dicomDatabase", None)
        self._slot = self._changed  # one object: it is found by it when it is disconnected
        for signal in _SIGNALS:
            if self._database is not None:
                self._database.connect(signal, self._slot)
        ui.patientComboBox.connect("currentIndexChanged(int)", lambda *_unused: self._patient())
        ui.studyComboBox.connect("currentIndexChanged(int)", lambda *_unused: self._study())
        ui.seriesList.connect("itemChanged(QListWidgetItem*)", lambda *_unused: self._ticked())

    def show(self, parameters: Any) -> None:
        """Show the chosen series, where a run starts from them."""
        if parameters.inputKind.value != "database":
            return
        if not self._listed:
            self._list(parameters.dicomSeries)
        elif parameters.dicomSeries != self._shown:
            self._shown = parameters.dicomSeries
            self._go_to(parameters.dicomSeries)

    def close(self) -> None:
        """Follow the database no longer."""
        self._steps.stop()
        self._changes.stop()
        if self._database is not None:
            for signal in _SIGNALS:
                self._database.disconnect(signal, self._slot)
        self._database = None

    def _changed(self, *_unused: object) -> None:
        if self._database is not None:
            self._changes.start()

    def _list_again(self) -> None:
        if self._listed:
            self._list(self._shown)

    # Filling

    def _list(self, series: str) -> None:
        """List the patients, and go to the chosen series or to the first patient."""
        self._listed, self._shown = True, series
        known = database()
        patients = [(_name(known.nameForPatient(p)), p) for p in known.patients()] if known else []
        self._fill(self._ui.patientComboBox, sorted(patients))
        if series:
            self._go_to(series)
        else:
            self._patient()

    def _go_to(self, series: str) -> None:
        """Show patient, study and series of a choice that was made elsewhere."""
        known = database()
        uids = series.split()
        study = known.studyForSeries(uids[0]) if known and uids else ""
        if not study:
            self._tick(set())
            return
        ui = self._ui
        self._choose(ui.patientComboBox, known.patientForStudy(study))
        self._fill(ui.studyComboBox, self._studies())
        self._choose(ui.studyComboBox, study)
        self._list_series(set(uids))

    def _patient(self) -> None:
        if not self._filling:
            self._fill(self._ui.studyComboBox, self._studies())
            self._study()

    def _study(self) -> None:
        if not self._filling:
            self._list_series(None)

    def _studies(self) -> list[tuple[str, str]]:
        """Return the studies of the chosen patient, the newest first."""
        known, patient = database(), _data(self._ui.patientComboBox)
        if known is None or not patient:
            return []
        found = []
        for study in known.studiesForPatient(patient):
            date = known.fieldForStudy("StudyDate", study)
            text = f"{date}  {known.descriptionForStudy(study)}".strip()
            found.append((text or _("study without a date"), study))
        return sorted(found, reverse=True)

    def _list_series(self, chosen: set[str] | None) -> None:
        """List the MR series of the study; without a choice, tick those that belong to a scan."""
        series = _series_of(_data(self._ui.studyComboBox))
        self._filling = True
        widget = self._ui.seriesList
        widget.clear()
        for n, (uid, text) in enumerate(series):
            widget.addItem(text)
            item = widget.item(n)
            item.setData(qt.Qt.UserRole, uid)
            item.setCheckState(qt.Qt.Unchecked)
        self._filling = False
        self._tick(chosen or set())
        if chosen is None:
            self._ticked()
        files = {uid: list(files_of(uid)) for uid, _text in series}
        self._steps.start(_look(files), lambda looks: self._looked(looks, chosen), self._failed)

    def _looked(self, looks: dict[str, SeriesLook | None], chosen: set[str] | None) -> None:
        """Say what each series is; tick those of the scan where the user has not chosen yet."""
        self._filling = True
        widget = self._ui.seriesList
        for item in self._items():
            words = _words(looks.get(item.data(qt.Qt.UserRole)))
            item.setText(f"{item.text()}: {words}")
        self._filling = False
        if chosen is None and not self._chosen():
            self._tick(series_of_scan(looks))
            self._ticked()
        widget.toolTip = _("Ticked are those that look like one scan; tick others if they are not")

    def _failed(self, error: Exception) -> None:
        self._ui.seriesList.toolTip = " ".join(str(error).split())[:400]

    def _fill(self, combo: Any, entries: list[tuple[str, str]]) -> None:
        """Fill a box, keeping what was chosen where it is still there."""
        kept = _data(combo)
        self._filling = True
        combo.clear()
        for text, data in entries:
            combo.addItem(text, data)
        combo.setCurrentIndex(max(0, combo.findData(kept)) if entries else -1)
        self._filling = False

    def _choose(self, combo: Any, data: str) -> None:
        self._filling = True
        combo.setCurrentIndex(combo.findData(data))
        self._filling = False

    # Choosing

    def _items(self) -> list[Any]:
        widget = self._ui.seriesList
        return [widget.item(n) for n in range(widget.count)]

    def _chosen(self) -> list[str]:
        ticked = [item for item in self._items() if item.checkState() == qt.Qt.Checked]
        return [item.data(qt.Qt.UserRole) for item in ticked]

    def _tick(self, uids: set[str]) -> None:
        """Show a choice; what is chosen stays as it is."""
        self._filling = True
        for item in self._items():
            on = item.data(qt.Qt.UserRole) in uids
            item.setCheckState(qt.Qt.Checked if on else qt.Qt.Unchecked)
        self._filling = False

    def _ticked(self) -> None:
        if not self._filling:
            self._shown = " ".join(self._chosen())
            self._set("dicomSeries", self._shown)


def _look(
    files: dict[str, list[Path]],
) -> Generator[str, None, dict[str, SeriesLook | None]]:
    """Look at the series one by one."""
    looks = {}
    for uid, own in files.items():
        looks[uid] = yield from in_a_thread(uid, partial(look_at, own))
    return looks


def _words(look: SeriesLook | None) -> str:
    """Return what a series is, in words."""
    if look is None:
        return _("no image of a scan")
    kinds = {
        "magnitude": _("magnitude"), "phase": _("phase"), "real": _("real part"),
        "imaginary": _("imaginary part"), "difference": _("phase difference"),
    }  # fmt: skip
    parts = [_("spin echo") if look.spin_echo else _("gradient echo")]
    parts += [kinds[kind] for kind in sorted(look.kinds)]
    parts.append(_("several echoes") if look.has_echoes else _("one echo"))
    return ", ".join(parts)


def _name(name: str) -> str:
    """Return the name of a person as it is read."""
    return " ".join(name.replace("^", " ").split()) or _("patient without a name")


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def _data(combo: Any) -> str:
    index = combo.currentIndex
    return str(combo.itemData(index)) if index >= 0 else ""
