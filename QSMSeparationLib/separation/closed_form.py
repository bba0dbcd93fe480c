"""Closed-form separation: two linear equations in two unknowns, voxel by voxel.

    chi+ + chi-           = chi          (net susceptibility)
    Dr+ chi+ - Dr- chi-   = R2'          (relaxivity model; chi- is negative)

solved by chi+ = (R2' + Dr- chi) / (Dr+ + Dr-) and chi- = chi - chi+. Where R2' is smaller
than the net susceptibility alone would cause (R2' < Dr |chi|, noise or model error), no
pair of signed sources fits both; there the net susceptibility is kept and the other source
is 0, so that chi+ + chi- = chi in every voxel.
"""

from __future__ import annotations

from QSMSeparationLib.data.maps import Maps
from QSMSeparationLib.data.separated import Separated
from QSMSeparationLib.physics.two_sources import solve_two_sources
from QSMSeparationLib.runtime.context import Context
from QSMSeparationLib.separation.propagation import with_propagated_errors


def closed_form(maps: Maps, context: Context) -> Separated:
    """Return chi+ >= 0 and chi- <= 0 in ppm from net chi and R2', with their SDs.

    Parameters
    ----------
    maps : Maps
        ``net`` and ``r2prime``, with ``dr_para`` and ``dr_dia``.
    context : Context
        Progress.
    """
    net, r2prime = maps.need("net", "r2prime")
    sources = solve_two_sources(net, r2prime, maps.dr_para, maps.dr_dia, maps.mask)
    return with_propagated_errors(maps, sources)
