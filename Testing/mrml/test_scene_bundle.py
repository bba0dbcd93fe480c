"""A scene that is saved and opened again still holds the run as it was."""

from __future__ import annotations

import unittest

import numpy as np
import slicer
from scene_test_case import SceneTestCase
from small_result import GEOMETRY, REPORT, lesion_labels

from QSMSeparationLib.mrml.convert import geometry_of, labels_of
from QSMSeparationLib.mrml.legends import renew_legends
from QSMSeparationLib.mrml.lesions import CLASS_COLORS, segment_of
from QSMSeparationLib.mrml.review import set_review
from QSMSeparationLib.mrml.runs import find_runs
from QSMSeparationLib.mrml.table import rows_of
from QSMSeparationLib.mrml.volumes import sidecar_of

REMARK = "a \"rim\", 270°; χ+ <high> & 'sharp'"


class BundleTest(SceneTestCase):
    def test_round_trip(self):
        run, result = self.loaded()
        renew_legends(run.nodes())
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
            ("net", "QSM net chi"),
            ("chi_para", "QSM chi+"),
            ("chi_dia", "QSM chi-"),
        ):
            node = run.node(role)
            np.testing.assert_array_equal(slicer.util.arrayFromVolume(node), result.maps[role])
            self.assertIsNone(geometry_of(node).difference(GEOMETRY, 1e-4))
            self.assertEqual(node.GetVoxelValueUnits().GetCodeValue(), "[ppm]")
            self.assertEqual(node.GetDisplayNode().GetColorNode().GetName(), name)
        display = run.node("chi_dia").GetDisplayNode()
        self.assertAlmostEqual(display.GetWindowLevelMin(), -0.1, 6)
        color = [0.0] * 4
        display.GetColorNode().GetColor(0, color)
        self.assertEqual(color[:3], [1.0, 1.0, 1.0])  # the most negative is white

    def check_lesions(self, run):
        lesions = run.node("lesions")
        array = labels_of(lesions, run.node("net")).array
        np.testing.assert_array_equal(array > 0, lesion_labels() > 0)
        self.assertFalse(lesions.GetDisplayNode().GetVisibility2DFill())
        segment = lesions.GetSegmentation().GetSegment(segment_of(lesions, 1))
        np.testing.assert_allclose(segment.GetColor(), CLASS_COLORS["rim"], atol=1e-5)
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
