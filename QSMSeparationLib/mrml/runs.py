"""The runs in a scene: one folder of the subject hierarchy each, and their removal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import slicer
import vtk

from QSMSeparationLib.mrml import colors, marks
from QSMSeparationLib.runtime.errors import InputError


@dataclass(frozen=True)
class Run:
    """A run in the scene: a folder of the subject hierarchy and what lies in it.

    Parameters
    ----------
    scene : vtkMRMLScene
        The scene.
    folder : int
        Item of the folder in the subject hierarchy.
    """

    scene: slicer.vtkMRMLScene
    folder: int

    @property
    def identifier(self) -> str:
        """What the nodes of the run carry as an attribute."""
        return marks.hierarchy(self.scene).GetItemAttribute(self.folder, marks.RUN)

    @property
    def title(self) -> str:
        """Name of the folder."""
        return marks.hierarchy(self.scene).GetItemName(self.folder)

    def nodes(self) -> dict[str, Any]:
        """Return what the run made, by role, which says of what class a node is."""
        tree = marks.hierarchy(self.scene)
        children = vtk.vtkIdList()
        tree.GetItemChildren(self.folder, children, True)
        items = [children.GetId(n) for n in range(children.GetNumberOfIds())]
        found = [tree.GetItemDataNode(item) for item in items]
        return {marks.role_of(n): n for n in found if n is not None and marks.role_of(n)}

    def node(self, role: str) -> Any | None:
        """Return one of the nodes, or None."""
        return self.nodes().get(role)

    def need(self, role: str) -> Any:
        """Return one of the nodes, or raise InputError that names the missing one."""
        node = self.node(role)
        if node is None:
            raise InputError(f"'{self.title}' holds no {role} any more; load it again")
        return node


def add_run(scene: slicer.vtkMRMLScene, identifier: str, title: str, parent: int = 0) -> Run:
    """Make the folder of a run; ``parent`` is a patient's or a study's item."""
    tree = marks.hierarchy(scene)
    folder = tree.CreateFolderItem(parent or tree.GetSceneItemID(), title)
    tree.SetItemAttribute(folder, marks.RUN, identifier)
    return Run(scene, folder)


def put_in(run: Run, node: slicer.vtkMRMLNode) -> None:
    """Put a node into the folder of its run."""
    tree = marks.hierarchy(run.scene)
    item = tree.GetItemByDataNode(node)
    if item:
        tree.SetItemParent(item, run.folder)
    else:
        tree.CreateItem(run.folder, node)


def parent_for(scene: slicer.vtkMRMLScene, node: slicer.vtkMRMLNode | None) -> int:
    """Return the item below which the results of a node belong: its study, or the scene."""
    tree = marks.hierarchy(scene)
    item = tree.GetItemByDataNode(node) if node is not None else 0
    return tree.GetItemParent(item) if item else tree.GetSceneItemID()


def find_runs(scene: slicer.vtkMRMLScene) -> list[Run]:
    """Return all runs of a scene, the newest last."""
    tree = marks.hierarchy(scene)
    items = vtk.vtkIdList()
    tree.GetItemChildren(tree.GetSceneItemID(), items, True)
    every = [items.GetId(n) for n in range(items.GetNumberOfIds())]
    folders = [i for i in every if tree.GetItemDataNode(i) is None]
    return [Run(scene, i) for i in sorted(folders) if tree.GetItemAttribute(i, marks.RUN)]


def unused_title(scene: slicer.vtkMRMLScene, title: str) -> str:
    """Return a title that tells a run from all others: with a number where it is taken."""
    taken = {run.title for run in find_runs(scene)}
    number = 2
    found = title
    while found in taken:
        found, number = f"{title} {number}", number + 1
    return found


def remove_run(run: Run) -> None:
    """Remove a run with everything that it made."""
    nodes = list(run.nodes().values())
    leftovers = [left for node in nodes for left in belongings(node)]
    marks.hierarchy(run.scene).RemoveItem(run.folder, True, True)
    _remove(run.scene, [*nodes, *leftovers])
    colors.remove_unused(run.scene)


def belongings(node: Any) -> list[Any]:
    """Return display, storage and helper nodes, which the scene leaves behind without a node."""
    found = []
    for reference in (marks.OUTLINES, marks.SECTORS):
        if helper := node.GetNodeReference(reference):
            found += [*belongings(helper), helper]
    if node.IsA("vtkMRMLDisplayableNode"):
        found += [node.GetNthDisplayNode(n) for n in range(node.GetNumberOfDisplayNodes())]
    if node.IsA("vtkMRMLStorableNode"):
        found += [node.GetNthStorageNode(n) for n in range(node.GetNumberOfStorageNodes())]
    return [one for one in found if one is not None]


def _remove(scene: slicer.vtkMRMLScene, nodes: list[slicer.vtkMRMLNode]) -> None:
    for node in nodes:
        if node.GetScene() is scene and scene.IsNodePresent(node):
            scene.RemoveNode(node)


class Sweeper:
    """Takes away what is left when a user deletes nodes of a run in the Data module.

    Parameters
    ----------
    scene : vtkMRMLScene
        The scene that is watched until :meth:`stop`.
    """

    def __init__(self, scene: slicer.vtkMRMLScene) -> None:
        self._scene = scene
        self._left: list[slicer.vtkMRMLNode] = []
        events = (
            (scene.NodeAboutToBeRemovedEvent, self._on_removal()),
            (scene.NodeRemovedEvent, lambda *_: self._sweep()),
        )
        self._tags = [scene.AddObserver(event, slot) for event, slot in events]

    def stop(self) -> None:
        """Watch the scene no longer."""
        for tag in self._tags:
            self._scene.RemoveObserver(tag)
        self._tags = []

    def _on_removal(self) -> Callable[..., None]:
        @vtk.calldata_type(vtk.VTK_OBJECT)
        def note(caller: object, event: str, node: slicer.vtkMRMLNode) -> None:
            if not self._scene.IsClosing() and marks.run_of(node) and marks.role_of(node):
                self._left += belongings(node)

        return note

    def _sweep(self) -> None:
        if not self._left or self._scene.IsClosing():
            return
        left, self._left = self._left, []
        _remove(self._scene, left)
        colors.remove_unused(self._scene)
