"""How nodes of a run are recognized: attributes that are saved with the scene."""

from __future__ import annotations

import slicer

RUN = "QSMSeparation.Run"
"""On the folder and on every node that a run made: the run's identifier."""
ROLE = "QSMSeparation.Role"
"""On a node: what it is (``net``, ``chi_para``, ..., ``lesions``, ``lesion_table``)."""
SIDECAR = "QSMSeparation.Sidecar"
"""On a volume: its JSON sidecar, which says how it was made."""
SCALE = "QSMSeparation.Scale"
"""On a volume: its values over those of its file; missing where they are the same."""
VISIT = "QSMSeparation.Visit"
"""On a slice view: which of two visits it shows."""

MASK, LESIONS, LESION_TABLE, ANATOMY = "mask", "lesions", "lesion_table", "anatomy"
CHECKS, REPORT, VISITS = "checks", "report", "visits"
OUTLINES, SECTORS = "QSMSeparation.Outlines", "QSMSeparation.Sectors"
"""Node references from lesions to their outlines, and to the sectors of a rim, in the views."""


def mark(node: slicer.vtkMRMLNode, run: str, role: str) -> None:
    """Say that a node belongs to a run, and what it is."""
    node.SetAttribute(RUN, run)
    node.SetAttribute(ROLE, role)


def run_of(node: slicer.vtkMRMLNode) -> str:
    """Return the identifier of the run that made a node; empty for any other node."""
    return node.GetAttribute(RUN) or ""


def role_of(node: slicer.vtkMRMLNode) -> str:
    """Return what a node is within its run."""
    return node.GetAttribute(ROLE) or ""


def set_scale(node: slicer.vtkMRMLNode, scale: float) -> None:
    """Say how the values of a volume are to those of its file."""
    node.SetAttribute(SCALE, None if scale == 1 else f"{scale:g}")


def scale_of(node: slicer.vtkMRMLNode) -> float:
    """Return the values of a volume over those of its file: 1 for nodes of other modules."""
    return float(node.GetAttribute(SCALE) or 1.0)


def hierarchy(scene: slicer.vtkMRMLScene) -> slicer.vtkMRMLSubjectHierarchyNode:
    """Return the subject hierarchy of a scene."""
    return slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)


def nodes_of(scene: slicer.vtkMRMLScene) -> list[slicer.vtkMRMLNode]:
    """Return all nodes of a scene."""
    return [scene.GetNthNode(n) for n in range(scene.GetNumberOfNodes())]
