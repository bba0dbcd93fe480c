"""Losses over the mask, all in units of a typical susceptibility."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache, reduce

import torch
import torch.nn.functional as functional
from torch import Tensor

from QSMSeparationLib.data.axes import Shape
from QSMSeparationLib.networks.inputs import NET_PPM, SD_PPM, sd_of
from QSMSeparationLib.networks.susep import SusepOutput
from QSMSeparationLib.physics.dipole import DipoleOperator
from QSMSeparationLib.training.scan_noise import Batch

LESION_WEIGHT = 2.0
WEIGHTS: Mapping[str, float] = {
    "l1": 1.0,
    "mean_2": 0.5,
    "mean_4": 0.5,
    "gradient": 0.1,
    "net": 0.3,
    "rate": 0.3,
    "field": 0.3,
    "contrast": 0.05,
    "structure": 0.3,
    "r2prime": 0.3,
    "sureness": 0.05,
}
"""Weight of each term. ``mean_2`` and ``mean_4``: L1 of the errors averaged over blocks of 2^3
and 4^3 voxels, which is what keeps the mean of a lesion; ``net``, ``rate`` and ``field``: the
model terms of chi-sepnet on chi+ + chi-, R2'/Dr and the local field; ``structure``: 1 - XSIM;
``r2prime``: L1 of R2'/Dr where it is estimated; ``sureness``: the score of SDs, which bends no
estimate."""

_TEMPERATURE = 0.2
_XSIM_WINDOW = 5
_XSIM_C1_PPM2, _XSIM_C2_PPM2 = 1e-4, 1e-6


def error_terms(
    error_ppm: Tensor, importance: Tensor, lesion_weight: float = LESION_WEIGHT
) -> dict[str, Tensor]:
    """Return the L1 of errors, of their block means, and of their differences.

    Parameters
    ----------
    error_ppm : Tensor
        (batch, channels, k, j, i).
    importance : Tensor
        0 outside the mask, 1 in it, up to 2 in blobs, where the weight grows by
        ``lesion_weight``.
    """
    mask = (importance > 0).float()
    weight = mask + lesion_weight * (importance - mask)
    error = error_ppm * mask / NET_PPM
    terms = {"l1": _mean(error.abs() * weight, weight)}
    for block in (2, 4):
        share = functional.avg_pool3d(weight, block)
        terms[f"mean_{block}"] = _mean(functional.avg_pool3d(error * weight, block).abs(), share)
    steps = []
    for axis in (2, 3, 4):
        n = error.shape[axis]
        both = mask.narrow(axis, 1, n - 1) * mask.narrow(axis, 0, n - 1)
        difference = (error.narrow(axis, 1, n - 1) - error.narrow(axis, 0, n - 1)).abs()
        steps.append(_mean(difference * both, both))
    terms["gradient"] = reduce(torch.add, steps) / 3
    return terms


def model_terms(error_ppm: Tensor, batch: Batch) -> dict[str, Tensor]:
    """Return the L1 by which errors of both sources break net chi, R2' and the local field.

    On errors, not on the sources: sources outside the patch cancel.
    """
    error = error_ppm * batch.mask / NET_PPM
    para, dia = error[:, :1], error[:, 1:]
    net = para - dia
    mean_dr = 0.5 * (batch.dr_para + batch.dr_dia)
    rate = (batch.dr_para * para + batch.dr_dia * dia) / mean_dr
    return {
        "net": _mean(net.abs(), batch.mask),
        "rate": _mean(rate.abs(), batch.mask),
        "field": _mean(field_of(net).abs() * batch.mask, batch.mask),
    }


def field_of(patches: Tensor) -> Tensor:
    """Return the field of patches of susceptibility, B0 along k."""
    return _dipole(tuple(patches.shape[2:]), patches.device)(patches)


@lru_cache(maxsize=4)
def _dipole(shape: Shape, device: torch.device) -> DipoleOperator:
    """Return the dipole of a patch (voxels are isotropic, so their size cancels)."""
    return DipoleOperator(shape, (1.0, 1.0, 1.0), (1.0, 0.0, 0.0), pad=0.5, device=device)


def structure_term(result_ppm: Tensor, truth_ppm: Tensor, mask: Tensor) -> Tensor:
    """Return 1 - XSIM (:func:`QSMSeparationLib.evaluation.metrics.xsim`) of both sources, over the mask."""
    # In units near 1, so that float32 serves for the variances.
    result, truth = (mask * source / NET_PPM for source in (result_ppm, truth_ppm))
    c1, c2 = (c / NET_PPM**2 for c in (_XSIM_C1_PPM2, _XSIM_C2_PPM2))

    def local_mean(values: Tensor) -> Tensor:
        return functional.avg_pool3d(
            values, _XSIM_WINDOW, 1, _XSIM_WINDOW // 2, count_include_pad=False
        )

    mean_r, mean_t = local_mean(result), local_mean(truth)
    spread = local_mean(result**2) - mean_r**2 + local_mean(truth**2) - mean_t**2
    joint = local_mean(result * truth) - mean_r * mean_t
    similarity = (2 * mean_r * mean_t + c1) * (2 * joint + c2)
    similarity = similarity / ((mean_r**2 + mean_t**2 + c1) * (spread.clamp(min=0) + c2))
    return _mean((1 - similarity) * mask, mask)


def sureness_term(error_ppm: Tensor, log_sd: Tensor, mask: Tensor) -> Tensor:
    """Return the score of what a network says of its errors: the negative normal log-likelihood.

    Errors are taken as they are: the estimates are not bent by it.

    Parameters
    ----------
    error_ppm : Tensor
        (batch, channels, k, j, i).
    log_sd : Tensor
        What the network gives for their SDs (:func:`QSMSeparationLib.networks.inputs.sd_of`).
    mask : Tensor
        1 in the mask, 0 outside.
    """
    sd = sd_of(log_sd)
    score = 0.5 * (error_ppm.detach() / sd).square() + (sd / SD_PPM).log()
    return _mean(score * mask, mask)


def contrastive(output: SusepOutput) -> Tensor:
    """Return the contrastive term of SUSEP-Net.

    At each position the latent features of a branch should be closer (cosine) to the guidance
    of their own branch than to that of the other one.
    """
    unit = [functional.normalize(f.flatten(2), dim=1) for f in output[1:]]
    latent_para, latent_dia, guide_para, guide_dia = unit
    total = torch.zeros((), device=output.sources.device)
    for latent, own, other in (
        (latent_para, guide_para, guide_dia),
        (latent_dia, guide_dia, guide_para),
    ):
        margin = ((latent * own).sum(dim=1) - (latent * other).sum(dim=1)) / _TEMPERATURE
        total = total + functional.softplus(-margin).mean()
    return total / 2


def weighted_sum(terms: Mapping[str, Tensor], weights: Mapping[str, float] = WEIGHTS) -> Tensor:
    """Return the loss from its terms."""
    return reduce(torch.add, (weights[name] * value for name, value in terms.items()))


def _mean(values: Tensor, weight: Tensor) -> Tensor:
    """Return the mean over the weighted voxels and all channels."""
    channels = values.shape[1] // weight.shape[1]
    return values.sum() / (weight.sum() * channels).clamp(min=1.0)
