"""Export DICOM...: the run that is shown, as objects in the study of its scan."""

from __future__ import annotations

import unittest
from pathlib import Path
from unittest import mock

import module_paths  # noqa: F401 - before dicom_fixtures
import numpy as np
import pydicom
import slicer
from dicom_fixtures import classic, save
from module_test_case import ModuleTestCase, wait_for
from QSMSeparationPanel import dicom_export, packages
from small_result import GEOMETRY, write_small_result

from QSMSeparationLib.mrml import marks
from QSMSeparationLib.mrml.load import find_results, load_result
from QSMSeparationLib.mrml.review import set_review

PATIENT = ("Mueller^Zoe", "ID-77421")
STUDY = "1.2.840.99999.7.1"


class DicomExportTest(ModuleTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.start_patch(mock.patch.object(packages, "offer_highdicom"))
        self.dicom = self.widget._controls.results.dicom
        write_small_result(self.folder / "result")
        self.run_ = load_result(find_results(self.folder / "result")[0], slicer.mrmlScene)
        self.widget._controls.refresh_results()
        self.series, self.out = self.folder / "scan", self.folder / "out"
        self.out.mkdir()

    def write_series(self) -> None:
        values = np.full((1, *GEOMETRY.shape), 100)
        images = classic(values, ["M"], [0.004], GEOMETRY, 7, patient=PATIENT, study=STUDY)
        for n, image in enumerate(images):
            image.SOPInstanceUID = f"{STUDY}.7.{n + 1}"
            image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
        save(images, self.series)

    def press(self, *answers: Path | str) -> None:
        """Press the button and answer both questions for folders."""
        paths = [str(answer) for answer in answers or (self.series, self.out)]
        self.assertTrue(self.ui.dicomButton.enabled)
        with mock.patch.object(dicom_export, "choose_folder", side_effect=paths):
            self.ui.dicomButton.click()

    def export(self) -> str:
        """Export and return what is said in the end."""
        self.press()
        self.assertTrue(wait_for(lambda: not self.dicom.active, 120))
        slicer.app.processEvents()
        return self.ui.dicomLabel.text

    def assert_nothing_left(self) -> None:
        wait_for(lambda: not list(self.out.iterdir()), 15)
        self.assertEqual(list(self.out.iterdir()), [])
        self.assert_no_files_left()

    def read(self, name: str) -> pydicom.Dataset:
        return pydicom.dcmread(self.out / "sub-01_dicom" / name / "00001.dcm")

    def test_maps_and_the_review_go_into_the_study_of_the_scan(self):
        self.write_series()
        set_review(self.run_.node(marks.LESION_TABLE), 1, "remark", "seen on two slices")
        said = self.export()
        self.assertIn(f"DICOM series are in {self.out / 'sub-01_dicom'}", said)
        self.assertEqual([path.name for path in self.out.iterdir()], ["sub-01_dicom"])
        self.assert_no_files_left()
        image = self.read("net")
        self.assertEqual((image.StudyInstanceUID, image.PatientID), (STUDY, PATIENT[1]))
        k = GEOMETRY.shape[0] // 2
        middle = pydicom.dcmread(self.out / "sub-01_dicom" / "net" / f"{k + 1:05d}.dcm")
        shown = slicer.util.arrayFromVolume(self.run_.node("net"))[k]
        np.testing.assert_allclose(middle.pixel_array, shown, atol=0.51)
        if packages.has_highdicom():
            self.assertNotIn("highdicom", said)
            report = (self.out / "sub-01_dicom" / "lesion_report" / "00001.dcm").read_bytes()
            self.assertIn(b"seen on two slices", report)

    def test_the_same_run_is_written_with_the_same_numbers(self):
        self.write_series()
        uids = []
        for name in ("first", "second"):
            self.out = self.folder / name
            self.out.mkdir()
            self.export()
            uids.append({pydicom.dcmread(f).SOPInstanceUID for f in self.out.rglob("*.dcm")})
        self.assertEqual(uids[0], uids[1])
        self.assertGreater(len(uids[0]), GEOMETRY.shape[0])

    def test_anonymous_objects_name_nobody(self):
        self.write_series()
        self.ui.anonymousCheckBox.checked = True
        self.export()
        image = self.read("chi_para")
        self.assertEqual(image.PatientIdentityRemoved, "YES")
        self.assertNotIn(PATIENT[1], str(image))

    def test_without_highdicom_the_end_says_what_is_left_out(self):
        self.use_worker("result")
        self.start_patch(mock.patch.object(packages, "version_of", return_value=""))
        self.assertIn("lesion report need highdicom", self.export())

    def test_a_folder_without_the_series_is_told_in_a_line(self):
        self.series.mkdir()
        self.assertIn("Failed: the series to go with holds no MR images", self.export())
        self.assert_nothing_left()
        self.assertTrue(self.ui.dicomButton.enabled, "one can choose again")

    def test_progress_is_shown_and_a_cancelled_export_leaves_nothing(self):
        self.use_worker("slow")
        self.press()
        self.assertTrue(wait_for(lambda: "inversion: fake: 1 %" in self.ui.dicomLabel.text, 30))
        self.assertFalse(self.ui.dicomButton.enabled)
        self.ui.cancelDicomButton.click()
        self.assertTrue(wait_for(lambda: not self.dicom.active, 5))
        self.assertIn("cancelled", self.ui.dicomLabel.text)
        self.assert_nothing_left()

    def test_worker_that_must_be_killed_leaves_nothing(self):
        self.use_worker("deaf")
        self.press()
        self.assertTrue(wait_for(lambda: "fake" in self.ui.dicomLabel.text, 30))
        self.ui.cancelDicomButton.click()
        self.assertTrue(wait_for(lambda: not self.dicom.active, 5))
        self.assert_nothing_left()

    def test_scene_that_is_closed_meanwhile(self):
        self.use_worker("slow")
        self.press()
        self.assertTrue(wait_for(lambda: "fake" in self.ui.dicomLabel.text, 30))
        slicer.mrmlScene.Clear(False)
        self.assertFalse(self.dicom.active)
        self.assertFalse(self.ui.dicomButton.enabled)
        self.assert_nothing_left()

    def test_transform_that_is_not_hardened_is_refused(self):
        transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
        self.run_.node("chi_para").SetAndObserveTransformNodeID(transform.GetID())
        self.assertIn("harden", self.export())
        self.assert_nothing_left()

    def test_nothing_is_overwritten(self):
        old = self.out / "sub-01_dicom" / "last week"
        old.parent.mkdir()
        old.write_text("x")
        self.assertIn("already exists", self.export())
        self.assertEqual(old.read_text(), "x")

    def test_folder_that_cannot_be_written_is_told(self):
        with mock.patch.object(
            dicom_export.tempfile, "mkdtemp", side_effect=OSError(30, "Read-only file system")
        ):
            self.assertIn("can't be written: Read-only", self.export())

    def test_changing_ones_mind_does_nothing(self):
        self.press("")
        self.press(self.series, "")
        self.assertFalse(self.dicom.active)
        self.assertEqual(self.ui.dicomLabel.text, "")

    def test_while_a_run_is_on_its_way_the_button_says_so(self):
        self.use_worker("slow")
        self.choose_maps()
        self.press_separate()
        self.press()
        self.assertIn("a run is on its way", self.ui.dicomLabel.text)
        self.assertFalse(self.dicom.active)
        self.ui.cancelButton.click()
        self.wait_for_end()


if __name__ == "__main__":
    unittest.main()
