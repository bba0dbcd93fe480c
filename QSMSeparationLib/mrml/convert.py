"""MRML nodes <-> arrays with geometry and files.

MRML speaks RAS, the library LPS: the first two world axes point the other way.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import slicer
import slicer.util
import vtk
from numpy.typing import NDArray
from vtk.util.numpy_support import vtk_to_numpy

from QSMSeparationLib.data.volume import Geometry, Volume
from QSMSeparationLib.io.nifti import write_volume
from QSMSeparationLib.mrml import marks
from QSMSeparationLib.runtime.errors import InputError, QSMSeparationError

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def ijk_to_ras(geometry: Geometry) -> vtk.vtkMatrix4x4:
    """Return the matrix that MRML keeps for a grid."""
    matrix = np.eye(4)
    matrix[:3, :3] = geometry.direction_matrix * np.asarray(geometry.spacing_mm)
    matrix[:3, 3] = geometry.origin_mm
    return slicer.util.vtkMatrixFromArray(_LPS_TO_RAS @ matrix)


def geometry_of(node: slicer.vtkMRMLVolumeNode) -> Geometry:
    """Return the grid of a volume node.

    Raises
    ------
    InputError
        When the node has no image, or lies where a transform puts it.
    """
    name = node.GetName()
    image = node.GetImageData()
    if image is None or image.GetNumberOfPoints() == 0:
        raise InputError(f"'{name}' holds no image; load it again")
    if node.GetParentTransformNode() is not None:
        raise InputError(f"'{name}' is moved by a transform; harden the transform first")
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    return _geometry(slicer.util.arrayFromVTKMatrix(matrix), image.GetDimensions())


def _geometry(ijk_to_ras: NDArray[np.float64], dimensions: tuple[int, int, int]) -> Geometry:
    lps = _LPS_TO_RAS @ ijk_to_ras
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    origin, direction = tuple(lps[:3, 3]), tuple((lps[:3, :3] / spacing).ravel())
    return Geometry(dimensions[::-1], tuple(spacing), origin, direction)


def volume_of(node: slicer.vtkMRMLVolumeNode) -> Volume:
    """Return a volume node's array with its grid, in the unit and with the sign of files.

    The array is a copy where the node holds other values than its file, else it is not.
    """
    geometry = geometry_of(node)
    array = slicer.util.arrayFromVolume(node)
    if array.ndim != 3:
        raise InputError(f"'{node.GetName()}' has several values a voxel; give a map with one")
    scale = marks.scale_of(node)
    stored = array if scale == 1 else array / np.float32(scale)
    return Volume(stored, geometry, f"'{node.GetName()}'")


def labels_of(node: Any, reference: slicer.vtkMRMLVolumeNode | None = None) -> Volume:
    """Return a segmentation or a label map as labels.

    Parameters
    ----------
    node : vtkMRMLSegmentationNode or vtkMRMLScalarVolumeNode
        Segments become the labels 1, 2, ... in their order; where two overlap the later shows.
    reference : vtkMRMLVolumeNode, optional
        Segments are put on its grid; without one, on the segmentation's own.
    """
    if not node.IsA("vtkMRMLSegmentationNode"):
        return volume_of(node)
    name = node.GetName()
    if node.GetParentTransformNode() is not None:
        raise InputError(f"'{name}' is moved by a transform; harden the transform first")
    segments = segment_ids(node)
    if not segments:
        raise InputError(f"'{name}' holds no segment; draw one or choose another")
    merged, ids = slicer.vtkOrientedImageData(), vtk.vtkStringArray()
    for segment in segments:
        ids.InsertNextValue(segment)
    grid, extent = None, slicer.vtkSegmentation.EXTENT_UNION_OF_SEGMENTS
    if reference is not None:
        grid, extent = _empty_image(reference), slicer.vtkSegmentation.EXTENT_REFERENCE_GEOMETRY
    node.CreateBinaryLabelmapRepresentation()
    if not node.GenerateMergedLabelmapForAllSegments(merged, extent, grid, ids):
        raise InputError(f"'{name}' can't be written as a label map; look at its segments")
    matrix = vtk.vtkMatrix4x4()
    merged.GetImageToWorldMatrix(matrix)
    to_ras = slicer.util.arrayFromVTKMatrix(matrix)
    low = np.array([*merged.GetExtent()[::2], 1.0])
    to_ras[:, 3] = to_ras @ low
    scalars = merged.GetPointData().GetScalars()
    if scalars is None:
        raise InputError(f"'{name}' is empty; draw a segment or choose another")
    array = vtk_to_numpy(scalars).reshape(merged.GetDimensions()[::-1])
    return Volume(array, _geometry(to_ras, merged.GetDimensions()), f"'{name}'")


def segment_ids(node: slicer.vtkMRMLSegmentationNode) -> list[str]:
    """Return the ids of all segments in their order."""
    segmentation = node.GetSegmentation()
    return [segmentation.GetNthSegmentID(n) for n in range(segmentation.GetNumberOfSegments())]


def _empty_image(node: slicer.vtkMRMLVolumeNode) -> slicer.vtkOrientedImageData:
    geometry = geometry_of(node)
    image = slicer.vtkOrientedImageData()
    image.SetDimensions(*geometry.shape[::-1])
    image.SetImageToWorldMatrix(ijk_to_ras(geometry))
    return image


def oriented_image(labels: Volume) -> slicer.vtkOrientedImageData:
    """Return labels as the image type of segmentations (int16)."""
    image = slicer.vtkOrientedImageData()
    image.SetDimensions(*labels.geometry.shape[::-1])
    image.AllocateScalars(vtk.VTK_SHORT, 1)
    scalars = vtk_to_numpy(image.GetPointData().GetScalars())
    scalars.reshape(labels.array.shape)[:] = labels.array
    image.SetImageToWorldMatrix(ijk_to_ras(labels.geometry))
    return image


def save_map(node: slicer.vtkMRMLScalarVolumeNode, path: Path) -> None:
    """Write a volume node to a file as files hold it, leaving its own storage as it is."""
    geometry_of(node)
    if marks.scale_of(node) != 1:
        write_volume(volume_of(node), path)
        return
    storage = slicer.vtkMRMLVolumeArchetypeStorageNode()
    storage.SetFileName(str(path))
    storage.SetUseCompression(0)
    if not storage.WriteData(node):
        raise QSMSeparationError(
            f"'{node.GetName()}' can't be written to {path.parent}; check the free space"
        )


def save_labels(node: Any, path: Path, reference: slicer.vtkMRMLVolumeNode | None = None) -> None:
    """Write a segmentation or a label map to a file."""
    if node.IsA("vtkMRMLVolumeNode"):
        save_map(node, path)
    else:
        write_volume(labels_of(node, reference), path)
