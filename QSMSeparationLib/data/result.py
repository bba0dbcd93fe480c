"""What a run gives: maps on one grid with the facts that they rest on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from QSMSeparationLib.data.volume import Geometry, Volume


@dataclass(eq=False)
class Result:
    """Maps of one head.

    Parameters
    ----------
    geometry : Geometry
        The grid of all maps.
    mask : ndarray
        Brain mask, bool.
    maps : dict of str to ndarray
        float32 by name (see :mod:`QSMSeparationLib.data.quantities`):
        ``net``, ``chi_para``, ``chi_dia``, ``local_field`` in ppm, ``r2star``, ``r2``,
        ``r2prime`` in Hz, the SDs ``chi_para_sd``, ``chi_dia_sd``, ``r2prime_sd``, ...
    intermediate : dict of str to ndarray
        Maps that are written only when asked for.
    facts : dict
        Method, parameters, relaxivities, reference, device: for the sidecars.
    notes : list of str
        What was found and decided, to be read by the user.
    anatomy : ndarray, optional
        Structures of the brain by label number (:mod:`QSMSeparationLib.data.structures`), int16.
    checks : list
        Data checks (:class:`QSMSeparationLib.data.check.Check`).
    """

    geometry: Geometry
    mask: NDArray[np.bool_]
    maps: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    intermediate: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    checks: list[Any] = field(default_factory=list)
    anatomy: NDArray[np.int16] | None = None

    @property
    def r2prime_estimated(self) -> bool:
        """Whether the method used an R2' that was estimated from R2*, not measured."""
        # Results of older versions say it of the map alone.
        said = self.facts.get("SeparationR2prime", self.facts.get("R2primeOrigin"))
        return _is_estimate(said)

    @property
    def r2prime_map_estimated(self) -> bool:
        """Whether the R2' map itself is an estimate."""
        return _is_estimate(self.facts.get("R2primeOrigin"))

    def measured(self, names: Iterable[str]) -> dict[str, Volume]:
        """Return those of some maps that there are and that were measured; chi always counts."""
        left_out = {"r2prime"} if self.r2prime_map_estimated else set()
        return {n: self.volume(n) for n in names if n in self.maps and n not in left_out}

    def volume(self, name: str) -> Volume:
        """Return one map, intermediate or not, with its geometry."""
        array = self.maps[name] if name in self.maps else self.intermediate[name]
        return Volume(array, self.geometry, name)


def _is_estimate(origin: object) -> bool:
    return str(origin or "").startswith("estimated")
