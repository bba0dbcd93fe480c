"""Base of the tests of the module: its panel, a fake worker, inputs, waiting."""

from __future__ import annotations

import os
import tempfile
import time
import unittest
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import module_paths  # noqa: F401 - before small_result
import numpy as np
import qt
import slicer
from QSMSeparationPanel import packages, sample_data, session, worker
from small_result import GEOMETRY, ball, lesion_labels, small_result, write_small_result

from QSMSeparationLib.mrml.colors import remove_unused
from QSMSeparationLib.mrml.convert import ijk_to_ras
from QSMSeparationLib.mrml.marks import hierarchy
from QSMSeparationLib.mrml.runs import find_runs, remove_run

HERE = Path(__file__).parent


def wait_for(condition: Callable[[], object], seconds: float = 60.0) -> object:
    """Let the application run until a condition holds; returns what it gave last."""
    end = time.monotonic() + seconds
    while not (met := condition()) and time.monotonic() < end:
        slicer.app.processEvents()
        time.sleep(0.002)
    return met


class Stopwatch:
    """Notes how long the window stood still: the longest time between two ticks of a timer.

    Two clocks: what the main thread computed in between, and the clock on the wall, which tells
    of waiting too. On a busy computer the latter says little, as any process waits for a
    processor; a panel that waits for its worker stands still for as long as that one runs. On a
    virtual machine the former, too, counts time in which another machine had the processor.
    """

    def __init__(self, every_ms: int = 10) -> None:
        self.busy_s = self.still_s = 0.0
        self._last = self._now()
        self._timer = qt.QTimer()
        self._timer.connect("timeout()", self._tick)
        self._timer.start(every_ms)

    def _now(self) -> tuple[float, float]:
        return time.thread_time(), time.monotonic()

    def _tick(self) -> None:
        now = self._now()
        self.busy_s = max(self.busy_s, now[0] - self._last[0])
        self.still_s = max(self.still_s, now[1] - self._last[1])
        self._last = now

    def stop(self) -> bool:
        """Stop; returns whether the window stayed alive."""
        self._timer.stop()
        return self.busy_s < 0.2 and self.still_s < 2.0

    def __str__(self) -> str:
        return f"the window computed for {self.busy_s:.2f} s and stood still for {self.still_s:.2f}"


class ModuleTestCase(unittest.TestCase):
    """Has the panel (``self.widget``, ``self.ui``), its parameters, and a temporary folder.

    No test installs a package: all are taken to be there, unless a test says otherwise.
    """

    def setUp(self) -> None:
        slicer.mrmlScene.Clear(False)
        self.start_patch(mock.patch.object(session, "GROUP", "QSMSeparationTest"))
        session.forget()
        self.addCleanup(session.forget)
        self.start_patch(mock.patch.object(packages, "ensure_packages", return_value=""))
        self.start_patch(mock.patch.object(sample_data, "ensure_packages", return_value=""))
        self.start_patch(
            mock.patch.object(slicer.packaging, "pip_install", self._refuse_to_install)
        )
        remove_unused(slicer.mrmlScene)
        hierarchy(slicer.mrmlScene)
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = Path(temporary.name)
        self.panel = slicer.modules.qsmseparation.createNewWidgetRepresentation()
        self.panel.setMRMLScene(slicer.mrmlScene)
        self.widget = self.panel.self()
        self.addCleanup(self._close)
        self.panel.enter()
        self.ui, self.logic = self.widget.ui, self.widget.logic
        self.errors: list[str] = []
        shown = mock.patch.object(
            slicer.util, "errorDisplay", side_effect=lambda text, *a, **k: self.errors.append(text)
        )
        shown.start()
        self.addCleanup(shown.stop)

    def _close(self) -> None:
        self.widget.cleanup()
        self.panel.deleteLater()
        slicer.app.processEvents()
        slicer.mrmlScene.Clear(False)

    def start_patch(self, patch) -> object:
        """Patch until the end of the test."""
        self.addCleanup(patch.stop)
        return patch.start()

    def _refuse_to_install(self, *arguments: object, **_options: object) -> None:
        raise AssertionError(f"a test installs {arguments}")

    def choose_path(self, edit, path: object) -> None:
        """Type a path and wait until the panel has taken it."""
        edit.currentPath = str(path)
        self.take_paths()

    def take_paths(self) -> None:
        """Wait until the panel has taken what was typed."""
        typing = self.widget._controls._typing
        self.assertTrue(wait_for(lambda: not typing.active, 5))

    @property
    def parameters(self):
        return self.logic.getParameterNode()

    # Inputs

    def add_map(self, name: str, array: np.ndarray, kind: str = "vtkMRMLScalarVolumeNode"):
        """Add a volume on the tilted grid."""
        node = slicer.util.addVolumeFromArray(array, name=name, nodeClassName=kind)
        node.SetIJKToRASMatrix(ijk_to_ras(GEOMETRY))
        return node

    def add_mask(self):
        mask = ball((12, 14, 13), 10).astype(np.uint8)
        return self.add_map("brain", mask, "vtkMRMLLabelMapVolumeNode")

    def add_lesions(self):
        return self.add_map("MS lesions", lesion_labels(), "vtkMRMLLabelMapVolumeNode")

    def choose_maps(self, lesions: bool = True) -> None:
        """Fill the panel so that a run can start."""
        maps, ui = small_result().maps, self.ui
        ui.inputKindComboBox.currentIndex = 1
        ui.qsmSelector.setCurrentNode(self.add_map("sub-07 qsm", maps["net"]))
        ui.r2primeSelector.setCurrentNode(self.add_map("sub-07 r2prime", maps["r2prime"]))
        ui.maskSelector.setCurrentNode(self.add_mask())
        if lesions:
            ui.lesionsSelector.setCurrentNode(self.add_lesions())

    # A run

    def use_worker(self, behavior: str) -> None:
        """Let a fake worker take the place of the command line."""
        written = self.folder / "written"
        if behavior in ("result", "flood"):
            write_small_result(written)
        paths = os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])
        variables = {"FAKE_WORKER": behavior, "FAKE_RESULT": str(written), "PYTHONPATH": paths}
        for patch in (
            mock.patch.dict(os.environ, variables),
            mock.patch.object(worker, "MODULE", "fake_worker"),
        ):
            patch.start()
            self.addCleanup(patch.stop)

    def press_separate(self) -> None:
        self.assertTrue(self.ui.applyButton.enabled, self.ui.reasonLabel.text)
        self.ui.applyButton.click()

    def get_one_run(self, seconds: float = 120.0) -> None:
        """Separate what was chosen, in place of any run before."""
        for run in find_runs(slicer.mrmlScene):
            remove_run(run)
        self.press_separate()
        self.wait_for_end(seconds)
        self.assertEqual(self.errors, [])
        self.assertEqual(len(find_runs(slicer.mrmlScene)), 1)

    def window_stays_alive(self, run: Callable[[], None]) -> None:
        """Do something up to three times; fail if the window does not stay alive in any.

        What the panel computes too long it computes so each time; a busy computer does not.
        """
        told = []
        for _ in range(3):
            watch = Stopwatch()
            run()
            if watch.stop():
                return
            told.append(str(watch))
        self.fail("; ".join(told))

    def wait_for_end(self, seconds: float = 120.0) -> None:
        self.assertTrue(wait_for(lambda: not self.logic.running, seconds), "the run did not end")
        slicer.app.processEvents()

    def node_ids(self) -> set[str]:
        scene = slicer.mrmlScene
        nodes = [scene.GetNthNode(n) for n in range(scene.GetNumberOfNodes())]
        return {node.GetID() for node in nodes}

    def temporary_folders(self) -> list[Path]:
        """Return what runs have on the disk."""
        return list(Path(slicer.app.temporaryPath).glob("qsmsep-*"))

    def assert_no_files_left(self) -> None:
        """Fail if runs leave files on the disk; those of a killed worker may go a bit later."""
        wait_for(lambda: not self.temporary_folders(), 15)
        self.assertEqual(self.temporary_folders(), [])
