"""Errors of a closed form from those of its inputs: R2', net chi and the relaxivity.

chi+ = (R2' + Dr- chi) / (Dr+ + Dr-) is linear, so that independent errors add as squares: the noise
of R2', found in the map itself; the scatter of the relaxivity between regions, a share of R2'; and
the error of net chi, which the misfit of the field lets expect.
"""

from __future__ import annotations

from torch import Tensor

from QSMSeparationLib.data.maps import Maps
from QSMSeparationLib.data.separated import Separated
from QSMSeparationLib.physics.tissue_prior import RELAXIVITY_SCATTER
from QSMSeparationLib.solvers.misfit import net_error_ppm
from QSMSeparationLib.solvers.noise import white_noise_sd

NOISE_LEFT = 0.3
"""Share of the noise of a rate that the guided filter leaves."""


def with_propagated_errors(
    maps: Maps, sources: tuple[Tensor, Tensor], noise_left: float = 1.0
) -> Separated:
    """Return sources of a closed form with their SDs.

    Parameters
    ----------
    maps : Maps
        With ``net`` and ``r2prime``; ``local_field`` tells how far net chi can be trusted.
    sources : tuple of Tensor
        chi+ and chi- in ppm.
    noise_left : float
        Share of the noise of R2' that is left in what the closed form was given.
    """
    (r2prime,) = maps.need("r2prime")
    noise_hz = noise_left * white_noise_sd(r2prime, maps.mask)
    rate_variance = (RELAXIVITY_SCATTER * r2prime).square_().add_(noise_hz**2)
    net_sd = net_error_ppm(maps)

    def sd(dr_of_other: float) -> Tensor:
        variance = rate_variance + (dr_of_other * net_sd) ** 2
        return variance.sqrt_().div_(maps.dr_para + maps.dr_dia).mul_(maps.mask)

    return Separated(*sources, chi_para_sd=sd(maps.dr_dia), chi_dia_sd=sd(maps.dr_para))
