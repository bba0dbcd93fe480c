"""The comparison of two visits in the scene: its table, what it says, and what a saved scene keeps."""

from __future__ import annotations

import json
import unittest

import numpy as np
import slicer
from scene_test_case import SceneTestCase
from small_result import CENTERS, GEOMETRY

from QSMSeparationLib.mrml import layouts, marks
from QSMSeparationLib.mrml.lesions import outlines_of
from QSMSeparationLib.mrml.review import set_review
from QSMSeparationLib.mrml.runs import find_runs, remove_run
from QSMSeparationLib.mrml.visits import (
    COLUMNS,
    add_visits,
    changes,
    detectable_ppb,
    earlier_of,
    place_of,
    visit_rows,
)

CSV = """\
id_first,id_second,overlap_dice,class_para_first,class_para_second,class_dia_first,class_dia_second,\
para_core_first_ppb,para_core_second_ppb,para_core_difference_ppb,para_changed,\
dia_core_first_ppb,dia_core_second_ppb,dia_core_difference_ppb,dia_changed,\
net_core_first_ppb,net_core_second_ppb,net_core_difference_ppb,net_changed
1,2,0.82,rim,rim,hypo,hypo,60,72.5,12.5,true,20,14,-6,true,40,58.5,18.5,true
2,5,0.9,hyper,iso,iso,iso,30,29,-1,false,30,30,0,false,0,-1,-1,false
"""
SUMMARY = {
    "only_first": [5],
    "only_second": [1],
    "smallest_detectable_change_ppb": {"chi_para": 5.0, "chi_dia": 5.5, "net": 6.0},
}


class VisitsTableTest(SceneTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.earlier, self.later = self.loaded()[0], self.loaded()[0]
        folder = self.folder / "comparison"
        folder.mkdir()
        (folder / "comparison.csv").write_text(CSV, encoding="utf-8")
        (folder / "comparison.json").write_text(json.dumps(SUMMARY), encoding="utf-8")
        add_visits(folder, self.earlier, self.later)
        self.compared = folder

    def shown(self, earlier, later) -> dict[str, list[str]]:
        rows = [[column.cell(row).text for column in COLUMNS] for row in visit_rows(earlier, later)]
        return {row[0]: row[1:] for row in rows}

    def test_rows_say_what_changed_in_words(self):
        rows = self.shown(self.earlier, self.later)
        self.assertEqual(set(rows), {"1 → 2", "2 → 5", "gone: 5", "new: 1"})
        self.assertEqual(rows["1 → 2"][0], "χ+ ↑, |χ−| ↓, net χ ↑")
        self.assertEqual(rows["1 → 2"][1:4], ["+12.5", "−6.0", "+18.5"])
        self.assertEqual(rows["2 → 5"][0], "no")
        self.assertEqual(rows["gone: 5"][:4], ["gone lesion", "", "", ""])

    def test_classes_are_those_of_the_runs_and_of_their_reviewers(self):
        set_review(self.later.node(marks.LESION_TABLE), 5, "review_para", "rim")
        rows = self.shown(self.earlier, self.later)
        self.assertEqual(rows["2 → 5"][4], "more iron → iron rim")

    def test_a_saved_scene_keeps_the_comparison(self):
        before = self.shown(self.earlier, self.later)
        self.reopened()
        earlier, later = find_runs(slicer.mrmlScene)
        self.assertEqual(earlier_of(later).folder, earlier.folder)
        self.assertEqual(self.shown(earlier, later), before)
        limits = detectable_ppb(later.node(marks.VISITS))
        self.assertEqual(limits, {"para": 5.0, "dia": 5.5, "net": 6.0})
        self.assertEqual(len([row for row in visit_rows(earlier, later) if changes(row)]), 1)

    def test_a_lesion_is_looked_at_where_it_is_now(self):
        """The later run was moved onto the earlier one; its table still has the old places."""
        matrix = slicer.util.vtkMatrixFromArray(np.eye(4))
        matrix.SetElement(0, 3, 7.0)
        self.later.node("lesions").ApplyTransformMatrix(matrix)
        rows = {row["status"]: row for row in visit_rows(self.earlier, self.later)}
        for status, number, moved_mm in (("gone", 5, 0.0), ("both", 2, 0.0), ("new", 1, 7.0)):
            x, y, z = GEOMETRY.world(np.array(CENTERS[number], dtype=float))
            place = place_of(self.earlier, self.later, rows[status])
            np.testing.assert_allclose(place, (moved_mm - x, -y, z), atol=0.1)

    def test_a_new_comparison_takes_the_place_of_the_old(self):
        add_visits(self.compared, self.earlier, self.later)
        tables = slicer.util.getNodesByClass("vtkMRMLTableNode")
        self.assertEqual(len([t for t in tables if marks.role_of(t) == marks.VISITS]), 1)

    def test_it_goes_with_the_later_run_and_is_forgotten_without_the_earlier(self):
        remove_run(self.earlier)
        self.assertIsNone(earlier_of(self.later))
        remove_run(self.later)
        self.assertEqual(slicer.util.getNodesByClass("vtkMRMLTableNode"), [])

    @unittest.skipIf(slicer.app.layoutManager() is None, "needs the layout manager")
    def test_each_visit_has_its_outlines_in_its_row_alone(self):
        manager = slicer.app.layoutManager()
        layouts.show_visits(manager, self.earlier, self.later)
        displays = [outlines_of(r.node("lesions")).GetDisplayNode() for r in find_runs(self.scene)]
        for row, shown in zip(layouts.VISITS.rows, displays, strict=True):
            ids = [manager.sliceWidget(view.tag).mrmlSliceNode().GetID() for view in row]
            self.assertEqual(list(shown.GetViewNodeIDs()), ids)
            self.assertTrue(shown.GetVisibility())
        layouts.show(manager, self.later, "row")
        self.assertEqual(list(displays[1].GetViewNodeIDs()), [])
        self.assertFalse(displays[0].GetVisibility())
        self.assertIsNone(manager.sliceWidget("QSMNet").mrmlSliceNode().GetAttribute(marks.VISIT))
