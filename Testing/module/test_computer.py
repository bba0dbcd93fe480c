"""What the panel says of this computer: what is slow on it, its memory, a bug report."""

from __future__ import annotations

import getpass
import platform
import unittest
from unittest import mock

import slicer
from module_test_case import ModuleTestCase
from QSMSeparationPanel import computer
from small_result import small_result


class ComputerTest(ModuleTestCase):
    def show(self, gib: float | None, card: bool) -> str:
        self.start_patch(mock.patch.object(computer, "available_gib", return_value=gib))
        self.start_patch(mock.patch.object(computer, "uses_graphics_card", return_value=card))
        self.panel.show()
        self.widget._controls.update()
        return self.ui.warningLabel.text if self.ui.warningLabel.visible else ""

    def choose_field(self) -> None:
        self.choose_maps()
        field = self.add_map("field", small_result().maps["net"] * 0.1)
        self.ui.fieldSelector.setCurrentNode(field)
        self.ui.qsmSelector.setCurrentNode(None)

    def test_without_a_graphics_card_slow_methods_are_named_and_faster_ones_offered(self):
        self.choose_field()
        self.parameters.inversion = "inr-qsm"
        self.assertIn("Without a graphics card", self.show(16.0, card=False))
        self.ui.fasterButton.click()
        self.assertEqual(self.parameters.inversion, "tkd")
        self.assertTrue(self.ui.applyButton.enabled, self.ui.reasonLabel.text)
        self.assertEqual(self.show(16.0, card=False), "")

    def test_with_a_graphics_card_and_memory_there_is_no_warning(self):
        self.choose_field()
        self.assertEqual(self.show(16.0, card=True), "")

    def test_little_memory_is_told_and_an_unknown_one_is_not(self):
        self.choose_maps()
        self.assertIn("Only 1.5 GB of memory are free", self.show(1.5, card=True))
        self.assertEqual(self.show(None, card=True), "")

    def test_bug_report_says_versions_and_log_and_nobody(self):
        self.ui.logTextEdit.appendPlainText(
            f"sub-4711 in /home/{getpass.getuser()}/Patients/Doe^Jane/IM1: 'Doe MS lesions' failed: "
            f"echo 3 of 5 on {platform.node()}; C:\\Users\\doe\\scan.nii"
        )
        self.choose_path(self.ui.scanFolderEdit, "/data/Roe Richard/scan 1")
        self.ui.logTextEdit.appendPlainText(
            "/data/Roe Richard/scan 1/IM 7 of MS lesions is cut off"
        )
        self.ui.bugReportButton.click()
        text = slicer.app.clipboard().text()
        for part in ("QSMSeparation 0.", "Slicer 5.", "numpy 2", "echo 3 of 5", "sub-XX in PATH"):
            self.assertIn(part, text)
        for private in (
            "4711",
            "Doe",
            "doe",
            "Jane",
            "Roe",
            "Richard",
            "Patients",
            str(self.folder),
        ):
            self.assertNotIn(private, text)


if __name__ == "__main__":
    unittest.main()
