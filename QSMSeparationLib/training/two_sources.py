"""Losses of the networks that separate two sources, with R2' or with R2* alone, and their sizes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from QSMSeparationLib.networks.inputs import (
    NET_PPM,
    MagnitudeAtTE0,
    fitted,
    joint_inputs,
    separation_inputs,
)
from QSMSeparationLib.networks.susep import SusepOutput
from QSMSeparationLib.physics.two_sources import guided_closed_form, r2star_closed_form
from QSMSeparationLib.training import losses
from QSMSeparationLib.training.scan_noise import Batch
from QSMSeparationLib.training.switches import Switches, Terms

CHI_SEPNET_SIZE: tuple[str, dict[str, Any]] = (
    "unet",
    {"inputs": 6, "outputs": 4, "widths": [16, 32, 64, 96], "fold": 1},
)
"""Corrections of chi+ and |chi-|, then their log SDs."""

JOINT_NET_SIZE: tuple[str, dict[str, Any]] = (
    "unet",
    {"inputs": 12, "outputs": 6, "widths": [16, 32, 64, 96], "fold": 1},
)
"""Corrections of chi+, |chi-| and R2'/Dr, then their log SDs."""


def with_r2prime(network: nn.Module, batch: Batch, switches: Switches) -> Terms:
    """Return the loss terms of a network that sees R2' (chi-sepnet, SUSEP-Net)."""
    mask, rate, asymmetry = batch.mask, batch.rate_ppm, batch.asymmetry
    inputs = separation_inputs(
        batch.net_ppm, batch.field_ppm, rate, asymmetry, batch.net_l2_ppm, mask, batch.misfit_ppm
    )
    output = network(fitted(inputs, network))
    found = output.sources if isinstance(output, SusepOutput) else output
    base = guided_closed_form(batch.net_ppm, rate, asymmetry, mask)
    error = base + NET_PPM * found[:, :2].float() - batch.sources_ppm
    terms = _source_terms(error, batch, switches)
    if found.shape[1] > 2:
        terms["sureness"] = losses.sureness_term(error, found[:, 2:], mask)
    if isinstance(output, SusepOutput) and switches.contrast:
        terms["contrast"] = losses.contrastive(output)
    return terms


def joint(network: nn.Module, batch: Batch, switches: Switches) -> Terms:
    """Return the loss terms of a network that sees R2* and no R2'."""
    mask, relaxivities = batch.mask, (batch.dr_para, batch.dr_dia)
    start = r2star_closed_form(batch.net_ppm, batch.r2star_hz, *relaxivities, mask)
    te0 = MagnitudeAtTE0(batch.s0_log_ratio, batch.s0_weighting, batch.s0_known)
    inputs = joint_inputs(
        batch.net_ppm, batch.field_ppm, batch.r2star_hz, batch.net_l2_ppm, start, relaxivities,
        batch.misfit_ppm, te0, mask,
    )  # fmt: skip
    output = network(inputs).float()
    found = start + NET_PPM * output[:, :2]
    error = found - batch.sources_ppm
    terms = _source_terms(error, batch, switches)
    # R2' as chi, so that one loss serves; its factor scatters, so it is no sum of the sources.
    mean_dr = 0.5 * (batch.dr_para + batch.dr_dia)
    start_rate = (batch.dr_para * start[:, :1] + batch.dr_dia * start[:, 1:]) / mean_dr
    rate_error = start_rate + NET_PPM * output[:, 2:3] - batch.true_r2prime_hz / mean_dr
    terms["r2prime"] = losses.error_terms(rate_error, batch.importance)["l1"]
    errors = torch.cat([error, rate_error], dim=1)
    terms["sureness"] = losses.sureness_term(errors, output[:, 3:], mask)
    return terms


def _source_terms(error_ppm: Tensor, batch: Batch, switches: Switches) -> Terms:
    """Return the terms on errors of both sources."""
    terms = losses.error_terms(error_ppm, batch.importance, switches.lesion_weight)
    terms |= losses.model_terms(error_ppm, batch)
    truth = batch.sources_ppm
    terms["structure"] = losses.structure_term(error_ppm + truth, truth, batch.mask)
    return terms
