"""A raw scan in, a Result out: mask, field, background, R2*, R2, inversion, separation, checks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from QSMSeparationLib import catalogue
from QSMSeparationLib.data.maps import Maps
from QSMSeparationLib.data.method import Method
from QSMSeparationLib.data.result import Result
from QSMSeparationLib.data.scan import Scan, SpinEcho
from QSMSeparationLib.data.volume import Volume
from QSMSeparationLib.physics.constants import hz_per_ppm, relaxivity
from QSMSeparationLib.physics.dipole import DipoleOperator
from QSMSeparationLib.physics.two_sources import referenced
from QSMSeparationLib.pipeline import provenance
from QSMSeparationLib.pipeline.brain import Brain, find_brain
from QSMSeparationLib.pipeline.options import Options
from QSMSeparationLib.pipeline.run_method import Sources, choose_methods, separate_maps
from QSMSeparationLib.preprocess import checks
from QSMSeparationLib.preprocess.background import BackgroundResult, remove_background
from QSMSeparationLib.preprocess.checks import Check
from QSMSeparationLib.preprocess.field_map import FieldEstimate, estimate_field
from QSMSeparationLib.preprocess.r2 import fit_r2
from QSMSeparationLib.preprocess.r2prime import r2prime_from, register_to
from QSMSeparationLib.preprocess.r2star import fit_r2star
from QSMSeparationLib.runtime.context import Context
from QSMSeparationLib.runtime.device import choose_device
from QSMSeparationLib.runtime.errors import InputError
from QSMSeparationLib.runtime.progress import Progress

_LEAST_VOXELS = 8
"""Fewer slices make no three-dimensional dipole field."""

_NOTED_LOSS = 0.001
"""Share of voxels without R2* from which on the user is told."""


@dataclass(frozen=True, eq=False)
class Relaxation:
    """Relaxation rates of a scan in Hz, its magnitude at TE 0, and the noise SD of that."""

    r2star: torch.Tensor
    s0: torch.Tensor
    r2: torch.Tensor | None
    r2prime: torch.Tensor | None
    noise_sd: float
    facts: dict[str, Any]
    notes: tuple[str, ...]

    def known(self) -> list[torch.Tensor]:
        """Return R2*, and R2' and R2 where there is a spin echo."""
        return [rate for rate in (self.r2star, self.r2prime, self.r2) if rate is not None]

    def within(self, mask: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the rates that there are, by name, 0 outside a mask."""
        rates = {"r2star": self.r2star, "r2": self.r2, "r2prime": self.r2prime}
        return {name: rate * mask for name, rate in rates.items() if rate is not None}


@dataclass(frozen=True, eq=False)
class Prepared:
    """Stages of a scan before inversion and separation."""

    brain: Brain
    field: FieldEstimate
    rates: Relaxation
    background: BackgroundResult
    maps: Maps


def reconstruct(
    scan: Scan, options: Options | None = None, progress: Progress | None = None
) -> Result:
    """Turn a raw scan into chi+, chi- and net chi.

    Parameters
    ----------
    scan : Scan
        The echoes; ``mask`` and ``spin_echo`` are used where it has them.
    options : Options, optional
        Choices of the user; the field strength is that of the scan.
    progress : Progress, optional
        Receives the stages.
    """
    options, progress = options or Options(), progress or Progress()
    options = replace(options, b0_tesla=scan.b0_tesla)
    require_reconstructable(scan)
    method = catalogue.find(options.background, "background")
    _refuse_early(scan, options, method)
    parameters = options.parameters_for(method)
    done = prepare(scan, options, method, progress)
    sources = separate_maps(done.maps, options.without(method), progress)
    with progress.stage("data checks"):
        residual = residual_field(done.maps, sources.net)
        checked = data_checks(scan, done, residual, sources)
    facts = provenance.merged(
        provenance.facts_of_maps(done.maps, options),
        {"EchoTimes_s": list(scan.echo_times_s)},
        done.brain.facts,
        done.rates.facts,
        provenance.facts_of_method(method, parameters),
        sources.facts,
        provenance.facts_of_time(progress.seconds),
    )
    return _assembled(scan, done, sources, residual, checked, facts)


def prepare(scan: Scan, options: Options, background: Method, progress: Progress) -> Prepared:
    """Bring a scan to the maps that inversion and separation work on."""
    magnitude = torch.from_numpy(scan.magnitude).to(choose_device(options.device))
    brain = find_brain(scan, magnitude, options.mask_method, progress)
    field = total_field(scan, magnitude, brain.mask, progress)
    rates = relaxation(scan, magnitude, brain.mask, field, progress)
    with progress.stage("background field") as report:
        removed = remove_background(
            _field_maps(scan, brain.mask, field),
            background,
            options.parameters_for(background),
            rates.known(),
            Context(report),
        )
    maps = local_maps(scan, options, magnitude, field, removed, rates)
    return Prepared(brain, field, rates, removed, maps)


def _assembled(
    scan: Scan,
    done: Prepared,
    sources: Sources,
    residual: torch.Tensor,
    checked: list[Check],
    facts: dict[str, Any],
) -> Result:
    """Put the maps, facts, notes and checks of all stages together."""
    brain, field, rates, background = done.brain, done.field, done.rates, done.background
    mask = done.maps.mask
    measured = {"local_field": background.local_field, **rates.within(mask)}
    between = {
        "local_field_in_mask": background.local_field_in_mask,
        "total_field": field.total_field_ppm,
        "trust": field.reliability,
        "s0": rates.s0,
    }
    said = (scan, brain, field, rates, background, sources)
    return Result(
        scan.geometry,
        mask.cpu().numpy(),
        maps=_arrays(measured) | sources.maps() | _arrays({"residual": residual}),
        intermediate=_arrays(between) | sources.intermediate(),
        facts=facts,
        notes=[note for stage in said for note in stage.notes],
        checks=[*checked, *brain.checks],
        anatomy=None if brain.labels is None else brain.labels * mask.cpu().numpy(),
    )


def require_reconstructable(scan: Scan) -> None:
    """Refuse a scan from which no susceptibility can be computed, with the reason."""
    if len(scan.echo_times_s) < 2:
        raise InputError(
            f"{scan.name}: one echo only; R2* and an offset-free field need two or more echoes"
        )
    if min(scan.geometry.shape) < _LEAST_VOXELS:
        raise InputError(
            f"{scan.name}: {min(scan.geometry.shape)} slices; the dipole field is three-dimensional, "
            f"give at least {_LEAST_VOXELS}"
        )


def _refuse_early(scan: Scan, options: Options, background: Method) -> None:
    """Refuse methods and parameters that can't be used before anything is computed."""
    available = {"local_field", "net", "r2star"} | ({"r2prime"} if scan.spin_echo else set())
    chosen = choose_methods(frozenset(available), options, invert=True)
    options.refuse_unknown(background, *chosen)


def _arrays(tensors: dict[str, torch.Tensor]) -> dict[str, np.ndarray]:
    return {name: tensor.cpu().numpy() for name, tensor in tensors.items()}


def total_field(
    scan: Scan, magnitude: torch.Tensor, mask: torch.Tensor, progress: Progress
) -> FieldEstimate:
    """Estimate the total field from the wrapped phase."""
    with progress.stage("field map") as report:
        return estimate_field(
            magnitude,
            torch.from_numpy(scan.phase_rad).to(magnitude.device),
            scan.echo_times_s,
            scan.b0_tesla,
            mask,
            scan.geometry,
            report=report,
        )


def relaxation(
    scan: Scan,
    magnitude: torch.Tensor,
    mask: torch.Tensor,
    field: FieldEstimate,
    progress: Progress,
) -> Relaxation:
    """Fit R2*, and R2 and R2' where there is a spin echo."""
    with progress.stage("R2*") as report:
        fit = fit_r2star(
            magnitude,
            scan.echo_times_s,
            mask,
            field.total_field_ppm,
            scan.b0_tesla,
            report=report,
        )
    notes: list[str] = []
    lost = float(fit.uncorrectable.sum() / mask.sum())
    if lost > _NOTED_LOSS:
        notes.append(f"R2* could not be fitted in {100 * lost:.1f} % of the mask (dephasing)")
    if scan.spin_echo is None:
        origin: dict[str, Any] = dict.fromkeys(
            ("R2primeOrigin", "SeparationR2prime"), provenance.R2PRIME_NONE
        )
        return Relaxation(fit.r2star_hz, fit.s0, None, None, fit.noise_sd, origin, tuple(notes))
    r2, facts, said = _r2(scan, scan.spin_echo, magnitude, mask, progress)
    r2prime, clipped = r2prime_from(fit.r2star_hz, r2, mask)
    said.append(f"R2' = R2* - R2 was negative and set to 0 in {100 * clipped:.1f} % of the mask")
    for name in ("R2primeOrigin", "SeparationR2prime"):
        facts[name] = provenance.R2PRIME_MEASURED
    return Relaxation(fit.r2star_hz, fit.s0, r2, r2prime, fit.noise_sd, facts, (*notes, *said))


def _r2(
    scan: Scan,
    spin_echo: SpinEcho,
    magnitude: torch.Tensor,
    mask: torch.Tensor,
    progress: Progress,
) -> tuple[torch.Tensor, dict[str, Any], list[str]]:
    """Return R2 of the spin echo, laid over the gradient echo, with facts and notes."""
    notes: list[str] = []
    with progress.stage("registering spin echo"):
        fixed = Volume(magnitude[0].cpu().numpy(), scan.geometry, "gradient echo")
        moving = Volume(spin_echo.magnitude[0], spin_echo.geometry, "spin echo")
        found = register_to(moving, fixed)
    if found.applied:
        notes.append(
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
    return fit.r2_hz, {"R2Fit": fit.method}, notes


def _field_maps(scan: Scan, brain: torch.Tensor, field: FieldEstimate) -> Maps:
    """Return what background removal works on."""
    return Maps(
        mask=brain,
        spacing_kji=scan.geometry.spacing_kji,
        b0_kji=scan.geometry.b0_kji,
        b0_tesla=scan.b0_tesla,
        total_field=field.total_field_ppm,
        trust=field.reliability,
    )


def local_maps(
    scan: Scan,
    options: Options,
    magnitude: torch.Tensor,
    field: FieldEstimate,
    background: BackgroundResult,
    rates: Relaxation,
) -> Maps:
    """Return what inversion and separation work on; R2 takes no part."""
    known = rates.within(background.mask)
    known.pop("r2", None)
    return Maps(
        mask=background.mask,
        spacing_kji=scan.geometry.spacing_kji,
        b0_kji=scan.geometry.b0_kji,
        b0_tesla=scan.b0_tesla,
        local_field=background.local_field_in_mask,
        trust=data_weight(magnitude, field.reliability, background.mask),
        s0=rates.s0 * background.mask,
        tr_s=scan.tr_s,
        flip_deg=scan.flip_deg,
        dr_para=relaxivity(options.dr_para, scan.b0_tesla),
        dr_dia=relaxivity(options.dr_dia, scan.b0_tesla),
        **known,
    )


def data_weight(
    magnitude: torch.Tensor, reliability: torch.Tensor, mask: torch.Tensor
) -> torch.Tensor:
    """Return how far the field is trusted: magnitude (up to its median) times reliability."""
    strength = magnitude.square().sum(dim=0).sqrt_()
    return (strength / strength[mask].median()).clamp_(max=1.0) * reliability * mask


def residual_field(maps: Maps, net_ppm: torch.Tensor) -> torch.Tensor:
    """Return the local field that net chi does not explain, mean 0 over the mask."""
    dipole = DipoleOperator(
        tuple(maps.mask.shape), maps.spacing_kji, maps.b0_kji, device=maps.mask.device
    )
    (local_field,) = maps.need("local_field")
    return referenced(local_field - dipole(net_ppm), maps.mask)


def data_checks(
    scan: Scan, done: Prepared, residual_ppm: torch.Tensor, sources: Sources
) -> list[Check]:
    """Check what a reader of the maps would want to know of the data."""
    maps, field, brain = done.maps, done.field, done.brain.mask
    turn_ppm = 1 / (float(np.diff(scan.echo_times_s).min()) * hz_per_ppm(scan.b0_tesla))
    first = torch.from_numpy(scan.magnitude[0]).to(brain.device)
    (r2star,) = maps.need("r2star")
    found = [
        checks.check_phase_sign(field.sign),
        checks.check_snr(first, done.rates.noise_sd, brain),
        checks.check_mask_volume(brain, scan.geometry.voxel_volume_mm3),
        checks.check_mask_kept(maps.mask, brain),
        checks.check_wraps(field.total_field_ppm, maps.mask, turn_ppm),
        checks.check_echo_consistency(field.reliability, brain),
        checks.check_r2star(r2star, maps.mask, scan.b0_tesla),
        checks.check_residual_field(residual_ppm, maps.mask),
        checks.check_field_misfit(sources.facts["FieldMisfit_ppb"]),
    ]
    if maps.r2prime is not None:
        facts = sources.facts
        relaxivities = (
            facts.get("RelaxivityPara_HzPerPpm", maps.dr_para),
            facts.get("RelaxivityDia_HzPerPpm", maps.dr_dia),
        )
        if not facts.get("RelaxivityNote", "").startswith("scaled"):
            found.append(checks.check_r2prime_level(facts["R2primeScale"]))
        found.append(checks.check_feasible(maps.r2prime, sources.net, maps.mask, *relaxivities))
    if sources.separated.unusual is not None:
        found.append(checks.check_usual(sources.separated.unusual_share))
    return found
