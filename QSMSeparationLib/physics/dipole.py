"""The dipole operator: susceptibility in ppm to field in ppm (Lorentz-corrected).

In k-space the unit dipole is D(k) = 1/3 - (k.b)^2 / |k|^2 with b the direction of B0
(Salomir 2003; Marques and Bowtell 2005). Its value at k = 0 is set to 0: the field is
known up to a constant. In image space it is (3 cos^2 theta - 1) / (4 pi r^3) times the
volume of a voxel, which has no periodic images but treats a voxel as a point.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from QSMSeparationLib.data.axes import Shape, Triple
from QSMSeparationLib.physics.fourier import good_size, inverse_rfftn

Kernel = Literal["k-space", "image"]


def padded_shape(shape: Shape, pad: float) -> Shape:
    """Return transform sizes that leave ``pad`` times the size (at least) as zero margin."""
    return tuple(good_size(math.ceil(n * (1 + pad))) for n in shape)


def kspace_kernel(
    shape: Shape, spacing_kji: Triple, b0_kji: Triple, device: str | torch.device
) -> Tensor:
    """Return D(k) on the half spectrum of ``torch.fft.rfftn``, float32.

    At the Nyquist index of an even axis +k and -k share one sample. The mean of both is
    stored, so cross terms with that axis vanish: this keeps the operator real and exactly
    self-adjoint when B0 is oblique.
    """
    squares, crosses = [], []
    for axis, (n, step) in enumerate(zip(shape, spacing_kji, strict=True)):
        k = torch.fft.fftfreq(n, step, device=device, dtype=torch.float32)
        if axis == 2:
            k = k[: n // 2 + 1].abs()
        cross = k.clone()
        if n % 2 == 0:
            cross[n // 2] = 0.0
        view = [1, 1, 1]
        view[axis] = -1
        squares.append(k.view(view) ** 2)
        crosses.append(cross.view(view))
    b = b0_kji
    k2 = squares[0] + squares[1] + squares[2]
    k2[0, 0, 0] = 1.0
    along = b[0] ** 2 * squares[0] + b[1] ** 2 * squares[1] + b[2] ** 2 * squares[2]
    for p, q in ((0, 1), (0, 2), (1, 2)):
        if b[p] * b[q] != 0.0:
            along = along + (2 * b[p] * b[q]) * (crosses[p] * crosses[q])
    kernel = along.div_(k2).neg_().add_(1.0 / 3.0)
    kernel[0, 0, 0] = 0.0
    return kernel


def image_kernel(
    shape: Shape, spacing_kji: Triple, b0_kji: Triple, device: str | torch.device
) -> Tensor:
    """Return the transform of the sampled point dipole on the half spectrum, float32."""
    r2 = torch.zeros(shape, device=device)
    along = torch.zeros(shape, device=device)
    for axis, (n, step) in enumerate(zip(shape, spacing_kji, strict=True)):
        x = torch.fft.fftfreq(n, 1.0 / n, device=device, dtype=torch.float32) * step
        view = [1, 1, 1]
        view[axis] = -1
        r2 += x.view(view) ** 2
        along += b0_kji[axis] * x.view(view)
    r2[0, 0, 0] = 1.0
    dipole = (3 * along**2 / r2 - 1) / (4 * math.pi * r2**1.5)
    dipole[0, 0, 0] = 0.0
    return torch.fft.rfftn(dipole * math.prod(spacing_kji)).real.contiguous()


class DipoleOperator:
    """Convolution with the unit dipole on a grid.

    Parameters
    ----------
    shape : tuple of int
        Grid (k, j, i).
    spacing_kji : tuple of float
        Voxel size in mm.
    b0_kji : tuple of float
        Unit vector of B0 in array axes.
    pad : float
        Zero margin as a fraction of each side: 0 for none beyond a good size (periodic),
        1 for a convolution without any wrap-around within the grid.
    kernel : {"k-space", "image"}
        Which sampling of the dipole.
    device : str or torch.device
        Where it works.

    Notes
    -----
    The kernel is real and even and the crop is the adjoint of the zero padding, so the
    operator is its own adjoint.
    """

    def __init__(
        self,
        shape: Shape,
        spacing_kji: Triple,
        b0_kji: Triple,
        pad: float = 0.25,
        kernel: Kernel = "k-space",
        device: str | torch.device = "cpu",
    ) -> None:
        norm = math.sqrt(sum(b * b for b in b0_kji))
        direction = tuple(b / norm for b in b0_kji)
        self.shape = tuple(shape)
        self.padded = padded_shape(self.shape, pad)
        make = kspace_kernel if kernel == "k-space" else image_kernel
        self.kernel = make(self.padded, spacing_kji, direction, device)

    def __call__(self, chi_ppm: Tensor) -> Tensor:
        """Return the field in ppm of a susceptibility map in ppm."""
        spectrum = torch.fft.rfftn(chi_ppm, s=self.padded, dim=(-3, -2, -1))
        spectrum *= self.kernel
        field = inverse_rfftn(spectrum, self.padded)
        k, j, i = self.shape
        return field[..., :k, :j, :i]

    def adjoint(self, field_ppm: Tensor) -> Tensor:
        """Apply the adjoint, which is the operator itself."""
        return self(field_ppm)
