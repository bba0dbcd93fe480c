"""A map of a result as a volume node: name, units, provenance, colours, window."""

from __future__ import annotations

import json
from typing import Any

import slicer
import slicer.util
import vtk

from QSMSeparationLib.data.quantities import MAPS
from QSMSeparationLib.data.volume import Volume
from QSMSeparationLib.mrml import colors, marks, windows
from QSMSeparationLib.mrml.convert import geometry_of, ijk_to_ras

Code = tuple[str, str, str]  # value, scheme, meaning
_PPM: Code = ("[ppm]", "UCUM", "parts per million")
_HZ: Code = ("Hz", "UCUM", "hertz")
_CHI: Code = ("126396", "DCM", "Magnetic Susceptibility")
_UNITS: dict[str, Code] = {"ppm": _PPM, "Hz": _HZ, "1": ("1", "UCUM", "no units")}
_QUANTITIES: dict[str, Code] = {
    "net": _CHI,
    "chi_para": _CHI,
    "chi_dia": _CHI,
    "r2star": ("126395", "DCM", "R2*"),
    "r2": ("126394", "DCM", "R2"),
}
_NAMES = {
    # Also names of files when the scene is saved, so without * and '.
    "net": "net chi",
    "chi_para": "chi+",
    "chi_dia": "chi-",
    "local_field": "local field",
    "local_field_in_mask": "local field of the mask",
    "total_field": "total field",
    "residual": "residual field",
    "r2star": "R2star",
    "r2": "R2",
    "r2prime": "R2prime",
    "trust": "trust",
    "magnitude": "magnitude",
}
_TITLES = {"r2star": "R2*", "r2prime": "R2'"}  # the fonts of the views have no Greek letters
_COLORS = {"net": "diverging", "chi_para": "grey", "chi_dia": "inverted-grey"}
_GREY = "vtkMRMLColorTableNodeGrey"


def is_estimated(role: str, sidecar: dict[str, Any]) -> bool:
    """Tell whether a map is R2' that was estimated and not measured."""
    return role == "r2prime" and "estimated" in str(sidecar.get("R2primeOrigin", ""))


def title(role: str, sidecar: dict[str, Any]) -> str:
    """Return what a reader calls a map, with its unit: ``chi+ [ppm]``."""
    name = _TITLES.get(role) or _NAMES.get(role) or role.replace("_", " ")
    name += " (estimated)" if is_estimated(role, sidecar) else ""
    unit = MAPS[role].unit
    return f"{name} [{unit}]" if unit in _UNITS and unit != "1" else name


def add_volume(
    scene: slicer.vtkMRMLScene,
    volume: Volume,
    role: str,
    sidecar: dict[str, Any],
    run: str,
    subject: str,
    reference: slicer.vtkMRMLVolumeNode | None = None,
) -> slicer.vtkMRMLScalarVolumeNode:
    """Add a map to the scene.

    Parameters
    ----------
    scene : vtkMRMLScene
        Where to.
    volume : Volume
        The map.
    role : str
        Which map: a key of ``MAPS``.
    sidecar : dict
        What is known of it; kept with the node.
    run, subject : str
        The run's identifier, and the name to begin with.
    reference : vtkMRMLVolumeNode, optional
        Where it lies on the same grid, its matrix is taken as it is: file formats round.
    """
    suffix = " estimated" if is_estimated(role, sidecar) else ""
    # Filled before it is added, so that every selector of the application looks at it once.
    node = slicer.vtkMRMLScalarVolumeNode()
    name = _NAMES.get(role, role.replace("_", " "))
    node.SetName(f"{subject} {name}{suffix}")
    marks.mark(node, run, role)
    place(node, volume, reference)
    node.SetAttribute(marks.SIDECAR, json.dumps(sidecar))
    node.SetDescription(str(sidecar.get("Description", MAPS[role].description)))
    unit = _UNITS.get(MAPS[role].unit)
    if unit:
        node.SetVoxelValueUnits(_coded(unit))
    if role in _QUANTITIES:
        node.SetVoxelValueQuantity(_coded(_QUANTITIES[role]))
    scene.AddNode(node)
    _display(node, role, sidecar, run)
    return node


def add_mask(
    scene: slicer.vtkMRMLScene,
    mask: Volume,
    run: str,
    subject: str,
    reference: slicer.vtkMRMLVolumeNode | None = None,
) -> slicer.vtkMRMLLabelMapVolumeNode:
    """Add the brain mask of a run as a label map."""
    node = slicer.vtkMRMLLabelMapVolumeNode()
    node.SetName(f"{subject} brain mask")
    marks.mark(node, run, marks.MASK)
    place(node, mask, reference)
    scene.AddNode(node)
    node.CreateDefaultDisplayNodes()
    return node


def place(
    node: slicer.vtkMRMLScalarVolumeNode,
    volume: Volume,
    reference: slicer.vtkMRMLVolumeNode | None = None,
) -> None:
    """Fill a volume node with an array and its geometry."""
    slicer.util.updateVolumeFromArray(node, volume.array)
    matrix = ijk_to_ras(volume.geometry)
    if reference is not None and volume.geometry.difference(geometry_of(reference)) is None:
        matrix = vtk.vtkMatrix4x4()
        reference.GetIJKToRASMatrix(matrix)
    node.SetIJKToRASMatrix(matrix)


def sidecar_of(node: slicer.vtkMRMLNode) -> dict[str, Any]:
    """Return what is known of how a volume was made."""
    try:
        return json.loads(node.GetAttribute(marks.SIDECAR) or "{}")
    except ValueError:
        return {}


def _coded(code: Code) -> slicer.vtkCodedEntry:
    entry = slicer.vtkCodedEntry()
    entry.SetValueSchemeMeaning(*code)
    return entry


def _display(
    node: slicer.vtkMRMLScalarVolumeNode, role: str, sidecar: dict[str, Any], run: str
) -> None:
    """Show a map in its colours and its window."""
    scene = node.GetScene()
    b0 = float(sidecar.get("MagneticFieldStrength", 3.0))
    limits = windows.window(role, windows.first_preset(b0), b0)
    display = scene.AddNewNodeByClass("vtkMRMLScalarVolumeDisplayNode")
    display.SetAttribute(marks.RUN, run)
    name = colors.color_node(scene, _COLORS[role]).GetID() if role in _COLORS else _GREY
    display.SetAndObserveColorNodeID(name)
    # Else a window is computed from all voxels, which takes longer than all the rest.
    display.SetAutoWindowLevel(limits is None)
    node.SetAndObserveDisplayNodeID(display.GetID())
    if limits:
        windows.apply(node, limits)
