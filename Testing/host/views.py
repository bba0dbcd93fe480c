"""``slicer.app.layoutManager()``: slice views of the present layout, rendered off screen.

Layout, slice logics, links between views and the displayable managers (segmentation outlines,
color legends, crosshair, ...) are Slicer's own. Only the window is missing: each view draws into
an off-screen one, which needs EGL or OSMesa. ``picture()`` arranges the views as the layout does.
"""

from __future__ import annotations

import ctypes.util
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import slicer
import vtk
from PySide6 import QtGui
from vtk.util.numpy_support import vtk_to_numpy

from .qt_shim import once

_DISPLAYABLE_MANAGERS = (
    "vtkMRMLSegmentationsDisplayableManager2D",
    "vtkMRMLCrosshairDisplayableManager",
    "vtkMRMLOrientationMarkerDisplayableManager",
    "vtkMRMLRulerDisplayableManager",
    "vtkMRMLColorLegendDisplayableManager",
    "vtkMRMLMarkupsDisplayableManager",
)
_VIEWPORT = (1080, 620)  # of all views together, beside a panel on a screen of 1920 x 1080
_BAR = 24
_GAP = 4  # pixels between views in a picture


class SliceView:
    """``sliceWidget.sliceView()``: draws what the slice logic composes, with all overlays."""

    def __init__(self, node: slicer.vtkMRMLSliceNode, logic: slicer.vtkMRMLSliceLogic):
        if reason := why_no_pictures():
            raise RuntimeError(reason)
        self._node, self._logic = node, logic
        self._renderer = vtk.vtkRenderer()
        self._overlay = vtk.vtkRenderer()
        self._overlay.SetLayer(1)
        self._window = _window()
        self._window.SetMultiSamples(0)
        self._window.SetNumberOfLayers(2)
        for renderer in (self._renderer, self._overlay):
            renderer.GetActiveCamera().ParallelProjectionOn()
            self._window.AddRenderer(renderer)
        self._interactor = vtk.vtkRenderWindowInteractor()
        self._interactor.SetRenderWindow(self._window)
        self._interactor.Initialize()
        self._mapper = vtk.vtkImageMapper()
        self._mapper.SetColorWindow(255)
        self._mapper.SetColorLevel(127.5)
        self._slice = vtk.vtkActor2D()
        self._slice.SetMapper(self._mapper)
        self._slice.GetProperty().SetDisplayLocationToBackground()
        self._renderer.AddViewProp(self._slice)
        self._managers = slicer.vtkMRMLDisplayableManagerGroup()
        self._managers.Initialize(_factory(logic.GetMRMLApplicationLogic()), self._renderer)
        self._managers.SetMRMLDisplayableNode(node)

    def renderWindow(self) -> vtk.vtkRenderWindow:
        return self._window

    def mrmlSliceNode(self) -> slicer.vtkMRMLSliceNode:
        return self._node

    def resize(self, width: int, height: int) -> None:
        self._window.SetSize(width, height)
        self._logic.ResizeSliceNode(width, height)

    def forceRender(self) -> None:
        self._logic.UpdatePipeline()
        image = self._logic.GetImageDataConnection()
        self._mapper.SetInputConnection(image)
        self._slice.SetVisibility(image is not None)
        self._window.Render()

    scheduleRender = forceRender

    def picture(self) -> np.ndarray:
        """Return what the view shows as RGB of shape (height, width, 3)."""
        self.forceRender()
        grabber = vtk.vtkWindowToImageFilter()
        grabber.SetInput(self._window)
        grabber.ReadFrontBufferOff()
        grabber.Update()
        image = grabber.GetOutput()
        width, height, _ = image.GetDimensions()
        pixels = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(height, width, -1)
        return np.ascontiguousarray(pixels[::-1, :, :3])


def why_no_pictures() -> str:
    """Return why views cannot be rendered here (VTK would crash), or "" if they can."""
    kind = _window().GetClassName()
    if kind == "vtkOSOpenGLRenderWindow" and not ctypes.util.find_library("OSMesa"):
        return "views cannot be rendered: neither EGL nor OSMesa (libegl1, libosmesa6) is installed"
    return ""


def _window() -> vtk.vtkRenderWindow:
    """Return an off-screen window; VTK tries X first, and its warning would only confuse."""
    verbosity = vtk.vtkLogger.GetCurrentVerbosityCutoff()
    vtk.vtkLogger.SetStderrVerbosity(vtk.vtkLogger.VERBOSITY_ERROR)
    window = vtk.vtkRenderWindow()
    vtk.vtkLogger.SetStderrVerbosity(verbosity)
    window.SetOffScreenRendering(1)
    return window


def _factory(application_logic: object) -> slicer.vtkMRMLSliceViewDisplayableManagerFactory:
    factory = slicer.vtkMRMLSliceViewDisplayableManagerFactory.GetInstance()
    factory.SetMRMLApplicationLogic(application_logic)
    for name in _DISPLAYABLE_MANAGERS:
        if hasattr(slicer, name) and not factory.IsDisplayableManagerRegistered(name):
            factory.RegisterDisplayableManager(name)
    return factory


class SliceWidget:
    """``layoutManager.sliceWidget(name)``; the view itself is made when first looked at."""

    def __init__(self, node: slicer.vtkMRMLSliceNode, application_logic: object, size: tuple):
        self._node = node
        self._view: SliceView | None = None
        self._size = size
        self._logic = slicer.vtkMRMLSliceLogic()
        self._logic.SetMRMLApplicationLogic(application_logic)
        self._logic.SetMRMLScene(node.GetScene())
        self._logic.SetSliceNode(node)
        application_logic.GetSliceLogics().AddItem(self._logic)
        self._wanted: tuple[int, int] | None = None
        self._size = tuple(node.GetDimensions()[:2])  # until Qt has laid the view out
        self.resize_later(*size)

    def mrmlSliceNode(self) -> slicer.vtkMRMLSliceNode:
        return self._node

    def sliceLogic(self) -> slicer.vtkMRMLSliceLogic:
        return self._logic

    def mrmlSliceCompositeNode(self) -> slicer.vtkMRMLSliceCompositeNode:
        return self._logic.GetSliceCompositeNode()

    def sliceView(self) -> SliceView:
        if self._view is None:
            self._view = SliceView(self._node, self._logic)
            self._view.resize(*self._size)
        return self._view

    def resize_later(self, width: int, height: int) -> None:
        """Take a size as Qt gives it: not before the application is idle."""
        self._wanted = (width, height)
        once(0, self._take_size)

    def _take_size(self) -> None:
        if self._wanted not in (None, self._size):
            self.resize(*self._wanted)

    def fitSliceToBackground(self) -> None:
        self._logic.FitSliceToBackground(*self._size)

    def resize(self, width: int, height: int) -> None:
        self._size = self._wanted = (width, height)
        self._logic.ResizeSliceNode(width, height)
        if self._view is not None:
            self._view.resize(width, height)

    def grab(self) -> QtGui.QPixmap:
        return _pixmap(self.sliceView().picture())


class LayoutManager:
    """``slicer.app.layoutManager()`` with slice views; there are no 3D, table or plot views."""

    threeDViewCount = tableViewCount = plotViewCount = 0

    def __init__(self, scene: slicer.vtkMRMLScene, application_logic: object):
        self._application_logic = application_logic
        self._widgets: dict[str, SliceWidget] = {}
        self._size: tuple[int, int] | None = None
        application_logic.SetSliceLogics(vtk.vtkCollection())
        application_logic.SetViewLogics(vtk.vtkCollection())
        slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(scene, True)
        self._logic = slicer.vtkMRMLLayoutLogic()
        self._logic.SetMRMLApplicationLogic(application_logic)
        self._logic.SetMRMLScene(scene)
        self._logic.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: self._follow())
        self._follow()

    def layoutLogic(self) -> slicer.vtkMRMLLayoutLogic:
        return self._logic

    @property
    def layout(self) -> int:
        return self._logic.GetLayoutNode().GetViewArrangement()

    @layout.setter
    def layout(self, identifier: int) -> None:
        self.setLayout(identifier)

    def setLayout(self, identifier: int) -> None:
        self._logic.GetLayoutNode().SetViewArrangement(identifier)
        self._follow()

    def _follow(self) -> None:
        """Make widgets for the slice nodes that the present layout has."""
        sizes = {} if self._size else self._sizes()
        views = self._logic.GetViewNodes()
        for node in (views.GetItemAsObject(i) for i in range(views.GetNumberOfItems())):
            name = node.GetLayoutName()
            known = self._widgets.get(name)
            if not node.IsA("vtkMRMLSliceNode"):
                continue
            size = self._size or sizes.get(name, _VIEWPORT)
            if known is not None and known.mrmlSliceNode() is node:
                known.resize_later(*size)
            else:
                self._widgets[name] = SliceWidget(node, self._application_logic, size)

    def _sizes(self) -> dict[str, tuple[int, int]]:
        """Return the size that the present layout has for each view; a view has a bar on top."""
        description = self._logic.GetLayoutNode().GetCurrentLayoutDescription()
        if not description:
            return {}  # a layout that is not known shows nothing
        return _shares(ElementTree.fromstring(description), *_VIEWPORT)

    def sliceViewNames(self) -> tuple[str, ...]:
        self._follow()
        return tuple(self._widgets)

    def sliceWidget(self, name: str) -> SliceWidget | None:
        self._follow()
        return self._widgets.get(name)

    def mrmlSliceLogics(self) -> vtk.vtkCollection:
        return self._application_logic.GetSliceLogics()

    def resetSliceViews(self) -> None:
        for name in self.sliceViewNames():
            self._widgets[name].fitSliceToBackground()

    def resetThreeDViews(self) -> None:
        """There are no 3D views."""

    def resizeViews(self, width: int, height: int) -> None:
        """Set the size of all slice views, in pixels, in every layout (not in Slicer)."""
        self._size = (width, height)
        for widget in self._widgets.values():
            widget.resize(width, height)

    def picture(self) -> np.ndarray:
        """Return the slice views arranged as in the present layout, as RGB (not in Slicer)."""
        self._follow()
        description = self._logic.GetLayoutNode().GetCurrentLayoutDescription()
        return self._arranged(ElementTree.fromstring(description))

    def _arranged(self, layout: ElementTree.Element) -> np.ndarray | None:
        """Put the views below a <layout> element side by side or one above the other."""
        parts = []
        for item in layout.findall("item"):
            inner, view = item.find("layout"), item.find("view")
            if inner is not None:
                parts.append(self._arranged(inner))
            elif view is not None and view.get("singletontag") in self._widgets:
                parts.append(self._widgets[view.get("singletontag")].sliceView().picture())
        parts = [part for part in parts if part is not None]
        along = 1 if layout.get("type", "horizontal") == "horizontal" else 0
        return _joined(parts, along) if parts else None

    def grab(self) -> QtGui.QPixmap:
        """Return `picture()` as Qt draws it (not in Slicer)."""
        return _pixmap(self.picture())

    def savePicture(self, path: str | Path) -> None:
        """Write `picture()` to an image file (not in Slicer)."""
        if not self.grab().save(str(path)):
            raise OSError(f"cannot write {path}")


def _shares(layout: ElementTree.Element, width: int, height: int) -> dict[str, tuple[int, int]]:
    """Share a place among the views below a <layout> element."""
    items = layout.findall("item")
    if layout.get("type", "horizontal") == "horizontal":
        width //= max(1, len(items))
    else:
        height //= max(1, len(items))
    sizes = {}
    for item in items:
        inner, view = item.find("layout"), item.find("view")
        if inner is not None:
            sizes |= _shares(inner, width, height)
        elif view is not None:
            sizes[view.get("singletontag")] = (width, height - _BAR)
    return sizes


def _pixmap(pixels: np.ndarray) -> QtGui.QPixmap:
    height, width, _ = pixels.shape
    format_ = QtGui.QImage.Format_RGB888
    image = QtGui.QImage(pixels.tobytes(), width, height, 3 * width, format_)
    return QtGui.QPixmap.fromImage(image)


def _joined(parts: list[np.ndarray], along: int) -> np.ndarray:
    """Join pictures along an axis with a gap; smaller ones are padded at their end."""
    across = 1 - along
    extent = max(part.shape[across] for part in parts)
    padded = []
    for number, part in enumerate(parts):
        pad = [(0, 0)] * 3
        pad[across] = (0, extent - part.shape[across])
        pad[along] = (_GAP if number else 0, 0)
        padded.append(np.pad(part, pad))
    return np.concatenate(padded, axis=along)
