"""Add a map of a result to the scene: name, units, provenance, colors, window.

Nodes hold what a reader sees: susceptibility and fields in ppb, chi- as |chi-|. So the data
probe, legends, the window control and every other module show one unit, that of the tables
and the report. What leaves the scene again, as an export or as the input of a run, goes through
:func:`QSMSeparationLib.mrml.convert.volume_of`, which gives ppm and the sign of files back.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import slicer
import slicer.util
import vtk

from QSMSeparationLib.data.quantities import MAPS, QUANTITIES, UNIT_CODES, Code
from QSMSeparationLib.data.volume import Volume
from QSMSeparationLib.mrml import colors, marks, windows
from QSMSeparationLib.mrml.convert import geometry_of, ijk_to_ras

# Names of nodes become names of files when a scene is saved.
_IN_FILE_NAMES = (("*", "star"), ("'", "prime"))


def is_estimated(role: str, sidecar: dict[str, Any]) -> bool:
    """Return whether a map is an R2' that was estimated, not measured."""
    return role == "r2prime" and str(sidecar.get("R2primeOrigin", "")).startswith("estimated")


def title(role: str, sidecar: dict[str, Any]) -> str:
    """Return the heading of a map with its unit: ``chi+ [ppb]``."""
    row = MAPS[role]
    name = f"{row.plain_title} (estimated)" if is_estimated(role, sidecar) else row.plain_title
    unit = row.unit_on_screen
    return f"{name} [{unit}]" if unit in UNIT_CODES and unit != "1" else name


def node_name(role: str, sidecar: dict[str, Any]) -> str:
    """Return the name of a map as a file may have it: ``R2star``, ``abs chi-``."""
    name = QUANTITIES[role].plain_title
    for sign, word in _IN_FILE_NAMES:
        name = name.replace(sign, word)
    return f"{name} estimated" if is_estimated(role, sidecar) else name


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
        The map as files hold it.
    role : str
        Which map: a key of ``MAPS``.
    sidecar : dict
        What is known of it; kept with the node.
    run, subject : str
        The run's identifier, and the name to begin with.
    reference : vtkMRMLVolumeNode, optional
        Where it lies on the same grid, its matrix is taken as it is: file formats round.
    """
    row = MAPS[role]
    # Filled before it is added, so that every selector of the application looks at it once.
    node = slicer.vtkMRMLScalarVolumeNode()
    node.SetName(f"{subject} {node_name(role, sidecar)}")
    marks.mark(node, run, role)
    marks.set_scale(node, row.scale)
    fill_node(node, _shown(volume, row.scale), reference)
    node.SetAttribute(marks.SIDECAR, json.dumps(sidecar))
    node.SetDescription(_description(role, sidecar))
    if unit := UNIT_CODES.get(row.unit_on_screen):
        node.SetVoxelValueUnits(_coded(unit))
    if row.code:
        node.SetVoxelValueQuantity(_coded(row.code))
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
    node.SetName(f"{subject} {node_name(marks.MASK, {})}")
    marks.mark(node, run, marks.MASK)
    fill_node(node, mask, reference)
    scene.AddNode(node)
    node.CreateDefaultDisplayNodes()
    return node


def fill_node(
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


def b0_of(node: slicer.vtkMRMLNode) -> float:
    """Return the field strength of the scan behind a map; 3 T where it is not known."""
    return float(sidecar_of(node).get("MagneticFieldStrength", 3.0))


def _shown(volume: Volume, scale: float) -> Volume:
    """Return a map as it is shown; no 0 becomes a negative one."""
    return volume if scale == 1 else volume.like(volume.array * np.float32(scale) + np.float32(0))


def _description(role: str, sidecar: dict[str, Any]) -> str:
    row = MAPS[role]
    text = str(sidecar.get("Description", row.description))
    if row.scale == 1:
        return text
    sign = "; |chi-| is shown, so that bright is more" if row.scale < 0 else ""
    return f"{text}; shown in {row.unit_on_screen}, files hold {row.unit}{sign}"


def _coded(code: Code) -> slicer.vtkCodedEntry:
    entry = slicer.vtkCodedEntry()
    entry.SetValueSchemeMeaning(code.value, code.scheme, code.meaning)
    return entry


def _display(
    node: slicer.vtkMRMLScalarVolumeNode, role: str, sidecar: dict[str, Any], run: str
) -> None:
    """Show a map in its colors and its window."""
    b0 = float(sidecar.get("MagneticFieldStrength", 3.0))
    limits = windows.window(role, windows.first_preset(b0), b0)
    display = node.GetScene().AddNewNodeByClass("vtkMRMLScalarVolumeDisplayNode")
    display.SetAttribute(marks.RUN, run)
    node.SetAndObserveDisplayNodeID(display.GetID())
    colors.show_in(node, MAPS[role].color)
    # Else a window is computed from all voxels, which takes longer than all the rest.
    display.SetAutoWindowLevel(limits is None)
    if limits:
        windows.apply(node, limits)
