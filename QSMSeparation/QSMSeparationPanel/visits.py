"""Two visits of one patient in the panel: compared by the worker, listed, and seen together."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

from QSMSeparationLib.mrml import layouts, marks
from QSMSeparationLib.mrml.annotations import date_of
from QSMSeparationLib.mrml.export import write_text
from QSMSeparationLib.mrml.legends import show_legends
from QSMSeparationLib.mrml.lesions import show_outlines
from QSMSeparationLib.mrml.runs import Run, find_runs
from QSMSeparationLib.mrml.visits import (
    BOTH,
    COLUMNS,
    GONE,
    NEW,
    SHOWN,
    add_visits,
    changes,
    detectable_ppb,
    earlier_of,
    place_of,
    visit_rows,
    visits_csv,
)
from QSMSeparationPanel import packages, tables
from QSMSeparationPanel.dialogs import choose_file
from QSMSeparationPanel.work_on_runs import WorkOnRuns
from QSMSeparationPanel.worker import End, Step

_NEEDED = ("chi_para", "chi_dia", "net", marks.MASK, marks.LESIONS, marks.LESION_TABLE)


class Comparison(WorkOnRuns):
    """Compares two runs of the scene in a worker; used once.

    Parameters
    ----------
    earlier, later : Run
        The visits.
    tell : callable
        Gets what is being done, in words.
    ended : callable
        Gets the :class:`worker.End`, once; when it is done, the table is in the scene.
    """

    def __init__(
        self,
        earlier: Run,
        later: Run,
        tell: Callable[[str], None],
        ended: Callable[[End], None],
    ) -> None:
        super().__init__({"earlier": earlier, "later": later}, tell, ended)
        self._earlier, self._later = earlier, later

    def arguments(self) -> list[str]:
        """Return the command ``compare``."""
        folders = [str(self.folder / name) for name in ("earlier", "later", "out")]
        return ["compare", *folders, "--visits"]

    def take(self, end: End) -> str:
        """Put the table into the scene."""
        there = {run.folder for run in find_runs(self._earlier.scene)}
        if not {self._earlier.folder, self._later.folder} <= there:
            return _("one of the visits was removed meanwhile")
        try:
            add_visits(self.folder / "out", self._earlier, self._later)
        except (OSError, ValueError, KeyError) as error:
            return _("the comparison can't be read: {e}").format(e=error)
        return ""

    def words(self, step: Step) -> str:
        """Return the stage."""
        return _("comparing: {stage}").format(stage=step.stage)


class VisitControls:
    """The part of the panel where two runs are chosen and compared.

    Parameters
    ----------
    ui : object
        Widgets of the panel by name.
    busy : callable
        Returns whether a run is on its way.
    """

    def __init__(self, ui: Any, busy: Callable[[], bool]) -> None:
        self._ui, self._busy = ui, busy
        self._filling = self._starting = False
        self._runs: list[Run] = []
        self._identifiers: list[str] = []
        self._rows: list[dict[str, str]] = []
        self._comparison: Comparison | None = None
        self._ended_comparison: Comparison | None = None
        for combo in (ui.earlierComboBox, ui.laterComboBox):
            combo.connect("currentIndexChanged(int)", lambda *_unused: self._chosen())
        ui.compareVisitsButton.connect("clicked(bool)", lambda *_unused: self.compare())
        ui.cancelVisitsButton.connect("clicked(bool)", lambda *_unused: self._cancel())
        ui.showVisitsButton.connect("clicked(bool)", lambda *_unused: self.show())
        ui.saveVisitsButton.connect("clicked(bool)", lambda *_unused: self._save())
        ui.visitsTable.connect("itemSelectionChanged()", self._go_to_lesion)
        for box in (ui.outlinesCheckBox, ui.legendsCheckBox):
            box.connect("toggled(bool)", lambda *_unused: self._set_overlays())
        self.refresh()

    @property
    def active(self) -> bool:
        """Whether a comparison is on its way."""
        return self._starting or self._comparison is not None

    # Choosing

    def refresh(self) -> None:
        """List the runs that can be compared; the last two are offered, the earlier first."""
        combos = (self._ui.earlierComboBox, self._ui.laterComboBox)
        known = dict(enumerate(self._identifiers))
        kept = [known.get(combo.currentIndex, "") for combo in combos]
        runs = find_runs(slicer.mrmlScene)
        self._runs = [run for run in runs if set(_NEEDED) <= set(run.nodes())]
        self._identifiers = [run.identifier for run in self._runs]
        offered = _by_date(self._runs[-2:])
        self._filling = True
        for n, combo in enumerate(combos):
            combo.clear()
            for run in self._runs:
                combo.addItem(" ".join((run.title, date_of(run.need("chi_para")))).strip())
            if kept[n] in self._identifiers:
                combo.setCurrentIndex(self._identifiers.index(kept[n]))
            else:
                combo.setCurrentIndex(self._runs.index(offered[n]) if n < len(offered) else -1)
        self._filling = False
        self._chosen()

    def clear(self) -> None:
        """Forget everything of the scene, which is about to be closed."""
        self.stop()
        self._runs, self._identifiers, self._filling = [], [], True
        self._ui.earlierComboBox.clear()
        self._ui.laterComboBox.clear()
        self._filling = False
        self._chosen()

    def stop(self) -> None:
        """Stop a comparison now."""
        if self._comparison is not None:
            self._comparison.stop()

    def _pair(self) -> tuple[Run | None, Run | None]:
        combos = (self._ui.earlierComboBox, self._ui.laterComboBox)
        first, second = (
            self._runs[combo.currentIndex] if 0 <= combo.currentIndex < len(self._runs) else None
            for combo in combos
        )
        return first, second

    def _chosen(self) -> None:
        if not self._filling:
            self._fill()
            self._show_ready("")

    def _problem(self) -> str:
        earlier, later = self._pair()
        if len(self._runs) < 2 or earlier is None or later is None:
            return _("separate or load both visits first, with their lesions")
        if earlier.folder == later.folder:
            return _("choose two different runs")
        return ""

    def _show_ready(self, text: str) -> None:
        """Show what can be pressed, and a text or why nothing can."""
        ui, problem = self._ui, self._problem()
        ui.compareVisitsButton.enabled = not problem and not self.active
        ui.cancelVisitsButton.enabled = self._comparison is not None
        ui.showVisitsButton.enabled = not problem
        ui.saveVisitsButton.enabled = bool(self._rows)
        ui.earlierComboBox.enabled = ui.laterComboBox.enabled = not self.active
        _earlier, later = self._pair()
        if not text and self._rows and later is not None:
            table = later.need(marks.VISITS)
            text = _summary(self._rows, detectable_ppb(table))
        ui.visitsLabel.text = text or problem
        ui.visitsLabel.visible = bool(text or problem)

    # Comparing

    def compare(self) -> None:
        """Compare the chosen runs, or say why not."""
        if self._problem() or self.active:
            return
        if self._busy():
            self._show_ready(_("a run is on its way; compare when it has ended"))
            return
        self._starting = True
        self._show_ready(_("looking for what is needed"))
        try:
            reason = packages.ensure_packages(self._show_ready)
        finally:
            self._starting = False
        earlier, later = self._pair()
        if reason or earlier is None or later is None:
            self._show_ready(reason)
            return
        self._comparison = Comparison(earlier, later, self._show_ready, self._ended)
        self._comparison.start()

    def _cancel(self) -> None:
        if self._comparison is not None:
            self._comparison.cancel()

    def _ended(self, end: End) -> None:
        # Kept: its process must not be deleted within its own signal.
        self._ended_comparison, self._comparison = self._comparison, None
        self._fill()
        if end.status == "failed":
            self._show_ready(_("Failed: {reason}").format(reason=end.message))
        elif end.status == "cancelled":
            self._show_ready(_("cancelled; nothing was kept"))
        elif not any(row["status"] == BOTH for row in self._rows):
            self._show_ready(
                _(
                    "no lesion of one visit overlaps one of the other: register the later visit to "
                    "the earlier one, harden its transform, and compare again"
                )
            )
        else:
            self._show_ready("")
            self.show()

    # What was found

    def _fill(self) -> None:
        earlier, later = self._pair()
        self._rows = []
        if earlier is not None and later is not None:
            known = earlier_of(later)
            if known is not None and known.folder == earlier.folder:
                self._rows = visit_rows(earlier, later)
        self._filling = True
        table = self._ui.visitsTable
        tables.fill(table, COLUMNS, self._rows)
        table.visible = bool(self._rows)
        self._filling = False

    def show(self) -> None:
        """Show both visits, one above the other."""
        manager = slicer.app.layoutManager()
        earlier, later = self._pair()
        if self._problem() or manager is None or earlier is None or later is None:
            return
        with slicer.util.tryWithErrorDisplay(_("The views can't be shown.")):
            layouts.show_visits(manager, earlier, later)
            self._set_overlays()
            self._go_to_lesion()

    def _set_overlays(self) -> None:
        manager = slicer.app.layoutManager()
        if self._problem() or manager is None or not layouts.shows_visits(manager):
            return
        for run in filter(None, self._pair()):
            nodes = run.nodes()
            show_outlines(nodes[marks.LESIONS], self._ui.outlinesCheckBox.checked)
            show_legends(nodes, self._ui.legendsCheckBox.checked)

    def _go_to_lesion(self) -> None:
        chosen = tables.chosen(self._ui.visitsTable)
        earlier, later = self._pair()
        if self._filling or chosen is None or earlier is None or later is None:
            return
        place = place_of(earlier, later, self._rows[chosen])
        if place is not None:
            layouts.go_to(slicer.mrmlScene, place)

    def _save(self) -> None:
        if path := choose_file(_("Save changes"), "visits.csv"):
            with slicer.util.tryWithErrorDisplay(_("{path} can't be written.").format(path=path)):
                write_text(Path(path), visits_csv(self._rows))


def _summary(rows: list[dict[str, str]], detectable: dict[str, float]) -> str:
    """Return what was found in a line: lesions in both, new, gone, changed, and the limits."""
    count = {status: sum(row["status"] == status for row in rows) for status in (BOTH, NEW, GONE)}
    text = _(
        "{both} lesions in both, {new} new, {gone} gone; {changed} changed by more than the "
        "smallest detectable change ({limits} ppb)"
    )
    limits = ", ".join(f"{SHOWN[short]} {limit:.1f}" for short, limit in detectable.items())
    changed = sum(changes(row) != [] for row in rows)
    return text.format(**count, changed=changed, limits=limits)


def _by_date(runs: list[Run]) -> list[Run]:
    """Return runs by the date of their scan, where all say it; else as they are."""
    dates = [date_of(run.need("chi_para")) for run in runs]
    if not all(dates):
        return runs
    return [run for _date, _n, run in sorted(zip(dates, range(len(runs)), runs, strict=True))]
