"""A scan from the DICOM database: what is offered and ticked, and what the worker gets."""

from __future__ import annotations

from pathlib import Path
from unittest import mock

import host.dicom_database
import numpy as np
import slicer
from dicom_fixtures import PATIENT, TIMES_S, classic, oblique_geometry, phantom, save, siemens
from module_test_case import ModuleTestCase, wait_for
from QSMSeparationPanel import job

from QSMSeparationLib.io.source import Given, find_scans
from QSMSeparationLib.mrml.marks import nodes_of
from QSMSeparationLib.mrml.runs import find_runs

OTHER = ("Doe^Jane", "ID-2")
STUDY, EARLIER = "1.2.3.1", "1.2.3.7"


class DICOMDatabaseTest(ModuleTestCase):
    def setUp(self) -> None:
        self.database = host.dicom_database.DICOMDatabase()
        patch = mock.patch.object(slicer, "dicomDatabase", self.database)
        patch.start()
        self.addCleanup(patch.stop)
        super().setUp()
        self.insert_head()

    def insert_head(self) -> None:
        """Two studies of one patient; the newer one has a localizer, a T1 and a spin echo, too."""
        magnitude, phase = phantom()
        grid = oblique_geometry()
        scan = siemens(
            magnitude, phase, TIMES_S, grid, SeriesDescription="gre", StudyDate="20240301"
        )
        common = {"Manufacturer": "SIEMENS", "StudyDate": "20240301", "Modality": "MR"}
        one, echoes = magnitude[:1], magnitude[:2]
        scan += classic(one, ["M", "ND"], [0.003], grid, 7, RepetitionTime=2300, **common)
        spin = {"ScanningSequence": "SE", "RepetitionTime": 3000, **common}
        scan += classic(echoes, ["M"], [0.012, 0.024], grid, 8, **spin)
        scan += classic(one, ["M"], [0.090], grid, 9, **spin)
        earlier = siemens(magnitude, phase, TIMES_S, grid, study=EARLIER, StudyDate="20220301")
        other = siemens(magnitude, phase, TIMES_S, grid, study="1.2.3.9", patient=OTHER)
        self.scans = {"head": scan, "earlier": earlier, "other": other}
        for name, datasets in self.scans.items():
            folder = self.folder / name
            save(datasets, folder)
            for file in sorted(folder.iterdir()):
                self.database.insert(str(file), False, False)

    def choose_database(self) -> None:
        self.ui.inputKindComboBox.currentIndex = 2
        self.wait_for_looks()

    def choose_patient(self, name: str) -> None:
        combo = self.ui.patientComboBox
        combo.setCurrentIndex(combo.findText(name))
        self.wait_for_looks()

    def wait_for_looks(self) -> None:
        steps = self.widget._controls._database._steps
        self.assertTrue(wait_for(lambda: not steps.active, 30))

    def ticked(self) -> dict[str, bool]:
        items = [self.ui.seriesList.item(n) for n in range(self.ui.seriesList.count)]
        return {item.text().split()[0].strip(":"): item.checkState().value == 2 for item in items}

    def texts(self) -> str:
        widget = self.ui.seriesList
        return "\n".join(widget.item(n).text() for n in range(widget.count))

    def test_series_of_one_scan_are_ticked_by_their_tags(self):
        self.choose_database()
        names = [self.ui.patientComboBox.itemText(n) for n in range(2)]
        self.assertEqual(names, ["Doe Jane", "Quackenbush Zelda"])
        self.choose_patient("Quackenbush Zelda")
        studies = [self.ui.studyComboBox.itemText(n) for n in range(self.ui.studyComboBox.count)]
        self.assertEqual([text[:8] for text in studies], ["20240301", "20220301"])
        self.assertEqual(self.ticked(), {"2": True, "3": True, "7": False, "8": True, "9": False})
        self.assertIn("2  gre: gradient echo, magnitude, several echoes", self.texts())
        self.assertIn("gradient echo, phase", self.texts())
        self.assertEqual(self.parameters.dicomSeries, f"{STUDY}.2 {STUDY}.3 {STUDY}.8")
        self.assertIn("3 series", self.ui.inputsLabel.text)

    def test_the_worker_gets_the_files_of_the_series_and_no_name(self):
        self.choose_database()
        self.choose_patient("Quackenbush Zelda")
        self.use_worker("result")
        seen: list[tuple[list[str], str]] = []

        class Noted(job.Worker):
            def __init__(self, arguments, *rest):
                path = Path(arguments[arguments.index("--files") + 1])
                seen.append((list(arguments), path.read_text(encoding="utf-8")))
                super().__init__(arguments, *rest)

        with mock.patch.object(job, "Worker", Noted):
            self.press_separate()
            self.wait_for_end()
        self.assertEqual(self.errors, [])
        [(arguments, text)] = seen
        files = [Path(line) for line in text.splitlines()]
        expected = {
            Path(file)
            for series in (2, 3, 8)
            for file in self.database.filesForSeries(f"{STUDY}.{series}")
        }
        self.assertEqual(set(files), expected)
        self.assertEqual(arguments[0], "run")
        self.assertNotIn("--name", arguments)
        [scan] = find_scans(Path(arguments[1]), given=Given(files=tuple(files)))
        self.assertEqual(scan.name, "sub-01")
        self.assertIsNotNone(scan.read().spin_echo)
        self.assertEqual(len(find_runs(slicer.mrmlScene)), 1)
        told = " ".join([*arguments, self.ui.logTextEdit.plainText, text])
        told += " ".join(node.GetName() or "" for node in nodes_of(slicer.mrmlScene))
        for secret in (*PATIENT, "Quackenbush", "Zelda"):
            self.assertNotIn(secret, told)

    def test_own_choice_is_kept_and_shown_again(self):
        self.choose_database()
        self.choose_patient("Quackenbush Zelda")
        widget = self.ui.seriesList
        widget.item(3).setCheckState(widget.item(2).checkState())
        self.assertEqual(self.parameters.dicomSeries, f"{STUDY}.2 {STUDY}.3")
        self.panel.exit()
        self.parameters.dicomSeries = f"{EARLIER}.2 {EARLIER}.3"
        self.panel.enter()
        self.wait_for_looks()
        self.assertEqual(self.ui.studyComboBox.currentText, "20220301")
        self.assertEqual(self.ticked(), {"2": True, "3": True})
        self.assertEqual(self.parameters.dicomSeries, f"{EARLIER}.2 {EARLIER}.3")

    def test_what_is_in_the_way_is_said(self):
        self.choose_database()
        for series, words in (
            ("", "choose the series of one scan"),
            ("1.2.3.1.2 9.9.9", "not in the DICOM database any more"),
            (f"{STUDY}.2 {EARLIER}.3", "one study"),
        ):
            parameters = self.parameters
            parameters.dicomSeries = series
            self.assertIn(words, self.logic.problems(parameters)[0])
        self.database.closeDatabase()
        self.assertIn("not open", self.logic.problems(self.parameters)[0])

    def test_new_scans_appear_when_the_import_rests(self):
        self.choose_database()
        self.choose_patient("Quackenbush Zelda")
        chosen = self.parameters.dicomSeries
        magnitude, phase = phantom()
        more = siemens(
            np.array(magnitude), phase, TIMES_S, oblique_geometry(), study="1.2.3.11",
            patient=("New^Ann", "ID-3"),
        )  # fmt: skip
        save(more, self.folder / "more")
        for file in (self.folder / "more").iterdir():
            self.database.insert(str(file), False, False)
        combo = self.ui.patientComboBox
        self.assertTrue(wait_for(lambda: combo.findText("New Ann") >= 0, 5))
        self.wait_for_looks()
        self.assertEqual(combo.currentText, "Quackenbush Zelda")
        self.assertEqual(self.parameters.dicomSeries, chosen)
