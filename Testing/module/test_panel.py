"""The panel as a whole: what it shows, paths that are typed, the words it says."""

from __future__ import annotations

import unittest
from pathlib import Path
from unittest import mock

import qt
import slicer
from module_test_case import ModuleTestCase, wait_for
from QSMSeparationPanel import checks, job, worker


class PanelTest(ModuleTestCase):
    def test_input_kind_shows_the_widgets_that_belong_to_it(self):
        ui = self.ui
        self.panel.show()
        for index, kind in ((1, "maps"), (2, "database"), (0, "scan")):
            ui.inputKindComboBox.currentIndex = index
            self.assertEqual(self.parameters.inputKind.value, kind)
            self.assertEqual(ui.mapsFrame.visible, kind == "maps")
            self.assertEqual(ui.folderFrame.visible, kind == "scan")
            self.assertEqual(ui.databaseFrame.visible, kind == "database")

    def test_the_panel_is_not_wider_than_the_column_of_modules(self):
        self.panel.show()
        self.ui.visitsButton.collapsed = False
        for index in (1, 2, 0):
            self.ui.inputKindComboBox.currentIndex = index
            slicer.app.processEvents()
            self.assertLessEqual(self.widget.parent.minimumSizeHint().width(), 480)


class PathsTest(ModuleTestCase):
    def options(self) -> str:
        return " ".join(self.logic.request(self.parameters).options)

    def own_weights(self) -> Path:
        path = self.folder / "own.pt"
        path.write_bytes(b"weights")
        self.choose_maps()
        self.choose_path(self.ui.weightsEdit, path)
        self.assertIn(f"--weights {path}", self.options())
        return path

    def test_emptied_weights_go_back_to_ours(self):
        self.own_weights()
        self.assertEqual(self.ui.weightsLabel.text, "Own weights: own.pt")
        self.panel.show()
        self.assertTrue(self.ui.weightsLabel.visible)
        self.choose_path(self.ui.weightsEdit, "")
        self.assertEqual(self.parameters.weightsFile, "")
        self.assertNotIn("--weights", self.options())
        self.assertFalse(self.ui.weightsLabel.visible)
        self.parameters.drPara = 120.0  # the old path does not come back with another change
        self.assertEqual(self.ui.weightsEdit.currentPath, "")

    def test_half_typed_weights_stay_and_are_refused_not_ignored(self):
        self.own_weights()
        self.choose_path(self.ui.weightsEdit, "/data/own")
        self.parameters.drPara = 120.0
        self.assertEqual(self.ui.weightsEdit.currentPath, "/data/own")
        self.ui.applyButton.click()
        self.assertFalse(self.logic.running)
        self.assertIn("there is no weights file /data/own", self.ui.stageLabel.text)

    def test_an_emptied_folder_is_forgotten(self):
        self.choose_path(self.ui.scanFolderEdit, self.folder)
        self.assertEqual(self.parameters.scanFolder, str(self.folder))
        self.choose_path(self.ui.scanFolderEdit, "")
        self.assertEqual(self.parameters.scanFolder, "")
        self.assertIn("choose the folder of a scan", self.ui.reasonLabel.text)

    def test_paths_of_runs_can_be_chosen_again_but_are_not_chosen_by_themselves(self):
        self.own_weights()
        scan = self.folder / "scan"
        (scan / "sub-01").mkdir(parents=True)
        (scan / "sub-01" / "sub-01_echo-1_part-mag_MEGRE.nii.gz").write_bytes(b"")
        self.parameters.inputKind = type(self.parameters.inputKind).SCAN
        self.choose_path(self.ui.scanFolderEdit, scan)
        self.use_worker("slow")
        self.press_separate()
        self.ui.cancelButton.click()
        self.wait_for_end()
        for key, path in (("ScanFolder", scan), ("Weights", self.folder / "own.pt")):
            kept = qt.QSettings().value(f"ctkPathLineEdit/QSMSeparation/{key}")
            self.assertEqual(kept if isinstance(kept, str) else kept[0], str(path))
        slicer.mrmlScene.Clear(False)
        panel = slicer.modules.qsmseparation.createNewWidgetRepresentation()
        ui = panel.self().ui
        self.assertEqual((ui.scanFolderEdit.currentPath, ui.weightsEdit.currentPath), ("", ""))
        wait_for(lambda: False, 0.5)
        self.assertEqual((self.parameters.scanFolder, self.parameters.weightsFile), ("", ""))
        panel.self().cleanup()
        panel.deleteLater()

    def test_a_folder_is_looked_into_once_after_the_last_key(self):
        looked = []
        patch = mock.patch.object(
            checks, "_look_into", side_effect=lambda p: looked.append(p) or checks._Found()
        )
        self.start_patch(patch)
        folders = [self.folder / ("a" * n) for n in range(1, 6)]
        for folder in folders:
            folder.mkdir()
            self.ui.scanFolderEdit.currentPath = str(folder)
        self.take_paths()
        self.assertEqual(looked, [folders[-1]])

    def test_a_folder_that_is_no_scan_is_not_looked_through_to_its_end(self):
        for number in range(40):
            (self.folder / f"{number}.txt").write_bytes(b"")
            (self.folder / f"folder {number}").mkdir()
        self.start_patch(mock.patch.object(checks, "_MANY_ENTRIES", 20))
        found = checks.inspect_folder(self.folder)
        self.assertIn("holds too much to look through", found.problems[0])


class WordsTest(ModuleTestCase):
    def test_what_the_panel_says_goes_through_the_translation_of_the_application(self):
        if not hasattr(slicer.app, "translator"):
            self.skipTest("needs the test host, whose translator can be chosen")
        self.start_patch(mock.patch.object(type(slicer.app), "translator", lambda app, t: f"<{t}>"))
        ui = self.ui
        self.widget._controls.update()
        self.assertTrue(ui.reasonLabel.text.startswith("<Not ready: "), ui.reasonLabel.text)
        ui.inputKindComboBox.currentIndex = 1
        for text in (ui.inputsLabel.text, ui.lesionsLabel.text, ui.methodLabel.text):
            self.assertRegex(text, "^(<|&lt;|<span[^>]*>&lt;)")
        self.widget._controls.on_state(job.PREPARING)
        self.assertEqual(ui.stageLabel.text, "<writing the inputs>")
        self.widget._controls.on_end(worker.End("cancelled", ""), [])
        self.assertEqual(ui.stageLabel.text, "<cancelled; nothing was kept>")


if __name__ == "__main__":
    unittest.main()
