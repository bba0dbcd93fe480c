"""Steps towards the data after a network: local means are restored from R2' and the field.

A network may pull a lesion towards the tissue it expects there. Averaged over a few millimeters
R2' has hardly any noise: the part of its misfit that survives a Gaussian of 2 mm (some 350
voxels of 1 mm) is given back to both sources. Of net chi a network errs most in what varies
slowly, its error falls about as 1/k, while the noise of the field is the same at all k: so the
misfit of the field is inverted by a Wiener filter for such an error, or for the misfit that no
source explains where that is larger (:mod:`QSMSeparationLib.solvers.misfit`). The slowest part is
left alone: what background removal could not tell apart is there.
"""

from __future__ import annotations

import torch
from torch import Tensor

from QSMSeparationLib.data.maps import Maps
from QSMSeparationLib.physics.fourier import inverse_rfftn, squared_frequency
from QSMSeparationLib.solvers.misfit import field_power
from QSMSeparationLib.solvers.window import Window

DEFAULT_REFINEMENT_STEPS = 8
"""Steps after a network, unless the user asks for another number."""

_SMOOTHING_MM = 2.0
_NOISE_OVER_ERROR = {"sources": 6.0, "net": 3.0}
"""Noise of the field over k times the error of net chi, k in cycles a voxel: of a separation
network, which also knows R2', and of an inversion."""
_ERROR_SHARE = 0.1
"""Power of a network's error over that of the sources, about (a third of their SD)."""

_DIPOLE_FLOOR = 0.1
_SLOW_MM = 3.0
"""SD of the Gaussian whose part of the misfit of the field is not used."""


def refine(sources_ppm: Tensor, maps: Maps, steps: int) -> Tensor:
    """Return chi+ and |chi-| whose local means agree better with R2' and the field.

    Parameters
    ----------
    sources_ppm : Tensor
        chi+ and |chi-|, (2, k, j, i).
    maps : Maps
        ``r2prime`` and ``local_field`` on the same grid.
    steps : int
        Number of steps.
    """
    window = Window(maps, 0.25)
    asymmetry = maps.dr_asymmetry
    r2prime, local_field = maps.need("r2prime", "local_field")
    rate, field = window.embed(r2prime / maps.mean_dr), window.embed(local_field)
    mask = window.embed(maps.mask.float())
    squared = squared_frequency(window.padded, maps.spacing_kji, mask.device)
    low_pass, slow = (
        torch.exp(-2 * (torch.pi * sd) ** 2 * squared) for sd in (_SMOOTHING_MM, _SLOW_MM)
    )
    del squared
    share = _filtered(mask, low_pass).clamp(min=0.2)
    inverse = _wiener(maps, window, "sources").mul_(1 - slow)
    para, dia = (window.embed(source) for source in sources_ppm)
    for _ in range(steps):
        net = para - dia
        net_step = _filtered(_field_misfit(net, field, mask, window), inverse)
        rate_misfit = (rate - (1 + asymmetry) * para - (1 - asymmetry) * dia) * mask
        rate_step = _filtered(rate_misfit, low_pass) / share
        # The pair of steps that solves both equations (see ``guided_closed_form``).
        para_step = 0.5 * (rate_step + (1 - asymmetry) * net_step)
        para = (para + para_step).clamp_(min=0) * mask
        dia = (dia + para_step - net_step).clamp_(min=0) * mask
    return torch.stack([window.crop(source) for source in (para, dia)])


def refine_net(net_ppm: Tensor, maps: Maps, steps: int) -> Tensor:
    """Return net chi that explains the field better, mean 0 over the mask.

    Parameters
    ----------
    net_ppm : Tensor
        (k, j, i).
    maps : Maps
        ``local_field`` on the same grid.
    steps : int
        Number of steps.
    """
    window = Window(maps, 0.25)
    (local_field,) = maps.need("local_field")
    field, mask, net = (window.embed(m) for m in (local_field, maps.mask.float(), net_ppm))
    inverse = _wiener(maps, window, "net")
    for _ in range(steps):
        net = (net + _filtered(_field_misfit(net, field, mask, window), inverse)).mul_(mask)
    return window.extract(net)


def _wiener(maps: Maps, window: Window, of: str) -> Tensor:
    """Return the filter that turns a misfit of the field into a step of net chi."""
    noise = _NOISE_OVER_ERROR[of] ** 2 * squared_frequency(
        window.padded, (1.0, 1.0, 1.0), window.dipole.device
    )
    unexplained = field_power(maps, window).misfit_over_sources / _ERROR_SHARE
    noise = torch.maximum(noise, unexplained)
    return window.dipole / noise.add_(window.dipole**2).add_(_DIPOLE_FLOOR**2)


def _field_misfit(net: Tensor, field: Tensor, mask: Tensor, window: Window) -> Tensor:
    """Return what net chi leaves of the field, without its mean."""
    misfit = (field - _filtered(net, window.dipole)) * mask
    return misfit.sub_(misfit.sum() / mask.sum() * mask)


def _filtered(volume: Tensor, transfer: Tensor) -> Tensor:
    """Multiply by a real transfer function in k-space."""
    return inverse_rfftn(torch.fft.rfftn(volume) * transfer, tuple(volume.shape))
