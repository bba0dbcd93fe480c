"""Load a result: from a folder, from one of its files, of several, of none, and a scene that goes."""

from __future__ import annotations

from pathlib import Path
from unittest import mock

import numpy as np
import qt
import slicer
from module_test_case import ModuleTestCase, wait_for
from small_result import write_small_result

from QSMSeparationLib.mrml import marks
from QSMSeparationLib.mrml.runs import find_runs


class ResultsFromDiskTest(ModuleTestCase):
    @property
    def loader(self):
        return self.widget._controls.loader

    def load(self, path: Path) -> None:
        self.loader.load(path)
        self.assertTrue(wait_for(lambda: not self.loader.active, 30))
        slicer.app.processEvents()

    def test_folder_is_loaded_as_a_run_with_views_table_and_review(self):
        written = self.folder / "last week" / "sub-01" / "anat"
        result = write_small_result(written)
        before = self.node_ids()
        self.load(self.folder / "last week")
        [run] = find_runs(slicer.mrmlScene)
        self.assertEqual(self.ui.runComboBox.currentText, run.title)
        shown = slicer.util.arrayFromVolume(run.node("chi_para"))
        np.testing.assert_allclose(shown, 1000 * result.maps["chi_para"], atol=1e-3)
        self.assertEqual(self.ui.lesionTable.rowCount, 3)
        self.assertTrue(self.ui.reportButton.enabled)
        self.ui.lesionTable.selectRow(0)
        self.ui.remarkEdit.text = "seen again"
        self.ui.remarkEdit.editingFinished.emit()
        table = run.node(marks.LESION_TABLE).GetTable()
        remarks = table.GetColumnByName("remark")
        self.assertIn("seen again", [remarks.GetValue(n) for n in range(3)])
        manager = slicer.app.layoutManager()
        if manager is not None:
            composite = manager.sliceWidget("QSMPara").sliceLogic().GetSliceCompositeNode()
            self.assertEqual(composite.GetBackgroundVolumeID(), run.node("chi_para").GetID())
        self.assertGreater(len(self.node_ids()), len(before))

    def test_any_file_of_a_result_will_do(self):
        written = self.folder / "anat"
        write_small_result(written)
        for name in ("sub-01_Chimap.json", "lesions.csv", "report.html"):
            self.load(written / name)
        runs = find_runs(slicer.mrmlScene)
        self.assertEqual(len(runs), 3)
        self.assertEqual(len({run.title for run in runs}), 3, "runs can be told apart")

    def test_of_several_results_the_user_chooses(self):
        for session in ("ses-01", "ses-02"):
            write_small_result(self.folder / "many" / session / "anat")
        self.load(self.folder / "many")
        self.assertEqual(find_runs(slicer.mrmlScene), [])
        self.assertIn("2 results", self.ui.resultLabel.text)
        combo = self.ui.resultChoiceComboBox
        self.assertEqual(combo.count, 2)
        self.assertIn("ses-02/anat", combo.itemText(1))
        combo.setCurrentIndex(1)
        self.ui.resultChoiceButton.click()
        self.assertTrue(wait_for(lambda: not self.loader.active, 30))
        self.assertEqual(len(find_runs(slicer.mrmlScene)), 1)

    def test_none_is_said_in_a_line(self):
        empty = self.folder / "empty"
        empty.mkdir()
        (empty / "notes.csv").write_text("a,b\n")
        for path in (empty, empty / "notes.csv"):
            self.load(path)
            self.assertIn("no result", self.ui.resultLabel.text)
            self.assertTrue(self.ui.loadFolderButton.enabled)
        self.assertEqual(find_runs(slicer.mrmlScene), [])

    def test_broken_result_leaves_nothing(self):
        written = self.folder / "anat"
        write_small_result(written)
        (written / "lesions.csv").write_text("something else\n")
        before = self.node_ids()
        self.load(written)
        self.assertIn("no lesion table", self.ui.resultLabel.text)
        self.assertEqual(self.node_ids(), before)

    def test_scene_that_is_closed_meanwhile(self):
        written = self.folder / "anat"
        write_small_result(written)
        self.loader.load(written)
        wait_for(lambda: find_runs(slicer.mrmlScene), 10)
        slicer.mrmlScene.Clear(False)
        self.assertFalse(self.loader.active)
        wait_for(lambda: False, 0.2)
        self.assertEqual(find_runs(slicer.mrmlScene), [])

    def test_dialogs_are_asked_for_folder_and_file(self):
        written = self.folder / "anat"
        write_small_result(written)
        for name, path, button in (
            ("getExistingDirectory", written, self.ui.loadFolderButton),
            ("getOpenFileName", written / "report.html", self.ui.loadFileButton),
        ):
            with mock.patch.object(qt.QFileDialog, name, return_value=str(path), create=True):
                button.click()
                self.assertTrue(wait_for(lambda: not self.loader.active, 30))
        self.assertEqual(len(find_runs(slicer.mrmlScene)), 2)
