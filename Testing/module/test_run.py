"""A run with a fake worker: progress, cancelling at any stage, workers that misbehave."""

from __future__ import annotations

import time
import unittest
from unittest import mock

import numpy as np
import slicer
from module_test_case import ModuleTestCase, wait_for
from QSMSeparationPanel import job, worker
from small_result import small_result

from QSMSeparationLib.mrml.runs import find_runs

CANCEL_S = 2.0


class RunTest(ModuleTestCase):
    def begin(self, behaviour: str, lesions: bool = True) -> None:
        self.choose_maps(lesions)
        self.use_worker(behaviour)
        self.before = self.node_ids()
        self.press_separate()

    def assert_nothing_left(self) -> None:
        self.assertEqual(self.node_ids(), self.before)
        self.assert_no_files_left()
        self.assertEqual(find_runs(slicer.mrmlScene), [])
        self.assertTrue(self.ui.applyButton.enabled, "one can try again")
        self.assertFalse(self.ui.cancelButton.enabled)

    def failure(self, behaviour: str) -> str:
        """Run a worker that fails; returns what the user is told."""
        self.begin(behaviour)
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

    def cancel(self, reached) -> float:
        """Cancel once a stage is reached; returns the seconds until the run has ended."""
        self.assertTrue(wait_for(reached), "the stage was not reached")
        start = time.monotonic()
        self.ui.cancelButton.click()
        self.wait_for_end()
        seconds = time.monotonic() - start
        self.assertIn("cancelled", self.ui.stageLabel.text)
        self.assertEqual(self.errors, [])
        return seconds

    def state(self) -> str:
        return self.logic._job.state

    def test_cancel_while_inputs_are_written(self):
        self.begin("slow")
        self.assertEqual(self.state(), job.PREPARING)
        self.assertLess(self.cancel(lambda: True), CANCEL_S)
        self.assert_nothing_left()

    def test_cancel_as_soon_as_the_worker_starts(self):
        self.begin("slow")
        self.assertLess(self.cancel(lambda: self.state() == job.RUNNING), CANCEL_S)
        self.assert_nothing_left()

    def test_cancel_while_the_worker_computes(self):
        self.begin("slow")
        self.assertLess(self.cancel(lambda: "fake" in self.ui.stageLabel.text), CANCEL_S)
        self.assert_nothing_left()

    def test_cancel_of_a_worker_that_does_not_listen(self):
        self.begin("deaf")
        self.assertLess(self.cancel(lambda: "fake" in self.ui.stageLabel.text), CANCEL_S)
        self.assert_nothing_left()

    def test_cancel_while_results_are_loaded(self):
        self.begin("result")
        reached = lambda: self.state() == job.LOADING and self.node_ids() != self.before  # noqa: E731
        self.assertLess(self.cancel(reached), CANCEL_S)
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
                self.wait_for_end(CANCEL_S)
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

    def test_scripts_get_the_reason_of_a_failure(self):
        self.choose_maps()
        self.use_worker("wrong")
        with self.assertRaisesRegex(RuntimeError, "local field in ppm"):
            self.logic.separate(self.parameters)

    def test_options_reach_the_command_line(self):
        self.choose_maps()
        self.parameters.device, self.parameters.drPara = "cpu", 137.0
        self.parameters.b0Tesla, self.parameters.keepIntermediate = 7.0, True
        options = self.logic._request(self.parameters).options
        text = " ".join(options)
        for part in ("--device cpu", "--dr-para 137", "--b0 7", "--keep", "--name sub-07"):
            self.assertIn(part, text)
        self.assertNotIn("--method", text)


if __name__ == "__main__":
    unittest.main()
