"""A run goes out of the scene as files again, and nodes go in to the worker."""

from __future__ import annotations

import csv
import json
import unittest

import numpy as np
import slicer
from scene_test_case import SceneTestCase
from small_result import GEOMETRY, REPORT, lesion_labels

from QSMSeparationLib.io.nifti import read_labels, read_map
from QSMSeparationLib.io.results import read_result
from QSMSeparationLib.lesions.classes import class_rgb
from QSMSeparationLib.mrml.convert import geometry_of, save_labels, save_map, volume_of
from QSMSeparationLib.mrml.export import export_steps
from QSMSeparationLib.mrml.lesions import segment_of
from QSMSeparationLib.mrml.load import find_results, load_result
from QSMSeparationLib.mrml.review import set_review
from QSMSeparationLib.mrml.table import rows_of
from QSMSeparationLib.runtime.errors import InputError


class ExportTest(SceneTestCase):
    def test_exported_run_is_a_result_like_any_other(self):
        run, written = self.loaded()
        set_review(run.node("lesion_table"), 1, "remark", "paramagnetic rim, open to the front")
        out = self.folder / "export"
        names = list(export_steps(run, out))
        self.assertIn("lesions_reviewed.csv", names)
        result, lesions = read_result(out)
        for role in ("net", "chi_para", "chi_dia"):
            np.testing.assert_allclose(result.maps[role], written.maps[role], rtol=1e-6)
        self.assertIsNone(result.geometry.difference(GEOMETRY, 1e-3))
        np.testing.assert_array_equal(lesions.array > 0, lesion_labels() > 0)
        sidecar = json.loads((out / "sub-01_Chimap.json").read_text(encoding="utf-8"))
        self.assertEqual(sidecar["Units"], "ppm")
        with (out / "lesions_reviewed.csv").open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
        self.assertEqual(rows[0]["remark"], "paramagnetic rim, open to the front")
        self.assertEqual((out / "report.html").read_text(encoding="utf-8"), REPORT)

    def test_an_export_can_be_loaded_again_with_the_review(self):
        run, _ = self.loaded()
        set_review(run.node("lesion_table"), 2, "review_para", "iso")
        set_review(run.node("lesion_table"), 2, "remark", "a vein")
        list(export_steps(run, self.folder / "export"))
        again = load_result(find_results(self.folder / "export")[0], self.scene)
        rows = {row["id"]: row for row in rows_of(again.node("lesion_table"))}
        self.assertEqual((rows["2"]["review_para"], rows["2"]["remark"]), ("iso", "a vein"))
        self.assertEqual(rows["1"]["review_para"], "")
        lesions = again.node("lesions")
        segment = lesions.GetSegmentation().GetSegment(segment_of(lesions, 2))
        np.testing.assert_allclose(segment.GetColor(), class_rgb("iso"))
        self.assertEqual(again.node("report").GetText(), REPORT)

    def test_labels_keep_the_numbers_of_the_table(self):
        run, _ = self.loaded()
        list(export_steps(run, self.folder / "export"))
        labels = read_labels(self.folder / "export" / "sub-01_desc-lesions_dseg.nii.gz")
        np.testing.assert_array_equal(labels.array, lesion_labels())

    def test_export_does_not_overwrite(self):
        run, _ = self.loaded()
        list(export_steps(run, self.folder / "export"))
        before = (self.folder / "export" / "lesions_reviewed.csv").stat().st_mtime_ns
        with self.assertRaisesRegex(InputError, "already exists"):
            list(export_steps(run, self.folder / "export"))
        after = (self.folder / "export" / "lesions_reviewed.csv").stat().st_mtime_ns
        self.assertEqual(after, before)

    def test_saved_map_is_the_node(self):
        run, written = self.loaded()
        storage = run.node("net").GetStorageNode()
        save_map(run.node("net"), self.folder / "field.nii")
        volume = read_map(self.folder / "field.nii")
        np.testing.assert_allclose(volume.array, written.maps["net"], rtol=1e-6)
        self.assertIsNone(volume.geometry.difference(GEOMETRY, 1e-3))
        self.assertIs(run.node("net").GetStorageNode(), storage)

    def test_saved_segmentation_lies_on_the_grid_of_the_maps(self):
        run, _ = self.loaded()
        save_labels(run.node("lesions"), self.folder / "lesions.nii", run.node("net"))
        labels = read_labels(self.folder / "lesions.nii")
        self.assertIsNone(labels.geometry.difference(GEOMETRY, 1e-3))
        np.testing.assert_array_equal(labels.array > 0, lesion_labels() > 0)

    def test_moved_or_empty_volumes_are_refused(self):
        run, _ = self.loaded()
        transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
        run.node("net").SetAndObserveTransformNodeID(transform.GetID())
        with self.assertRaisesRegex(InputError, "harden"):
            geometry_of(run.node("net"))
        empty = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "empty")
        with self.assertRaisesRegex(InputError, "'empty' holds no image"):
            volume_of(empty)


if __name__ == "__main__":
    unittest.main()
