"""What the worker needs is asked for once, through the extension PyTorch, and may be declined."""

from __future__ import annotations

import sys
import types
import unittest
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import qt
import slicer
from module_test_case import ModuleTestCase
from QSMSeparationPanel import packages


class FakePyTorch(types.ModuleType):
    """The module of the extension PyTorch."""

    def __init__(self, installed: dict[str, str], meanwhile: Callable[[], None]) -> None:
        super().__init__("PyTorchUtils")
        self.calls: list[dict] = []
        owner = self

        class PyTorchUtilsLogic:
            def installTorch(self, **options: object) -> object:
                owner.calls.append(options)
                meanwhile()
                installed["torch"] = "2.8.0+cu128"
                return types.SimpleNamespace()

        self.PyTorchUtilsLogic = PyTorchUtilsLogic


BUNDLED = {"numpy": "2.4.6", "scipy": "1.17.1", "SimpleITK": "2.5.5", "pydicom": "3.0.2"}


class PackagesTest(ModuleTestCase):
    def setUp(self):
        self.ensure_packages = packages.ensure_packages  # before the base class hides it
        super().setUp()
        self.start_patch(mock.patch.object(packages, "ensure_packages", self.ensure_packages))
        self.answers: list[bool] = []
        self.questions: list[str] = []
        for name in ("confirmOkCancelDisplay", "confirmYesNoDisplay"):
            self.start_patch(mock.patch.object(slicer.util, name, self._answer))
        self.restart = self.start_patch(mock.patch.object(slicer.util, "restart"))
        self.pip = self.start_patch(mock.patch.object(slicer.packaging, "pip_ensure"))
        self.start_patch(mock.patch.object(type(slicer.app), "testingEnabled", return_value=False))

    def _answer(self, text: str, *_titles: str) -> bool:
        self.questions.append(text)
        return self.answers.pop(0)

    def given(
        self, meanwhile: Callable[[], None] = lambda: None, extension: bool = True, **packages_: str
    ):
        """Pretend that these packages are installed, and the extension is there or not."""
        self.installed = BUNDLED | {name.replace("_", "-"): v for name, v in packages_.items()}
        self.extension = FakePyTorch(self.installed, meanwhile) if extension else None
        look = lambda name: self.installed.get(name, "")  # noqa: E731
        self.start_patch(mock.patch.object(packages, "version_of", look))
        self.start_patch(mock.patch.dict(sys.modules, {"PyTorchUtils": self.extension}))

    def press_and_read(self) -> str:
        self.choose_maps()
        self.use_worker("result")
        before = self.node_ids()
        self.press_separate()
        self.assertFalse(self.logic.running, "nothing is started")
        self.assertEqual(self.node_ids(), before)
        self.assert_no_files_left()
        return self.ui.stageLabel.text

    def test_declined_installation_is_a_clear_message(self):
        self.given()
        self.answers = [False]
        self.assertIn("PyTorch, scikit-image was not installed, so nothing", self.press_and_read())
        self.assertIn("PyTorch, scikit-image must be downloaded", self.questions[0])
        self.assertEqual(self.extension.calls, [])
        self.pip.assert_not_called()
        self.assertTrue(self.ui.applyButton.enabled, "one can think again")

    def test_missing_extension_is_named(self):
        self.given(extension=False, scikit_image="0.25")
        self.assertIn("install the extension 'PyTorch'", self.press_and_read())

    def test_old_torch_is_named_with_its_version(self):
        self.given(torch="1.13.1", scikit_image="0.25")
        self.assertIn("PyTorch 1.13.1 is too old", self.press_and_read())

    def test_packages_of_an_older_application_are_named_and_not_replaced(self):
        self.given(torch="2.8.0", scikit_image="0.25")
        self.installed["pydicom"] = "2.4.4"
        self.assertIn("pydicom 2.4.4 of this application is too old", self.press_and_read())
        self.assertEqual(self.questions, [])

    def test_installation_that_fails_is_told(self):
        def fail() -> None:
            raise OSError("no network")

        self.given(fail, scikit_image="0.25")
        self.answers = [True]
        self.assertIn("PyTorch could not be installed: no network", self.press_and_read())

    def test_while_pytorch_is_installed_the_panel_says_so_and_starts_nothing(self):
        seen: list[tuple] = []

        def look() -> None:  # pip's output lets the application take clicks
            slicer.app.processEvents()
            self.ui.applyButton.click()
            seen.append((self.ui.applyButton.enabled, self.ui.stageLabel.text, self.logic.running))
            cursor = qt.QApplication.overrideCursor()
            seen.append(cursor is not None and cursor.shape() == qt.Qt.WaitCursor)

        self.given(look, scikit_image="0.25")
        self.answers = [True]
        self.choose_maps()
        self.use_worker("result")
        self.press_separate()
        [(enabled, text, running), waits] = seen
        self.assertFalse(enabled)
        self.assertIn("Installing PyTorch", text)
        self.assertTrue(running)
        self.assertTrue(waits)
        self.assertEqual(
            self.extension.calls, [{"askConfirmation": False, "torchVersionRequirement": ">=2.4"}]
        )
        self.wait_for_end()
        self.assertEqual(self.errors, [])
        self.assertIn("PyTorch 2.8.0+cu128", self.ui.versionsLabel.text)

    def test_image_package_is_installed_without_touching_the_others(self):
        self.given(torch="2.8.0")
        held: list[str] = []

        def install(wanted: list[str], constraints: str, **_options: object) -> None:
            held.append(Path(constraints).read_text(encoding="utf-8"))
            self.installed["scikit-image"] = "0.26.0"

        self.pip.side_effect = install
        self.answers = [True]
        self.assertEqual(packages.ensure_packages(), "")
        self.assertEqual(self.pip.call_args[0][0], ["scikit-image>=0.22"])
        for line in ("numpy==2.4.6", "scipy==1.17.1", "pydicom==3.0.2"):
            self.assertIn(line, held[0])

    def test_highdicom_is_offered_and_not_needed(self):
        self.given(torch="2.8.0", scikit_image="0.25")
        self.answers = [False]
        packages.offer_highdicom()
        self.pip.assert_not_called()
        self.assertIn("highdicom", self.questions[0])
        self.answers = [True]
        self.pip.side_effect = lambda *_a, **_k: self.installed.update(highdicom="0.28.1")
        told: list[str] = []
        packages.offer_highdicom(told.append)
        self.assertIn("Installing highdicom", told[0])
        self.assertIn("highdicom>=0.28,<0.29", self.pip.call_args[0][0])
        packages.offer_highdicom()
        self.assertEqual(len(self.questions), 2, "nothing is asked when it is there")

    def test_highdicom_that_cannot_be_installed_is_told(self):
        self.given(torch="2.8.0", scikit_image="0.25")
        self.answers = [True]
        self.pip.side_effect = OSError("no network")
        packages.offer_highdicom()
        self.assertIn("highdicom could not be installed: no network", self.errors[0])

    def test_a_package_that_was_replaced_while_in_use_asks_for_a_restart(self):
        def replace() -> None:
            self.installed["numpy"] = "2.5.0"

        self.given(replace, scikit_image="0.25")
        self.answers = [True, True]
        self.assertIn("numpy was replaced while in use: restart", self.press_and_read())
        self.restart.assert_called_once_with()

    def test_in_testing_mode_nothing_is_asked_or_installed(self):
        self.given()
        self.start_patch(mock.patch.object(type(slicer.app), "testingEnabled", return_value=True))
        self.assertIn("tests install nothing", self.press_and_read())
        self.assertEqual((self.questions, self.extension.calls), ([], []))
        self.pip.assert_not_called()

    def test_nothing_is_asked_when_all_is_there(self):
        self.given(torch="2.4.0", scikit_image="0.22")
        self.assertEqual(packages.ensure_packages(), "")
        self.assertEqual(self.questions, [])

    def test_versions_are_shown_and_what_is_missing(self):
        self.given(scikit_image="0.25.2")
        self.widget._controls._computer.show_versions()
        text = self.ui.versionsLabel.text
        for part in ("scikit-image 0.25.2", "PyTorch missing; Separate offers", "numpy 2.4.6"):
            self.assertIn(part, text)

    def test_macs_with_intel_processors_are_refused_at_once(self):
        self.given(torch="2.8.0", scikit_image="0.25")
        self.choose_maps()
        self.start_patch(mock.patch.object(packages.platform, "machine", return_value="x86_64"))
        self.start_patch(mock.patch.object(packages.sys, "platform", "darwin"))
        self.widget._controls.update()
        self.assertFalse(self.ui.applyButton.enabled)
        self.assertIn("Macs with Intel processors", self.ui.reasonLabel.text)

    def test_older_applications_are_refused_at_once(self):
        self.choose_maps()
        self.start_patch(mock.patch.object(packages, "LEAST_APPLICATION", (99, 1)))
        self.widget._controls.update()
        self.assertFalse(self.ui.applyButton.enabled)
        self.assertIn("is too old; QSM Separation needs 99.1", self.ui.reasonLabel.text)


if __name__ == "__main__":
    unittest.main()
