"""From the sample data to lesions: a whole head, the real worker and the real network."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import slicer
from module_test_case import ModuleTestCase, wait_for
from QSMSeparationPanel import sample_data

from QSMSeparationLib.io.nifti import read_volume
from QSMSeparationLib.mrml.convert import geometry_of, volume_of
from QSMSeparationLib.mrml.runs import find_runs
from QSMSeparationLib.mrml.table import rows_of

OPTIONS = ("--voxel", "2", "--spin-echo", "--seed", "1", "--oblique", "20")
STAGES = (
    "reading", "brain mask", "field map", "background field", "R2*", "R2", "inversion",
    "separation", "data checks", "lesions",
)  # fmt: skip


@pytest.mark.slow
class WholeHeadTest(ModuleTestCase):
    def setUp(self):
        super().setUp()
        sample_data.download(options=OPTIONS)
        self.head = Path(self.parameters.scanFolder)

    def test_panel_gives_what_the_command_line_gives(self):
        self.window_stays_alive(lambda: self.get_one_run(1800))
        [run] = find_runs(slicer.mrmlScene)
        out = self.folder / "out"
        lesions = self.head / "derivatives/truth/sub-01/anat/sub-01_desc-lesions_dseg.nii.gz"
        command = [sys.executable, "-m", "QSMSeparationLib", "run", str(self.head), str(out)]
        subprocess.run([*command, "--lesions", str(lesions)], check=True, capture_output=True)
        for role, suffix in (("net", "Chimap"), ("chi_para", "desc-paramagnetic_Chimap"),
                             ("chi_dia", "desc-diamagnetic_Chimap"), ("r2star", "R2starmap")):  # fmt: skip
            expected = read_volume(out / f"sub-01/anat/sub-01_{suffix}.nii.gz")
            array = volume_of(run.node(role)).array
            np.testing.assert_allclose(array, expected.array, atol=1e-5)
            self.assertIsNone(geometry_of(run.node(role)).difference(expected.geometry, 1e-4))
        self.assertGreaterEqual(len(rows_of(run.node("lesion_table"))), 10)

    def test_cancel_at_every_stage(self):
        self.before = self.node_ids()
        for stage in STAGES:
            with self.subTest(stage):
                self.press_separate()
                reached = wait_for(lambda s=stage: self.ui.stageLabel.text.startswith(s), 600)
                self.assertTrue(reached, "the stage was not reached")
                self.ui.cancelButton.click()
                self.wait_for_end()
                self.assertEqual(self.node_ids(), self.before)
                self.assert_no_files_left()
                self.assertEqual(self.errors, [])
