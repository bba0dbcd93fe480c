"""The one place where stages are wired: maps or a scan in, a Result out."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from QSMSeparationLib import __version__, catalogue
from QSMSeparationLib.device import choose_device, describe_device
from QSMSeparationLib.errors import InputError
from QSMSeparationLib.inputs import checked_map, checked_mask
from QSMSeparationLib.maps import Maps
from QSMSeparationLib.physics.constants import DR_HZ_PER_PPM, relaxivity
from QSMSeparationLib.progress import Progress
from QSMSeparationLib.result import Result
from QSMSeparationLib.separation.closed_form import infeasible
from QSMSeparationLib.volume import Volume


@dataclass(frozen=True)
class Options:
    """What the user chose.

    Parameters
    ----------
    method : str
        Separation method; empty for ``closed-form`` where R2' is known and ``r2star-qsm``
        where it is not.
    inversion : str
        Inversion method.
    dr_para, dr_dia : float
        Relaxivities of R2' in Hz/ppm at 3 T; scaled linearly to the field of the scan.
    b0_tesla : float
        Field strength of maps that do not carry it.
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``mps``.
    parameters : dict of str to float
        Parameters of the methods by name.
    """

    method: str = ""
    inversion: str = catalogue.DEFAULT_INVERSION
    dr_para: float = DR_HZ_PER_PPM
    dr_dia: float = DR_HZ_PER_PPM
    b0_tesla: float = 3.0
    device: str = "auto"
    parameters: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("dr_para", "dr_dia"):
            if not 1.0 <= getattr(self, name) <= 2000.0:
                raise InputError(
                    f"--{name.replace('_', '-')} {getattr(self, name):g} is outside 1 to 2000 Hz/ppm"
                )
        if not 0.1 <= self.b0_tesla <= 25:
            raise InputError(f"--b0 {self.b0_tesla:g} is outside 0.1 to 25 T")

    def settings(self, *chosen: catalogue.Method) -> list[dict[str, float]]:
        """Return the parameters of each method; refuse a name that none of them has."""
        known = {p.name for method in chosen for p in method.parameters}
        unknown = set(self.parameters) - known
        if unknown:
            raise InputError(
                f"no chosen method has a parameter '{min(unknown)}'; there are: "
                f"{', '.join(sorted(known)) or 'none'}"
            )
        return [
            method.settings(
                {
                    p.name: self.parameters[p.name]
                    for p in method.parameters
                    if p.name in self.parameters
                }
            )
            for method in chosen
        ]


def invert(field_map: Volume, mask: Volume, options: Options, progress: Progress) -> Result:
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
    """
    method = catalogue.find(options.inversion, "inversion")
    [settings] = options.settings(method)
    maps = _maps(mask, options, field_ppm=checked_map(field_map, "field", mask))
    result = Result(mask.geometry, checked_mask(mask), facts=_facts(maps, options))
    result.maps["net"] = _invert(maps, method, settings, progress).cpu().numpy()
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
        mask,
        options,
        field_ppm=arrays.get("field"),
        qsm_ppm=arrays.get("qsm"),
        r2prime_hz=arrays.get("r2prime"),
        r2star_hz=arrays.get("r2star"),
    )
    result = Result(mask.geometry, inside, facts=_facts(maps, options), notes=notes)
    for name in ("r2star", "r2", "r2prime"):
        if name in arrays:
            result.maps[name] = arrays[name]
    if "field" in arrays:
        result.maps["local_field"] = arrays["field"]
    separate_maps(maps, options, result, progress)
    return _with_seconds(result, progress)


def separate_maps(maps: Maps, options: Options, result: Result, progress: Progress) -> None:
    """Run inversion (unless net chi is given) and separation; the maps go into ``result``."""
    has_r2prime = maps.r2prime_hz is not None
    name = options.method or ("closed-form" if has_r2prime else "r2star-qsm")
    method = catalogue.find(name, "separation")
    inversion = catalogue.find(options.inversion, "inversion")
    invert_first = maps.qsm_ppm is None
    chosen = (inversion, method) if invert_first else (method,)
    *before, settings = options.settings(*chosen)
    _require(maps, method, invert_first)
    if invert_first:
        qsm = _invert(maps, inversion, before[0], progress)
        result.facts |= _inversion_facts(inversion, before[0])
    else:
        qsm = _referenced(maps.qsm_ppm, maps.mask)
        result.facts["Inversion"] = "none (net chi was given)"
    maps = replace(maps, qsm_ppm=qsm)
    with progress.stage(f"separation: {method.name}") as report:
        chi_para, chi_dia = method.load()(maps, report=report, **settings)
    result.facts |= {"Separation": method.name, "SeparationParameters": settings}
    result.facts["SeparationCitation"] = method.citation
    result.maps["chi_para"] = chi_para.cpu().numpy()
    result.maps["chi_dia"] = chi_dia.cpu().numpy()
    result.maps["net"] = qsm.cpu().numpy()
    if has_r2prime:
        share = float(infeasible(maps).sum() / maps.mask.sum())
        result.facts["InfeasibleShare"] = round(share, 4)
        result.notes.append(
            f"{100 * share:.1f} % of the mask has R2' below what its net susceptibility alone causes"
        )


def _require(maps: Maps, method: catalogue.Method, invert_first: bool) -> None:
    """Refuse a method whose inputs are missing, naming them."""
    present = {
        "field": maps.field_ppm is not None,
        "qsm": maps.qsm_ppm is not None or maps.field_ppm is not None,
        "r2prime": maps.r2prime_hz is not None,
        "r2star": maps.r2star_hz is not None,
        "magnitude": maps.weight is not None,
    }
    needs = [*method.needs, "field"] if invert_first else method.needs
    missing = [name for name in needs if not present[name]]
    if missing:
        hint = {"r2prime": "--r2prime, or --r2star with --r2", "field": "--field"}
        raise InputError(
            f"{method.name} needs {', '.join(dict.fromkeys(missing))}; "
            f"give {hint.get(missing[0], '--' + missing[0])}, or choose another method"
        )


def _invert(
    maps: Maps, method: catalogue.Method, settings: dict[str, float], progress: Progress
) -> torch.Tensor:
    """Run an inversion and reference its map to the mean of the mask."""
    maps.need("field_ppm")
    with progress.stage(f"inversion: {method.name}") as report:
        qsm = method.load()(maps, report=report, **settings)
    return _referenced(qsm, maps.mask)


def _referenced(qsm_ppm: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Subtract the mean over the mask, the reference of net chi."""
    return (qsm_ppm - qsm_ppm[mask].mean()) * mask


def _maps(mask: Volume, options: Options, **arrays: NDArray[np.float32] | None) -> Maps:
    """Put arrays on the device as Maps."""
    device = choose_device(options.device)
    tensors = {
        name: torch.from_numpy(np.ascontiguousarray(array)).to(device)
        for name, array in arrays.items()
        if array is not None
    }
    return Maps(
        mask=torch.from_numpy(checked_mask(mask)).to(device),
        spacing_kji=mask.geometry.spacing_kji,
        b0_kji=mask.geometry.b0_kji,
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
