"""R2*-QSM: source separation from gradient echo alone (Dimov et al., J Neuroimaging 2022).

In static dephasing all of R2* is taken as caused by the sources,

    R2* = r (|chi+| + |chi-|),   chi+ + chi- = chi,

with r = 274 Hz/ppm at 3 T, scaled linearly with B0. As R2 is not subtracted, both sources
come out too strong where R2 is high; the method needs no spin echo.
"""

from __future__ import annotations

from torch import Tensor

from QSMSeparationLib.data.maps import Maps
from QSMSeparationLib.physics.constants import relaxivity
from QSMSeparationLib.physics.two_sources import solve_two_sources
from QSMSeparationLib.runtime.context import Context


def r2star_qsm(maps: Maps, context: Context, *, relaxivity_3t: float) -> tuple[Tensor, Tensor]:
    """Return chi+ >= 0 and chi- <= 0 in ppm from net chi and R2*.

    Parameters
    ----------
    maps : Maps
        ``net`` and ``r2star``.
    context : Context
        Progress.
    relaxivity_3t : float
        Relaxivity of R2* in Hz/ppm at 3 T.
    """
    net, r2star = maps.need("net", "r2star")
    rate = relaxivity(relaxivity_3t, maps.b0_tesla)
    return solve_two_sources(net, r2star, rate, rate, maps.mask)
