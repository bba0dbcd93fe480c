"""The results part of the panel: runs, views, windows, lesions, review, export."""

from __future__ import annotations

import csv
import json
import unittest
from unittest import mock

import numpy as np
import qt
import slicer
from module_test_case import ModuleTestCase, wait_for
from QSMSeparationPanel import lesions, results_to_disk
from small_result import CENTERS, GEOMETRY, REPORT, write_small_result

from QSMSeparationLib.lesions.classes import class_rgb
from QSMSeparationLib.mrml import colors, layouts
from QSMSeparationLib.mrml.lesions import outlines_of, segment_of
from QSMSeparationLib.mrml.load import find_results, load_result
from QSMSeparationLib.mrml.runs import find_runs
from QSMSeparationLib.mrml.table import rows_of


class ResultsTest(ModuleTestCase):
    def setUp(self):
        super().setUp()
        self.results = self.widget._controls.results
        self.manager = slicer.app.layoutManager()
        self.run_ = self.load("first")

    def load(self, name: str, b0_tesla: float = 3.0):
        write_small_result(self.folder / name, b0_tesla)
        run = load_result(find_results(self.folder / name)[0], slicer.mrmlScene)
        self.results.refresh(newest=True)
        return run

    def choose(self, lesion: int) -> None:
        table = self.ui.lesionTable
        for row in range(table.rowCount):
            if table.item(row, 0).text() == str(lesion):
                table.selectRow(row)
        self.assertEqual(self.results.lesions.chosen, lesion)

    def test_lesions_are_listed_with_their_classes(self):
        table = self.ui.lesionTable
        rows = [[table.item(n, m).text() for m in (0, 1, 2, 9)] for n in range(table.rowCount)]
        self.assertEqual(
            rows,
            [
                ["1", "iron rim", "less myelin", "128.7"],
                ["2", "more iron", "as NAWM", "128.7"],
                ["5", "as NAWM", "less myelin", "128.7"],
            ],
        )
        self.assertFalse(table.item(0, 1).icon().isNull(), "a swatch in the color of the outline")
        self.assertTrue(table.item(0, 0).textAlignment() & int(qt.Qt.AlignRight))

    def test_a_chosen_lesion_comes_up_in_narrow_windows_unless_the_reader_chose_others(self):
        combo = self.ui.windowComboBox
        self.choose(2)
        self.assertEqual(combo.itemData(combo.currentIndex), "narrow")
        combo.setCurrentIndex(combo.findData("wide"))
        self.choose(1)
        self.assertEqual(combo.itemData(combo.currentIndex), "wide")

    def test_keys_go_from_lesion_to_lesion_and_hide_the_outlines(self):
        keys = {one.key.toString(): one for one in self.ui.lesionTable.findChildren(qt.QShortcut)}
        for name, lesion in (
            (lesions.NEXT_KEY, 1), (lesions.NEXT_KEY, 2), (lesions.PREVIOUS_KEY, 1),
            (lesions.PREVIOUS_KEY, 5),
        ):  # fmt: skip
            keys[name].activated.emit()
            self.assertEqual(self.results.lesions.chosen, lesion)
        keys[lesions.OUTLINES_KEY].activated.emit()
        self.assertFalse(outlines_of(self.run_.node("lesions")).GetDisplayNode().GetVisibility())

    def test_fading_is_offered_in_its_layout_only(self):
        for button, offered in ((self.ui.fadeButton, True), (self.ui.rowButton, False)):
            button.click()
            self.assertEqual(self.ui.fadeFrame.enabled, offered)

    def test_net_chi_is_grey_and_may_be_colored(self):
        combo, net = self.ui.netColorComboBox, self.run_.node("net")
        self.assertEqual(combo.itemData(combo.currentIndex), "grey")
        combo.setCurrentIndex(combo.findData("diverging"))
        self.assertEqual(colors.shown_in(net), "diverging")
        self.results.refresh()
        self.assertEqual(combo.itemData(combo.currentIndex), "diverging")

    def test_choosing_a_row_moves_all_views_to_that_lesion(self):
        self.ui.fadeButton.click()
        self.choose(2)
        x, y, z = GEOMETRY.world(np.array(CENTERS[2], dtype=float))
        for tag in ("QSMAxial", "QSMCoronal", "QSMSagittal"):
            to_ras = slicer.util.arrayFromVTKMatrix(
                self.manager.sliceWidget(tag).mrmlSliceNode().GetSliceToRAS()
            )
            distance = (np.array((-x, -y, z)) - to_ras[:3, 3]) @ to_ras[:3, 2]
            self.assertLess(abs(distance), 1e-3)

    def test_another_layout_stays_at_the_chosen_lesion(self):
        self.ui.rowButton.click()
        self.choose(2)
        self.ui.fourButton.click()
        x, y, z = GEOMETRY.world(np.array(CENTERS[2], dtype=float))
        node = self.manager.sliceWidget("QSMFourth").mrmlSliceNode()
        to_ras = slicer.util.arrayFromVTKMatrix(node.GetSliceToRAS())
        distance = (np.array((-x, -y, z)) - to_ras[:3, 3]) @ to_ras[:3, 2]
        self.assertLess(abs(distance), 1e-3)

    def test_a_row_is_the_same_lesion_after_sorting(self):
        self.ui.lesionTable.sortItems(0, qt.Qt.DescendingOrder)
        self.choose(1)
        self.assertEqual(self.ui.reviewLabel.text, "Lesion 1")

    def test_review_is_kept_beside_the_computed_class_and_colors_the_outline(self):
        ui = self.ui
        self.assertFalse(ui.reviewFrame.enabled)
        self.choose(2)
        ui.reviewParaComboBox.setCurrentIndex(ui.reviewParaComboBox.findData("rim"))
        ui.remarkEdit.text = "thin rim, slices 9 to 12"
        ui.remarkEdit.editingFinished.emit()
        row = rows_of(self.run_.node("lesion_table"))[1]
        self.assertEqual((row["class_para"], row["review_para"]), ("hyper", "rim"))
        self.assertEqual(row["remark"], "thin rim, slices 9 to 12")
        self.assertEqual(self.results.lesions.chosen, 2, "the row stays chosen")
        segmentation = self.run_.node("lesions").GetSegmentation()
        color = segmentation.GetSegment(segment_of(self.run_.node("lesions"), 2)).GetColor()
        np.testing.assert_allclose(color, class_rgb("rim"), atol=1e-5)
        self.choose(1)
        self.assertEqual(ui.remarkEdit.text, "")
        self.choose(2)
        self.assertEqual(ui.remarkEdit.text, "thin rim, slices 9 to 12")

    def test_layout_buttons_and_fade(self):
        for button, name in (
            (self.ui.rowButton, "row"),
            (self.ui.fourButton, "four"),
            (self.ui.fadeButton, "fade"),
        ):
            button.click()
            self.assertEqual(layouts.current(self.manager).name, name)
        self.ui.fadeSlider.value = 0.8
        logic = self.manager.sliceWidget("QSMAxial").sliceLogic()
        self.assertAlmostEqual(logic.GetSliceCompositeNode().GetForegroundOpacity(), 0.8)
        self.ui.fadeComboBox.setCurrentIndex(1)
        shown = slicer.mrmlScene.GetNodeByID(logic.GetSliceCompositeNode().GetForegroundVolumeID())
        self.assertIs(shown, self.run_.node("chi_dia"))

    def test_fourth_view_is_what_the_user_chooses(self):
        self.ui.fourButton.click()
        flair = self.add_map("FLAIR", np.ones(GEOMETRY.shape, np.float32))
        self.ui.fourthSelector.setCurrentNode(flair)
        composite = self.manager.sliceWidget("QSMFourth").sliceLogic().GetSliceCompositeNode()
        self.assertEqual(composite.GetBackgroundVolumeID(), flair.GetID())

    def test_window_presets_change_all_three_maps(self):
        combo = self.ui.windowComboBox
        self.assertEqual(combo.itemData(combo.currentIndex), "standard")
        combo.setCurrentIndex(combo.findData("narrow"))
        limits = {}
        for role in ("net", "chi_para", "chi_dia"):
            display = self.run_.node(role).GetDisplayNode()
            limits[role] = (
                round(display.GetWindowLevelMin(), 4),
                round(display.GetWindowLevelMax(), 4),
            )
        self.assertEqual(limits, {"net": (-50, 50), "chi_para": (0, 60), "chi_dia": (0, 60)})

    def test_a_7_tesla_run_begins_with_wide_windows(self):
        self.load("second", 7.0)
        combo = self.ui.windowComboBox
        self.assertEqual(combo.itemData(combo.currentIndex), "wide")

    def test_outlines_and_legends_can_be_hidden(self):
        self.ui.rowButton.click()
        self.ui.outlinesCheckBox.checked = False
        self.ui.legendsCheckBox.checked = False
        self.assertFalse(outlines_of(self.run_.node("lesions")).GetDisplayNode().GetVisibility())
        legends = slicer.util.getNodesByClass("vtkMRMLColorLegendDisplayNode")
        self.assertTrue(legends)
        self.assertFalse(any(legend.GetVisibility() for legend in legends))
        self.ui.fourButton.click()  # a new layout keeps that choice
        self.assertFalse(outlines_of(self.run_.node("lesions")).GetDisplayNode().GetVisibility())

    def test_runs_can_be_changed_and_removed(self):
        second = self.load("second")
        self.assertEqual(self.ui.runComboBox.count, 2)
        self.assertEqual(self.results.run.folder, second.folder)
        self.ui.runComboBox.setCurrentIndex(0)
        self.assertEqual(self.results.run.folder, self.run_.folder)
        with mock.patch.object(slicer.util, "confirmOkCancelDisplay", return_value=True):
            self.ui.removeButton.click()
        self.assertEqual([run.folder for run in find_runs(slicer.mrmlScene)], [second.folder])
        self.assertEqual(self.ui.runComboBox.count, 1)

    def test_a_run_deleted_elsewhere_leaves_the_panel(self):
        self.run_.scene.RemoveNode(self.run_.node("net"))
        tree = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
        tree.RemoveItem(self.run_.folder, True, True)
        self.assertTrue(wait_for(lambda: self.ui.runComboBox.count == 0, 5))
        self.assertEqual(self.ui.lesionTable.rowCount, 0)
        self.assertFalse(self.ui.exportButton.enabled)

    def test_checks_and_notes_are_shown(self):
        table = self.ui.checksTable
        cells = [table.item(0, m).text() for m in range(table.columnCount)]
        self.assertIn("a note with 'quotes' and χ", cells)

    def test_table_is_saved_with_the_review(self):
        self.choose(5)
        self.ui.reviewDiaComboBox.setCurrentIndex(self.ui.reviewDiaComboBox.findData("iso"))
        path = self.folder / "table.csv"
        with mock.patch.object(results_to_disk, "choose_file", return_value=str(path)):
            self.ui.saveTableButton.click()
        rows = list(csv.DictReader(path.open(encoding="utf-8", newline="")))
        self.assertEqual((rows[2]["class_dia"], rows[2]["review_dia"]), ("hypo", "iso"))

    def test_export_writes_maps_table_and_report(self):
        out = self.folder / "export"
        with mock.patch.object(results_to_disk, "choose_folder", return_value=str(out)):
            self.ui.exportButton.click()
        self.assertTrue(wait_for(lambda: not self.results.saver.exporting))
        self.assertEqual((out / "report.html").read_text(encoding="utf-8"), REPORT)
        sidecar = json.loads((out / "sub-01_Chimap.json").read_text(encoding="utf-8"))
        self.assertEqual(sidecar["Separation"], "closed-form")
        with mock.patch.object(results_to_disk, "choose_folder", return_value=str(out)):
            self.ui.exportButton.click()
        self.assertTrue(wait_for(lambda: not self.results.saver.exporting))
        self.assertIn("already exists", self.errors[0])

    def test_report_opens_in_the_browser(self):
        with mock.patch.object(results_to_disk, "open_page") as opened:
            self.ui.reportButton.click()
        path = opened.call_args[0][0]
        self.assertEqual(path.read_text(encoding="utf-8"), REPORT)
        # Browsers that are shut in can't read the temporary folder.
        self.assertTrue(path.is_relative_to(slicer.app.cachePath))

    def test_scene_bundle_brings_everything_back(self):
        self.ui.rowButton.click()
        self.choose(1)
        self.ui.reviewParaComboBox.setCurrentIndex(self.ui.reviewParaComboBox.findData("hyper"))
        self.ui.remarkEdit.text = "not a rim: a vein beside it"
        self.ui.remarkEdit.editingFinished.emit()
        path = str(self.folder / "scene.mrb")
        slicer.util.saveScene(path)
        slicer.mrmlScene.Clear(False)
        self.assertEqual(self.ui.runComboBox.count, 0)
        slicer.util.loadScene(path)
        slicer.app.processEvents()
        self.assertEqual(self.ui.runComboBox.count, 1)
        self.choose(1)
        self.assertEqual(self.ui.remarkEdit.text, "not a rim: a vein beside it")
        run = self.results.run
        self.assertEqual(run.node("net").GetVoxelValueUnits().GetCodeValue(), "[ppb]")
        self.assertEqual(run.node("net").GetDisplayNode().GetColorNode().GetName(), "Grey")
        self.assertFalse(run.node("lesions").GetDisplayNode().GetVisibility())
        color = run.node("lesions").GetSegmentation().GetNthSegment(0).GetColor()
        np.testing.assert_allclose(color, class_rgb("hyper"), atol=1e-5)


if __name__ == "__main__":
    unittest.main()
