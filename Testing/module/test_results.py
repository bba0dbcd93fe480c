"""The results part of the panel: runs, views, windows, what a scene keeps of them."""

from __future__ import annotations

import unittest
from unittest import mock

import numpy as np
import slicer
from module_test_case import wait_for
from result_test_case import ResultTestCase
from small_result import GEOMETRY

from QSMSeparationLib.lesions.classes import class_rgb
from QSMSeparationLib.mrml import colors, layouts
from QSMSeparationLib.mrml.lesions import outlines_of
from QSMSeparationLib.mrml.runs import find_runs


class ResultsTest(ResultTestCase):
    def test_a_chosen_lesion_comes_up_in_narrow_windows_unless_the_reader_chose_others(self):
        combo = self.ui.windowComboBox
        self.choose(2)
        self.assertEqual(combo.itemData(combo.currentIndex), "narrow")
        combo.setCurrentIndex(combo.findData("wide"))
        self.choose(1)
        self.assertEqual(combo.itemData(combo.currentIndex), "wide")

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
