"""A whole head for a seed, without any file: every seed another person.

The head is built in this order, what is there first staying: cerebellum and brain stem,
ventricles and nuclei, folded cortex and white matter with its tracts, then skull, sinuses,
face and skin around them. Vessels are curves beside the labels.
"""

from __future__ import annotations

from QSMSeparationLib.data.volume import Volume
from QSMSeparationLib.runtime.progress import Report, silent
from QSMSeparationLib.simulation.anatomy import Anatomy
from QSMSeparationLib.simulation.drawn_head.cortex import paint_cerebrum
from QSMSeparationLib.simulation.drawn_head.hindbrain import paint_hindbrain
from QSMSeparationLib.simulation.drawn_head.nuclei import paint_core, paint_tracts
from QSMSeparationLib.simulation.drawn_head.shapes import Space
from QSMSeparationLib.simulation.drawn_head.skull import paint_head
from QSMSeparationLib.simulation.drawn_head.vessels import draw_vessels


def procedural_anatomy(seed: int, report: Report = silent) -> Anatomy:
    """Build the head of one person.

    Parameters
    ----------
    seed : int
        The person, 0 or more; the same seed gives the same bytes.
    report : callable
        Called as ``report(done, of)``.

    Returns
    -------
    Anatomy
        Labels on an upright grid of 1 mm, and the vessels.
    """
    report(0, 6)
    space = Space(seed)
    report(1, 6)
    paint_hindbrain(space, seed)
    paint_core(space, seed)
    report(2, 6)
    folds = paint_cerebrum(space, seed)
    paint_tracts(space)
    report(4, 6)
    shells = paint_head(space, seed)
    report(5, 6)
    vessels = draw_vessels(space, seed, folds, shells)
    report(6, 6)
    return Anatomy(Volume(space.labels, space.geometry, f"procedural head {seed}"), vessels)
