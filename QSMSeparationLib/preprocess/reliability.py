"""How far each voxel of a field map can be trusted, and what to put where it cannot.

Near veins, calcifications and sinuses the field varies so much within a voxel that the
phase does not follow any line, or follows the wrong one. A few such voxels in ten thousand
spoil a background removal and an inversion, so they are found here by what they show:

* misfit: residual of the line over echoes beyond that of noise;
* roughness: distance of the field from the mean of its neighbors;
* noise: little signal.

Each is turned into an error in ppm to be expected, and trust = 1 / (1 + (error / tolerated)^2).
"""

from __future__ import annotations

import torch
import torch.nn.functional as functional
from torch import Tensor

from QSMSeparationLib.physics.smoothing import sum_of_27

TOLERATED_PPM = 0.010
MISFIT_FACTOR = 5.0
"""Error of the field over the standard error that its residuals suggest (simulated heads)."""
ROUGHNESS_FACTOR = 0.2
MENDED_BELOW = 0.5


def reliability(total_ppm: Tensor, noise_ppm: Tensor, misfit_ppm: Tensor, mask: Tensor) -> Tensor:
    """Return the trust in each voxel of a field map, 0 to 1 (0 outside the mask).

    Parameters
    ----------
    total_ppm, noise_ppm, misfit_ppm : Tensor
        Field, its noise, and the standard error that the excess of residuals suggests.
    mask : Tensor of bool
        Where the field is known.
    """
    rough = (total_ppm - neighbor_mean(total_ppm, mask.float())).abs_()
    error = (MISFIT_FACTOR * misfit_ppm).square_()
    error += (ROUGHNESS_FACTOR * rough).square_()
    error += noise_ppm.square()
    return torch.where(mask, 1.0 / (1.0 + error.div_(TOLERATED_PPM**2)), 0.0)


def mend(total_ppm: Tensor, trust: Tensor, mask: Tensor) -> Tensor:
    """Draw voxels of little trust towards the plane through trusted neighbors.

    The plane is a weighted fit over 5 x 5 x 5 voxels. Plane and measured value are averaged
    with the inverse of their squared errors: what trust implies for the one, twice the
    scatter of the neighbors about the plane for the other. So a wrapped or random voxel is
    bridged, and a steep but sound field is left alone.
    """
    poor = mask & (trust < MENDED_BELOW)
    weight = functional.pad(torch.where(poor, 0.0, trust), (2,) * 6)
    values = functional.pad(total_ppm, (2,) * 6)
    steps = torch.arange(-2, 3, device=mask.device)
    steps = torch.stack(torch.meshgrid(steps, steps, steps, indexing="ij"), -1).reshape(-1, 3)
    mended = total_ppm.clone()
    for where in torch.nonzero(poor).split(20_000):
        here = tuple(where.T)
        near = tuple((where[:, None, :] + 2 + steps[None]).unbind(-1))
        plane, scatter = _plane_at_center(values[near], weight[near], steps.float())
        variance = TOLERATED_PPM**2 * (1 / trust[here].clamp_min(1e-6) - 1)
        share = variance / (variance + 4 * scatter)
        mended[here] = total_ppm[here].lerp(plane, torch.where(scatter < 0, 0.0, share))
    return mended


def _plane_at_center(values: Tensor, weight: Tensor, steps: Tensor) -> tuple[Tensor, Tensor]:
    """Fit a plane to (n, 125) values: its height at the center, and the variance about it.

    The slope is held back a little, so that it stays bounded where all weight lies on one
    side. The variance is -1 where fewer than six voxels can be used.
    """
    weight = weight * torch.exp(-0.5 * (steps**2).sum(-1))
    basis = functional.pad(steps, (1, 0), value=1.0)
    normal = torch.einsum("nv,va,vb->nab", weight, basis, basis)
    total = weight.sum(1).clamp_min(1e-9)
    base = (weight * values).sum(1) / total
    left = values - base[:, None]
    ridge = torch.diag(torch.tensor([1e-6, 0.02, 0.02, 0.02], device=values.device))
    plane = torch.linalg.solve(normal + ridge, torch.einsum("nv,va->na", weight * left, basis))
    variance = (weight * (left - plane @ basis.T).square()).sum(1) / total
    enough = (weight > 0.01).sum(1) >= 6
    return plane[:, 0] + base, torch.where(enough, variance, -1.0)


def neighbor_mean(values: Tensor, weight: Tensor) -> Tensor:
    """Return the weighted mean over the 26 neighbors (not the voxel itself)."""
    weighted = values * weight
    top = sum_of_27(weighted) - weighted
    bottom = sum_of_27(weight) - weight
    return torch.where(bottom > 1e-6, top / bottom.clamp_min(1e-6), values)
