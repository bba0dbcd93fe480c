"""Fourier transforms of real volumes: lengths that are quick, and the inverse."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from QSMSeparationLib.data.axes import Shape, Triple

_AXES = (-3, -2, -1)


def good_size(n: int) -> int:
    """Return the smallest even number >= n with no prime factor above 7, quick to transform."""
    return next(size for size in itertools.count(n + n % 2, 2) if _is_quick(size))


def _is_quick(n: int) -> bool:
    """Tell whether no prime factor is above 7."""
    for prime in (2, 3, 5, 7):
        while n % prime == 0:
            n //= prime
    return n == 1


def squared_frequency(shape: Shape, spacing_kji: Triple, device: str | torch.device) -> Tensor:
    """Return |k|^2 on the half spectrum, k in cycles over the unit of the spacing."""
    total = torch.zeros((*shape[:2], shape[2] // 2 + 1), device=device)
    for axis, (n, step) in enumerate(zip(shape, spacing_kji, strict=True)):
        k = torch.fft.fftfreq(n, step, device=device)
        view = [1, 1, 1]
        view[axis] = -1
        total += (k[: total.shape[2]] if axis == 2 else k).view(view) ** 2
    return total


def inverse_rfftn(spectrum: Tensor, shape: Shape, out: Tensor | None = None) -> Tensor:
    """Return ``torch.fft.irfftn`` over the last three axes, in half its time on a CPU.

    The inverse needs a complex transform of the first two of these axes alone. MKL takes three
    times as long for that as for all three, as it writes two axes transposed. So the half axis
    goes with them, with zeros up to a quick length, and is transformed back.

    Parameters
    ----------
    spectrum : Tensor
        Half spectrum, complex, (..., k, j, i // 2 + 1).
    shape : tuple of int
        Size of the volume, (k, j, i).
    out : Tensor, optional
        Where to write the volume.
    """
    if spectrum.device.type != "cpu" or not torch.backends.mkl.is_available():
        return torch.fft.irfftn(spectrum, s=shape, dim=_AXES, out=out)
    half = spectrum.shape[-1]
    length = next(size for size in itertools.count(half) if _is_quick(size))
    half_way = torch.fft.fft(torch.fft.ifftn(spectrum, s=(*shape[:2], length), dim=_AXES))
    return torch.fft.irfft(half_way[..., :half], n=shape[2], out=out)
