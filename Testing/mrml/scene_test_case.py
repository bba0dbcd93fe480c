"""Base of the tests of nodes: an empty scene and a temporary folder before, and both gone after."""

from __future__ import annotations

import tempfile
import unittest
from pathlib import Path

import slicer
from small_result import write_small_result

from QSMSeparationLib.data.result import Result
from QSMSeparationLib.mrml.colors import remove_unused
from QSMSeparationLib.mrml.load import find_results, load_result
from QSMSeparationLib.mrml.marks import hierarchy
from QSMSeparationLib.mrml.runs import Run


class SceneTestCase(unittest.TestCase):
    """Has ``self.scene``, empty, and ``self.folder``."""

    def setUp(self) -> None:
        slicer.mrmlScene.Clear(False)
        self.scene = slicer.mrmlScene
        remove_unused(self.scene)  # singletons outlive a scene that is closed
        hierarchy(self.scene)  # made on first use
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.addCleanup(slicer.mrmlScene.Clear, False)
        self.folder = Path(temporary.name)

    def loaded(self, b0_tesla: float = 3.0, lesions: bool = True) -> tuple[Run, Result]:
        """Write the small result and load it."""
        folder = self.folder / f"result {len(list(self.folder.iterdir()))}"
        result = write_small_result(folder, b0_tesla, lesions)
        return load_result(find_results(folder)[0], self.scene), result

    def node_ids(self) -> set[str]:
        """Return what is in the scene."""
        number = self.scene.GetNumberOfNodes()
        return {self.scene.GetNthNode(n).GetID() for n in range(number)}

    def reopened(self) -> None:
        """Save the scene as a bundle and open it again."""
        path = str(self.folder / "scene.mrb")
        self.assertTrue(slicer.util.saveScene(path))
        self.scene.Clear(False)
        slicer.util.loadScene(path)  # raises when it fails
