"""Own colour nodes, so that maps look the same whatever the application brings.

They are singletons: many runs share them and a saved scene carries each once. Net chi is red
above and blue below a dark 0, chi+ is grey, and chi- is inverted grey, so that strong
diamagnetism (very negative) is bright.
"""

from __future__ import annotations

from collections.abc import Callable

import slicer

_STEPS = 256
# Anchors of the diverging scale from the most negative to the most positive value. Both sides
# rise evenly in lightness from a dark 0, so that equal amounts look equally strong.
_DIVERGING = (
    (0.66, 0.90, 1.00),
    (0.28, 0.58, 0.90),
    (0.13, 0.27, 0.48),
    (0.00, 0.00, 0.00),
    (0.48, 0.18, 0.12),
    (0.90, 0.44, 0.22),
    (1.00, 0.90, 0.66),
)

Rgb = tuple[float, float, float]


def _diverging(t: float) -> Rgb:
    place = t * (len(_DIVERGING) - 1)
    low = min(int(place), len(_DIVERGING) - 2)
    part = place - low
    below, above = _DIVERGING[low], _DIVERGING[low + 1]
    red, green, blue = (b + part * (a - b) for a, b in zip(above, below, strict=True))
    return red, green, blue


def _grey(t: float) -> Rgb:
    return t, t, t


def _inverted_grey(t: float) -> Rgb:
    return 1 - t, 1 - t, 1 - t


_TABLES: dict[str, tuple[str, Callable[[float], Rgb]]] = {
    "diverging": ("QSM net chi", _diverging),
    "grey": ("QSM chi+", _grey),
    "inverted-grey": ("QSM chi-", _inverted_grey),
}
_TAG = "QSMSeparation."


def color_node(scene: slicer.vtkMRMLScene, name: str) -> slicer.vtkMRMLColorTableNode:
    """Return the colour node ``diverging``, ``grey`` or ``inverted-grey``; made when missing."""
    present = scene.GetSingletonNode(f"{_TAG}{name}", "vtkMRMLColorTableNode")
    if present is not None:
        return present
    title, color = _TABLES[name]
    node = slicer.vtkMRMLColorTableNode()
    node.SetTypeToUser()
    node.SetSingletonTag(f"{_TAG}{name}")
    node.SetName(title)
    node.SetDescription("Made by QSMSeparation")
    node.SetAttribute("Category", "QSM separation")
    node.SetHideFromEditors(0)
    node.SetNumberOfColors(_STEPS)
    for n in range(_STEPS):
        node.SetColor(n, str(n), *color(n / (_STEPS - 1)), 1.0)
    return scene.AddNode(node)


def remove_unused(scene: slicer.vtkMRMLScene) -> None:
    """Remove colour nodes of this module that no display node uses any more."""
    nodes = [scene.GetNthNode(n) for n in range(scene.GetNumberOfNodes())]
    used = {n.GetColorNodeID() for n in nodes if n.IsA("vtkMRMLDisplayNode")}
    for name in _TABLES:
        node = scene.GetSingletonNode(f"{_TAG}{name}", "vtkMRMLColorTableNode")
        if node is not None and node.GetID() not in used:
            storage = node.GetStorageNode()
            scene.RemoveNode(node)
            if storage is not None:
                scene.RemoveNode(storage)
