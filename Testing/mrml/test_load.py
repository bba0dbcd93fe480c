"""Files of a run become volumes with names, units, colors, windows and provenance."""

from __future__ import annotations

import unittest

import numpy as np
import slicer
import vtk
from scene_test_case import SceneTestCase
from small_result import GEOMETRY, REPORT, write_small_result

from QSMSeparationLib.data.quantities import SD_OF
from QSMSeparationLib.mrml import colors, marks
from QSMSeparationLib.mrml.convert import geometry_of, ijk_to_ras, volume_of
from QSMSeparationLib.mrml.load import find_results, load_result, load_steps
from QSMSeparationLib.mrml.table import rows_of
from QSMSeparationLib.mrml.volumes import sidecar_of
from QSMSeparationLib.runtime.errors import InputError


class LoadTest(SceneTestCase):
    def test_values_and_tilted_geometry_are_those_of_the_files(self):
        run, result = self.loaded()
        for role in ("net", "chi_para", "chi_dia", "r2star", "r2prime"):
            node = run.node(role)
            shown = slicer.util.arrayFromVolume(node)
            factor = {"r2star": 1, "r2prime": 1, "chi_dia": -1000}.get(role, 1000)
            np.testing.assert_allclose(shown, factor * result.maps[role], rtol=1e-6)
            np.testing.assert_allclose(volume_of(node).array, result.maps[role], rtol=1e-6)
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
        kinds = {
            "lesions",
            "lesion_table",
            "checks",
            "report",
            "net",
            "chi_para",
            "chi_dia",
        }
        self.assertEqual(set(run.nodes()), kinds | {*SD_OF.values(), "r2star", "r2prime", "mask"})
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
        self.assertEqual(set(coded.values()), {("[ppb]", "UCUM"), ("Hz", "UCUM")})
        self.assertEqual(coded["chi_dia"][0], "[ppb]")
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
            3.0: {"net": (-100, 100), "chi_para": (0, 150), "chi_dia": (0, 100)},
            7.0: {"net": (-150, 150), "chi_para": (0, 250), "chi_dia": (0, 150)},
        }
        for b0, limits in expected.items():
            run, _ = self.loaded(b0)
            for role, (low, high) in limits.items():
                display = run.node(role).GetDisplayNode()
                self.assertFalse(display.GetAutoWindowLevel())
                self.assertAlmostEqual(display.GetWindowLevelMin(), low, 6)
                self.assertAlmostEqual(display.GetWindowLevelMax(), high, 6)

    def test_strong_sources_are_bright_in_all_three_and_net_chi_is_grey(self):
        run, _ = self.loaded()
        for role in ("net", "chi_para", "chi_dia"):
            low, high = self.limits(run, role)
            self.assertEqual(colors.shown_in(run.node(role)), "grey")
            self.assertLess(self.brightness(run, role, low), 0.02)
            self.assertGreater(self.brightness(run, role, high), 0.98)
        self.assertGreaterEqual(slicer.util.arrayFromVolume(run.node("chi_dia")).min(), 0)

    def test_net_chi_in_colors_is_a_choice_with_a_dark_zero(self):
        run, _ = self.loaded()
        colors.show_in(run.node("net"), "diverging")
        self.assertEqual(colors.shown_in(run.node("net")), "diverging")
        self.assertLess(self.brightness(run, "net", 0.0), 0.02)
        both = [self.brightness(run, "net", value) for value in (-100.0, 100.0)]
        self.assertAlmostEqual(*both, delta=0.05)
        self.assertGreater(both[1], self.brightness(run, "net", 50.0))
        colors.show_in(run.node("net"), "grey")
        self.assertEqual(colors.shown_in(run.node("net")), "grey")

    def limits(self, run, role: str) -> tuple[float, float]:
        display = run.node(role).GetDisplayNode()
        return display.GetWindowLevelMin(), display.GetWindowLevelMax()

    def brightness(self, run, role: str, value: float) -> float:
        low, high = self.limits(run, role)
        table = run.node(role).GetDisplayNode().GetColorNode()
        color = [0.0] * 4
        place = (value - low) / (high - low)
        table.GetColor(round((table.GetNumberOfColors() - 1) * place), color)
        return sum(color[:3]) / 3

    def test_r2prime_is_called_estimated_where_the_map_is_an_estimate(self):
        for origin, name in (
            ("estimated from R2* (not measured)", "sub-01 R2prime estimated"),
            ("measured (R2* - R2 of the spin echo)", "sub-01 R2prime"),
            ("given", "sub-01 R2prime"),
        ):
            folder = self.folder / origin[:5]
            write_small_result(
                folder, R2primeOrigin=origin, SeparationR2prime="estimated from R2* (not measured)"
            )
            run = load_result(find_results(folder)[0], self.scene)
            self.assertEqual(run.node("r2prime").GetName(), name)
            described = "estimated" in run.node("r2prime").GetDescription()
            self.assertEqual(described, "estimated" in name)

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
