"""R2' = R2* - R2, and the movement between the two scans that it is made of."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from QSMSeparationLib.data.axes import Shape
from QSMSeparationLib.data.volume import Geometry, Volume, resample, to_sitk
from QSMSeparationLib.runtime.errors import InputError

if TYPE_CHECKING:
    import SimpleITK as sitk

_LEAST_MOVE_MM = 0.15
"""Smaller movements are within the error of the registration, and moving blurs."""

_SHRINK = (6, 3, 1)
_SAMPLES = (8_000, 16_000, 40_000)
"""Voxels that the metric looks at on each level: the last one decides how exact the result is."""


def r2prime_from(r2star_hz: Tensor, r2_hz: Tensor, mask: Tensor) -> tuple[Tensor, float]:
    """Return R2' = max(R2* - R2, 0) within the mask, and the share of voxels clipped at 0.

    Voxels where either rate is 0 (not fitted) become 0 and do not count as clipped.
    """
    if not r2star_hz.shape == r2_hz.shape == mask.shape:
        raise InputError(
            f"R2* {tuple(r2star_hz.shape)}, R2 {tuple(r2_hz.shape)} and mask {tuple(mask.shape)} "
            "do not lie on one grid; resample R2 first"
        )
    fitted = mask.bool() & (r2star_hz > 0) & (r2_hz > 0)
    difference = torch.where(fitted, r2star_hz - r2_hz, 0.0)
    clipped = int((difference < 0).sum()) / max(int(fitted.sum()), 1)
    return difference.clamp_min_(0.0), clipped


@dataclass(frozen=True, eq=False)
class Registration:
    """A rigid movement between two scans.

    Parameters
    ----------
    transform : SimpleITK.Transform
        Maps points of the fixed image to the moving one; identity when not applied.
    applied : bool
        Whether moving made the images more alike.
    shift_mm, angle_deg : float
        Movement of the head's center, and the rotation, that were found.
    metric_before, metric_after : float
        Mutual information (higher is better) without and with the movement.
    """

    transform: sitk.Transform
    applied: bool
    shift_mm: float
    angle_deg: float
    metric_before: float
    metric_after: float

    def move(self, volume: Volume, grid: Geometry, order: int = 1) -> Volume:
        """Resample a volume of the moving scan onto a grid of the fixed scan."""
        if not self.applied:
            return resample(volume, grid, order)
        import SimpleITK as sitk

        kinds = {0: sitk.sitkNearestNeighbor, 1: sitk.sitkLinear, 3: sitk.sitkBSpline}
        like = sitk.Image(grid.shape[::-1], sitk.sitkUInt8)
        like.SetSpacing(grid.spacing_mm)
        like.SetOrigin(grid.origin_mm)
        like.SetDirection(grid.direction)
        moved = sitk.Resample(to_sitk(volume), like, self.transform, kinds[order], 0.0)
        array = sitk.GetArrayFromImage(moved).astype(volume.array.dtype, copy=False)
        return Volume(array, grid, volume.source)


def register_to(moving: Volume, fixed: Volume) -> Registration:
    """Find the rigid movement that lays ``moving`` over ``fixed`` (mutual information).

    Both are magnitude images of one head, of any contrast. The movement is applied only if
    it raises the mutual information and is larger than the error of the method.
    """
    import SimpleITK as sitk

    fixed_image, moving_image = _normalized(fixed), _normalized(moving)
    start = sitk.Euler3DTransform()
    start.SetCenter(fixed.geometry.center_mm)
    method = _method(fixed.geometry.shape)
    method.SetInitialTransform(start, inPlace=False)
    # One voxel in eight tells what is more alike as well as all do.
    thin = sitk.Shrink(fixed_image, [min(2, n) for n in fixed_image.GetSize()])
    before = -method.MetricEvaluate(thin, moving_image)
    try:
        found = method.Execute(fixed_image, moving_image)
    except RuntimeError:  # The optimizer lost the overlap of the images.
        return Registration(sitk.Euler3DTransform(), False, 0.0, 0.0, before, before)
    rigid = sitk.Euler3DTransform(sitk.CompositeTransform(found).GetBackTransform())
    method.SetInitialTransform(rigid, inPlace=False)
    after = -method.MetricEvaluate(thin, moving_image)
    matrix = np.array(rigid.GetMatrix()).reshape(3, 3)
    angle = math.degrees(math.acos(float(np.clip((np.trace(matrix) - 1) / 2, -1, 1))))
    shift = float(np.linalg.norm(rigid.GetTranslation()))
    # A rotation moves the cortex, some 70 mm from the center.
    moved_mm = max(shift, math.radians(angle) * 70.0)
    applied = after > before and moved_mm > _LEAST_MOVE_MM
    transform = rigid if applied else sitk.Euler3DTransform()
    return Registration(transform, applied, shift, angle, before, after)


def _normalized(volume: Volume) -> sitk.Image:
    """Return the image in units of its 99th percentile, clipped, slightly blurred."""
    import SimpleITK as sitk

    array = np.nan_to_num(volume.array.astype(np.float32))
    top = float(np.percentile(array[array > 0], 99)) if (array > 0).any() else 1.0
    image = to_sitk(volume.like(np.clip(array / top, 0.0, 1.2)))
    # Half a voxel of blur keeps the metric smooth where grids of equal spacing coincide.
    return sitk.SmoothingRecursiveGaussian(image, [0.5 * s for s in image.GetSpacing()])


def _method(shape: Shape) -> sitk.ImageRegistrationMethod:
    """Configure the registration; the seed is fixed so that a run can be repeated."""
    import SimpleITK as sitk

    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(32)
    # The images are smooth already: filtering their gradients takes most of the time otherwise.
    method.MetricUseFixedImageGradientFilterOff()
    method.MetricUseMovingImageGradientFilterOff()
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(
        learningRate=1.0, minStep=1e-2, numberOfIterations=60, relaxationFactor=0.5
    )
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel(_SHRINK)
    method.SetSmoothingSigmasPerLevel([0.5 * (s - 1) for s in _SHRINK])
    method.SmoothingSigmasAreSpecifiedInPhysicalUnitsOn()
    method.SetMetricSamplingStrategy(method.RANDOM)
    shares = [
        min(1.0, samples * shrink**3 / math.prod(shape))
        for samples, shrink in zip(_SAMPLES, _SHRINK, strict=True)
    ]
    method.SetMetricSamplingPercentagePerLevel(shares, 7)
    return method
