"""A scene that is saved and opened again still holds the run as it was."""

from __future__ import annotations

import unittest

import numpy as np
import slicer
from scene_test_case import SceneTestCase
from small_result import GEOMETRY, REPORT, lesion_labels

from QSMSeparationLib.data.quantities import MAPS
from QSMSeparationLib.lesions.classes import class_rgb
from QSMSeparationLib.mrml import colors
from QSMSeparationLib.mrml.convert import geometry_of, labels_of, volume_of
from QSMSeparationLib.mrml.legends import renew_legends
from QSMSeparationLib.mrml.lesions import outlines_of, segment_of, show_outlines
from QSMSeparationLib.mrml.review import set_review
from QSMSeparationLib.mrml.runs import find_runs
from QSMSeparationLib.mrml.table import rows_of
from QSMSeparationLib.mrml.volumes import sidecar_of

REMARK = "a \"rim\", 270°; χ+ <high> & 'sharp'"


class BundleTest(SceneTestCase):
    def test_round_trip(self):
        run, result = self.loaded()
        renew_legends(run.nodes())
        colors.show_in(run.node("net"), "diverging")
        set_review(run.node("lesion_table"), 2, "review_para", "rim")
        set_review(run.node("lesion_table"), 2, "remark", REMARK)
        rows, sidecar = rows_of(run.node("lesion_table")), sidecar_of(run.node("net"))
        self.reopened()
        [again] = find_runs(self.scene)
        self.assertEqual(again.title, "QSM separation sub-01 (closed-form)")
        self.assertEqual(rows_of(again.node("lesion_table")), rows)
        self.assertEqual(rows[1]["remark"], REMARK.replace('"', "'"))
        self.assertEqual(sidecar_of(again.node("net")), sidecar)
        self.assertEqual(again.node("report").GetText(), REPORT)
        self.check_maps(again, result)
        self.check_lesions(again)

    def check_maps(self, run, result):
        for role, name in (
            ("net", "QSM red-blue"),
            ("chi_para", "Grey"),
            ("chi_dia", "Grey"),
        ):
            node = run.node(role)
            shown = slicer.util.arrayFromVolume(node)
            np.testing.assert_allclose(shown, MAPS[role].scale * result.maps[role], rtol=1e-6)
            np.testing.assert_allclose(volume_of(node).array, result.maps[role], rtol=1e-6)
            self.assertIsNone(geometry_of(node).difference(GEOMETRY, 1e-4))
            self.assertEqual(node.GetVoxelValueUnits().GetCodeValue(), "[ppb]")
            self.assertEqual(node.GetDisplayNode().GetColorNode().GetName(), name)
        display = run.node("chi_dia").GetDisplayNode()
        self.assertAlmostEqual(display.GetWindowLevelMax(), 100.0, 6)

    def check_lesions(self, run):
        lesions = run.node("lesions")
        array = labels_of(lesions, run.node("net")).array
        np.testing.assert_array_equal(array > 0, lesion_labels() > 0)
        self.assertFalse(lesions.GetDisplayNode().GetVisibility())
        self.assertIsNone(outlines_of(lesions))  # not saved: made when they are shown
        show_outlines(lesions)
        self.assertTrue(outlines_of(lesions).GetDisplayNode().GetVisibility())
        segment = lesions.GetSegmentation().GetSegment(segment_of(lesions, 1))
        np.testing.assert_allclose(segment.GetColor(), class_rgb("rim"), atol=1e-5)
        self.assertEqual(segment.GetName(), "lesion 1")

    def test_a_run_that_was_opened_can_be_reviewed_on(self):
        run, _ = self.loaded()
        self.reopened()
        [run] = find_runs(self.scene)
        set_review(run.node("lesion_table"), 5, "remark", "second look")
        self.reopened()
        [run] = find_runs(self.scene)
        self.assertEqual(rows_of(run.node("lesion_table"))[2]["remark"], "second look")


if __name__ == "__main__":
    unittest.main()
