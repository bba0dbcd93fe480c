"""Whether a run can start: what is asked for, what is refused, and in which words."""

from __future__ import annotations

import unittest

import numpy as np
import slicer
from module_test_case import ModuleTestCase
from small_result import small_result


class ReadyTest(ModuleTestCase):
    def reason(self) -> str:
        self.assertFalse(self.ui.applyButton.enabled)
        self.assertEqual(self.ui.applyButton.toolTip, self.ui.reasonLabel.text)
        return self.ui.reasonLabel.text

    def test_maps_are_asked_for_one_after_the_other(self):
        ui, maps = self.ui, small_result().maps
        ui.inputKindComboBox.currentIndex = 1
        self.assertIn("choose a local field or a QSM", self.reason())
        ui.qsmSelector.setCurrentNode(self.add_map("qsm", maps["net"]))
        self.assertIn("choose R2' or R2*", self.reason())
        ui.r2primeSelector.setCurrentNode(self.add_map("r2prime", maps["r2prime"]))
        self.assertIn("choose a brain mask", self.reason())
        ui.maskSelector.setCurrentNode(self.add_mask())
        self.assertTrue(ui.applyButton.enabled)
        self.assertEqual(ui.reasonLabel.text, "")
        ui.maskSelector.setCurrentNode(None)
        self.assertIn("choose a brain mask", self.reason())

    def test_the_magnitude_at_te0_goes_with_tr_and_flip_angle(self):
        self.choose_maps()
        node = self.add_map("s0", 400 * small_result().maps["r2prime"])
        self.ui.s0Selector.setCurrentNode(node)
        self.assertIn("give TR and flip angle", self.reason())
        self.ui.trSpinBox.value, self.ui.flipSpinBox.value = 33, 15
        self.assertTrue(self.ui.applyButton.enabled)
        request = self.logic.request(self.parameters)
        self.assertIs(request.maps["--s0"], node)
        self.assertIn("--tr 0.033 --flip-angle 15", " ".join(request.options))
        self.ui.s0Selector.setCurrentNode(None)
        self.assertNotIn("--tr", self.logic.request(self.parameters).options)

    def test_geometry_is_checked_as_soon_as_a_map_is_chosen(self):
        self.choose_maps()
        node = self.ui.r2primeSelector.currentNode()
        x, y, z = node.GetOrigin()
        node.SetOrigin(x + 3, y, z)
        self.parameters.parameterNode.Modified()
        self.assertIn("different grids: position differs by 3.00 mm", self.reason())

    def test_units_are_checked_as_soon_as_a_map_is_chosen(self):
        self.choose_maps()
        maps = small_result().maps
        for selector, name, array, text in (
            (self.ui.qsmSelector, "ppb", maps["net"] * 1000, "divide ppb by 1000"),
            (self.ui.r2primeSelector, "per ms", maps["r2prime"] / 1000, "multiply 1/ms by 1000"),
        ):
            good = selector.currentNode()
            selector.setCurrentNode(self.add_map(name, array.astype(np.float32)))
            self.assertIn(text, self.reason())
            self.assertIn(f"'{name}'", self.reason())
            selector.setCurrentNode(good)
            self.assertTrue(self.ui.applyButton.enabled)

    def test_a_mask_that_is_none_is_refused(self):
        self.choose_maps()
        self.ui.maskSelector.setCurrentNode(self.ui.lesionsSelector.currentNode())
        self.assertIn("is no mask: it holds 4 labels", self.reason())

    def test_a_mask_may_be_a_segmentation(self):
        self.choose_maps()
        labels = self.ui.maskSelector.currentNode()
        segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "drawn mask")
        logic = slicer.modules.segmentations.logic()
        logic.ImportLabelmapToSegmentationNode(labels, segmentation)
        self.ui.maskSelector.setCurrentNode(segmentation)
        self.assertTrue(self.ui.applyButton.enabled, self.ui.reasonLabel.text)
        self.assertIn("mask 'drawn mask'", self.ui.inputsLabel.text)

    def test_moved_inputs_are_refused(self):
        self.choose_maps()
        transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
        self.ui.qsmSelector.currentNode().SetAndObserveTransformNodeID(transform.GetID())
        self.parameters.parameterNode.Modified()
        self.assertIn("harden the transform", self.reason())

    def test_lesions_are_optional_but_must_be_labels(self):
        self.choose_maps(lesions=False)
        self.assertTrue(self.ui.applyButton.enabled)
        self.assertIn("no lesions", self.ui.lesionsLabel.text)
        self.ui.lesionsSelector.setCurrentNode(self.add_lesions())
        self.assertIn("3 labels", self.ui.lesionsLabel.text)
        soft = self.add_map("soft", small_result().maps["net"] * 0.5)
        self.ui.lesionsSelector.setCurrentNode(soft)
        self.assertIn("holds fractions", self.reason())

    def test_folders_are_looked_into(self):
        bids, dicom = self.folder / "bids", self.folder / "dicom"
        for path in (bids / "sub-01/anat/sub-01_echo-1_part-mag_MEGRE.nii.gz", dicom / "IM0001"):
            path.parent.mkdir(parents=True)
            path.write_bytes(b"")
        self.assertIn("choose the folder", self.reason())
        self.choose_path(self.ui.scanFolderEdit, self.folder / "nowhere")
        self.assertIn("there is no folder", self.reason())
        self.choose_path(self.ui.scanFolderEdit, bids)
        self.assertTrue(self.ui.applyButton.enabled)
        self.assertIn("without a spin echo R2' is not measured", self.ui.inputsLabel.text)
        self.choose_path(self.ui.scanFolderEdit, dicom)
        self.assertTrue(self.ui.applyButton.enabled)
        self.assertIn("DICOM: 1 files", self.ui.inputsLabel.text)

    def test_names_that_are_no_subjects_are_refused(self):
        self.choose_maps()
        self.ui.subjectEdit.text = "../other"
        self.assertIn("write the subject as sub-01", self.reason())

    def test_names_of_nodes_are_no_markup(self):
        self.choose_maps()
        self.ui.qsmSelector.currentNode().SetName("<img src=x>")
        self.parameters.parameterNode.Modified()
        self.assertIn("&lt;img", self.ui.inputsLabel.text)
        self.assertNotIn("<img", self.ui.inputsLabel.text)


if __name__ == "__main__":
    unittest.main()
