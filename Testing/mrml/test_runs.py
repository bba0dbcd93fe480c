"""Runs are found again, and removing one takes everything away that it made."""

from __future__ import annotations

import unittest

import slicer
from scene_test_case import SceneTestCase

from QSMSeparationLib.mrml import colors, marks
from QSMSeparationLib.mrml.legends import renew_legends
from QSMSeparationLib.mrml.runs import Sweeper, find_runs, remove_run
from QSMSeparationLib.runtime.errors import InputError


class RunsTest(SceneTestCase):
    def test_removing_a_run_leaves_the_scene_as_it_was(self):
        before = self.node_ids()
        run, _ = self.loaded()
        renew_legends(run.nodes())
        self.reopened_in_place()
        remove_run(find_runs(self.scene)[0])
        self.assertEqual(self.node_ids(), before)
        self.assertEqual(find_runs(self.scene), [])

    def reopened_in_place(self):
        """Save the scene, which gives every node a storage node of its own."""
        self.assertTrue(slicer.util.saveScene(str(self.folder / "scene.mrb")))

    def test_deleting_the_folder_by_hand_leaves_nothing_either(self):
        before = self.node_ids()
        run, _ = self.loaded()
        renew_legends(run.nodes())
        self.reopened_in_place()
        sweeper = Sweeper(self.scene)
        self.addCleanup(sweeper.stop)
        marks.hierarchy(self.scene).RemoveItem(run.folder, True, True)  # as the Data module does
        self.assertEqual(self.node_ids(), before)

    def test_a_node_that_was_deleted_is_named_when_it_is_needed(self):
        run, _ = self.loaded()
        self.assertIs(run.need("net"), run.node("net"))
        self.scene.RemoveNode(run.node("net"))
        with self.assertRaisesRegex(InputError, "holds no net any more; load it again"):
            run.need("net")

    def test_two_runs_share_colors_and_the_second_keeps_them(self):
        first, _ = self.loaded()
        second, _ = self.loaded()
        for run in (first, second):
            colors.show_in(run.node("net"), "diverging")
        self.assertEqual(
            [run.folder for run in find_runs(self.scene)], [first.folder, second.folder]
        )
        tables = slicer.util.getNodesByClass("vtkMRMLColorTableNode")
        self.assertEqual(sum(node.GetName() == "QSM red-blue" for node in tables), 1)
        remove_run(first)
        self.assertEqual([run.folder for run in find_runs(self.scene)], [second.folder])
        color = second.node("net").GetDisplayNode().GetColorNode()
        self.assertEqual(color.GetName(), "QSM red-blue")

    def test_nodes_of_others_stay(self):
        own = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode", "mine")
        run, _ = self.loaded()
        remove_run(run)
        self.assertIs(self.scene.GetFirstNodeByName("mine"), own)

    def test_closing_the_scene_is_no_removal(self):
        sweeper = Sweeper(self.scene)
        self.addCleanup(sweeper.stop)
        self.loaded()
        self.scene.Clear(False)
        self.assertEqual(find_runs(self.scene), [])


if __name__ == "__main__":
    unittest.main()
