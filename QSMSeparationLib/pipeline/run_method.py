"""Run the chosen methods on maps: inversion, then separation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from QSMSeparationLib import catalogue
from QSMSeparationLib.data.maps import Maps
from QSMSeparationLib.data.method import Method
from QSMSeparationLib.data.separated import Separated
from QSMSeparationLib.physics.feasible import infeasible
from QSMSeparationLib.physics.r2prime_level import r2prime_scale
from QSMSeparationLib.physics.two_sources import referenced
from QSMSeparationLib.pipeline.options import Options
from QSMSeparationLib.pipeline.provenance import (
    R2PRIME_ESTIMATED,
    REFERENCE_ABSOLUTE,
    REFERENCE_MEAN,
    facts_of_errors,
    facts_of_method,
    facts_of_scale,
    facts_of_te0,
    merged,
    weight_hashes,
)
from QSMSeparationLib.runtime.context import Context
from QSMSeparationLib.runtime.errors import InputError
from QSMSeparationLib.runtime.memory import least_memory
from QSMSeparationLib.runtime.progress import Progress
from QSMSeparationLib.solvers.misfit import field_misfit_ppm

_OPTIONS = {"r2prime": "--r2prime, or --r2star with --r2", "local_field": "--field", "net": "--qsm"}
"""How to give a map that a method lacks, where that is not ``--name``."""


@dataclass(frozen=True, eq=False)
class Inverted:
    """Net chi of an inversion, mean 0 over the mask, with facts and notes."""

    net: torch.Tensor
    facts: dict[str, Any]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Sources:
    """What a separation gives, in ppm.

    Parameters
    ----------
    separated : Separated
        Both sources, and their SDs and R2' where the method estimates them.
    net : Tensor
        Net chi.
    net_inversion : Tensor or None
        Net chi of the inversion, where the separation gives its own.
    facts : dict
        For the provenance.
    notes : tuple of str
        For the user.
    """

    separated: Separated
    net: torch.Tensor
    net_inversion: torch.Tensor | None
    facts: dict[str, Any]
    notes: tuple[str, ...]

    def maps(self) -> dict[str, NDArray[np.float32]]:
        """Return the maps of a result, by name."""
        tensors = self.separated.maps() | {"net": self.net}
        return {name: tensor.cpu().numpy() for name, tensor in tensors.items()}

    def intermediate(self) -> dict[str, NDArray[np.float32]]:
        """Return the maps that are written only when asked for, by name."""
        if self.net_inversion is None:
            return {}
        return {"net_inversion": self.net_inversion.cpu().numpy()}


def invert_maps(maps: Maps, options: Options, progress: Progress) -> Inverted:
    """Run the chosen inversion and reference its map to the mean of the mask."""
    method = catalogue.find(options.inversion, "inversion")
    parameters = options.parameters_for(method)
    maps.need(*method.needs)
    notes: list[str] = []
    with progress.stage(f"inversion: {method.name}") as report:
        context = Context(report, notes.append)
        hashes = weight_hashes(method, context)
        net = method.run(maps, context, **parameters)
    misfit_ppb = 1e3 * field_misfit_ppm(maps)
    facts = facts_of_method(method, parameters) | {
        "Reference": REFERENCE_MEAN,
        "FieldMisfit_ppb": round(misfit_ppb, 3),
        **hashes,
    }
    return Inverted(referenced(net, maps.mask), facts, tuple(notes))


def separate_maps(maps: Maps, options: Options, progress: Progress) -> Sources:
    """Run inversion (unless net chi is there) and separation."""
    invert = maps.net is None
    chosen = choose_methods(_available(maps), options, invert)
    options.refuse_unknown(*chosen)
    method = chosen[-1]
    inverted = invert_maps(maps, options, progress) if invert else _given_net(maps)
    maps = replace(maps, net=inverted.net)
    scale = None if maps.r2prime is None else _scale(maps)
    if options.dr_auto and scale is not None:
        maps = replace(maps, dr_para=scale * maps.dr_para, dr_dia=scale * maps.dr_dia)
    parameters = options.parameters_for(method)
    notes: list[str] = []
    with least_memory(), progress.stage(f"separation: {method.name}") as report:
        context = Context(report, notes.append, weights=_user_weights(method, options.weights))
        hashes = weight_hashes(method, context)
        separated = Separated.of(method.run(maps, context, **parameters))
    separated = _kept(separated.calibrated(method.calibration), maps, method)
    if options.dr_band_percent:
        with least_memory(), progress.stage("band of relaxivities") as report:
            context = Context(report, weights=_user_weights(method, options.weights))
            separated = _within_band(separated, maps, method, options, context)
    about, said = _about_r2prime(maps, separated, method)
    if options.dr_auto:
        said.append(_about_scaling(scale))
    facts = merged(
        inverted.facts,
        facts_of_method(method, parameters),
        hashes,
        facts_of_te0(maps, method),
        facts_of_errors(separated, method, options),
        facts_of_scale(scale, maps, options),
        about,
    )
    if method.refits_net:
        facts["Reference"] = REFERENCE_ABSOLUTE
    return Sources(
        separated,
        separated.chi_para + separated.chi_dia if method.refits_net else inverted.net,
        inverted.net if method.refits_net else None,
        facts,
        (*inverted.notes, *notes, *said),
    )


def _scale(maps: Maps) -> float:
    """Return R2' over what usual tissue has with the usual relaxivity."""
    net, r2prime = maps.need("net", "r2prime")
    return r2prime_scale(r2prime.float(), net, maps.mask, maps.b0_tesla)


def _about_scaling(scale: float | None) -> str:
    """Return a note on what ``--dr-auto`` did."""
    if scale is None:
        return "no measured R2', whose level relaxivities could be scaled by"
    return f"both relaxivities were scaled by {scale:.2f}, the level of R2' in this scan"


def _within_band(
    separated: Separated, maps: Maps, method: Method, options: Options, context: Context
) -> Separated:
    """Return sources whose SDs hold what wrong relaxivities do, both wrong alike."""
    if not separated.has_sd:
        raise InputError(
            f"{method.name} tells no SDs to which --dr-band could add; leave it out, or choose a "
            "method that tells them, such as closed-form or r2star-joint"
        )
    band = 0.01 * options.dr_band_percent
    ends = [
        Separated.of(method.run(scaled, context, **options.parameters_for(method)))
        for factor in (1 - band, 1 + band)
        if (scaled := replace(maps, dr_para=factor * maps.dr_para, dr_dia=factor * maps.dr_dia))
    ]
    return separated.with_ends(*ends)


def _kept(separated: Separated, maps: Maps, method: Method) -> Separated:
    """Return what a separation gave without an estimate of R2' beside a measured one."""
    if maps.r2prime is None or not method.estimates_r2prime:
        return separated
    return replace(separated, r2prime=None, r2prime_sd=None)


def _about_r2prime(
    maps: Maps, separated: Separated, method: Method
) -> tuple[dict[str, Any], list[str]]:
    """Return facts and notes on where R2' came from and how it fits net chi."""
    facts: dict[str, Any] = {}
    notes: list[str] = []
    if method.estimates_r2prime:
        facts["SeparationR2prime"] = R2PRIME_ESTIMATED
        notes.append(f"{method.name}: R2' is estimated from R2*, not measured")
    if separated.r2prime is not None:
        facts["R2primeOrigin"] = R2PRIME_ESTIMATED
    if maps.r2prime is not None:
        (net,) = maps.need("net")
        short = infeasible(net, maps.r2prime, maps.dr_para, maps.dr_dia) & maps.mask
        share = float(short.sum() / maps.mask.sum())
        facts["InfeasibleShare"] = round(share, 4)
        notes.append(
            f"{100 * share:.1f} % of the mask has R2' below what its net susceptibility alone causes"
        )
    return facts, notes


def choose_methods(available: frozenset[str], options: Options, invert: bool) -> tuple[Method, ...]:
    """Return the inversion, if there is to be one, and the separation.

    Parameters
    ----------
    available : frozenset of str
        Maps that there are, net chi among them where an inversion can make it.
    options : Options
        Names of the methods; no separation named: the one that fits the maps.
    invert : bool
        Whether net chi is to be made.

    Raises
    ------
    InputError
        When a method is not there, lacks a map, or was not made for the field strength.
    """
    name = options.method or catalogue.default_separation(available, options.b0_tesla)
    method = catalogue.find(name, "separation")
    missing = [need for need in method.needs if need not in available]
    if missing:
        hint = _OPTIONS.get(missing[0], f"--{missing[0]}")
        raise InputError(
            f"{method.name} needs {', '.join(missing)}; give {hint}, or choose another method"
        )
    if not method.usable_at(options.b0_tesla):
        other = catalogue.default_separation(available, options.b0_tesla)
        raise InputError(f"{method.name} can't be used at {options.b0_tesla:g} T; choose {other}")
    if not invert:
        return (method,)
    return catalogue.find(options.inversion, "inversion"), method


def _available(maps: Maps) -> frozenset[str]:
    """Return the maps that there are, and net chi where an inversion can make it."""
    names = ("local_field", "net", "r2prime", "r2star")
    there = {name for name in names if getattr(maps, name) is not None}
    return frozenset(there | ({"net"} if "local_field" in there else set()))


def _given_net(maps: Maps) -> Inverted:
    """Return net chi as it was given, about its mean over the mask."""
    (net,) = maps.need("net")
    facts = {"Inversion": "none (net chi was given)", "Reference": REFERENCE_MEAN}
    return Inverted(referenced(net, maps.mask), facts)


def _user_weights(method: Method, weights: Path | None) -> dict[str, Path]:
    """Return the user's weights for the network that separates."""
    if weights is None:
        return {}
    if not method.networks:
        raise InputError(f"{method.name} has no weights; leave --weights out")
    return {method.networks[0]: weights}
