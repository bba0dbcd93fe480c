"""Color maps of the volumes: grey, or for net chi red above and blue below a dark 0.

Susceptibility is read in grey: a diverging map draws a dark ring wherever chi crosses 0, the
very sign that is looked for around lesions. It is a choice, therefore, and not the start.
"""

from __future__ import annotations

import slicer

CHOICES = (("grey", "Grey"), ("diverging", "Red and blue"))
"""Color maps of net chi that a reader can choose: name and title."""

_GREY = "vtkMRMLColorTableNodeGrey"
_DIVERGING = "QSM red-blue"
_TAG = "QSMSeparation.diverging"
_STEPS = 256
# Anchors of the diverging scale from the most negative to the most positive value. Both sides
# rise evenly in lightness from a dark 0, so that equal amounts look equally strong.
_ANCHORS = (
    (0.66, 0.90, 1.00),
    (0.28, 0.58, 0.90),
    (0.13, 0.27, 0.48),
    (0.00, 0.00, 0.00),
    (0.48, 0.18, 0.12),
    (0.90, 0.44, 0.22),
    (1.00, 0.90, 0.66),
)

Rgb = tuple[float, float, float]


def show_in(node: slicer.vtkMRMLScalarVolumeNode, name: str) -> None:
    """Show a volume in ``grey`` or ``diverging``."""
    chosen = _GREY if name == "grey" else diverging_node(node.GetScene()).GetID()
    node.GetDisplayNode().SetAndObserveColorNodeID(chosen)


def shown_in(node: slicer.vtkMRMLScalarVolumeNode) -> str:
    """Return the color map of a volume: ``grey``, ``diverging``, or empty for any other."""
    color = node.GetDisplayNode().GetColorNode()
    if color is None:
        return ""
    if color.GetSingletonTag() == _TAG:
        return "diverging"
    return "grey" if color.GetID() == _GREY else ""


def diverging_node(scene: slicer.vtkMRMLScene) -> slicer.vtkMRMLColorTableNode:
    """Return the diverging color node, which all runs of a scene share; made when missing."""
    present = scene.GetSingletonNode(_TAG, "vtkMRMLColorTableNode")
    if present is not None:
        return present
    node = slicer.vtkMRMLColorTableNode()
    node.SetTypeToUser()
    node.SetSingletonTag(_TAG)
    node.SetName(_DIVERGING)
    node.SetDescription("Made by QSMSeparation")
    node.SetAttribute("Category", "QSM separation")
    node.SetHideFromEditors(0)
    node.SetNumberOfColors(_STEPS)
    for n in range(_STEPS):
        node.SetColor(n, str(n), *_diverging(n / (_STEPS - 1)), 1.0)
    return scene.AddNode(node)


def remove_unused(scene: slicer.vtkMRMLScene) -> None:
    """Remove the color node of this module when no display node uses it any more."""
    node = scene.GetSingletonNode(_TAG, "vtkMRMLColorTableNode")
    if node is None:
        return
    nodes = [scene.GetNthNode(n) for n in range(scene.GetNumberOfNodes())]
    used = {n.GetColorNodeID() for n in nodes if n.IsA("vtkMRMLDisplayNode")}
    if node.GetID() not in used:
        storage = node.GetStorageNode()
        scene.RemoveNode(node)
        if storage is not None:
            scene.RemoveNode(storage)


def _diverging(t: float) -> Rgb:
    place = t * (len(_ANCHORS) - 1)
    low = min(int(place), len(_ANCHORS) - 2)
    part = place - low
    below, above = _ANCHORS[low], _ANCHORS[low + 1]
    red, green, blue = (b + part * (a - b) for a, b in zip(above, below, strict=True))
    return red, green, blue
