"""Base of the tests of the results part: a run is in the scene, as a worker wrote it."""

from __future__ import annotations

import slicer
from module_test_case import ModuleTestCase
from small_result import write_small_result

from QSMSeparationLib.mrml.load import find_results, load_result


class ResultTestCase(ModuleTestCase):
    """Has the results part (``self.results``), the layout manager and a run (``self.run_``)."""

    def setUp(self):
        super().setUp()
        self.results = self.widget._controls.results
        self.manager = slicer.app.layoutManager()
        self.run_ = self.load("first")

    def load(self, name: str, b0_tesla: float = 3.0):
        write_small_result(self.folder / name, b0_tesla)
        run = load_result(find_results(self.folder / name)[0], slicer.mrmlScene)
        self.results.refresh(newest=True)
        return run

    def choose(self, lesion: int) -> None:
        table = self.ui.lesionTable
        for row in range(table.rowCount):
            if table.item(row, 0).text() == str(lesion):
                table.selectRow(row)
        self.assertEqual(self.results.lesions.chosen, lesion)
