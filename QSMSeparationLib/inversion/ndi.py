"""Nonlinear dipole inversion: gradient descent on the phase that the field would have.

Polak et al., NMR Biomed 2020;33:e4271. Minimizes |W (exp(i s D chi) - exp(i s f))|^2 with s the
phase in radians of 1 ppm after a usual echo, by

    chi <- chi - step D (W^2 sin(s (D chi - f))) / s

from chi = 0. There is no penalty: what the dipole hardly sees comes last, so stopping early is the
regularization. The sine lets a voxel whose field is off by a turn pull no more than others.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from QSMSeparationLib.data.maps import Maps
from QSMSeparationLib.physics.constants import hz_per_ppm
from QSMSeparationLib.physics.fourier import inverse_rfftn
from QSMSeparationLib.runtime.context import Context
from QSMSeparationLib.solvers.window import Window, scale_

_ECHO_TIME_S = 0.02
"""A usual echo at 3 T: the phase of a vein (0.3 ppm) is about two turns then."""

_STEP = 2.0
"""Step of the descent, as in the paper; |D| <= 2/3 keeps it stable."""


def ndi(maps: Maps, context: Context, *, descent_steps: int) -> Tensor:
    """Return net susceptibility in ppm, mean 0 over the mask, 0 outside.

    Parameters
    ----------
    maps : Maps
        With ``local_field``; ``trust`` weights it.
    context : Context
        Progress.
    descent_steps : int
        Steps of the descent: more give contrast, and noise.
    """
    (local_field,) = maps.need("local_field")
    window = Window(maps)
    field = window.embed(local_field)
    weight = window.embed(maps.trust).square_()
    radians = 2 * math.pi * hz_per_ppm(3.0) * _ECHO_TIME_S
    chi = torch.zeros_like(field)
    for done in range(descent_steps):
        context.report(done, descent_steps)
        misfit = _convolved(chi, window).sub_(field).mul_(radians).sin_().mul_(weight)
        chi.sub_(_convolved(misfit, window), alpha=_STEP / radians)
    context.report(descent_steps, descent_steps)
    return window.extract(chi)


def _convolved(volume: Tensor, window: Window) -> Tensor:
    """Convolve with the dipole, which is its own adjoint."""
    return inverse_rfftn(scale_(torch.fft.rfftn(volume), window.dipole), window.padded)
