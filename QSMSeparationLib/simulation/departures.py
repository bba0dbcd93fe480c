"""Heads in which chi and relaxation do not go together as they do in people.

Methods that learn, or that hold a prior, are right where their world is. These heads are not of it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace

import numpy as np

from QSMSeparationLib.simulation.anatomy import Head, Lesion
from QSMSeparationLib.simulation.relaxation import Relaxivities
from QSMSeparationLib.simulation.tissues import R2_FREE_HZ

Departure = Callable[[Head], Head]

LEAST_FREE_R2_HZ = 2.0
"""R2 is never below that of much freer water than a lesion's."""
_FREE_R2_OF_NOTHING_HZ = (-2.0, 3.5)
"""Mean and SD of R2 beside iron and myelin, over that of healthy tissue, where it follows nothing."""


def as_drawn(head: Head) -> Head:
    """Return the head as it is."""
    return head


def shuffled(head: Head) -> Head:
    """Let chi+ and chi- of tissues change places, by a coin for each; their rates stay."""
    rng = np.random.default_rng([head.seed, 555])
    return swapped(head, {name for name in brain_tissues(head) if rng.random() < 0.5})


def swapped(head: Head, names: Collection[str]) -> Head:
    """Let chi+ and chi- of some tissues change places: R2' stays, and R2 to a few per cent."""
    tissues = {
        name: replace(t, chi_para_ppb=-t.chi_dia_ppb, chi_dia_ppb=-t.chi_para_ppb)
        if name in names
        else t
        for name, t in head.tissues.items()
    }
    return replace(head, tissues=tissues)


def with_other_rates(head: Head) -> Head:
    """Give each tissue R2 and R2' of another one; chi stays."""
    rng = np.random.default_rng([head.seed, 555])
    names = brain_tissues(head)
    tissues, factors = dict(head.tissues), dict(head.relaxivities.tissues)
    for name, other in zip(names, rng.permutation(names), strict=True):
        own, its = head.tissues[name], head.tissues[other]
        tissues[name] = replace(own, d_hz=own.d_hz + its.r2_hz - own.r2_hz)
        ratio = (its.chi_para_ppb - its.chi_dia_ppb) / (own.chi_para_ppb - own.chi_dia_ppb)
        factors[name] = ratio * head.relaxivities.tissues.get(other, 1.0)
    relaxivities = Relaxivities(head.relaxivities.scale, factors, head.relaxivities.lesions)
    return replace(head, tissues=tissues, relaxivities=relaxivities)


def with_r2_of_nothing(head: Head) -> Head:
    """Draw R2 of tissues and lesions beside iron and myelin without any regard to what they are."""
    rng = np.random.default_rng([head.seed, 557])
    mean, sd = _FREE_R2_OF_NOTHING_HZ
    tissues = {
        name: replace(tissue, d_hz=float(rng.normal(mean, sd))) if tissue.parenchyma else tissue
        for name, tissue in head.tissues.items()
    }

    def lesion(one: Lesion) -> Lesion:
        return _with_free_r2(one, *(R2_FREE_HZ + rng.normal(mean, sd, 2)))

    return replace(head, tissues=tissues, lesions=tuple(lesion(one) for one in head.lesions))


def lesions_losing(share: float) -> Departure:
    """Return what lets lesions lose this share of the R2 that they lose in people.

    It is the R2 beside what iron and myelin explain: myelin that is lost takes its own along.
    """

    def change(head: Head) -> Head:
        def lesion(one: Lesion) -> Lesion:
            core, rim = (
                R2_FREE_HZ + share * (free - R2_FREE_HZ)
                for free in (one.state.free_r2_hz, one.state.rim_free_r2_hz)
            )
            return _with_free_r2(one, core, rim)

        return replace(head, lesions=tuple(lesion(one) for one in head.lesions))

    return change


def brain_tissues(head: Head) -> list[str]:
    """Return the tissues whose R2 follows from their state."""
    return [name for name, tissue in head.tissues.items() if tissue.parenchyma]


def _with_free_r2(lesion: Lesion, core_hz: float, rim_hz: float) -> Lesion:
    core, rim = (max(float(hz), LEAST_FREE_R2_HZ) for hz in (core_hz, rim_hz))
    return replace(lesion, state=replace(lesion.state, free_r2_hz=core, rim_free_r2_hz=rim))
