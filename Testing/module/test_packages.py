"""What the worker needs is asked for once, through the extension PyTorch, and may be declined."""

from __future__ import annotations

import subprocess
import sys
import types
import unittest
from pathlib import Path
from unittest import mock

import slicer
from module_test_case import ModuleTestCase
from QSMSeparationPanel import packages


class FakePyTorch(types.ModuleType):
    """The module of the extension PyTorch, which asks the user itself."""

    def __init__(self, agrees: bool, installed: dict[str, str]) -> None:
        super().__init__("PyTorchUtils")
        self.calls: list[dict] = []
        owner = self

        class PyTorchUtilsLogic:
            def installTorch(self, **options: object) -> object:
                owner.calls.append(options)
                if agrees:
                    installed["torch"] = "2.8.0+cu128"
                return types.SimpleNamespace() if agrees else None

        self.PyTorchUtilsLogic = PyTorchUtilsLogic


class PackagesTest(ModuleTestCase):
    def given(self, installed: dict[str, str], extension: types.ModuleType | None = None) -> None:
        """Pretend that these packages are installed, and the extension is there or not."""
        for patch in (
            mock.patch.object(packages, "version_of", lambda name: installed.get(name, "")),
            mock.patch.dict(sys.modules, {"PyTorchUtils": extension}),
        ):
            patch.start()
            self.addCleanup(patch.stop)

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
        extension = FakePyTorch(agrees=False, installed={})
        self.given({"scikit-image": "0.25"}, extension)
        self.assertIn("PyTorch was not installed, so nothing was computed", self.press_and_read())
        self.assertEqual(
            extension.calls, [{"askConfirmation": True, "torchVersionRequirement": ">=2.4"}]
        )
        self.assertTrue(self.ui.applyButton.enabled, "one can think again")

    def test_missing_extension_is_named(self):
        self.given({"scikit-image": "0.25"})
        self.assertIn("install the extension 'PyTorch'", self.press_and_read())

    def test_old_torch_is_named_with_its_version(self):
        self.given({"torch": "1.13.1", "scikit-image": "0.25"}, FakePyTorch(True, {}))
        self.assertIn("PyTorch 1.13.1 is too old", self.press_and_read())

    def test_installation_that_fails_is_told(self):
        extension = FakePyTorch(agrees=True, installed={})
        extension.PyTorchUtilsLogic.installTorch = mock.Mock(side_effect=OSError("no network"))
        self.given({"scikit-image": "0.25"}, extension)
        self.assertIn("torch could not be installed: no network", self.press_and_read())

    def test_agreed_installation_lets_the_run_start(self):
        installed = {"scikit-image": "0.25"}
        self.given(installed, FakePyTorch(agrees=True, installed=installed))
        self.choose_maps()
        self.use_worker("result")
        self.press_separate()
        self.assertTrue(self.logic.running)
        self.wait_for_end()
        self.assertEqual(self.errors, [])

    def test_image_package_is_asked_for_too_and_may_be_declined(self):
        self.given({"torch": "2.8.0"})
        with mock.patch.object(
            slicer.util, "confirmOkCancelDisplay", return_value=False
        ) as question:
            self.assertIn("scikit-image was not installed", self.press_and_read())
        self.assertIn("Download and install it?", question.call_args[0][0])

    def test_image_package_is_installed_by_the_application(self):
        installed = {"torch": "2.8.0"}
        self.given(installed)
        with (
            mock.patch.object(slicer.util, "confirmOkCancelDisplay", return_value=True),
            mock.patch.object(
                slicer.util, "pip_install", side_effect=lambda _: installed.update({"scikit-image": "1"})
            ) as install,
        ):  # fmt: skip
            self.assertEqual(packages.ensure_packages(), "")
        install.assert_called_once_with("scikit-image>=0.22")

    def test_nothing_is_asked_when_all_is_there(self):
        self.given({"torch": "2.4.0", "scikit-image": "0.22"})
        with mock.patch.object(slicer.util, "confirmOkCancelDisplay") as question:
            self.assertEqual(packages.ensure_packages(), "")
        question.assert_not_called()


class ImportTest(unittest.TestCase):
    def test_neither_importing_nor_opening_the_module_imports_torch(self):
        if "host" not in sys.modules:
            self.skipTest("inside Slicer other modules may have imported torch")
        module = Path(slicer.modules.qsmseparation.path)
        testing = Path(__file__).parents[1]
        code = (
            f"import sys; sys.path.insert(0, {str(testing)!r})\n"
            "import host; host.start()\n"
            "def names(): return {n.split('.')[0] for n in sys.modules}\n"
            f"host.load_module({str(module)!r})\n"
            "print(names() & {'QSMSeparationLib', 'QSMSeparationPanel', 'torch', 'skimage'})\n"
            "host.open_module('QSMSeparation')\n"
            "print(names() & {'torch', 'skimage'})\n"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stdout.split(), ["set()", "set()"])


if __name__ == "__main__":
    unittest.main()
