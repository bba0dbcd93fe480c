"""PDF: fit the field in the mask by dipoles outside it (Liu et al., NMR Biomed 2011;24:1129).

The weighted least-squares problem min | w m (f - D (1 - m) c) | is solved by conjugate
gradients on its normal equations; stopping early is its regularisation.
"""

from __future__ import annotations

import torch
import torch.nn.functional as functional
from torch import Tensor

from QSMSeparationLib.data.maps import Maps
from QSMSeparationLib.physics.dipole import DipoleOperator
from QSMSeparationLib.preprocess.smv import Frame
from QSMSeparationLib.runtime.context import Context

_SHELL_MM = 24.0


def pdf(maps: Maps, context: Context, *, background_iterations: int) -> tuple[Tensor, Tensor]:
    """Return the local field in ppm and the mask, in which all of it holds."""
    (field,) = maps.need("total_field")
    mask, spacing_kji, iterations = maps.mask, maps.spacing_kji, background_iterations
    frame = Frame.around(mask, spacing_kji, 0.0)
    edge = [round(_SHELL_MM / s) for s in spacing_kji]
    margin = [n for e in reversed(edge) for n in (e, e)]
    inside = functional.pad(frame.mask.float(), margin)
    trust = functional.pad(maps.trust[frame.box] * frame.mask, margin)
    outside = 1.0 - inside
    # Sources lie in the shell; no margin beyond it is needed, for images of a source outside
    # the mask lie outside it as well.
    dipole = DipoleOperator(inside.shape, spacing_kji, maps.b0_kji, pad=0.0, device=mask.device)
    residual = functional.pad(field[frame.box] * frame.mask, margin).mul_(trust)
    sources = torch.zeros_like(residual)
    gradient = dipole(residual * trust).mul_(outside)
    direction = gradient.clone()
    energy = torch.dot(gradient.flatten(), gradient.flatten())
    for iteration in range(iterations):
        context.report(iteration, iterations)
        if not energy > 0:
            break
        image = dipole(direction).mul_(trust)
        step = (energy / torch.dot(image.flatten(), image.flatten())).item()
        sources.add_(direction, alpha=step)
        residual.sub_(image, alpha=step)
        gradient = dipole(image.copy_(residual).mul_(trust)).mul_(outside)
        before, energy = energy, torch.dot(gradient.flatten(), gradient.flatten())
        direction.mul_(energy / before).add_(gradient)
    k, j, i = (slice(e, e + n) for e, n in zip(edge, frame.mask.shape, strict=True))
    background = dipole(sources)[k, j, i]
    return frame.uncrop((field[frame.box] - background) * frame.mask), mask
