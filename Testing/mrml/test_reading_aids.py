"""What a reader is told in the views and in the list of lesions."""

from __future__ import annotations

import unittest

import numpy as np
import slicer
from scene_test_case import SceneTestCase
from small_result import CENTERS, GEOMETRY, lesion_labels

from QSMSeparationLib.data.volume import Volume
from QSMSeparationLib.lesions.classes import CLASSES
from QSMSeparationLib.lesions.rim import SLICE_SECTORS, slice_axis
from QSMSeparationLib.mrml import annotations, marks
from QSMSeparationLib.mrml.lesion_list import COLUMNS, rim_words
from QSMSeparationLib.mrml.rim_sectors import hide_sectors, sector_points, show_sectors

ROW = {
    "id": "3",
    "volume_mm3": "128.7",
    "class_para": "hyper",
    "class_dia": "hypo",
    "confidence_para": "clear",
    "confidence_dia": "borderline",
    "reference": "patient",
    "review_para": "",
    "para_core_minus_nawm_ppb": "-4.25",
    "para_core_minus_nawm_low": "-6",
    "para_core_minus_nawm_high": "-2",
    "dia_core_minus_nawm_ppb": "",
}


def shown(row: dict) -> dict:
    return {column.heading: column.cell(row) for column in COLUMNS}


class LesionListTest(unittest.TestCase):
    def test_classes_are_words_and_carry_the_color_of_the_outline(self):
        cells = shown(ROW)
        self.assertEqual(cells["χ+"].text, "more iron")
        self.assertEqual(cells["χ+"].color, CLASSES["hyper"].color)
        self.assertEqual(cells["|χ−|"].text, "less myelin")
        self.assertEqual(cells["Confidence"].text, "borderline")

    def test_the_reviewers_class_stands_before_the_computed_one(self):
        cell = shown(ROW | {"review_para": "iso"})["χ+"]
        self.assertEqual((cell.text, cell.color), ("as NAWM", CLASSES["iso"].color))
        self.assertIn("more iron", cell.tip)
        own = shown(ROW | {"review_para": "iso"})["Reviewer"].text
        self.assertEqual(own, "χ+ as NAWM")
        self.assertEqual(shown(ROW)["Reviewer"].text, "")

    def test_differences_name_their_reference_and_interval(self):
        cell = shown(ROW)["χ+ − NAWM [ppb]"]
        self.assertEqual((cell.text, cell.sort), ("−4.2", -4.25))
        self.assertIn("-6.0 to -2.0", cell.tip)
        self.assertIn("whole brain", cell.tip)

    def test_missing_numbers_are_empty_and_sorted_last(self):
        cell = shown(ROW)["|χ−| − NAWM [ppb]"]
        self.assertEqual(cell.text, "")
        self.assertGreater(cell.sort, 1e9)

    def test_what_is_judged_comes_first_and_numbers_are_aligned_to_the_right(self):
        headings = [column.heading for column in COLUMNS]
        self.assertLess(headings.index("Remark"), headings.index("Location"))
        self.assertLess(headings.index("Confidence"), headings.index("χ+ − NAWM [ppb]"))
        numbers = {column.heading for column in COLUMNS if column.right}
        self.assertEqual(numbers, {"#", "χ+ − NAWM [ppb]", "|χ−| − NAWM [ppb]", "mm³"})

    def test_a_rim_says_what_it_rests_on(self):
        rim = {"rim_coverage": "0.72", "rim_longest_arc_deg": "240", "rim_consecutive_slices": "3"}
        self.assertEqual(
            rim_words(rim), "Rim over 72 % of the edge, longest arc 240°, 3 slices in a row"
        )
        self.assertEqual(rim_words({}), "")
        self.assertIn("240°", shown(ROW | rim | {"class_para": "rim"})["χ+"].tip)


class SectorsTest(SceneTestCase):
    def setUp(self):
        super().setUp()
        self.run_, _ = self.loaded()
        x, y, z = GEOMETRY.world(np.array(CENTERS[1], dtype=float))
        self.row = {"id": "1", "rim_sectors": "s" + "+" * 7 + "---" + ".."}
        self.row |= {"rim_x_lps_mm": str(x), "rim_y_lps_mm": str(y), "rim_z_lps_mm": str(z)}

    def test_dots_lie_around_the_lesion_on_its_slice(self):
        labels = Volume(lesion_labels(), GEOMETRY)
        middle = GEOMETRY.world(np.array(CENTERS[1], dtype=float))
        points = sector_points(labels, 1, "+" * SLICE_SECTORS, tuple(middle))
        index = GEOMETRY.index(points)
        axis = slice_axis(GEOMETRY.b0_kji)
        np.testing.assert_allclose(index[:, axis], CENTERS[1][axis], atol=1e-6)
        distance = np.linalg.norm(points - middle, axis=1)
        self.assertGreater(distance.min(), 2.5)
        self.assertLess(distance.max(), 12)
        nearest = np.rint(index).astype(int)
        self.assertFalse((lesion_labels()[tuple(nearest.T)] == 1).any())

    def test_positive_and_negative_sectors_are_told_apart(self):
        node = show_sectors(self.run_, self.row)
        chosen = [
            node.GetNthControlPointSelected(n) for n in range(node.GetNumberOfControlPoints())
        ]
        self.assertEqual(chosen, [True] * 7 + [False] * 3)

    def test_only_one_lesion_shows_them_and_nothing_is_left(self):
        before = self.node_ids()
        show_sectors(self.run_, self.row)
        show_sectors(self.run_, self.row)
        found = slicer.util.getNodesByClass("vtkMRMLMarkupsFiducialNode")
        self.assertEqual(len(found), 1)
        hide_sectors(self.run_)
        self.assertEqual(self.node_ids(), before)
        self.assertIsNone(show_sectors(self.run_, {"id": "2"}))


class AnnotationsTest(SceneTestCase):
    def test_heading_names_subject_map_and_what_bright_means(self):
        run, _ = self.loaded()
        self.assertEqual(annotations.heading(run.node("net")), "sub-01\nnet chi [ppb]")
        self.assertEqual(
            annotations.heading(run.node("chi_dia")), "sub-01\nabs chi- [ppb]: bright = more"
        )
        flair = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "FLAIR")
        self.assertEqual(annotations.heading(flair), "FLAIR")

    def test_the_date_is_that_of_the_study(self):
        run, _ = self.loaded()
        tree = marks.hierarchy(self.scene)
        study = tree.CreateStudyItem(tree.GetSceneItemID(), "MRI")
        tree.SetItemAttribute(study, "DICOM.StudyDate", "20261126")
        tree.SetItemParent(run.folder, study)
        self.assertIn("2026-11-26", annotations.heading(run.node("net")))

    def test_letters_follow_the_view(self):
        node = self.scene.AddNewNodeByClass("vtkMRMLSliceNode")
        node.SetOrientationToAxial()
        self.assertEqual(
            annotations.edge_letters(node), {"left": "R", "right": "L", "bottom": "P", "top": "A"}
        )
        node.SetOrientationToSagittal()
        self.assertEqual(
            annotations.edge_letters(node), {"left": "A", "right": "P", "bottom": "I", "top": "S"}
        )
        self.assertEqual(annotations.direction(np.array([0.8, 0.6, 0.0])), "RA")


if __name__ == "__main__":
    unittest.main()
