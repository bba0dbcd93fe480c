"""Closed form with R2' smoothed along the edges of net chi: what the networks start from.

Noise of R2' goes straight through the closed form (2 Hz are 9 ppb in each source). Net chi has
hardly any white noise and shares the edges of both sources, so a guided filter takes most of
the noise away and little of the anatomy. Net chi comes with mean 0 over the brain, but the two
equations need its true level: the mean of brains of the digital head is added.
"""

from __future__ import annotations

from torch import Tensor

from QSMSeparationLib.data.maps import Maps
from QSMSeparationLib.data.separated import Separated
from QSMSeparationLib.physics.two_sources import guided_closed_form, prepare_inputs
from QSMSeparationLib.runtime.context import Context
from QSMSeparationLib.separation.propagation import NOISE_LEFT, with_propagated_errors


def closed_form_guided(maps: Maps, context: Context) -> Separated:
    """Return chi+ >= 0 and chi- <= 0 in ppm from net chi and R2', with their SDs.

    Parameters
    ----------
    maps : Maps
        ``net`` and ``r2prime``, with ``dr_para`` and ``dr_dia``.
    context : Context
        Progress.
    """
    return with_propagated_errors(maps, guided_pair(maps), NOISE_LEFT)


def guided_pair(maps: Maps) -> tuple[Tensor, Tensor]:
    """Return chi+ >= 0 and chi- <= 0 in ppm alone: where other methods start."""
    net, rate, mask = prepare_inputs(maps)
    para, dia = guided_closed_form(net, rate, maps.dr_asymmetry, mask)[0]
    return para, -dia
