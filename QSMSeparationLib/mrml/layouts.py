"""Views in which a radiologist compares the maps: three or four side by side, or faded.

``manager`` is the application's layout manager. Views of one layout are linked: moving or
zooming one moves all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import slicer
import slicer.util
import vtk

from QSMSeparationLib.data.quantities import SD_OF
from QSMSeparationLib.mrml import marks
from QSMSeparationLib.mrml.annotations import Annotations
from QSMSeparationLib.mrml.legends import renew_legends
from QSMSeparationLib.mrml.lesions import show_outlines
from QSMSeparationLib.mrml.runs import Run, find_runs

_GROUP = 74  # of views that are linked; no layout of the application uses it
_ANNOTATIONS = Annotations()  # of all views of these layouts, which are the application's
_MARGIN = 0.1  # a lesion nearer to the border of a view than this is moved to its center


@dataclass(frozen=True)
class View:
    """One slice view.

    Parameters
    ----------
    tag : str
        Singleton tag of its slice node.
    role : str
        Map that it shows; empty for what the user chooses.
    label : str
        Shown on its bar.
    color : str
        Of its bar.
    orientation : str
        ``Axial``, ``Sagittal`` or ``Coronal``.
    visit : str
        Which of two visits it shows; empty where there is one.
    """

    tag: str
    role: str
    label: str
    color: str
    orientation: str = "Axial"
    visit: str = ""


_NET = View("QSMNet", "net", "net", "#4A90D9")
_PARA = View("QSMPara", "chi_para", "χ+", "#D96B3A")
_DIA = View("QSMDia", "chi_dia", "χ−", "#5AA86A")
_FOURTH = View("QSMFourth", "", "4", "#9A7BC8")


@dataclass(frozen=True)
class Layout:
    """An arrangement of views: rows of a grid."""

    name: str
    title: str
    number: int
    rows: tuple[tuple[View, ...], ...]

    @property
    def views(self) -> tuple[View, ...]:
        """All views, row by row."""
        return tuple(view for row in self.rows for view in row)

    def description(self) -> str:
        """Return the layout as the application's layout manager reads it."""
        rows = [_row([_view(view) for view in row], "horizontal") for row in self.rows]
        return rows[0] if len(rows) == 1 else _row(rows, "vertical")


LAYOUTS = (
    Layout("row", "net | χ+ | χ−", 7401, ((_NET, _PARA, _DIA),)),
    Layout("four", "2 × 2", 7402, ((_NET, _PARA), (_DIA, _FOURTH))),
    Layout(
        "fade",
        "Fade, 3 planes",
        7403,
        (
            (
                View("QSMAxial", "net", "axial", "#4A90D9"),
                View("QSMCoronal", "net", "coronal", "#5AA86A", "Coronal"),
                View("QSMSagittal", "net", "sagittal", "#EFD64D", "Sagittal"),
            ),
        ),
    ),
)

"""Layouts of one run."""

_SEPARATED = (_NET, _PARA, _DIA)
VISITS = Layout(
    "visits",
    "Two visits",
    7404,
    (
        tuple(replace(view, visit="earlier visit") for view in _SEPARATED),
        tuple(
            replace(view, tag=f"{view.tag}Later", label=f"{view.label} 2", visit="later visit")
            for view in _SEPARATED
        ),
    ),
)
"""The earlier visit above, the later one below."""


def _row(items: list[str], kind: str) -> str:
    return (
        f'<layout type="{kind}" split="true">'
        + "".join(f"<item>{item}</item>" for item in items)
        + "</layout>"
    )


def _view(view: View) -> str:
    properties = {
        "orientation": view.orientation,
        "viewlabel": view.label,
        "viewcolor": view.color,
        "viewgroup": str(_GROUP),
    }
    inner = "".join(
        f'<property name="{name}" action="default">{value}</property>'
        for name, value in properties.items()
    )
    return f'<view class="vtkMRMLSliceNode" singletontag="{view.tag}">{inner}</view>'


def layout(name: str) -> Layout:
    """Return a layout by its name."""
    return next(one for one in LAYOUTS if one.name == name)


def current(manager: Any) -> Layout | None:
    """Return which layout of one run is shown, or None."""
    number = manager.layoutLogic().GetLayoutNode().GetViewArrangement()
    return next((one for one in LAYOUTS if one.number == number), None)


def shows_visits(manager: Any) -> bool:
    """Return whether two visits are shown."""
    return manager.layoutLogic().GetLayoutNode().GetViewArrangement() == VISITS.number


def register(manager: Any) -> None:
    """Make the layouts known to the application, so that saved scenes find them too.

    A scene that was opened before this shows an empty place: its layout is asked for again.
    """
    node = manager.layoutLogic().GetLayoutNode()
    for one in (*LAYOUTS, VISITS):
        if not node.IsLayoutDescription(one.number):
            node.AddLayoutDescription(one.number, one.description())
    number = node.GetViewArrangement()
    ours = number in [one.number for one in (*LAYOUTS, VISITS)]
    if ours and not node.GetCurrentLayoutDescription():
        node.SetViewArrangement(slicer.vtkMRMLLayoutNode.SlicerLayoutNone)
        node.SetViewArrangement(number)


def show(
    manager: Any,
    run: Run,
    name: str,
    fourth: slicer.vtkMRMLVolumeNode | None = None,
    sd: bool = False,
) -> None:
    """Show a run in a layout, its lesions outlined and those of other runs hidden.

    Parameters
    ----------
    manager : qSlicerLayoutManager
        The application's layout manager.
    run : Run
        What to show.
    name : str
        ``row``, ``four`` or ``fade``.
    fourth : vtkMRMLVolumeNode, optional
        The fourth map of ``four``; R2* (or R2') of the run without one.
    sd : bool
        Show the SD of each source in its place, where the run has it.
    """
    chosen = layout(name)
    nodes = run.nodes()
    fourth = fourth or nodes.get("r2star") or nodes.get("r2prime") or nodes.get("r2")
    shown = nodes | {of: nodes[one] for of, one in SD_OF.items() if sd and one in nodes}
    arrange(manager, chosen, [shown.get(v.role) if v.role else fourth for v in chosen.views])
    renew_legends(nodes, net_left=name == "fade")
    outline_only({run.folder: ()}, run.scene)


def show_visits(manager: Any, earlier: Run, later: Run) -> None:
    """Show two visits of one patient, one above the other, each with its own outlines.

    Both are seen in the slices of the earlier one, so that the same place is at the same place.
    """
    rows = [[run.nodes().get(view.role) for view in _SEPARATED] for run in (earlier, later)]
    widgets = arrange(manager, VISITS, [*rows[0], *rows[1]])
    views = [widget.mrmlSliceNode() for _, widget in widgets]
    for above, below in zip(views, views[len(_SEPARATED) :], strict=False):
        below.GetSliceToRAS().DeepCopy(above.GetSliceToRAS())
        below.SetFieldOfView(*above.GetFieldOfView())
        below.UpdateMatrices()
    for run in (earlier, later):
        renew_legends(run.nodes())
    names = [view.GetID() for view in views]
    halves = names[: len(_SEPARATED)], names[len(_SEPARATED) :]
    outline_only({earlier.folder: halves[0], later.folder: halves[1]}, earlier.scene)


def arrange(
    manager: Any, chosen: Layout, volumes: Sequence[slicer.vtkMRMLVolumeNode | None]
) -> list[tuple[View, Any]]:
    """Show volumes in the views of a layout, linked, in the slices of the first volume.

    Parameters
    ----------
    manager : qSlicerLayoutManager
        The application's layout manager.
    chosen : Layout
        Which layout.
    volumes : sequence of vtkMRMLVolumeNode or None
        One a view, row by row.

    Returns
    -------
    list of (View, qMRMLSliceWidget)
        The views that are there now.
    """
    register(manager)
    manager.setLayout(chosen.number)
    slicer.app.processEvents()  # new views get their size from Qt; what is fitted before is cut off
    by_tag = dict(zip((view.tag for view in chosen.views), volumes, strict=True))
    widgets = _widgets(manager, chosen)
    for view, widget in widgets:
        _fill(widget, by_tag[view.tag])
        widget.mrmlSliceNode().SetAttribute(marks.VISIT, view.visit or None)
    _link(widgets)
    reference = next(volume for volume in volumes if volume is not None)
    for _, widget in widgets:
        _orient(widget, reference)
    _ANNOTATIONS.show(widget for _, widget in widgets)
    link_cursor(reference.GetScene())
    return widgets


def outline_only(shown: Mapping[int, Sequence[str]], scene: slicer.vtkMRMLScene) -> None:
    """Outline the lesions of some runs alone: by folder, in the views with these ids, or in all."""
    for run in find_runs(scene):
        if lesions := run.node(marks.LESIONS):
            show_outlines(lesions, run.folder in shown, shown.get(run.folder, ()))


def fade(manager: Any, run: Run, role: str, amount: float) -> None:
    """Lay a separated map over net chi: 0 shows net chi, 1 the map; in the layout ``fade``."""
    nodes = run.nodes()
    wanted = nodes[role].GetID() if role in nodes else None
    composites = [_composite(widget) for _, widget in _widgets(manager, layout("fade"))]
    changed = any(composite.GetForegroundVolumeID() != wanted for composite in composites)
    for composite in composites:
        composite.SetForegroundVolumeID(wanted)
        composite.SetForegroundOpacity(amount)
    if changed:
        renew_legends(nodes, net_left=True)


def link_cursor(scene: slicer.vtkMRMLScene) -> None:
    """Show the cursor of one view (moved with Shift) in all others."""
    crosshair = scene.GetFirstNodeByClass("vtkMRMLCrosshairNode")
    if crosshair is not None:
        crosshair.SetCrosshairMode(slicer.vtkMRMLCrosshairNode.ShowSmallBasic)
        crosshair.SetCrosshairBehavior(slicer.vtkMRMLCrosshairNode.OffsetJumpSlice)


def go_to(scene: slicer.vtkMRMLScene, ras_mm: tuple[float, float, float]) -> None:
    """Move all slice views and the cursor to a place in RAS."""
    for node in slicer.util.getNodesByClass("vtkMRMLSliceNode", scene):
        node.JumpSliceByOffsetting(*ras_mm)
        if not _is_well_inside(node, ras_mm):
            node.JumpSliceByCentering(*ras_mm)
    crosshair = scene.GetFirstNodeByClass("vtkMRMLCrosshairNode")
    if crosshair is not None:
        crosshair.SetCrosshairRAS(*ras_mm)


def center_of(row: dict[str, str]) -> tuple[float, float, float]:
    """Return the place of a lesion to look at, in RAS, from its row of the table.

    That is its center, or for a rim its middle on the slice that shows the rim best.
    """
    rim = "rim" in (row.get("class_para"), row.get("review_para")) and row.get("rim_x_lps_mm")
    start = "rim" if rim else "centre"
    x, y, z = (float(row[f"{start}_{axis}_lps_mm"]) for axis in "xyz")
    return -x, -y, z


def _is_well_inside(node: slicer.vtkMRMLSliceNode, ras_mm: tuple[float, float, float]) -> bool:
    inverse = vtk.vtkMatrix4x4()
    vtk.vtkMatrix4x4.Invert(node.GetXYToRAS(), inverse)
    x, y, *_ = inverse.MultiplyPoint((*ras_mm, 1.0))
    place = np.array((x, y)) / np.array(node.GetDimensions()[:2], dtype=float)
    return bool(np.all((place > _MARGIN) & (place < 1 - _MARGIN)))


def _widgets(manager: Any, chosen: Layout) -> list[tuple[View, Any]]:
    pairs = [(view, manager.sliceWidget(view.tag)) for view in chosen.views]
    return [(view, widget) for view, widget in pairs if widget is not None]


def _composite(widget: Any) -> slicer.vtkMRMLSliceCompositeNode:
    return widget.sliceLogic().GetSliceCompositeNode()


def _fill(widget: Any, volume: slicer.vtkMRMLVolumeNode | None) -> None:
    composite = _composite(widget)
    composite.SetBackgroundVolumeID(volume.GetID() if volume is not None else None)
    composite.SetForegroundVolumeID(None)
    composite.SetLabelVolumeID(None)
    composite.SetForegroundOpacity(0.0)


def _orient(widget: Any, volume: slicer.vtkMRMLVolumeNode) -> None:
    """Look at the slices as they were scanned, the whole head, with a scale."""
    node = widget.mrmlSliceNode()
    node.RotateToVolumePlane(volume)
    node.SetRulerType(slicer.vtkMRMLAbstractViewNode.RulerTypeThin)
    widget.fitSliceToBackground()


def _link(widgets: list[tuple[View, Any]]) -> None:
    for _, widget in widgets:
        composite = _composite(widget)
        composite.SetLinkedControl(True)
        composite.SetHotLinkedControl(True)
