"""Lesions: outlines, table, what a reviewer changes, and the CSV that comes out."""

from __future__ import annotations

import csv
import io
import unittest
from pathlib import Path

import numpy as np
import slicer
import vtk
from scene_test_case import SceneTestCase
from small_result import GEOMETRY, lesion_labels

from QSMSeparationLib.lesions.classes import CLASSES, class_rgb
from QSMSeparationLib.mrml.convert import labels_of
from QSMSeparationLib.mrml.lesions import (
    TERMINOLOGY,
    color_by_class,
    grown_labels,
    number_of,
    outlines_of,
    segment_of,
    show_outlines,
)
from QSMSeparationLib.mrml.review import reviewed_csv, set_review
from QSMSeparationLib.mrml.table import row_number, rows_of
from QSMSeparationLib.runtime.errors import InputError


class LesionsTest(SceneTestCase):
    def setUp(self):
        super().setUp()
        self.run_, _ = self.loaded()
        self.lesions, self.table = self.run_.node("lesions"), self.run_.node("lesion_table")
        self.outlines = outlines_of(self.lesions)

    def test_one_segment_a_lesion_on_the_voxels_of_the_file(self):
        labels = labels_of(self.lesions, self.run_.node("net")).array
        numbers = [number_of(self.segment(n)) for n in (1, 2, 5)]
        self.assertEqual(numbers, [1, 2, 5])
        # Merged segments are numbered by their order.
        expected = np.select(
            [lesion_labels() == 1, lesion_labels() == 2, lesion_labels() == 5], [1, 2, 3]
        )
        np.testing.assert_array_equal(labels, expected)

    def segment(self, lesion: int):
        return self.lesions.GetSegmentation().GetSegment(segment_of(self.lesions, lesion))

    def test_segments_of_their_own_grid_lie_where_they_were_drawn(self):
        alone = labels_of(self.lesions)
        k, j, i = np.argwhere(alone.array == 1).mean(axis=0)
        center = alone.geometry.world(np.array([k, j, i]))
        expected = GEOMETRY.world(np.argwhere(lesion_labels() == 1).mean(axis=0))
        np.testing.assert_allclose(center, expected, atol=1e-3)

    def test_lesions_are_outlines_only(self):
        display = self.outlines.GetDisplayNode()
        self.assertTrue(display.GetVisibility() and display.GetVisibility2DOutline())
        self.assertFalse(display.GetVisibility2DFill())
        self.assertEqual(display.GetSliceIntersectionThickness(), 1)
        self.assertFalse(self.lesions.GetDisplayNode().GetVisibility())
        show_outlines(self.lesions, False)
        self.assertFalse(display.GetVisibility())

    def test_outlines_run_outside_the_border_and_on_no_other_slice(self):
        drawn = labels_of(self.outlines, self.run_.node("net")).array > 0
        lesions = lesion_labels() > 0
        self.assertTrue(drawn[lesions].all())
        # Every voxel of a lesion lies off the outline, which is the edge of what is drawn.
        inner = drawn.copy()
        for axis in (1, 2):
            for step in (-1, 1):
                inner &= np.roll(drawn, step, axis)
        self.assertTrue(inner[lesions].all())
        np.testing.assert_array_equal(drawn.any(axis=(1, 2)), lesions.any(axis=(1, 2)))

    def test_outlines_follow_a_lesion_that_was_edited(self):
        self.lesions.GetSegmentation().RemoveSegment(segment_of(self.lesions, 5))
        show_outlines(self.lesions)
        self.assertIs(outlines_of(self.lesions), self.outlines)
        self.assertIsNone(segment_of(self.outlines, 5))
        self.assertIsNotNone(segment_of(self.outlines, 1))

    def test_lesions_that_touch_stay_apart_when_they_are_outlined(self):
        labels = np.zeros((1, 5, 8), np.int16)
        labels[0, 2, 2:4], labels[0, 2, 4:6] = 1, 2
        grown = grown_labels(labels)
        np.testing.assert_array_equal(grown[labels > 0], labels[labels > 0])
        self.assertEqual(set(np.unique(grown)), {0, 1, 2})

    def test_outlines_have_the_color_of_the_class(self):
        for node in (self.lesions, self.outlines):
            self.assert_color(node, 1, "rim")
            self.assert_color(node, 5, "iso")
        set_review(self.table, 5, "review_para", "rim")
        color_by_class(self.lesions, self.table)
        for node in (self.lesions, self.outlines):
            self.assert_color(node, 5, "rim")

    def assert_color(self, node, lesion: int, name: str):
        segment = node.GetSegmentation().GetSegment(segment_of(node, lesion))
        np.testing.assert_allclose(segment.GetColor(), class_rgb(name), atol=1e-5)

    def test_colors_differ_from_the_crosshair_and_from_each_other(self):
        crosshair = np.array((1.0, 0.8, 0.1))  # yellow, Slicer's default
        colors = np.array([class_rgb(name) for name in CLASSES])
        apart = np.abs(colors[:, None] - np.vstack((colors, crosshair))).max(axis=-1)
        apart[np.arange(len(colors)), np.arange(len(colors))] = 1.0
        self.assertGreater(apart.min(), 0.2)

    def test_segments_carry_standard_terminology(self):
        value = vtk.reference("")
        segment = self.segment(2)
        self.assertTrue(segment.GetTag(segment.GetTerminologyEntryTagName(), value))
        self.assertEqual(str(value), TERMINOLOGY)

    def test_terminology_is_what_the_export_to_dicom_reads(self):
        """Slicer's own logic, which the export asks, reads the entry and writes the same again."""
        logic, entry = (
            slicer.vtkSlicerTerminologiesModuleLogic(),
            slicer.vtkSlicerTerminologyEntry(),
        )
        value = vtk.reference("")
        segment = self.segment(5)
        segment.GetTag(segment.GetTerminologyEntryTagName(), value)
        self.assertTrue(logic.DeserializeTerminologyEntry(str(value), entry))
        parts = (entry.GetCategoryObject(), entry.GetTypeObject(), entry.GetRegionObject())
        self.assertEqual(
            [(one.GetCodingSchemeDesignator(), one.GetCodeValue()) for one in parts],
            [("SCT", "49755003"), ("SCT", "52988006"), ("SCT", "12738006")],
        )
        self.assertEqual(logic.SerializeTerminologyEntry(entry), str(value))

    def test_terminology_stays_with_a_saved_segmentation(self):
        """A file of segments, from which SEG objects can be made elsewhere too, holds the entry."""
        path = str(self.folder / "lesions.seg.nrrd")
        self.assertTrue(slicer.util.saveNode(self.lesions, path))
        header = Path(path).read_bytes()[:4096].decode("utf-8", "replace")
        self.assertIn("SCT^52988006^Lesion", header)

    def test_table_holds_numbers_as_numbers(self):
        table = self.table.GetTable()
        self.assertEqual(table.GetColumnByName("id").GetDataTypeAsString(), "int")
        self.assertEqual(table.GetColumnByName("volume_mm3").GetDataTypeAsString(), "double")
        rows = rows_of(self.table)
        self.assertEqual([row["id"] for row in rows], ["1", "2", "5"])
        self.assertEqual([row["para_core_mean_ppb"] for row in rows], ["36.25", "36.25", ""])
        self.assertEqual(row_number(self.table, 5), 2)

    def test_review_stands_beside_the_computed_class(self):
        set_review(self.table, 2, "review_para", "rim")
        set_review(self.table, 2, "remark", 'a "central vein",\tseen\nin 3 slices')
        row = rows_of(self.table)[1]
        self.assertEqual((row["class_para"], row["review_para"]), ("hyper", "rim"))
        self.assertEqual(row["remark"], "a 'central vein', seen in 3 slices")
        set_review(self.table, 2, "review_para", "")
        self.assertEqual(rows_of(self.table)[1]["review_para"], "")

    def test_a_reviewer_cannot_write_nonsense(self):
        for lesion, column, value in (
            (2, "review_para", "dark"),
            (2, "review_dia", "rim"),
            (2, "class_para", "iso"),
            (3, "remark", "there is no lesion 3"),
        ):
            with self.assertRaises(InputError):
                set_review(self.table, lesion, column, value)

    def test_csv_holds_both_classes_and_no_formula(self):
        set_review(self.table, 1, "review_dia", "iso")
        set_review(self.table, 1, "remark", "=HYPERLINK(1)")
        rows = list(csv.DictReader(io.StringIO(reviewed_csv(self.table))))
        first = [
            "id",
            "volume_mm3",
            "class_para",
            "class_dia",
            "review_para",
            "review_dia",
            "remark",
        ]
        self.assertEqual(list(rows[0])[:7], first)
        self.assertEqual((rows[0]["class_dia"], rows[0]["review_dia"]), ("hypo", "iso"))
        self.assertEqual(rows[0]["remark"], "'=HYPERLINK(1)")
        self.assertEqual(len(rows), 3)

    def test_a_moved_segmentation_is_refused(self):
        transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
        self.lesions.SetAndObserveTransformNodeID(transform.GetID())
        with self.assertRaisesRegex(InputError, "harden"):
            labels_of(self.lesions)

    def test_a_segmentation_without_segments_is_refused(self):
        empty = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "empty")
        with self.assertRaisesRegex(InputError, "'empty' holds no segment"):
            labels_of(empty)


if __name__ == "__main__":
    unittest.main()
