"""What the MRML widgets of the test host share: they follow the nodes of a scene."""

from __future__ import annotations

import weakref
from collections.abc import Callable

import shiboken6
import slicer


def weakly(method: Callable[[], None]) -> Callable[..., None]:
    """Return an observer that calls `method` without keeping its widget alive."""
    reference = weakref.WeakMethod(method)

    def call(*_: object) -> None:
        alive = reference()
        if alive is not None and shiboken6.isValid(alive.__self__):
            alive()

    return call


class SceneFollower:
    """Mixed into widgets that show nodes: call `_refresh` whenever the scene's nodes change."""

    _scene = None
    _scene_tags = ()

    def mrmlScene(self) -> slicer.vtkMRMLScene | None:
        return self._scene

    def setMRMLScene(self, scene: slicer.vtkMRMLScene | None) -> None:
        for tag in self._scene_tags:
            self._scene.RemoveObserver(tag)
        self._scene, self._scene_tags = scene, []
        if scene is not None:
            events = (
                scene.NodeAddedEvent,
                scene.NodeRemovedEvent,
                scene.EndCloseEvent,
                scene.EndImportEvent,
                scene.EndBatchProcessEvent,
            )
            follow = weakly(self._follow)
            self._scene_tags = [scene.AddObserver(event, follow) for event in events]
        self._refresh()

    def _follow(self) -> None:
        scene = self._scene
        if scene is not None and not scene.IsClosing() and not scene.IsBatchProcessing():
            self._refresh()  # else at the end of it

    def _refresh(self) -> None:
        """Show the scene as it is now."""
