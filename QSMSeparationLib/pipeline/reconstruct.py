"""Stages of a raw scan on the way to maps: brain, total field, relaxation, data checks."""

from __future__ import annotations

import numpy as np
import torch

from QSMSeparationLib.data.maps import Maps
from QSMSeparationLib.data.result import Result
from QSMSeparationLib.data.scan import Scan, SpinEcho
from QSMSeparationLib.data.volume import Volume
from QSMSeparationLib.physics.constants import hz_per_ppm
from QSMSeparationLib.physics.dipole import DipoleOperator
from QSMSeparationLib.physics.two_sources import referenced
from QSMSeparationLib.preprocess import checks
from QSMSeparationLib.preprocess.field_map import FieldEstimate, estimate_field
from QSMSeparationLib.preprocess.mask import brain_mask, clean_mask
from QSMSeparationLib.preprocess.r2 import fit_r2
from QSMSeparationLib.preprocess.r2prime import r2prime_from, register_to
from QSMSeparationLib.preprocess.r2star import fit_r2star
from QSMSeparationLib.runtime.progress import Progress


def find_brain(scan: Scan, magnitude: torch.Tensor, progress: Progress) -> torch.Tensor:
    """Brain mask given with the scan, or found in its magnitude."""
    with progress.stage("brain mask") as report:
        if scan.mask is not None:
            Volume(scan.mask.array, scan.geometry, "scan").require_same_grid(scan.mask)
            mask = clean_mask(scan.mask.array, scan.geometry.shape, scan.mask.source)
        else:
            mask = brain_mask(
                magnitude, scan.echo_times_s, scan.geometry.spacing_kji, report=report
            )
    return torch.as_tensor(mask).to(magnitude.device)


def total_field(
    scan: Scan, magnitude: torch.Tensor, mask: torch.Tensor, progress: Progress
) -> FieldEstimate:
    """Total field from the wrapped phase."""
    with progress.stage("field map") as report:
        return estimate_field(
            magnitude,
            torch.from_numpy(scan.phase_rad).to(magnitude.device),
            scan.echo_times_s,
            scan.b0_tesla,
            mask,
            scan.geometry.spacing_kji,
            scan.geometry.b0_kji,
            report=report,
        )


def relaxation(
    scan: Scan,
    magnitude: torch.Tensor,
    mask: torch.Tensor,
    estimate: FieldEstimate,
    result: Result,
    progress: Progress,
) -> tuple[dict[str, torch.Tensor], float]:
    """R2*, where there is a spin echo R2 and R2', and the noise SD of the magnitude."""
    with progress.stage("R2*") as report:
        fit = fit_r2star(
            magnitude,
            scan.echo_times_s,
            mask,
            estimate.total_field_ppm,
            scan.b0_tesla,
            report=report,
        )
    lost = float(fit.uncorrectable.sum() / mask.sum())
    if lost > 0.001:
        result.notes.append(
            f"R2* could not be fitted in {100 * lost:.1f} % of the mask (dephasing)"
        )
    rates = {"r2star_hz": fit.r2star_hz}
    result.facts["R2primeOrigin"] = "none (no spin echo)"
    if scan.spin_echo is None:
        return rates, fit.noise_sd
    r2 = _r2(scan, scan.spin_echo, magnitude, mask, result, progress)
    r2prime, clipped = r2prime_from(fit.r2star_hz, r2, mask)
    result.notes.append(
        f"R2' = R2* - R2 was negative and set to 0 in {100 * clipped:.1f} % of the mask"
    )
    result.facts["R2primeOrigin"] = "measured (R2* - R2 of the spin echo)"
    return rates | {"r2_hz": r2, "r2prime_hz": r2prime}, fit.noise_sd


def _r2(
    scan: Scan,
    spin_echo: SpinEcho,
    magnitude: torch.Tensor,
    mask: torch.Tensor,
    result: Result,
    progress: Progress,
) -> torch.Tensor:
    """R2 of the spin echo, laid over the gradient echo."""
    with progress.stage("registering spin echo"):
        fixed = Volume(magnitude[0].cpu().numpy(), scan.geometry, "gradient echo")
        moving = Volume(spin_echo.magnitude[0], spin_echo.geometry, "spin echo")
        found = register_to(moving, fixed)
    if found.applied:
        result.notes.append(
            f"the spin echo was moved by {found.shift_mm:.1f} mm and {found.angle_deg:.1f} degrees"
        )
    if not found.applied and scan.geometry.difference(spin_echo.geometry) is None:
        train = torch.from_numpy(spin_echo.magnitude).to(magnitude.device)
    else:
        # The echoes are moved, not R2: their noise averages as signal, before the logarithm.
        moved = [
            found.move(Volume(echo, spin_echo.geometry), scan.geometry).array
            for echo in spin_echo.magnitude
        ]
        train = torch.from_numpy(np.stack(moved)).to(magnitude.device)
    with progress.stage("R2") as report:
        fit = fit_r2(train, spin_echo.echo_times_s, mask, scan.geometry.spacing_kji, report=report)
    result.facts["R2Fit"] = fit.method
    return fit.r2_hz


def residual_field(maps: Maps, net_ppm: torch.Tensor) -> torch.Tensor:
    """Local field that net chi does not explain, mean 0 over the mask."""
    dipole = DipoleOperator(
        tuple(maps.mask.shape), maps.spacing_kji, maps.b0_kji, device=maps.mask.device
    )
    residual = maps.local_field - dipole(net_ppm)
    return referenced(residual, maps.mask)


def data_checks(
    scan: Scan,
    maps: Maps,
    estimate: FieldEstimate,
    brain: torch.Tensor,
    residual_ppm: torch.Tensor,
    noise_sd: float,
    result: Result,
) -> list[checks.Check]:
    """What a reader of the maps would want to know of the data."""
    net = torch.from_numpy(result.maps["net"]).to(maps.mask.device)
    turn_ppm = 1 / (float(np.diff(scan.echo_times_s).min()) * hz_per_ppm(scan.b0_tesla))
    done = [
        checks.check_phase_sign(estimate.sign),
        checks.check_snr(torch.from_numpy(scan.magnitude[0]).to(brain.device), noise_sd, brain),
        checks.check_mask_volume(brain, scan.geometry.voxel_volume_mm3),
        checks.check_mask_kept(maps.mask, brain),
        checks.check_wraps(estimate.total_field_ppm, maps.mask, turn_ppm),
        checks.check_echo_consistency(estimate.reliability, brain),
        checks.check_r2star(maps.r2star, maps.mask, scan.b0_tesla),
        checks.check_residual_field(residual_ppm, maps.mask),
    ]
    if maps.r2prime is not None:
        done.append(checks.check_feasible(maps.r2prime, net, maps.mask, maps.mean_dr))
    return done


def data_weight(
    magnitude: torch.Tensor, reliability: torch.Tensor, mask: torch.Tensor
) -> torch.Tensor:
    """Weight of the field in the inversion: magnitude (up to its median) times reliability."""
    strength = magnitude.square().sum(dim=0).sqrt_()
    return (strength / strength[mask].median()).clamp_(max=1.0) * reliability * mask
