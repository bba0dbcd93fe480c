"""The digital head of the module Sample Data: made here, kept, chosen in the panel."""

from __future__ import annotations

import shutil
import unittest
from pathlib import Path
from unittest import mock

import qt
import SampleData
import slicer
from module_test_case import ModuleTestCase
from QSMSeparationPanel import sample_data

import QSMSeparation


class SampleDataTest(ModuleTestCase):
    def setUp(self):
        super().setUp()
        self.cache = Path(slicer.app.cachePath) / sample_data.FOLDER
        if self.cache.exists():
            self.skipTest(f"{self.cache} holds a head that somebody made")
        self.addCleanup(shutil.rmtree, self.cache, ignore_errors=True)

    def download(self) -> list:
        """Do what a click on the sample does."""
        source = mock.Mock(sampleName=QSMSeparation.SAMPLE)
        return QSMSeparation.make_sample_data(source)

    @unittest.skipUnless(hasattr(SampleData.SampleDataLogic, "sources"), "looks into the test host")
    def test_it_is_offered_without_anything_to_download(self):
        [source] = SampleData.SampleDataLogic.sources
        self.assertEqual(source["sampleName"], "QSM separation digital head with MS lesions")
        self.assertEqual(source["category"], "QSMSeparation")
        self.assertEqual(source["uris"], "")
        self.assertTrue(Path(source["thumbnailFileName"]).is_file())
        self.assertIs(source["customDownloader"], QSMSeparation.make_sample_data)

    def test_one_click_makes_the_head_and_leaves_only_separate_to_press(self):
        self.use_worker("head")
        magnitude, lesions = self.download()
        self.assertEqual(magnitude.GetSpacing(), (2.0, 2.0, 3.0))
        self.assertEqual(slicer.util.arrayFromVolume(magnitude).max(), 335 / 2, "the last echo")
        self.assertEqual(lesions.GetSegmentation().GetNumberOfSegments(), 1)
        self.assertFalse(lesions.GetDisplayNode().GetVisibility2DFill())
        self.assertTrue(lesions.GetDisplayNode().GetVisibility2DOutline())
        self.assertEqual(self.ui.scanFolderEdit.currentPath, str(self.cache))
        self.assertIs(self.ui.lesionsSelector.currentNode(), lesions)
        self.assertTrue(self.ui.applyButton.enabled, self.ui.reasonLabel.text)

    def test_a_second_click_while_it_is_made_does_not_disturb_the_first(self):
        self.use_worker("head")
        seen: list[object] = []

        def click_again() -> None:
            seen.append(self.download())

        qt.QTimer.singleShot(1, click_again)
        self.assertEqual(len(self.download()), 2)
        self.assertEqual(seen, [[]])
        self.assertIn("is being made", self.errors[0])

    def test_quitting_the_application_ends_it(self):
        self.use_worker("slow")
        qt.QTimer.singleShot(300, slicer.app.aboutToQuit.emit)
        self.assertEqual(self.download(), [])
        self.assertIn("could not be made: cancelled", self.errors[0])

    def test_it_is_made_once(self):
        self.use_worker("head")
        self.download()
        self.use_worker("wrong")
        slicer.mrmlScene.Clear(False)
        self.assertEqual(len(self.download()), 2)

    def test_a_head_that_could_not_be_made_leaves_nothing(self):
        self.use_worker("memory")
        before = self.node_ids()
        self.assertEqual(self.download(), [])
        self.assertIn("could not be made: the memory was used up", self.errors[0])
        self.assertEqual(self.node_ids(), before)
        self.assertFalse(self.cache.exists())

    def test_declined_installation_is_a_clear_message(self):
        reason = "PyTorch was declined"
        with mock.patch.object(sample_data, "ensure_packages", return_value=reason):
            self.assertEqual(self.download(), [])
        self.assertIn(reason, self.errors[0])
        self.assertFalse(self.cache.exists())


if __name__ == "__main__":
    unittest.main()
