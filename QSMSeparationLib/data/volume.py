"""An image and where it lies: :class:`Geometry` and :class:`Volume`.

Arrays are indexed (k, j, i) = (slice, row, column), as SimpleITK and Slicer give
them. Geometry is ITK's: ``spacing_mm``, ``origin_mm`` and the columns of
``direction`` are ordered (i, j, k) and point in LPS world coordinates
(x to the left, y to the posterior, z to the superior). The scanner's B0 is world z.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import permutations
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from QSMSeparationLib.data.axes import Shape, Triple
from QSMSeparationLib.runtime.errors import InputError

if TYPE_CHECKING:
    import SimpleITK as sitk

_IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)


@dataclass(frozen=True)
class Geometry:
    """The grid of an image in LPS world coordinates.

    Parameters
    ----------
    shape : tuple of int
        Number of voxels along (k, j, i).
    spacing_mm : tuple of float
        Voxel size along (i, j, k) in mm.
    origin_mm : tuple of float
        World position (x, y, z) of the center of voxel (0, 0, 0) in mm, LPS.
    direction : tuple of 9 float
        Row-major 3x3 matrix; column n is the world direction of axis n of (i, j, k).
    """

    shape: Shape
    spacing_mm: Triple = (1.0, 1.0, 1.0)
    origin_mm: Triple = (0.0, 0.0, 0.0)
    direction: tuple[float, ...] = _IDENTITY

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", tuple(int(n) for n in self.shape))
        for name in ("spacing_mm", "origin_mm", "direction"):
            values = np.asarray(getattr(self, name), dtype=np.float64).ravel()
            object.__setattr__(self, name, tuple(float(v) for v in values))
        if len(self.shape) != 3 or min(self.shape) < 1:
            raise InputError(f"an image needs three axes with at least one voxel, got {self.shape}")
        spacing = np.asarray(self.spacing_mm)
        if spacing.shape != (3,) or not np.all(np.isfinite(spacing)) or np.any(spacing <= 0):
            raise InputError(f"voxel sizes must be three positive numbers, got {self.spacing_mm}")
        matrix = self.direction_matrix
        if not np.allclose(matrix.T @ matrix, np.eye(3), atol=1e-3):
            raise InputError("the direction matrix is not a rotation (sheared or broken header)")

    @classmethod
    def with_b0(
        cls,
        shape: Shape,
        spacing_kji: Triple,
        b0_kji: Triple,
    ) -> Geometry:
        """Return a grid in which B0 has a given direction along the axes of the array.

        The rotation about B0 is left open by this; the one with the second axis in the plane of
        B0 and the array axis farthest from it is taken.
        """
        along = np.asarray(b0_kji[::-1], dtype=np.float64)
        along = along / np.linalg.norm(along)
        first = np.eye(3)[np.argmin(np.abs(along))]
        first = first - (first @ along) * along
        first /= np.linalg.norm(first)
        rows = np.stack([first, np.cross(along, first), along])
        return cls(shape, spacing_kji[::-1], direction=tuple(float(v) for v in rows.ravel()))

    @property
    def direction_matrix(self) -> NDArray[np.float64]:
        """Direction cosines as a 3x3 array; its columns are the axes (i, j, k)."""
        return np.asarray(self.direction, dtype=np.float64).reshape(3, 3)

    @property
    def spacing_kji(self) -> Triple:
        """Voxel size in mm in array order."""
        return self.spacing_mm[::-1]

    @property
    def voxel_volume_mm3(self) -> float:
        """Volume of one voxel."""
        return float(np.prod(self.spacing_mm))

    @property
    def b0_kji(self) -> Triple:
        """Unit vector of B0 (world z) in the axes of the array.

        Only the rotation enters: the voxel sizes must not, or a tilted scan with
        thick slices gets a direction that is tens of degrees off.
        """
        return tuple(float(v) for v in self.direction_matrix[2, ::-1])

    @property
    def b0_angle_deg(self) -> float:
        """Angle between B0 and the array axis nearest to it."""
        return float(np.degrees(np.arccos(np.clip(np.max(np.abs(self.b0_kji)), 0.0, 1.0))))

    @property
    def center_mm(self) -> NDArray[np.float64]:
        """World position of the middle of the grid."""
        return self.world((np.asarray(self.shape) - 1) / 2)

    def world(self, index_kji: NDArray[np.floating] | NDArray[np.integer]) -> NDArray[np.float64]:
        """Return the world positions (..., 3) in mm, LPS, of voxel indices (..., 3) in (k, j, i)."""
        ijk = np.asarray(index_kji, dtype=np.float64)[..., ::-1] * np.asarray(self.spacing_mm)
        return ijk @ self.direction_matrix.T + np.asarray(self.origin_mm)

    def index(self, world_mm: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the continuous voxel indices (..., 3) in (k, j, i) of world positions (..., 3)."""
        offset = np.asarray(world_mm, dtype=np.float64) - np.asarray(self.origin_mm)
        return ((offset @ self.direction_matrix) / np.asarray(self.spacing_mm))[..., ::-1]

    def index_affine(self, other: Geometry) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the matrix and offset that take (k, j, i) indices of ``other`` to indices of this grid."""
        offset = self.index(other.world(np.zeros(3)))
        columns = [self.index(other.world(np.eye(3)[axis])) - offset for axis in range(3)]
        return np.stack(columns, axis=1), offset

    def difference(self, other: Geometry, tolerance_mm: float = 0.05) -> str | None:
        """Say how two grids differ, or return None when they agree.

        Two grids agree when they have the same shape and no corner is farther apart
        than ``tolerance_mm``; so a tiny rotation of a large image counts, and rounding
        of a header does not.
        """
        if self.shape != other.shape:
            return f"matrix {_by(self.shape[::-1])} against {_by(other.shape[::-1])}"
        corners = np.array(np.meshgrid(*[(0, n - 1) for n in self.shape])).reshape(3, -1).T
        gap = np.linalg.norm(self.world(corners) - other.world(corners), axis=1).max()
        if gap <= tolerance_mm:
            return None
        if not np.allclose(self.spacing_mm, other.spacing_mm, atol=1e-4):
            return f"voxel size {_by(self.spacing_mm)} mm against {_by(other.spacing_mm)} mm"
        angle = _rotation_deg(self.direction_matrix, other.direction_matrix)
        if angle > 0.02:
            return f"orientation differs by {angle:.2f} degrees"
        return f"position differs by {gap:.2f} mm"


@dataclass(frozen=True, eq=False)
class Volume:
    """An array with its geometry.

    Parameters
    ----------
    array : ndarray
        Values, shape (k, j, i).
    geometry : Geometry
        Where the voxels lie.
    source : str
        What to call it in messages: a file name, or what it is.
    """

    array: NDArray
    geometry: Geometry
    source: str = field(default="image", compare=False)

    def __post_init__(self) -> None:
        if tuple(self.array.shape) != self.geometry.shape:
            raise InputError(
                f"{self.source}: array of shape {self.array.shape} on a grid of {self.geometry.shape}"
            )

    def like(self, array: NDArray, source: str | None = None) -> Volume:
        """Return other values on the same grid."""
        return Volume(np.asarray(array), self.geometry, source or self.source)

    def require_same_grid(self, other: Volume, tolerance_mm: float = 0.05) -> None:
        """Raise InputError, naming both images and the difference, unless the grids agree."""
        difference = self.geometry.difference(other.geometry, tolerance_mm)
        if difference:
            raise InputError(
                f"{other.source} does not lie on the grid of {self.source}: {difference}; "
                f"resample it to that grid first"
            )


def to_sitk(volume: Volume) -> sitk.Image:
    """Return a SimpleITK image with the same values and geometry."""
    import SimpleITK as sitk

    array = volume.array.astype(np.uint8) if volume.array.dtype == bool else volume.array
    image = sitk.GetImageFromArray(np.ascontiguousarray(array))
    image.SetSpacing(volume.geometry.spacing_mm)
    image.SetOrigin(volume.geometry.origin_mm)
    image.SetDirection(volume.geometry.direction)
    return image


def from_sitk(image: sitk.Image, source: str = "image") -> Volume:
    """Return the Volume of a scalar three-dimensional SimpleITK image."""
    import SimpleITK as sitk

    if image.GetDimension() != 3 or image.GetNumberOfComponentsPerPixel() != 1:
        raise InputError(f"{source}: a three-dimensional image with one value a voxel is needed")
    array = sitk.GetArrayFromImage(image)
    geometry = Geometry(array.shape, image.GetSpacing(), image.GetOrigin(), image.GetDirection())
    return Volume(array, geometry, source)


def resample(volume: Volume, grid: Geometry, order: int = 1, outside: float = 0.0) -> Volume:
    """Resample a volume to another grid.

    Parameters
    ----------
    volume : Volume
        What to resample.
    grid : Geometry
        The grid wanted.
    order : {0, 1, 3}
        0 nearest neighbor (labels and masks), 1 linear, 3 cubic B-spline.
    outside : float
        Value where the input has none.

    Returns
    -------
    Volume
        The values on ``grid``, in the input's dtype.
    """
    import SimpleITK as sitk

    if volume.geometry.difference(grid, tolerance_mm=1e-6) is None:
        return Volume(volume.array, grid, volume.source)
    interpolators = {0: sitk.sitkNearestNeighbor, 1: sitk.sitkLinear, 3: sitk.sitkBSpline}
    filter_ = sitk.ResampleImageFilter()
    filter_.SetSize(grid.shape[::-1])
    filter_.SetOutputSpacing(grid.spacing_mm)
    filter_.SetOutputOrigin(grid.origin_mm)
    filter_.SetOutputDirection(grid.direction)
    filter_.SetInterpolator(interpolators[order])
    filter_.SetDefaultPixelValue(float(outside))
    result = sitk.GetArrayFromImage(filter_.Execute(to_sitk(volume)))
    return Volume(result.astype(volume.array.dtype, copy=False), grid, volume.source)


def upright_grid(geometry: Geometry, spacing_mm: float | Triple = 1.0) -> Geometry:
    """Return a grid along the world axes (B0 along k) that covers all of ``geometry``."""
    spacing = np.broadcast_to(np.asarray(spacing_mm, dtype=np.float64), (3,))
    edges = np.array(np.meshgrid(*[(-0.5, n - 0.5) for n in geometry.shape])).reshape(3, -1).T
    corners = geometry.world(edges)
    low, high = corners.min(axis=0), corners.max(axis=0)
    size = np.ceil((high - low) / spacing - 1e-6).astype(int)
    origin = (low + high) / 2 - (size - 1) / 2 * spacing
    return Geometry(tuple(size[::-1]), tuple(spacing), tuple(origin))


def reorient(volume: Volume) -> Volume:
    """Permute and flip the axes so that (i, j, k) run nearest to (L, P, S).

    No value is interpolated and no voxel moves in the world: only the order in
    which voxels are stored changes. :func:`resample` to the old grid undoes it.
    """
    geometry = volume.geometry
    axis_of_world, flip = _nearest_axes(geometry.direction_matrix)
    # Array axis of world axis w (x, y, z) is 2 - axis_of_world[w]; store as (z, y, x).
    array = np.transpose(volume.array, [2 - axis_of_world[w] for w in (2, 1, 0)])
    start = np.zeros(3)
    for world_axis in range(3):
        if flip[world_axis]:
            array = np.flip(array, 2 - world_axis)
            old_axis = 2 - axis_of_world[world_axis]
            start[old_axis] = geometry.shape[old_axis] - 1
    matrix = geometry.direction_matrix[:, axis_of_world] * np.where(flip, -1.0, 1.0)
    spacing = np.asarray(geometry.spacing_mm)[axis_of_world]
    grid = Geometry(
        array.shape, tuple(spacing), tuple(geometry.world(start)), tuple(matrix.ravel())
    )
    return Volume(np.ascontiguousarray(array), grid, volume.source)


def _nearest_axes(direction: NDArray[np.float64]) -> tuple[list[int], list[bool]]:
    """Return for each world axis the image axis that runs along it, and whether it runs backwards.

    Of all orders the one whose axes lie nearest to those of the world together: taking the
    nearest pair first can leave the other two far apart.
    """
    strength = np.abs(direction)
    order = max(permutations(range(3)), key=lambda o: sum(strength[w, o[w]] for w in range(3)))
    return list(order), [bool(direction[w, order[w]] < 0) for w in range(3)]


def _rotation_deg(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Return the angle of the rotation between two direction matrices."""
    cosine = (np.trace(a.T @ b) - 1) / 2
    return float(np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0))))


def _by(values: tuple[float, ...]) -> str:
    """Write (1.0, 1.0, 2.5) as 1x1x2.5."""
    return "x".join(f"{v:.4g}" for v in values)
