"""The panel as the application treats it: no views, another scene, reloaded while it runs."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import unittest
from pathlib import Path
from unittest import mock

import slicer
from module_test_case import HERE, ModuleTestCase
from QSMSeparationPanel import packages
from small_result import write_small_result

from QSMSeparationLib.mrml.load import find_results, load_result
from QSMSeparationLib.mrml.runs import find_runs

_RELOAD = """
import sys
import conftest
import slicer
from module_test_case import ModuleTestCase, wait_for

case = ModuleTestCase()
case.setUp()
case.choose_maps()
case.use_worker("slow")
case.press_separate()
assert wait_for(lambda: "fake" in case.ui.stageLabel.text)
slicer.modules.QSMSeparationWidget.onReload()
case.assert_no_files_left()
widget = slicer.modules.QSMSeparationWidget
assert widget is not case.widget
assert widget.ui.applyButton.enabled, widget.ui.reasonLabel.text
assert not widget.logic.running
case.ui, case.logic = widget.ui, widget.logic
sys.modules["QSMSeparationPanel.worker"].MODULE = "fake_worker"  # that one is new too
case.press_separate()
assert wait_for(lambda: "fake" in widget.ui.stageLabel.text)
widget.ui.cancelButton.click()
case.wait_for_end()
assert not sys.modules["host"].dialogs.uncaught, sys.modules["host"].dialogs.uncaught
print("reloaded")
"""


class LifecycleTest(ModuleTestCase):
    def test_without_views_everything_else_works(self):
        write_small_result(self.folder / "result")
        with mock.patch.object(type(slicer.app), "layoutManager", return_value=None):
            panel = slicer.modules.qsmseparation.createNewWidgetRepresentation()
            widget = panel.self()
            load_result(find_results(self.folder / "result")[0], slicer.mrmlScene)
            widget._controls.refresh_results()
            ui = widget.ui
            for button in (ui.rowButton, ui.fourButton, ui.fadeButton):
                button.click()
            ui.lesionTable.selectRow(1)
            ui.fadeSlider.value = 0.3
            ui.windowComboBox.setCurrentIndex(1)
            self.assertEqual(widget._controls.results.lesions.chosen, 2)
            widget.cleanup()
            panel.deleteLater()
        self.assertEqual(len(find_runs(slicer.mrmlScene)), 1)
        self.assertEqual(self.errors, [])

    def test_self_test_takes_less_than_two_minutes_and_says_what_was_tested(self):
        told: list[str] = []
        start = time.monotonic()
        with mock.patch.object(
            slicer.util, "delayDisplay", side_effect=lambda text, *_a, **_k: told.append(text)
        ):
            slicer.selfTests["QSMSeparation"](msec=0)
        self.assertLess(time.monotonic() - start, 120)
        for part in ("QSMSeparation 0.", "Slicer 5.", "torch ", "the panel opens: passed"):
            self.assertIn(part, told[-1])
        last = "passed" if not packages.missing_packages() else "skipped"
        self.assertIn(f"a small ball is separated: {last}", told[-1])

    def test_another_scene_and_back(self):
        self.choose_maps()
        self.panel.setMRMLScene(slicer.vtkMRMLScene())
        self.panel.setMRMLScene(slicer.mrmlScene)
        self.assertEqual(self.ui.qsmSelector.currentNode().GetName(), "sub-07 qsm")
        self.assertTrue(self.ui.applyButton.enabled)

    @unittest.skipUnless("host" in sys.modules, "reloads everything: in a process of its own")
    def test_reload_ends_the_run_and_leaves_a_panel_that_works(self):
        paths = [
            str(HERE),
            str(HERE.parent),
            str(Path(slicer.modules.qsmseparation.path).parents[1]),
        ]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
        done = subprocess.run(
            [sys.executable, "-c", _RELOAD],
            capture_output=True, text=True, check=False, env=environment,
        )  # fmt: skip
        self.assertIn("reloaded", done.stdout, done.stderr)


if __name__ == "__main__":
    unittest.main()
