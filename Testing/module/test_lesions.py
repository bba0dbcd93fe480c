"""The lesions of a run in the panel: their list, keys, views that go to them, review."""

from __future__ import annotations

import unittest

import numpy as np
import qt
import slicer
from QSMSeparationPanel import lesions
from result_test_case import ResultTestCase
from small_result import CENTERS, GEOMETRY

from QSMSeparationLib.lesions.classes import class_rgb
from QSMSeparationLib.mrml.lesions import outlines_of, segment_of
from QSMSeparationLib.mrml.table import rows_of


class LesionsTest(ResultTestCase):
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


if __name__ == "__main__":
    unittest.main()
