"""Runs with the real worker process and the real network, on a small head on a tilted grid."""

from __future__ import annotations

import csv
import subprocess
import tempfile
import unittest
from pathlib import Path

import numpy as np
import slicer
import vtk
from module_test_case import ModuleTestCase, wait_for
from QSMSeparationPanel import job, packages, worker
from small_result import GEOMETRY, ball, lesion_labels, small_result

import QSMSeparationLib
from QSMSeparationLib import catalogue
from QSMSeparationLib.data.volume import Volume
from QSMSeparationLib.io.nifti import read_volume, write_volume
from QSMSeparationLib.lesions.classes import class_rgb
from QSMSeparationLib.mrml.convert import geometry_of, volume_of
from QSMSeparationLib.mrml.legends import renew_legends
from QSMSeparationLib.mrml.lesions import segment_of
from QSMSeparationLib.mrml.marks import hierarchy
from QSMSeparationLib.mrml.runs import find_runs
from QSMSeparationLib.mrml.table import rows_of
from QSMSeparationLib.mrml.volumes import sidecar_of

NETWORK = "chi-sepnet-r2prime"
LIBRARY = Path(QSMSeparationLib.__file__).resolve().parents[1]
FILES = {
    "net": "Chimap",
    "chi_para": "desc-paramagnetic_Chimap",
    "chi_dia": "desc-diamagnetic_Chimap",
    "r2prime": "R2primemap",
}
COLORS = {"net": "Grey", "chi_para": "Grey", "chi_dia": "Grey"}


def why_not() -> str:
    """Return why a real run is impossible here; empty when it is possible."""
    if missing := packages.missing_packages():
        return f"not installed: {', '.join(missing)}"
    there = {method.name for method in catalogue.methods("separation")}
    return "" if NETWORK in there else "the package has no weights of the network"


def field_of(chi_ppm: np.ndarray) -> np.ndarray:
    """Return the field in ppm: D(k) = 1/3 - (k . b0)^2 / k^2, without padding."""
    spacings = zip(chi_ppm.shape, GEOMETRY.spacing_kji, strict=True)
    k = np.meshgrid(*[np.fft.fftfreq(n, mm) for n, mm in spacings], indexing="ij")
    along = sum(a * b for a, b in zip(k, GEOMETRY.b0_kji, strict=True))
    squared = sum(a * a for a in k)
    squared[0, 0, 0] = np.inf
    kernel = 1 / 3 - along**2 / squared
    kernel[0, 0, 0] = 0.0
    return np.fft.ifftn(kernel * np.fft.fftn(chi_ppm)).real.astype(np.float32)


def head() -> dict[str, np.ndarray]:
    """Return the inputs of a run."""
    maps = small_result().maps
    mask = ball((12, 14, 13), 10).astype(np.uint8)
    return {
        "field": field_of(maps["net"]) * mask,
        "r2prime": maps["r2prime"],
        "mask": mask,
        "lesions": lesion_labels(),
    }


def run_command_line(folder: Path) -> Path:
    """Separate the head without Slicer; returns the folder of the results."""
    command = [worker.program(), "-m", "QSMSeparationLib", "separate", str(folder / "out")]
    for name, array in head().items():
        write_volume(Volume(array, GEOMETRY), folder / f"{name}.nii.gz")
        command += [f"--{name}", str(folder / f"{name}.nii.gz")]
    command += ["--name", "sub-07", "--device", "cpu"]
    done = subprocess.run(command, cwd=LIBRARY, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return folder / "out"


def processes_with(text: str) -> list[int]:
    """Return the processes with a text in their command; none where this is not known."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes().decode("utf-8", "replace")
        except OSError:  # it has ended
            continue
        if text in command:
            found.append(int(path.parent.name))
    return found


@unittest.skipIf(why_not(), why_not())
class EndToEndTest(ModuleTestCase):
    @classmethod
    def setUpClass(cls) -> None:
        temporary = tempfile.TemporaryDirectory()
        cls.addClassCleanup(temporary.cleanup)
        cls.expected = run_command_line(Path(temporary.name))

    def choose_head(self) -> None:
        self.ui.inputKindComboBox.currentIndex = 1
        self.parameters.device = "cpu"
        arrays = head()
        self.field = self.add_map("sub-07 field", arrays["field"])
        self.ui.fieldSelector.setCurrentNode(self.field)
        self.ui.r2primeSelector.setCurrentNode(self.add_map("R2prime", arrays["r2prime"]))
        self.ui.maskSelector.setCurrentNode(self.add_mask())
        self.ui.lesionsSelector.setCurrentNode(self.add_lesions())
        self.before = self.node_ids()

    def test_panel_gives_what_the_command_line_gives_and_the_scene_keeps_it(self):
        self.choose_head()
        self.assertEqual(self.parameters.method, "", "the method is chosen by what there is")
        self.window_stays_alive(lambda: self.get_one_run(300))
        self.assert_no_files_left()
        [run] = find_runs(slicer.mrmlScene)
        self.check_run(run)
        for role in FILES:
            found = ijk_to_ras_of(run.node(role))
            np.testing.assert_array_equal(found, ijk_to_ras_of(self.field), role)
        self.review_and_reopen(run)

    def check_run(self, run) -> None:
        """Compare a run with what the command line wrote."""
        for role, suffix in FILES.items():
            with self.subTest(role):
                node, expected = (
                    run.node(role),
                    read_volume(self.expected / f"sub-07_{suffix}.nii.gz"),
                )
                array = volume_of(node).array
                np.testing.assert_allclose(array, expected.array, atol=1e-5)
                self.assertGreater(float(np.abs(array).max()), 0.01)
                self.assertIsNone(geometry_of(node).difference(GEOMETRY, 1e-4))
                unit = "Hz" if role == "r2prime" else "[ppb]"
                self.assertEqual(node.GetVoxelValueUnits().GetCodeValue(), unit)
                self.assertEqual(sidecar_of(node)["Separation"], NETWORK)
                self.assertEqual(hierarchy(run.scene).GetItemParent(
                    hierarchy(run.scene).GetItemByDataNode(node)), run.folder)  # fmt: skip
        with (self.expected / "lesions.csv").open(encoding="utf-8", newline="") as stream:
            expected = list(csv.DictReader(stream))
        rows = rows_of(run.node("lesion_table"))
        for found, wanted in zip(rows, expected, strict=True):
            for name in ("id", "volume_mm3", "class_para", "class_dia"):
                self.assertEqual(float_or_text(found[name]), float_or_text(wanted[name]))
        for role, name in COLORS.items():
            self.assertEqual(run.node(role).GetDisplayNode().GetColorNode().GetName(), name)

    def review_and_reopen(self, run) -> None:
        """Review a lesion, save the scene, open it: all is as it was."""
        renew_legends(run.nodes())
        self.ui.lesionTable.selectRow(0)
        combo = self.ui.reviewParaComboBox
        combo.setCurrentIndex(combo.findData("rim"))
        self.ui.remarkEdit.text = "rim, seen in 3 slices"
        self.ui.remarkEdit.editingFinished.emit()
        rows = rows_of(run.node("lesion_table"))
        path = str(self.folder / "scene.mrb")
        slicer.util.saveScene(path)
        slicer.mrmlScene.Clear(False)
        slicer.util.loadScene(path)
        slicer.app.processEvents()
        [again] = find_runs(slicer.mrmlScene)
        self.check_run(again)
        self.assertEqual(rows_of(again.node("lesion_table")), rows)
        self.assertEqual((rows[0]["review_para"], rows[0]["remark"][:3]), ("rim", "rim"))
        lesions = again.node("lesions")
        self.assertFalse(lesions.GetDisplayNode().GetVisibility())
        segment = lesions.GetSegmentation().GetSegment(segment_of(lesions, int(rows[0]["id"])))
        np.testing.assert_allclose(segment.GetColor(), class_rgb("rim"), atol=1e-5)
        self.assertIn(NETWORK, again.node("report").GetText())

    def test_cancel_leaves_nothing(self):
        stages = {
            "starting": lambda: self.logic._job.state == job.RUNNING,
            "network": lambda: NETWORK in self.ui.stageLabel.text,
        }
        for stage, reached in stages.items():
            with self.subTest(stage):
                self.choose_head()
                self.press_separate()
                self.assertTrue(wait_for(reached, 120), f"{stage} was not reached")
                [folder] = self.temporary_folders()
                self.ui.cancelButton.click()
                gone = wait_for(lambda f=folder: not processes_with(str(f)))
                self.assertTrue(gone, "the process that computes goes on")
                self.wait_for_end()
                self.assertEqual(self.node_ids(), self.before)
                self.assert_no_files_left()
                self.assertEqual(self.errors, [])
                slicer.mrmlScene.Clear(False)

    def test_killed_worker_is_told(self):
        self.choose_head()
        self.press_separate()
        self.assertTrue(wait_for(lambda: "inversion" in self.ui.stageLabel.text, 120))
        worker.kill_process(self.logic._job._worker.pid)  # as the system does; the launcher stays
        self.wait_for_end()
        self.assertIn("ended from outside or crashed", self.errors[0])
        self.assertEqual(self.node_ids(), self.before)
        self.assert_no_files_left()


def ijk_to_ras_of(node) -> np.ndarray:
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    return slicer.util.arrayFromVTKMatrix(matrix)


def float_or_text(text: str) -> float | str:
    try:
        return round(float(text), 3)
    except ValueError:
        return text


if __name__ == "__main__":
    unittest.main()
