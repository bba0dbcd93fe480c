"""The parts of a digital head that do not depend on the scan: labels, vessels, lesions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from QSMSeparationLib.data.volume import Volume
from QSMSeparationLib.simulation.lesion_ages import LesionState
from QSMSeparationLib.simulation.realism import Realism
from QSMSeparationLib.simulation.relaxation import Relaxivities
from QSMSeparationLib.simulation.tissues import Tissue


@dataclass(frozen=True, eq=False)
class Vessel:
    """A tube along a curve.

    Parameters
    ----------
    points_mm : ndarray
        World positions (n, 3) in LPS along its center line, at most 0.5 mm apart.
    radius_mm : ndarray
        Radius at each point, (n,).
    tissue : str
        ``vein`` or ``artery``.
    """

    points_mm: NDArray[np.float64]
    radius_mm: NDArray[np.float64]
    tissue: str = "vein"


@dataclass(frozen=True, eq=False)
class Lesion:
    """An MS lesion of known class: a shape, and what it does to the tissue below it.

    Parameters
    ----------
    id : int
        Its label in the segmentation, from 1.
    inside_mm : Volume
        Depth below the lesion's border in mm (float32, negative outside) on a small
        upright grid that reaches 3 mm or more beyond the border.
    class_para, class_dia : str
        ``hypo``, ``iso``, ``hyper`` or ``rim`` (chi+); ``hypo``, ``iso``, ``hyper`` (chi-).
    location : str
        ``periventricular``, ``juxtacortical``, ``infratentorial`` or ``deep white matter``.
    rim_mm : float
        Thickness of the rim; 0 without one.
    core_para_ppb, core_dia_ppb : float
        chi+ >= 0 and chi- <= 0 of the core.
    rim_para_ppb, rim_dia_ppb : float
        The same of the rim; equal to the core without a rim.
    age : str
        One of :data:`QSMSeparationLib.simulation.lesion_ages.AGES`.
    state : LesionState
        Water, T1 and R2 without iron and myelin.
    """

    id: int
    inside_mm: Volume
    class_para: str
    class_dia: str
    location: str
    rim_mm: float
    core_para_ppb: float
    core_dia_ppb: float
    rim_para_ppb: float
    rim_dia_ppb: float
    age: str
    state: LesionState

    @property
    def volume_mm3(self) -> float:
        """Volume within the border."""
        return float((self.inside_mm.array > 0).sum() * self.inside_mm.geometry.voxel_volume_mm3)

    @property
    def diameter_mm(self) -> float:
        """Diameter of the sphere of the same volume."""
        return float((6 * self.volume_mm3 / np.pi) ** (1 / 3))


@dataclass(frozen=True, eq=False)
class Anatomy:
    """Where the tissues of one person lie.

    Parameters
    ----------
    labels : Volume
        Label numbers of :mod:`QSMSeparationLib.simulation.tissues` (int16) on an upright
        grid of 1 mm: (i, j, k) run along (L, P, S), the origin of the world lies near the
        center of the brain.
    vessels : tuple of Vessel
        Veins and arteries too thin for the labels.
    """

    labels: Volume
    vessels: tuple[Vessel, ...] = ()


@dataclass(frozen=True, eq=False)
class Head:
    """A person: anatomy, lesions and tissue values, all in world coordinates.

    Parameters
    ----------
    anatomy : Anatomy
        Labels and vessels.
    tissues : dict of str to Tissue
        Values of this person by tissue name.
    lesions : tuple of Lesion
        MS lesions.
    seed : int
        Seed of the texture.
    realism : Realism
        Parts that the head has.
    relaxivities : Relaxivities
        How R2' departs from Dr times the sources.
    drawn : dict
        What was drawn beside anatomy, values and lesions, for the sidecar.
    """

    anatomy: Anatomy
    tissues: dict[str, Tissue]
    lesions: tuple[Lesion, ...] = field(default=())
    seed: int = 0
    realism: Realism = field(default_factory=Realism)
    relaxivities: Relaxivities = field(default_factory=Relaxivities)
    drawn: dict[str, Any] = field(default_factory=dict)
