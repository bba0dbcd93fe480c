"""Echo amplitudes of a spin-echo train with imperfect refocusing: extended phase graphs.

The state is (F+_k, F-_k, Z_k), k the number of crusher dephasings (Hennig 1991; Weigel,
JMRI 2015;41:266). For the CPMG condition (refocusing about the axis along which the
excitation put the magnetisation) F+ and F- stay real and Z imaginary, so real numbers do.
Magnetisation that recovers from T1 between the pulses is in quadrature to the echoes and
spoiled by the crushers, so it is left out.
"""

from __future__ import annotations

import torch
from torch import Tensor


def cpmg_echoes(
    echoes: int, spacing_s: float, r2_hz: Tensor, refocusing_rad: Tensor, t1_s: float = 1.2
) -> Tensor:
    """Return echo amplitudes relative to the signal after excitation.

    Parameters
    ----------
    echoes : int
        Number of echoes.
    spacing_s : float
        Time between echoes in seconds; the first echo comes at this time.
    r2_hz, refocusing_rad : Tensor
        R2 in Hz and the flip angle of every refocusing pulse; they broadcast.
    t1_s : float
        T1, which stimulated echoes feel; its influence is weak.

    Returns
    -------
    Tensor
        Shape (..., echoes).
    """
    r2_hz, angle = torch.broadcast_tensors(r2_hz, refocusing_rad)
    r2_hz, angle = r2_hz[..., None], angle[..., None]
    decay2 = torch.exp(r2_hz * (-0.5 * spacing_s))
    decay1 = float(torch.exp(torch.tensor(-0.5 * spacing_s / t1_s)))
    cos2, sin2 = torch.cos(angle / 2) ** 2, torch.sin(angle / 2) ** 2
    sin, cos = torch.sin(angle), torch.cos(angle)
    plus = torch.zeros(*r2_hz.shape[:-1], 2 * echoes + 1, dtype=r2_hz.dtype, device=r2_hz.device)
    plus[..., 0] = 1.0
    minus, z = plus.clone(), torch.zeros_like(plus)
    amplitudes = []
    for _ in range(echoes):
        plus, minus = _shift(plus * decay2, minus * decay2)
        z = z * decay1
        plus, minus, z = (
            cos2 * plus + sin2 * minus + sin * z,
            sin2 * plus + cos2 * minus - sin * z,
            0.5 * sin * (minus - plus) + cos * z,
        )
        plus, minus = _shift(plus * decay2, minus * decay2)
        z = z * decay1
        amplitudes.append(plus[..., 0])
    return torch.stack(amplitudes, dim=-1)


def _shift(plus: Tensor, minus: Tensor) -> tuple[Tensor, Tensor]:
    """Dephase by one unit: F+ moves up, F- moves down, and F+_0 is the conjugate of F-_0."""
    minus = torch.cat((minus[..., 1:], torch.zeros_like(minus[..., :1])), dim=-1)
    plus = torch.cat((minus[..., :1], plus[..., :-1]), dim=-1)
    return plus, minus
