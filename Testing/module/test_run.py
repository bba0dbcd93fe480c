"""A run with a fake worker: progress, cancelling at any stage, workers that misbehave."""

from __future__ import annotations

import subprocess
import sys
import time
import unittest
from unittest import mock

import numpy as np
import qt
import slicer
from module_test_case import ModuleTestCase, wait_for
from QSMSeparationPanel import job, worker
from small_result import small_result

from QSMSeparationLib.mrml import layouts
from QSMSeparationLib.mrml.lesions import outlines_of
from QSMSeparationLib.mrml.runs import find_runs


def is_running(pid: int) -> bool:
    """Return whether a process is there; one that waits to be reaped is not."""
    if sys.platform == "win32":
        listed = subprocess.run(
            ["tasklist", "/FI", f"PID eq {pid}"], capture_output=True, text=True
        )
        return str(pid) in listed.stdout
    listed = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True)
    return listed.stdout.strip()[:1] not in ("", "Z")


class RunTest(ModuleTestCase):
    def begin(self, behavior: str, lesions: bool = True) -> None:
        self.choose_maps(lesions)
        self.use_worker(behavior)
        self.before = self.node_ids()
        self.press_separate()

    def assert_nothing_left(self) -> None:
        self.assertEqual(self.node_ids(), self.before)
        self.assert_no_files_left()
        self.assertEqual(find_runs(slicer.mrmlScene), [])
        self.assertTrue(self.ui.applyButton.enabled, "one can try again")
        self.assertFalse(self.ui.cancelButton.enabled)

    def failure(self, behavior: str) -> str:
        """Run a worker that fails; returns what the user is told."""
        self.begin(behavior)
        self.wait_for_end()
        self.assert_nothing_left()
        self.assertEqual(len(self.errors), 1)
        self.assertEqual(self.ui.stageLabel.text, f"Failed: {self.errors[0]}")
        return self.errors[0]

    def test_results_come_into_the_scene(self):
        self.begin("result")
        self.assertFalse(self.ui.applyButton.enabled)
        self.assertTrue(self.ui.cancelButton.enabled)
        self.wait_for_end()
        self.assertEqual(self.errors, [])
        [run] = find_runs(slicer.mrmlScene)
        array = slicer.util.arrayFromVolume(run.node("chi_para"))
        np.testing.assert_allclose(array, 1000 * small_result().maps["chi_para"], rtol=1e-6)
        self.assertIn("done in", self.ui.stageLabel.text)
        self.assertIn("a note of the worker", self.ui.logTextEdit.plainText)
        self.assertEqual(self.ui.runComboBox.currentText, run.title)
        self.assert_no_files_left()

    @unittest.skipUnless("host" in sys.modules, "other modules of Slicer leave timers too")
    def test_a_run_leaves_no_timers_to_the_application(self):
        self.choose_maps()
        self.use_worker("result")
        slicer.app.processEvents()
        slicer.app.sendPostedEvents(None, qt.QEvent.DeferredDelete)
        before = len(slicer.app.moduleManager().findChildren(qt.QTimer))
        self.get_one_run()
        wait_for(lambda: False, 0.1)
        slicer.app.sendPostedEvents(None, qt.QEvent.DeferredDelete)
        self.assertLessEqual(len(slicer.app.moduleManager().findChildren(qt.QTimer)), before)

    def test_one_bar_and_one_time_left_for_the_whole_run(self):
        show = self.widget._controls.on_step
        bar = self.ui.progressBar
        show(worker.Step("inversion: tv", 1, 10, 45.0, 0.5, 90.0))
        self.assertEqual((bar.value, bar.maximum), (500, 1000))
        self.assertEqual(self.ui.stageLabel.text, "inversion: tv, about 1 min 30 s left")
        show(worker.Step("separation: any", 0, 10, None, 0.6, None))
        self.assertEqual((bar.value, self.ui.stageLabel.text), (600, "separation: any"))

    def test_sections_can_be_folded_while_it_runs(self):
        self.begin("slow")
        ui = self.ui
        for section in (ui.scanButton, ui.lesionsButton, ui.methodButton, ui.advancedGroup):
            self.assertTrue(section.enabled)
        for widget in (ui.qsmSelector, ui.lesionsSelector, ui.methodComboBox, ui.keepCheckBox):
            self.assertFalse(widget.isEnabled())
        ui.cancelButton.click()
        self.wait_for_end()
        self.assertTrue(ui.qsmSelector.isEnabled())
        self.assertFalse(ui.inversionComboBox.isEnabled(), "there is no field to invert")

    def test_views_stay_while_another_module_is_used(self):
        manager = slicer.app.layoutManager()
        manager.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutOneUpRedSliceView)
        self.begin("result")
        self.panel.exit()
        self.wait_for_end()
        wait_for(lambda: False, 0.1)
        one_up = slicer.vtkMRMLLayoutNode.SlicerLayoutOneUpRedSliceView
        self.assertEqual(manager.layout, one_up)
        self.panel.enter()
        self.assertEqual(layouts.current(manager).name, "row")

    def test_lesions_that_were_drawn_do_not_lie_on_the_outlines_of_the_result(self):
        self.choose_maps(lesions=False)
        drawn = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "drawn lesions")
        slicer.modules.segmentations.logic().ImportLabelmapToSegmentationNode(
            self.add_lesions(), drawn
        )
        drawn.CreateDefaultDisplayNodes()
        self.ui.lesionsSelector.setCurrentNode(drawn)
        self.use_worker("result")
        self.get_one_run()
        hidden = lambda: not drawn.GetDisplayNode().GetVisibility()  # noqa: E731
        self.assertTrue(wait_for(hidden, 5))
        [run] = find_runs(slicer.mrmlScene)
        self.assertTrue(outlines_of(run.node("lesions")).GetDisplayNode().GetVisibility())

    def test_stage_and_time_left_are_shown_and_the_window_stays_alive(self):
        self.choose_maps()
        self.use_worker("slow")

        def run() -> None:
            self.press_separate()
            self.assertTrue(wait_for(lambda: self.ui.progressBar.value > 5))
            self.assertRegex(
                self.ui.stageLabel.text, r"inversion: fake, about (1 min 0|5\d) s left"
            )
            self.assertGreater(self.ui.progressBar.value, 0)
            self.assertLess(self.ui.progressBar.value, 50)
            self.ui.cancelButton.click()
            self.wait_for_end()

        self.window_stays_alive(run)

    def test_window_stays_alive_while_results_are_loaded(self):
        self.choose_maps()
        self.use_worker("result")
        self.window_stays_alive(self.get_one_run)

    def cancel(self, reached) -> None:
        """Cancel once a stage is reached, and wait for the end, which the worker would outlast."""
        self.assertTrue(wait_for(reached), "the stage was not reached")
        self.ui.cancelButton.click()
        self.wait_for_end()
        self.assertIn("cancelled", self.ui.stageLabel.text)
        self.assertEqual(self.errors, [])

    def state(self) -> str:
        return self.logic._job.state

    def test_cancel_while_inputs_are_written(self):
        self.begin("slow")
        self.assertEqual(self.state(), job.PREPARING)
        self.cancel(lambda: True)
        self.assert_nothing_left()

    def test_cancel_as_soon_as_the_worker_starts(self):
        self.begin("slow")
        self.cancel(lambda: self.state() == job.RUNNING)
        self.assert_nothing_left()

    def test_cancel_while_the_worker_computes(self):
        self.begin("slow")
        self.cancel(lambda: "fake" in self.ui.stageLabel.text)
        self.assert_nothing_left()

    def test_cancel_of_a_worker_that_does_not_listen(self):
        self.assertLess(worker.GRACE_MS, 2000)  # then it is killed
        self.begin("deaf")
        self.cancel(lambda: "fake" in self.ui.stageLabel.text)
        self.assert_nothing_left()

    def test_cancel_ends_the_process_that_computes_below_its_launcher(self):
        self.begin("deaf")
        self.assertTrue(wait_for(lambda: "fake" in self.ui.stageLabel.text))
        pid = self.logic._job._worker.pid
        self.assertTrue(is_running(pid))
        self.ui.cancelButton.click()
        self.assertTrue(wait_for(lambda: not is_running(pid)), "it computes on")
        self.wait_for_end()
        self.assert_nothing_left()

    def test_cancel_while_results_are_loaded(self):
        self.begin("result")
        reached = lambda: self.state() == job.LOADING and self.node_ids() != self.before  # noqa: E731
        self.cancel(reached)
        self.assert_nothing_left()

    def test_cancel_twice_is_one_cancel(self):
        self.begin("slow")
        wait_for(lambda: self.state() == job.RUNNING)
        self.logic.cancel()
        self.logic.cancel()
        self.wait_for_end()
        self.assert_nothing_left()

    def test_worker_that_is_killed(self):
        self.assertIn("ended from outside or crashed", self.failure("killed"))
        self.assertIn("often the memory was used up", self.errors[0])
        self.assertNotIn("Report the problem", self.errors[0])  # of the launcher

    def test_worker_that_prints_garbage(self):
        self.assertIn("ended without a result", self.failure("garbage"))
        self.assertIn("not JSON", self.ui.logTextEdit.plainText)
        self.assertIn("no end of line", self.ui.logTextEdit.plainText)

    def test_worker_that_floods_its_output_does_not_stop_the_window(self):
        self.choose_maps()
        self.use_worker("flood")
        self.window_stays_alive(self.get_one_run)
        self.assertIn("lines left out", self.ui.logTextEdit.plainText)

    def test_error_of_the_worker_is_told_as_it_is(self):
        self.assertIn("expected a local field in ppm", self.failure("wrong"))

    def test_missing_torch_is_named(self):
        self.assertIn("PyTorch is not installed", self.failure("no_torch"))

    def test_lack_of_memory_is_named(self):
        self.assertIn("the memory was used up", self.failure("memory"))

    def test_python_that_cannot_be_started(self):
        with mock.patch.object(worker, "program", return_value="/nowhere/PythonSlicer"):
            self.assertIn("can't be started", self.failure("result"))

    def test_results_that_cannot_be_read_leave_nothing(self):
        self.choose_maps()
        self.use_worker("result")
        (self.folder / "written" / "sub-01_R2primemap.nii.gz").write_bytes(b"no image")
        self.before = self.node_ids()
        self.ui.applyButton.click()
        self.wait_for_end()
        self.assert_nothing_left()
        self.assertIn("R2primemap", self.errors[0])

    def test_input_that_cannot_be_written_leaves_nothing(self):
        self.choose_maps()
        self.use_worker("result")
        self.before = self.node_ids()
        with mock.patch.object(job, "save_map", side_effect=OSError("disk full")):
            self.ui.applyButton.click()
            self.wait_for_end()
        self.assert_nothing_left()
        self.assertIn("disk full", self.errors[0])

    def test_scene_that_is_closed_ends_the_run(self):
        for state in (job.PREPARING, job.RUNNING, job.LOADING):
            with self.subTest(state):
                self.begin("slow" if state != job.LOADING else "result")
                self.assertTrue(wait_for(lambda state=state: self.state() == state))
                slicer.mrmlScene.Clear(False)
                self.wait_for_end()
                self.assertEqual(find_runs(slicer.mrmlScene), [])
                self.assert_no_files_left()
                self.assertEqual(self.errors, [])

    def test_panel_that_goes_ends_the_run(self):
        self.begin("deaf")
        wait_for(lambda: "fake" in self.ui.stageLabel.text)
        self.widget.cleanup()
        self.assertFalse(self.logic.running)
        self.assert_no_files_left()
        wait_for(lambda: False, 0.2)  # what comes later touches no widget

    def test_only_one_run_at_a_time(self):
        self.begin("slow")
        with self.assertRaisesRegex(ValueError, "on its way"):
            self.logic.start(self.parameters, job.Listener())
        self.ui.cancelButton.click()
        self.wait_for_end()

    def test_scripts_can_wait_for_a_run(self):
        self.choose_maps()
        self.use_worker("result")
        [run] = self.logic.separate(self.parameters)
        self.assertIn("chi_dia", run.nodes())

    def test_scripts_that_wait_leave_the_processor_to_the_worker(self):
        self.choose_maps()
        self.use_worker("slow")
        qt.QTimer.singleShot(1500, self.logic.cancel)
        computed, start = time.thread_time(), time.monotonic()
        with self.assertRaisesRegex(RuntimeError, "cancelled"):
            self.logic.separate(self.parameters)
        computed, waited = time.thread_time() - computed, time.monotonic() - start
        self.assertLess(computed, 0.5 * waited)

    def test_scripts_get_the_reason_of_a_failure(self):
        self.choose_maps()
        self.use_worker("wrong")
        with self.assertRaisesRegex(RuntimeError, "local field in ppm"):
            self.logic.separate(self.parameters)

    def test_options_reach_the_command_line(self):
        self.choose_maps()
        self.parameters.device, self.parameters.drPara = "cpu", 137.0
        self.parameters.b0Tesla, self.parameters.keepIntermediate = 7.0, True
        options = self.logic.request(self.parameters).options
        text = " ".join(options)
        for part in ("--device cpu", "--dr-para 137", "--b0 7", "--keep", "--name sub-07"):
            self.assertIn(part, text)
        self.assertNotIn("--method", text)


if __name__ == "__main__":
    unittest.main()
