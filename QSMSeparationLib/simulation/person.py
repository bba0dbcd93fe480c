"""One person with MS: anatomy, tissue values and lesions from a seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from QSMSeparationLib.data.volume import Volume
from QSMSeparationLib.runtime.progress import Report, silent
from QSMSeparationLib.simulation.anatomy import Head
from QSMSeparationLib.simulation.drawn_head.anatomy import procedural_anatomy
from QSMSeparationLib.simulation.label_map.anatomy import anatomy_from_labels
from QSMSeparationLib.simulation.label_map.vessels import small_veins
from QSMSeparationLib.simulation.lesions import draw_lesions
from QSMSeparationLib.simulation.realism import Realism
from QSMSeparationLib.simulation.relaxation import (
    Relaxivities,
    draw_relaxivities,
    with_relaxation,
)
from QSMSeparationLib.simulation.texture import draw_contrast, with_contrast
from QSMSeparationLib.simulation.tissues import draw_tissues


def draw_head(
    seed: int,
    lesion_count: int = 16,
    age_years: float | None = None,
    labels: Volume | None = None,
    lesion_masks: Sequence[Volume] = (),
    moved: float = 0.0,
    report: Report = silent,
    realism: Realism | None = None,
) -> Head:
    """Return the head of one person.

    Parameters
    ----------
    seed : int
        The person: another seed, another head, other values, other lesions.
    lesion_count : int
        Number of MS lesions wanted.
    age_years : float, optional
        Age; drawn when missing.
    labels : Volume, optional
        Label map of a real head (SynthSeg numbers); without it the anatomy is drawn too.
    lesion_masks : sequence of Volume
        Lesion masks of patients, whose shapes are used instead of drawn ones.
    moved : float
        Moves the tissue means (:func:`QSMSeparationLib.simulation.tissues.draw_tissues`).
    report : callable
        Progress.
    realism : Realism, optional
        Parts of reality that the head has; none without it.
    """
    realism = realism or Realism()
    anatomy = (
        procedural_anatomy(seed, report) if labels is None else anatomy_from_labels(labels, seed)
    )
    tissues = draw_tissues(seed, age_years, moved)
    drawn: dict[str, Any] = {}
    patient = lesion_count > 0
    if "texture" in realism:
        anatomy = replace(anatomy, vessels=anatomy.vessels + small_veins(anatomy.labels, seed))
    tissues = with_relaxation(tissues, seed, patient)
    if "contrast" in realism:
        contrast = draw_contrast(seed)
        drawn["contrast"] = asdict(contrast)
        tissues = with_contrast(tissues, contrast, patient)
    lesions = (
        draw_lesions(anatomy, tissues, seed, lesion_count, lesion_masks, "ages" in realism)
        if lesion_count
        else ()
    )
    relaxivities = Relaxivities()
    if "relaxivity" in realism:
        relaxivities = draw_relaxivities(seed, len(lesions))
        drawn["r2prime_scale"] = relaxivities.scale
    return Head(anatomy, tissues, tuple(lesions), seed, realism, relaxivities, drawn)
