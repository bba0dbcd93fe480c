"""Compare layouts: what each view shows, links, fading, and going to a lesion."""

from __future__ import annotations

import unittest
from unittest import mock

import numpy as np
import slicer
from scene_test_case import SceneTestCase
from small_result import CENTERS, GEOMETRY

from QSMSeparationLib.lesions.classes import CLASSES, class_rgb
from QSMSeparationLib.mrml import layouts, windows
from QSMSeparationLib.mrml.legends import relabel_legends
from QSMSeparationLib.mrml.lesions import outlines_of
from QSMSeparationLib.mrml.table import rows_of


def composite(tag: str):
    """Return what a view shows."""
    widget = slicer.app.layoutManager().sliceWidget(tag)
    return widget.sliceLogic().GetSliceCompositeNode()


def background(tag: str) -> str:
    """Return the name of the volume that a view shows."""
    return slicer.mrmlScene.GetNodeByID(composite(tag).GetBackgroundVolumeID()).GetName()


def legends() -> list:
    """Return all color legends that are shown."""
    nodes = slicer.util.getNodesByClass("vtkMRMLColorLegendDisplayNode")
    return [node for node in nodes if node.GetVisibility()]


@unittest.skipIf(slicer.app.layoutManager() is None, "needs the layout manager")
class LayoutsTest(SceneTestCase):
    def setUp(self):
        super().setUp()
        self.manager = slicer.app.layoutManager()
        self.run_, _ = self.loaded()

    def test_three_maps_side_by_side_are_linked(self):
        layouts.show(self.manager, self.run_, "row")
        self.assertEqual(layouts.current(self.manager).name, "row")
        names = [background(tag) for tag in ("QSMNet", "QSMPara", "QSMDia")]
        self.assertEqual(names, ["sub-01 net chi", "sub-01 chi+", "sub-01 abs chi-"])
        logic = self.manager.sliceWidget("QSMNet").sliceLogic()
        logic.StartSliceOffsetInteraction()
        logic.SetSliceOffset(logic.GetSliceOffset() + 6.0)
        logic.EndSliceOffsetInteraction()
        for tag in ("QSMPara", "QSMDia"):
            offset = self.manager.sliceWidget(tag).sliceLogic().GetSliceOffset()
            self.assertAlmostEqual(offset, logic.GetSliceOffset(), 3)

    def test_sds_are_shown_in_the_place_of_their_sources_when_asked(self):
        layouts.show(self.manager, self.run_, "row", sd=True)
        names = [background(tag) for tag in ("QSMNet", "QSMPara", "QSMDia")]
        self.assertEqual(names, ["sub-01 net chi", "sub-01 SD of chi+", "sub-01 SD of abs chi-"])

    def test_the_whole_head_is_in_each_view_at_once(self):
        bounds = [0.0] * 6
        self.run_.node("chi_para").GetSliceBounds(bounds, None)
        for name in ("row", "four", "fade", "row"):
            slicer.app.processEvents()
            layouts.show(self.manager, self.run_, name)
            slicer.app.processEvents()  # views of a new layout get their size now, at the latest
            for view in layouts.layout(name).views:
                widget = self.manager.sliceWidget(view.tag)
                node, logic = widget.mrmlSliceNode(), widget.sliceLogic()
                volume = logic.GetBackgroundLayer().GetVolumeNode()
                logic.GetVolumeSliceDimensions(volume, size := [0.0] * 3, [0.0] * 3)
                for shown, wanted in zip(node.GetFieldOfView()[:2], size, strict=False):
                    self.assertGreaterEqual(shown, wanted - 0.1, (name, view.tag))

    def test_the_cursor_has_the_color_of_no_outline(self):
        layouts.show(self.manager, self.run_, "row")
        cursor = self.scene.GetFirstNodeByClass("vtkMRMLCrosshairNode").GetCrosshairColor()
        for name in CLASSES:
            distance = np.linalg.norm(np.subtract(cursor, class_rgb(name)))
            self.assertGreater(distance, 0.4, name)

    def test_a_scene_that_was_opened_before_the_layouts_were_known_gets_its_views(self):
        node = self.manager.layoutLogic().GetLayoutNode()
        before = {one.number: node.GetLayoutDescription(one.number) for one in layouts.LAYOUTS}
        missing = layouts.Layout("later", "later", 7499, layouts.layout("row").rows)
        node.SetViewArrangement(missing.number)
        self.assertFalse(node.GetCurrentLayoutDescription())
        with mock.patch.object(layouts, "LAYOUTS", (missing,)):
            layouts.register(self.manager)
        self.assertTrue(node.GetCurrentLayoutDescription())
        self.assertTrue(all(before.values()))

    def test_fourth_view_shows_r2star_or_what_the_user_chose(self):
        layouts.show(self.manager, self.run_, "four")
        self.assertEqual(background("QSMFourth"), "sub-01 R2star")
        flair = slicer.util.addVolumeFromArray(np.ones(GEOMETRY.shape, np.float32), name="FLAIR")
        layouts.show(self.manager, self.run_, "four", flair)
        self.assertEqual(background("QSMFourth"), "FLAIR")

    def test_views_lie_in_the_plane_of_the_slices(self):
        layouts.show(self.manager, self.run_, "row")
        to_ras = slicer.util.arrayFromVTKMatrix(
            self.manager.sliceWidget("QSMPara").mrmlSliceNode().GetSliceToRAS()
        )
        normal = GEOMETRY.direction_matrix[:, 2] * (-1, -1, 1)  # of the slices, in RAS
        self.assertAlmostEqual(abs(float(to_ras[:3, 2] @ normal)), 1.0, 5)

    def test_fade_lays_the_separated_map_over_net_chi(self):
        layouts.show(self.manager, self.run_, "fade")
        layouts.fade(self.manager, self.run_, "chi_dia", 0.25)
        for tag in ("QSMAxial", "QSMCoronal", "QSMSagittal"):
            self.assertEqual(background(tag), "sub-01 net chi")
            node = self.scene.GetNodeByID(composite(tag).GetForegroundVolumeID())
            self.assertEqual(node.GetName(), "sub-01 abs chi-")
            self.assertAlmostEqual(composite(tag).GetForegroundOpacity(), 0.25)

    def test_going_to_a_lesion_puts_its_slice_into_every_view(self):
        layouts.show(self.manager, self.run_, "fade")
        row = rows_of(self.run_.node("lesion_table"))[1]
        ras = layouts.center_of(row)
        x, y, z = GEOMETRY.world(np.array(CENTERS[2], dtype=float))
        np.testing.assert_allclose(ras, (-x, -y, z), atol=1e-3)
        layouts.go_to(self.scene, ras)
        for tag in ("QSMAxial", "QSMCoronal", "QSMSagittal"):
            node = self.manager.sliceWidget(tag).mrmlSliceNode()
            to_ras = slicer.util.arrayFromVTKMatrix(node.GetSliceToRAS())
            distance = (np.array(ras) - to_ras[:3, 3]) @ to_ras[:3, 2]
            self.assertLess(abs(distance), 1e-3)

    def test_a_rim_is_looked_at_where_it_shows_best(self):
        row = rows_of(self.run_.node("lesion_table"))[0]
        row |= {"rim_x_lps_mm": "1", "rim_y_lps_mm": "2", "rim_z_lps_mm": "3"}
        self.assertEqual(row["class_para"], "rim")
        self.assertEqual(layouts.center_of(row), (-1.0, -2.0, 3.0))
        self.assertNotEqual(layouts.center_of(row | {"class_para": "iso"}), (-1.0, -2.0, 3.0))

    def test_a_lesion_outside_a_zoomed_view_is_brought_into_it(self):
        layouts.show(self.manager, self.run_, "row")
        node = self.manager.sliceWidget("QSMNet").mrmlSliceNode()
        x, y, z = node.GetFieldOfView()
        node.SetFieldOfView(x / 8, y / 8, z)
        ras = layouts.center_of(rows_of(self.run_.node("lesion_table"))[1])
        layouts.go_to(self.scene, ras)
        self.assertTrue(layouts._is_well_inside(node, ras))

    def test_legends_have_units_and_whole_ppb(self):
        layouts.show(self.manager, self.run_, "row")
        found = {legend.GetTitleText(): legend.GetLabelFormat() for legend in legends()}
        for name in ("net chi [ppb]", "chi+ [ppb]", "abs chi- [ppb]"):
            self.assertEqual(found[name], "%5.0f")
        count = len(legends())
        layouts.show(self.manager, self.run_, "four")
        self.assertEqual(len(legends()), count)  # made anew, not added to

    def test_values_on_legends_are_not_rounded(self):
        layouts.show(self.manager, self.run_, "row")
        nodes = self.run_.nodes()
        for preset in windows.PRESETS:
            windows.apply_preset(nodes, preset, 3.0)
            self.assertEqual(windows.preset_of(nodes), preset)
            relabel_legends(nodes)
            for legend in legends():
                name = legend.GetTitleText().split(" ")[0]
                role = {"net": "net", "chi+": "chi_para", "abs": "chi_dia"}.get(name)
                if role is not None:
                    number = legend.GetNumberOfLabels()
                    values = np.linspace(*windows.window(role, preset), number)
                    np.testing.assert_allclose(values, np.round(values), atol=1e-6)
                    self.assertGreaterEqual(number, 3)
                    self.assertIn(0.0, np.abs(np.round(values)))

    def test_only_the_lesions_of_the_run_that_is_shown_are_outlined(self):
        second, _ = self.loaded()
        layouts.show(self.manager, self.run_, "row")
        self.assertTrue(outlines_of(self.run_.node("lesions")).GetDisplayNode().GetVisibility())
        self.assertFalse(outlines_of(second.node("lesions")).GetDisplayNode().GetVisibility())


if __name__ == "__main__":
    unittest.main()
