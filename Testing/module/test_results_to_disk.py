"""What leaves the application: the lesion table, the whole result, the report."""

from __future__ import annotations

import csv
import json
import unittest
from unittest import mock

import slicer
from module_test_case import wait_for
from QSMSeparationPanel import results_to_disk
from result_test_case import ResultTestCase
from small_result import REPORT


class ResultsToDiskTest(ResultTestCase):
    def test_table_is_saved_with_the_review(self):
        self.choose(5)
        self.ui.reviewDiaComboBox.setCurrentIndex(self.ui.reviewDiaComboBox.findData("iso"))
        path = self.folder / "table.csv"
        with mock.patch.object(results_to_disk, "choose_file", return_value=str(path)):
            self.ui.saveTableButton.click()
        rows = list(csv.DictReader(path.open(encoding="utf-8", newline="")))
        self.assertEqual((rows[2]["class_dia"], rows[2]["review_dia"]), ("hypo", "iso"))

    def test_export_writes_maps_table_and_report(self):
        out = self.folder / "export"
        with mock.patch.object(results_to_disk, "choose_folder", return_value=str(out)):
            self.ui.exportButton.click()
        self.assertTrue(wait_for(lambda: not self.results.saver.exporting))
        self.assertEqual((out / "report.html").read_text(encoding="utf-8"), REPORT)
        sidecar = json.loads((out / "sub-01_Chimap.json").read_text(encoding="utf-8"))
        self.assertEqual(sidecar["Separation"], "closed-form")
        with mock.patch.object(results_to_disk, "choose_folder", return_value=str(out)):
            self.ui.exportButton.click()
        self.assertTrue(wait_for(lambda: not self.results.saver.exporting))
        self.assertIn("already exists", self.errors[0])

    def test_report_opens_in_the_browser(self):
        with mock.patch.object(results_to_disk, "open_page") as opened:
            self.ui.reportButton.click()
        path = opened.call_args[0][0]
        self.assertEqual(path.read_text(encoding="utf-8"), REPORT)
        # Browsers that are shut in can't read the temporary folder.
        self.assertTrue(path.is_relative_to(slicer.app.cachePath))


if __name__ == "__main__":
    unittest.main()
