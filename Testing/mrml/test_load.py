"""Files of a run become volumes with names, units, colours, windows and provenance."""

from __future__ import annotations

import unittest

import numpy as np
import slicer
import vtk
from scene_test_case import SceneTestCase
from small_result import GEOMETRY, REPORT, write_small_result

from QSMSeparationLib.mrml import marks
from QSMSeparationLib.mrml.convert import geometry_of, ijk_to_ras
from QSMSeparationLib.mrml.load import find_results, load_result, load_steps
from QSMSeparationLib.mrml.table import rows_of
from QSMSeparationLib.mrml.volumes import sidecar_of
from QSMSeparationLib.runtime.errors import InputError


class LoadTest(SceneTestCase):
    def test_values_and_tilted_geometry_are_those_of_the_files(self):
        run, result = self.loaded()
        for role in ("net", "chi_para", "chi_dia", "r2star", "r2prime"):
            node = run.node(role)
            np.testing.assert_array_equal(slicer.util.arrayFromVolume(node), result.maps[role])
            self.assertIsNone(geometry_of(node).difference(GEOMETRY, 1e-4))

    def test_a_point_of_the_head_stays_where_it_is(self):
        run, _ = self.loaded()
        matrix = vtk.vtkMatrix4x4()
        run.node("net").GetIJKToRASMatrix(matrix)
        x, y, z = GEOMETRY.world(np.array([20.0, 5.0, 11.0]))  # k, j, i in LPS
        ras = matrix.MultiplyPoint((11.0, 5.0, 20.0, 1.0))[:3]
        np.testing.assert_allclose(ras, (-x, -y, z), atol=1e-4)

    def test_matrix_is_exactly_that_of_the_input_it_came_from(self):
        reference = slicer.util.addVolumeFromArray(np.zeros(GEOMETRY.shape, np.float32), name="in")
        reference.SetIJKToRASMatrix(ijk_to_ras(GEOMETRY))
        write_small_result(self.folder / "out")
        run = load_result(find_results(self.folder)[0], self.scene, reference)
        matrices = [vtk.vtkMatrix4x4(), vtk.vtkMatrix4x4()]
        for node, matrix in zip((reference, run.node("chi_dia")), matrices, strict=True):
            node.GetIJKToRASMatrix(matrix)
        first, second = (slicer.util.arrayFromVTKMatrix(m) for m in matrices)
        np.testing.assert_array_equal(first, second)

    def test_results_come_to_the_study_of_the_input(self):
        tree = marks.hierarchy(self.scene)
        study = tree.CreateStudyItem(tree.GetSceneItemID(), "MRI")
        reference = slicer.util.addVolumeFromArray(np.zeros((8, 8, 8), np.float32), name="in")
        tree.SetItemParent(tree.GetItemByDataNode(reference), study)
        write_small_result(self.folder / "out")
        run = load_result(find_results(self.folder)[0], self.scene, reference)
        self.assertEqual(tree.GetItemParent(run.folder), study)

    def test_everything_is_in_one_folder_named_after_subject_and_method(self):
        run, _ = self.loaded()
        self.assertEqual(run.title, "QSM separation sub-01 (closed-form)")
        kinds = {"lesions", "lesion_table", "checks", "report", "net", "chi_para", "chi_dia"}
        self.assertEqual(set(run.nodes()), kinds | {"r2star", "r2prime", "mask"})
        self.assertEqual(run.node("chi_para").GetName(), "sub-01 chi+")
        self.assertEqual(run.node("report").GetText(), REPORT)

    def test_units_and_quantities_are_coded(self):
        run, _ = self.loaded()
        coded = {
            role: (
                run.node(role).GetVoxelValueUnits().GetCodeValue(),
                run.node(role).GetVoxelValueUnits().GetCodingSchemeDesignator(),
            )
            for role in ("net", "chi_para", "chi_dia", "r2star", "r2prime")
        }
        self.assertEqual(set(coded.values()), {("[ppm]", "UCUM"), ("Hz", "UCUM")})
        self.assertEqual(coded["chi_dia"][0], "[ppm]")
        self.assertEqual(coded["r2star"][0], "Hz")
        quantity = run.node("chi_para").GetVoxelValueQuantity()
        self.assertEqual(quantity.GetCodeMeaning(), "Magnetic Susceptibility")

    def test_provenance_travels_with_every_map(self):
        run, _ = self.loaded()
        for role in ("net", "chi_para", "chi_dia"):
            sidecar = sidecar_of(run.node(role))
            self.assertEqual(sidecar["Separation"], "closed-form")
            self.assertEqual(sidecar["InputSHA256"], {"field.nii.gz": "0" * 64})
            self.assertIn("chi- <= 0", sidecar["SignConvention"])

    def test_windows_are_fixed_and_wider_at_7_tesla(self):
        expected = {
            3.0: {"net": (-0.1, 0.1), "chi_para": (0.0, 0.15), "chi_dia": (-0.1, 0.0)},
            7.0: {"net": (-0.15, 0.15), "chi_para": (0.0, 0.25), "chi_dia": (-0.15, 0.0)},
        }
        for b0, limits in expected.items():
            run, _ = self.loaded(b0)
            for role, (low, high) in limits.items():
                display = run.node(role).GetDisplayNode()
                self.assertFalse(display.GetAutoWindowLevel())
                self.assertAlmostEqual(display.GetWindowLevelMin(), low, 6)
                self.assertAlmostEqual(display.GetWindowLevelMax(), high, 6)

    def test_zero_is_dark_in_all_three_and_strong_sources_are_bright(self):
        run, _ = self.loaded()

        def brightness(role: str, value: float) -> float:
            display = run.node(role).GetDisplayNode()
            low, high = display.GetWindowLevelMin(), display.GetWindowLevelMax()
            color = [0.0] * 4
            display.GetColorNode().GetColor(round(255 * (value - low) / (high - low)), color)
            return sum(color[:3]) / 3

        for role in ("net", "chi_para", "chi_dia"):
            self.assertLess(brightness(role, 0.0), 0.02)
        self.assertGreater(brightness("chi_para", 0.15), 0.95)
        self.assertGreater(brightness("chi_dia", -0.1), 0.95)
        self.assertAlmostEqual(brightness("net", 0.1), brightness("net", -0.1), delta=0.05)
        self.assertGreater(brightness("net", 0.1), brightness("net", 0.05))

    def test_estimated_r2prime_is_called_so(self):
        result_folder = self.folder / "out"
        write_small_result(result_folder)
        sidecar = result_folder / "sub-01_R2primemap.json"
        text = sidecar.read_text(encoding="utf-8")
        sidecar.write_text(text.replace("measured (R2* - R2 of the spin echo)", "estimated"))
        run = load_result(find_results(result_folder)[0], self.scene)
        self.assertEqual(run.node("r2prime").GetName(), "sub-01 R2prime estimated")

    def test_notes_are_in_the_table_of_checks(self):
        run, _ = self.loaded()
        rows = rows_of(run.node("checks"))
        self.assertEqual([row["advice"] for row in rows], ["a note with 'quotes' and χ"])

    def test_a_broken_file_leaves_nothing_behind(self):
        write_small_result(self.folder / "out")
        before = self.node_ids()
        (self.folder / "out" / "sub-01_R2primemap.nii.gz").write_bytes(b"no image")
        with self.assertRaisesRegex(InputError, "R2primemap"):
            load_result(find_results(self.folder)[0], self.scene)
        self.assertEqual(self.node_ids(), before)

    def test_loading_that_is_stopped_leaves_nothing_behind(self):
        write_small_result(self.folder / "out")
        before = self.node_ids()
        steps = load_steps(find_results(self.folder)[0], self.scene)
        for _ in range(3):
            next(steps)
        self.assertGreater(len(self.node_ids()), len(before))
        steps.close()
        self.assertEqual(self.node_ids(), before)

    def test_a_folder_without_results_says_so(self):
        with self.assertRaisesRegex(InputError, "holds no result"):
            find_results(self.folder)


if __name__ == "__main__":
    unittest.main()
