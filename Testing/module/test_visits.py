"""Two visits in the panel: chosen, compared by the command line, listed, shown, cancelled."""

from __future__ import annotations

import csv
import importlib.util
import unittest
from unittest import mock

import numpy as np
import qt
import slicer
from module_test_case import ModuleTestCase, wait_for
from small_result import GEOMETRY, ball, write_small_result

from QSMSeparationLib.mrml import layouts, marks
from QSMSeparationLib.mrml.convert import segment_ids
from QSMSeparationLib.mrml.load import find_results, load_result
from QSMSeparationLib.mrml.review import set_review
from QSMSeparationLib.mrml.runs import Run, remove_run
from QSMSeparationLib.mrml.visits import earlier_of

GROWN_PPB = 20.0
HAS_WORKER = importlib.util.find_spec("skimage") is not None


class VisitsTest(ModuleTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.visits = self.widget._controls.visits
        self.earlier, self.later = self.load("earlier"), self.load("later")
        self.widget._controls.refresh_results()

    def load(self, name: str, **facts: str) -> Run:
        write_small_result(self.folder / name, **facts)
        return load_result(find_results(self.folder / name)[0], slicer.mrmlScene)

    def take_lesion_out(self, run: Run, number: int) -> None:
        """Take a lesion out of the segmentation of a run."""
        node = run.node(marks.LESIONS)
        index = (1, 2, 5).index(number)
        node.GetSegmentation().RemoveSegment(segment_ids(node)[index])

    def change_the_later(self) -> None:
        """Iron of lesion 1 grows, lesion 5 is gone, lesion 2 is new."""
        para = self.later.node("chi_para")
        core = np.argwhere(ball((12, 10, 8), 2))
        array = slicer.util.arrayFromVolume(para)
        array[tuple(core.T)] += GROWN_PPB
        slicer.util.arrayFromVolumeModified(para)
        self.take_lesion_out(self.later, 5)
        self.take_lesion_out(self.earlier, 2)

    def compare(self) -> None:
        self.assertTrue(self.ui.compareVisitsButton.enabled, self.ui.visitsLabel.text)
        self.ui.compareVisitsButton.click()
        self.assertTrue(wait_for(lambda: not self.visits.active, 120))
        slicer.app.processEvents()

    def cells(self) -> list[list[str]]:
        table = self.ui.visitsTable
        return [
            [table.item(row, column).text() for column in range(table.columnCount)]
            for row in range(table.rowCount)
        ]

    def test_the_last_two_runs_are_offered(self):
        self.assertEqual(self.ui.earlierComboBox.currentIndex, 0)
        self.assertEqual(self.ui.laterComboBox.currentIndex, 1)
        self.ui.laterComboBox.setCurrentIndex(0)
        self.assertFalse(self.ui.compareVisitsButton.enabled)
        self.assertIn("different", self.ui.visitsLabel.text)

    @unittest.skipUnless(HAS_WORKER, "the worker needs scikit-image")
    def test_lesions_are_matched_and_changes_held_against_what_can_be_detected(self):
        self.change_the_later()
        set_review(self.later.node(marks.LESION_TABLE), 1, "review_para", "hyper")
        before = self.node_ids()
        self.compare()
        rows = {cells[0]: cells for cells in self.cells()}
        self.assertEqual(set(rows), {"1 → 1", "gone: 5", "new: 2"})
        self.assertIn("χ+ ↑", rows["1 → 1"][1])
        self.assertAlmostEqual(float(rows["1 → 1"][2]), GROWN_PPB, 0)
        self.assertEqual(float(rows["1 → 1"][3]), 0)
        self.assertEqual(rows["1 → 1"][5], "iron rim → more iron")
        self.assertIn("1 new, 1 gone; 1 changed", self.ui.visitsLabel.text)
        self.assertIn("χ+ 5.0", self.ui.visitsLabel.text)
        self.assertEqual(earlier_of(self.later).folder, self.earlier.folder)
        self.assert_no_files_left()
        self.assertGreater(self.node_ids(), before)
        path = self.folder / "changes.csv"
        with mock.patch.object(qt.QFileDialog, "getSaveFileName", return_value=str(path)):
            self.ui.saveVisitsButton.click()
        saved = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
        self.assertEqual(len(saved), 3)
        self.assertEqual({row["class_para_first"] for row in saved}, {"rim", "", "iso"})
        # In the other order there is none.
        self.ui.earlierComboBox.setCurrentIndex(1)
        self.ui.laterComboBox.setCurrentIndex(0)
        self.assertEqual(self.ui.visitsTable.rowCount, 0)

    @unittest.skipUnless(HAS_WORKER, "the worker needs scikit-image")
    def test_visits_that_are_not_registered_are_told(self):
        for node in self.later.nodes().values():
            if node.IsA("vtkMRMLTransformableNode"):
                node.ApplyTransformMatrix(self.moved(80.0))
        self.compare()
        self.assertIn("register", self.ui.visitsLabel.text)
        self.assertEqual(self.ui.visitsTable.rowCount, 6)

    def moved(self, mm: float):
        matrix = slicer.util.vtkMatrixFromArray(np.eye(4))
        matrix.SetElement(0, 3, mm)
        return matrix

    def test_transform_that_is_not_hardened_is_refused(self):
        transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
        self.later.node("chi_para").SetAndObserveTransformNodeID(transform.GetID())
        self.compare()
        self.assertIn("harden", self.ui.visitsLabel.text)
        self.assert_no_files_left()

    def test_cancelled_comparison_leaves_nothing(self):
        self.use_worker("slow")
        before = self.node_ids()
        self.ui.compareVisitsButton.click()
        self.assertTrue(wait_for(lambda: "fake" in self.ui.visitsLabel.text, 30))
        self.ui.cancelVisitsButton.click()
        self.assertTrue(wait_for(lambda: not self.visits.active, 5))
        self.assertIn("cancelled", self.ui.visitsLabel.text)
        self.assertEqual(self.node_ids(), before)
        self.assert_no_files_left()

    def test_scene_that_is_closed_meanwhile(self):
        self.use_worker("slow")
        self.ui.compareVisitsButton.click()
        self.assertTrue(wait_for(lambda: "fake" in self.ui.visitsLabel.text, 30))
        slicer.mrmlScene.Clear(False)
        self.assertFalse(self.visits.active)
        self.assert_no_files_left()

    @unittest.skipUnless(HAS_WORKER, "the worker needs scikit-image")
    def test_visit_that_is_removed_meanwhile(self):
        self.ui.compareVisitsButton.click()
        self.assertTrue(wait_for(lambda: "comparing" in self.ui.visitsLabel.text, 60))
        remove_run(self.later)
        self.assertTrue(wait_for(lambda: not self.visits.active, 120))
        self.assertIn("removed meanwhile", self.ui.visitsLabel.text)

    def test_error_of_the_worker_is_shown(self):
        self.use_worker("wrong")
        self.compare()
        self.assertIn("Failed: field.nii", self.ui.visitsLabel.text)

    def test_removed_run_is_not_offered_any_more(self):
        remove_run(self.later)
        self.assertTrue(wait_for(lambda: self.ui.laterComboBox.count == 1, 5))
        self.assertFalse(self.ui.compareVisitsButton.enabled)

    @unittest.skipIf(slicer.app.layoutManager() is None, "needs the layout manager")
    def test_both_are_shown_in_the_same_slices(self):
        self.ui.showVisitsButton.click()
        manager = slicer.app.layoutManager()
        self.assertTrue(layouts.shows_visits(manager))
        for tag, run, role in (
            ("QSMNet", self.earlier, "net"),
            ("QSMParaLater", self.later, "chi_para"),
        ):
            composite = manager.sliceWidget(tag).sliceLogic().GetSliceCompositeNode()
            self.assertEqual(composite.GetBackgroundVolumeID(), run.node(role).GetID())
        z_mm = GEOMETRY.world(np.array((12.0, 10.0, 8.0)))
        layouts.go_to(slicer.mrmlScene, (-z_mm[0], -z_mm[1], z_mm[2]))
        offsets = {
            round(manager.sliceWidget(tag).mrmlSliceNode().GetSliceOffset(), 3)
            for view in layouts.VISITS.views
            for tag in [view.tag]
        }
        self.assertEqual(len(offsets), 1)
