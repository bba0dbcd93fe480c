"""Color legends of all maps that have a fixed window, in whole ppb and Hz."""

from __future__ import annotations

from typing import Any

import slicer

from QSMSeparationLib.data.quantities import MAPS
from QSMSeparationLib.mrml import marks
from QSMSeparationLib.mrml.volumes import sidecar_of, title

_ROLES = tuple(name for name, row in MAPS.items() if row.window)
"""Maps that get a legend."""
_LEFT, _RIGHT, _TOP = 0.02, 0.98, 0.90


def renew_legends(nodes: dict[str, Any], net_left: bool = False) -> None:
    """Make the legends of a run anew.

    A slice view shows only the legends that were added after the view was, and looks at the
    volume behind one only then: so they are made after a layout and its volumes are set.

    Parameters
    ----------
    nodes : dict
        Nodes of the run by role.
    net_left : bool
        Put the legend of net chi to the left, where two maps share a view.
    """
    for role in _ROLES:
        node = nodes.get(role)
        if node is None:
            continue
        visible = _remove(node)
        legend = slicer.modules.colors.logic().AddDefaultColorLegendDisplayNode(node)
        modified = legend.StartModify()
        legend.SetAttribute(marks.RUN, marks.run_of(node))
        legend.SetTitleText(title(role, sidecar_of(node)))
        # Text fills its box: labels of one width get one size.
        legend.SetLabelFormat("%5.0f" if _step(role) == 1 else "%5.2f")
        legend.SetNumberOfLabels(_number_of_labels(node, _step(role)))
        legend.SetSize(0.13, 0.3)
        legend.SetPosition(_LEFT if net_left and role == "net" else _RIGHT, _TOP)
        legend.SetVisibility(visible)
        legend.EndModify(modified)


def show_legends(nodes: dict[str, Any], visible: bool) -> None:
    """Show or hide the legends of a run."""
    for role in _ROLES:
        for legend in _legends(nodes.get(role)):
            legend.SetVisibility(visible)


def relabel_legends(nodes: dict[str, Any]) -> None:
    """Choose the values on the legends anew, after the windows were changed."""
    for role in _ROLES:
        for legend in _legends(nodes.get(role)):
            legend.SetNumberOfLabels(_number_of_labels(nodes[role], _step(role)))


def _step(role: str) -> float:
    """Return the step of the values on a legend; a share has decimals."""
    return 0.01 if MAPS[role].unit == "1" else 1.0


def _number_of_labels(node: slicer.vtkMRMLVolumeNode, step: float) -> int:
    """Return how many values make all of them multiples of a step, 0 among them if it is inside.

    The label format rounds: 37.5 would be shown as 38.
    """
    display = node.GetDisplayNode()
    low, high = display.GetWindowLevelMin(), display.GetWindowLevelMax()
    for number in (5, 3) if low < 0 < high else (5, 4, 3, 6):
        interval = (high - low) / (number - 1) / step
        if abs(interval - round(interval)) < 1e-3:
            return number
    return 2


def _remove(node: slicer.vtkMRMLVolumeNode) -> bool:
    """Remove the legends of a volume; tell whether they were visible."""
    found = _legends(node)
    visible = all(legend.GetVisibility() for legend in found)
    for legend in found:
        node.GetScene().RemoveNode(legend)
    return visible


def _legends(node: slicer.vtkMRMLVolumeNode | None) -> list[Any]:
    if node is None:
        return []
    displays = [node.GetNthDisplayNode(n) for n in range(node.GetNumberOfDisplayNodes())]
    return [d for d in displays if d is not None and d.IsA("vtkMRMLColorLegendDisplayNode")]
