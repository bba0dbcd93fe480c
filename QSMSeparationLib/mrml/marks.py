"""How nodes of a run are recognised: attributes that are saved with the scene."""

from __future__ import annotations

import slicer

RUN = "QSMSeparation.Run"
"""On the folder and on every node that a run made: the run's identifier."""
ROLE = "QSMSeparation.Role"
"""On a node: what it is (``net``, ``chi_para``, ..., ``lesions``, ``lesion_table``)."""
SIDECAR = "QSMSeparation.Sidecar"
"""On a volume: its JSON sidecar, which says how it was made."""

MASK, LESIONS, LESION_TABLE = "mask", "lesions", "lesion_table"
CHECKS, REPORT = "checks", "report"


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


def hierarchy(scene: slicer.vtkMRMLScene) -> slicer.vtkMRMLSubjectHierarchyNode:
    """Return the subject hierarchy of a scene."""
    return slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)


def nodes_of(scene: slicer.vtkMRMLScene) -> list[slicer.vtkMRMLNode]:
    """Return all nodes of a scene."""
    return [scene.GetNthNode(n) for n in range(scene.GetNumberOfNodes())]
