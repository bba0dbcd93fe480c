"""Run the chosen methods on maps: inversion, then separation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from QSMSeparationLib import catalogue
from QSMSeparationLib.data.maps import Maps
from QSMSeparationLib.data.method import Method
from QSMSeparationLib.physics.two_sources import infeasible, referenced
from QSMSeparationLib.pipeline.options import Options
from QSMSeparationLib.pipeline.provenance import (
    R2PRIME_ESTIMATED,
    REFERENCE_ABSOLUTE,
    REFERENCE_MEAN,
    facts_of_method,
    merged,
    weight_hashes,
)
from QSMSeparationLib.runtime.context import Context
from QSMSeparationLib.runtime.errors import InputError
from QSMSeparationLib.runtime.memory import least_memory
from QSMSeparationLib.runtime.progress import Progress

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
    chi_para, chi_dia, net : Tensor
        chi+ >= 0, chi- <= 0 and net chi.
    net_inversion : Tensor or None
        Net chi of the inversion, where the separation gives its own.
    facts : dict
        For the provenance.
    notes : tuple of str
        For the user.
    """

    chi_para: torch.Tensor
    chi_dia: torch.Tensor
    net: torch.Tensor
    net_inversion: torch.Tensor | None
    facts: dict[str, Any]
    notes: tuple[str, ...]


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
    facts = facts_of_method(method, parameters) | {"Reference": REFERENCE_MEAN} | hashes
    return Inverted(referenced(net, maps.mask), facts, tuple(notes))


def separate_maps(maps: Maps, options: Options, progress: Progress) -> Sources:
    """Run inversion (unless net chi is there) and separation."""
    method = _chosen_separation(maps, options)
    inverted = _net_chi(maps, method, options, progress)
    maps = replace(maps, net=inverted.net)
    parameters = options.parameters_for(method)
    notes: list[str] = []
    with least_memory(), progress.stage(f"separation: {method.name}") as report:
        context = Context(report, notes.append, weights=_user_weights(method, options.weights))
        hashes = weight_hashes(method, context)
        chi_para, chi_dia = method.run(maps, context, **parameters)
    facts = merged(inverted.facts, facts_of_method(method, parameters), hashes)
    if method.estimates_r2prime:
        facts["SeparationR2prime"] = R2PRIME_ESTIMATED
        notes.append(f"{method.name}: R2' is estimated from R2*, not measured")
    if method.refits_net:
        facts["Reference"] = REFERENCE_ABSOLUTE
    if maps.r2prime is not None:
        share = float(infeasible(maps).sum() / maps.mask.sum())
        facts["InfeasibleShare"] = round(share, 4)
        notes.append(
            f"{100 * share:.1f} % of the mask has R2' below what its net susceptibility alone causes"
        )
    return Sources(
        chi_para,
        chi_dia,
        chi_para + chi_dia if method.refits_net else inverted.net,
        inverted.net if method.refits_net else None,
        facts,
        (*inverted.notes, *notes),
    )


def _chosen_separation(maps: Maps, options: Options) -> Method:
    """Return the separation that the user chose, or the one that fits the maps."""
    available = _available(maps)
    name = options.method or catalogue.default_separation(available, maps.b0_tesla)
    method = catalogue.find(name, "separation")
    missing = [need for need in method.needs if need not in available]
    if missing:
        hint = _OPTIONS.get(missing[0], f"--{missing[0]}")
        raise InputError(
            f"{method.name} needs {', '.join(missing)}; give {hint}, or choose another method"
        )
    return method


def _available(maps: Maps) -> frozenset[str]:
    """Return the maps that there are, and net chi where an inversion can make it."""
    names = ("local_field", "net", "r2prime", "r2star")
    there = {name for name in names if getattr(maps, name) is not None}
    return frozenset(there | ({"net"} if "local_field" in there else set()))


def _net_chi(maps: Maps, separation: Method, options: Options, progress: Progress) -> Inverted:
    """Return net chi as it was given, about its mean, or that of the chosen inversion."""
    if maps.net is not None:
        options.refuse_unknown(separation)
        return Inverted(
            referenced(maps.net, maps.mask), {"Inversion": "none (net chi was given)"}
        )
    inversion = catalogue.find(options.inversion, "inversion")
    options.refuse_unknown(separation, inversion)
    return invert_maps(maps, options, progress)


def _user_weights(method: Method, weights: Path | None) -> dict[str, Path]:
    """Return the user's weights for the network that separates."""
    if weights is None:
        return {}
    if not method.networks:
        raise InputError(f"{method.name} has no weights; leave --weights out")
    return {method.networks[0]: weights}
