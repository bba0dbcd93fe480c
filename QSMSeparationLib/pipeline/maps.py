"""The one place where stages are wired: maps or a scan in, a Result out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from QSMSeparationLib import __version__, catalogue
from QSMSeparationLib.data.maps import Maps
from QSMSeparationLib.data.result import Result
from QSMSeparationLib.data.scan import Scan
from QSMSeparationLib.data.volume import Geometry, Volume
from QSMSeparationLib.physics.constants import relaxivity
from QSMSeparationLib.physics.two_sources import infeasible, referenced
from QSMSeparationLib.pipeline.checked_inputs import checked_map, checked_mask
from QSMSeparationLib.pipeline.options import Options
from QSMSeparationLib.pipeline.reconstruct import (
    data_checks,
    data_weight,
    find_brain,
    relaxation,
    residual_field,
    total_field,
)
from QSMSeparationLib.preprocess.background import remove_background
from QSMSeparationLib.runtime.device import choose_device, describe_device
from QSMSeparationLib.runtime.errors import InputError
from QSMSeparationLib.runtime.memory import least_memory
from QSMSeparationLib.runtime.progress import Progress

_LEAST_VOXELS = 8


def invert(
    field_map: Volume,
    mask: Volume,
    options: Options,
    progress: Progress,
    r2star: Volume | None = None,
) -> Result:
    """Local field to net chi.

    Parameters
    ----------
    field_map : Volume
        Local field in ppm.
    mask : Volume
        Brain mask on the same grid.
    options : Options
        ``inversion`` and its parameters.
    progress : Progress
        Receives the stages.
    r2star : Volume, optional
        R2* in Hz, whose borders ``tv`` does not smooth.
    """
    method = catalogue.find(options.inversion, "inversion")
    [settings] = options.settings(method)
    inside = checked_mask(mask)
    field_ppm = checked_map(field_map, "field", mask)
    r2star_hz = None if r2star is None else checked_map(r2star, "r2star", mask, options.b0_tesla)
    maps = _maps(mask.geometry, inside, options, local_field=field_ppm, r2star=r2star_hz)
    result = Result(mask.geometry, inside, facts=_facts(maps, options))
    result.maps["net"] = _invert(maps, method, settings, result, progress).cpu().numpy()
    result.facts |= _inversion_facts(method, settings)
    return _with_seconds(result, progress)


def separate(
    given: dict[str, Volume], mask: Volume, options: Options, progress: Progress
) -> Result:
    """Maps made elsewhere to chi+ and chi-.

    Parameters
    ----------
    given : dict of str to Volume
        ``field`` (ppm) and ``r2prime`` or ``r2star`` (Hz); optionally ``qsm`` (ppm), which
        replaces the inversion, and ``r2`` (Hz), from which R2' = R2* - R2 is made.
    mask : Volume
        Brain mask on the same grid.
    options : Options
        What the user chose.
    progress : Progress
        Receives the stages.
    """
    inside = checked_mask(mask)
    arrays = {name: checked_map(v, name, mask, options.b0_tesla) for name, v in given.items()}
    notes: list[str] = []
    if "r2prime" not in arrays and {"r2star", "r2"} <= set(arrays):
        difference = arrays["r2star"] - arrays["r2"]
        clipped = float((difference[inside] < 0).mean())
        notes.append(f"R2' = R2* - R2, negative and set to 0 in {100 * clipped:.1f} % of the mask")
        arrays["r2prime"] = difference.clip(min=0)
    maps = _maps(
        mask.geometry,
        inside,
        options,
        local_field=arrays.get("field"),
        net=arrays.get("qsm"),
        r2prime=arrays.get("r2prime"),
        r2star=arrays.get("r2star"),
    )
    result = Result(mask.geometry, inside, facts=_facts(maps, options), notes=notes)
    for name in ("r2star", "r2", "r2prime"):
        if name in arrays:
            result.maps[name] = arrays[name]
    if "field" in arrays:
        result.maps["local_field"] = arrays["field"]
    separate_maps(maps, options, result, progress)
    return _with_seconds(result, progress)


def reconstruct(scan: Scan, options: Options, progress: Progress) -> Result:
    """Raw scan to chi+ and chi-: mask, field, background, R2*, R2, inversion, separation.

    Parameters
    ----------
    scan : Scan
        The echoes; ``mask`` and ``spin_echo`` are used where it has them.
    options : Options
        What the user chose; the field strength is that of the scan.
    progress : Progress
        Receives the stages.
    """
    options = replace(options, b0_tesla=scan.b0_tesla)
    require_reconstructable(scan)
    device = choose_device(options.device)
    magnitude = torch.from_numpy(scan.magnitude).to(device)
    result = Result(
        scan.geometry, np.zeros(scan.geometry.shape, dtype=bool), notes=list(scan.notes)
    )
    mask = find_brain(scan, magnitude, progress)
    estimate = total_field(scan, magnitude, mask, progress)
    result.notes += estimate.notes
    rates, noise_sd = relaxation(scan, magnitude, mask, estimate, result, progress)
    with progress.stage("background field") as report:
        background = remove_background(
            estimate.total_field_ppm,
            mask,
            scan.geometry.spacing_kji,
            scan.geometry.b0_kji,
            weight=estimate.reliability,
            rates_hz=[rates[name] for name in ("r2star_hz", "r2prime_hz") if name in rates],
            report=report,
        )
    result.notes += background.notes
    inside = background.mask
    result.mask = inside.cpu().numpy()
    rates = {name: rate * inside for name, rate in rates.items()}
    maps = Maps(
        mask=inside,
        spacing_kji=scan.geometry.spacing_kji,
        b0_kji=scan.geometry.b0_kji,
        b0_tesla=scan.b0_tesla,
        local_field=background.inner_field_ppm,
        trust=data_weight(magnitude, estimate.reliability, inside),
        dr_para=relaxivity(options.dr_para, scan.b0_tesla),
        dr_dia=relaxivity(options.dr_dia, scan.b0_tesla),
        r2star=rates["r2star_hz"],
        r2prime=rates.get("r2prime_hz"),
    )
    result.facts |= _facts(maps, options) | {"EchoTimes_s": list(scan.echo_times_s)}
    result.maps["local_field"] = background.local_field_ppm.cpu().numpy()
    for name, rate in rates.items():
        result.maps[name.removesuffix("_hz")] = rate.cpu().numpy()
    result.intermediate["local_field_in_mask"] = background.inner_field_ppm.cpu().numpy()
    result.intermediate["total_field"] = estimate.total_field_ppm.cpu().numpy()
    result.intermediate["trust"] = estimate.reliability.cpu().numpy()
    separate_maps(maps, options, result, progress)
    with progress.stage("data checks"):
        residual = residual_field(maps, torch.from_numpy(result.maps["net"]).to(device))
        result.maps["residual"] = residual.cpu().numpy()
        result.checks = data_checks(scan, maps, estimate, mask, residual, noise_sd, result)
    return _with_seconds(result, progress)


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


def separate_maps(maps: Maps, options: Options, result: Result, progress: Progress) -> None:
    """Run inversion (unless net chi is given) and separation; the maps go into ``result``."""
    has_r2prime = maps.r2prime is not None
    name = options.method or catalogue.default_separation(_present(maps), maps.b0_tesla)
    method = catalogue.find(name, "separation")
    inversion = catalogue.find(options.inversion, "inversion")
    invert_first = maps.net is None
    chosen = (inversion, method) if invert_first else (method,)
    *before, settings = options.settings(*chosen)
    _require(maps, method, invert_first)
    if invert_first:
        qsm = _invert(maps, inversion, before[0], result, progress)
        result.facts |= _inversion_facts(inversion, before[0])
    else:
        qsm = referenced(maps.net, maps.mask)
        result.facts["Inversion"] = "none (net chi was given)"
    maps = replace(maps, net=qsm)
    extra = _network_arguments(method, options.weights, result)
    with least_memory(), progress.stage(f"separation: {method.name}") as report:
        chi_para, chi_dia = method.load()(maps, report=report, **settings, **extra)
    result.facts |= {"Separation": method.name, "SeparationParameters": settings}
    result.facts["SeparationCitation"] = method.citation
    if method.estimates_r2prime:
        result.facts["R2primeOrigin"] = "estimated from R2* (not measured)"
        result.notes.append(f"{method.name}: R2' is estimated from R2*, not measured")
    if method.refits_net:
        result.intermediate["net_inversion"] = qsm.cpu().numpy()
        qsm = chi_para + chi_dia
        result.facts["Reference"] = "chi+ + chi- of the separation, absolute"
    result.maps["chi_para"] = chi_para.cpu().numpy()
    result.maps["chi_dia"] = chi_dia.cpu().numpy()
    result.maps["net"] = qsm.cpu().numpy()
    if has_r2prime:
        share = float(infeasible(maps).sum() / maps.mask.sum())
        result.facts["InfeasibleShare"] = round(share, 4)
        result.notes.append(
            f"{100 * share:.1f} % of the mask has R2' below what its net susceptibility alone causes"
        )


def _present(maps: Maps) -> frozenset[str]:
    """Return which inputs of methods there are, by the names of the catalogue."""
    present = {
        "field": maps.local_field is not None,
        "qsm": maps.net is not None or maps.local_field is not None,
        "r2prime": maps.r2prime is not None,
        "r2star": maps.r2star is not None,
        "magnitude": maps.trust is not None,
    }
    return frozenset(name for name, there in present.items() if there)


def _require(maps: Maps, method: catalogue.Method, invert_first: bool) -> None:
    """Refuse a method whose inputs are missing, naming them."""
    present = _present(maps)
    needs = [*method.needs, "field"] if invert_first else method.needs
    missing = [name for name in needs if name not in present]
    if missing:
        hint = {"r2prime": "--r2prime, or --r2star with --r2", "field": "--field"}
        raise InputError(
            f"{method.name} needs {', '.join(dict.fromkeys(missing))}; "
            f"give {hint.get(missing[0], '--' + missing[0])}, or choose another method"
        )


def _invert(
    maps: Maps,
    method: catalogue.Method,
    settings: dict[str, float],
    result: Result,
    progress: Progress,
) -> torch.Tensor:
    """Run an inversion and reference its map to the mean of the mask."""
    maps.need("local_field")
    with progress.stage(f"inversion: {method.name}") as report:
        extra = _network_arguments(method, None, result)
        qsm = method.load()(maps, report=report, **settings, **extra)
    return referenced(qsm, maps.mask)


def _network_arguments(
    method: catalogue.Method, weights: Path | None, result: Result
) -> dict[str, Any]:
    """Return what only networks take: weights of the user, and where their notes go."""
    if not method.weights:
        if weights is not None:
            raise InputError(f"{method.name} has no weights; leave --weights out")
        return {}
    from QSMSeparationLib.networks.weights import load_weights

    loaded = load_weights(method.weights, weights)
    result.facts.setdefault("WeightsSha256", {})[method.weights] = loaded.sha256
    return {"weights": weights, "note": result.notes.append}


def _maps(
    geometry: Geometry,
    inside: NDArray[np.bool_],
    options: Options,
    **arrays: NDArray[np.float32] | None,
) -> Maps:
    """Put arrays on the device as Maps."""
    device = choose_device(options.device)
    tensors = {
        name: torch.from_numpy(np.ascontiguousarray(array)).to(device)
        for name, array in arrays.items()
        if array is not None
    }
    return Maps(
        mask=torch.from_numpy(inside).to(device),
        spacing_kji=geometry.spacing_kji,
        b0_kji=geometry.b0_kji,
        b0_tesla=options.b0_tesla,
        dr_para=relaxivity(options.dr_para, options.b0_tesla),
        dr_dia=relaxivity(options.dr_dia, options.b0_tesla),
        **tensors,
    )


def _facts(maps: Maps, options: Options) -> dict[str, Any]:
    """What every sidecar says."""
    return {
        "Software": "QSMSeparation",
        "SoftwareVersion": __version__,
        "Device": describe_device(maps.mask.device),
        "MagneticFieldStrength": options.b0_tesla,
        "RelaxivityPara_HzPerPpm": round(maps.dr_para, 4),
        "RelaxivityDia_HzPerPpm": round(maps.dr_dia, 4),
        "RelaxivityNote": (
            f"{options.dr_para:g} (chi+) and {options.dr_dia:g} (chi-) Hz/ppm at 3 T, "
            f"scaled linearly to {options.b0_tesla:g} T"
        ),
        "B0DirectionKJI": [round(v, 6) for v in maps.b0_kji],
    }


def _inversion_facts(method: catalogue.Method, settings: dict[str, float]) -> dict[str, Any]:
    return {
        "Inversion": method.name,
        "InversionParameters": settings,
        "InversionCitation": method.citation,
        "Reference": "mean over the brain mask",
    }


def _with_seconds(result: Result, progress: Progress) -> Result:
    result.facts["SecondsPerStage"] = dict(progress.seconds)
    return result
