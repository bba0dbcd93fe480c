"""How sure the mean of a lesion is, from the SD of its voxels.

Errors of neighbors are alike, so the SD of a mean falls more slowly than with the root of the number
of voxels: by the law of :class:`~QSMSeparationLib.data.method.Calibration`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from QSMSeparationLib.data.method import Calibration
from QSMSeparationLib.lesions.statistics import Interval

Z95 = 1.959963984540054


@dataclass(frozen=True, eq=False)
class SourceErrors:
    """SDs of both sources on the grid of the maps.

    Parameters
    ----------
    sd_ppb : dict of str to ndarray
        By ``chi_para`` and ``chi_dia``.
    calibration : Calibration
        How the SD of a mean follows from them.
    """

    sd_ppb: dict[str, NDArray[np.float32]]
    calibration: Calibration

    def cropped(self, box: tuple[slice, ...]) -> SourceErrors:
        """Return them in a box."""
        return SourceErrors({n: sd[box] for n, sd in self.sd_ppb.items()}, self.calibration)

    def of_mean(self, name: str, where: NDArray[np.bool_]) -> float:
        """Return the SD of the mean of a source over some voxels; NaN without any."""
        count = int(where.sum())
        if count == 0:
            return math.nan
        return float(self.sd_ppb[name][where].mean()) * self.calibration.share_of_mean(count)

    def of_difference(
        self, name: str, first: NDArray[np.bool_], second: NDArray[np.bool_]
    ) -> float:
        """Return the SD of a difference of two means; a second one without voxels adds nothing."""
        one, other = self.of_mean(name, first), self.of_mean(name, second)
        both = one if math.isnan(other) else math.hypot(one, other)
        return self.calibration.contrast * both


def widened(interval: Interval, sd: float) -> Interval:
    """Return a bootstrap interval with an error beside the scatter of the voxels.

    A bootstrap sees how voxels scatter, and not what is wrong in all of them alike.
    """
    if math.isnan(sd) or math.isnan(interval.value):
        return interval
    half = Z95 * sd
    below, above = interval.value - interval.low, interval.high - interval.value
    if math.isnan(below):
        below = above = 0.0
    return Interval(
        interval.value,
        interval.value - math.hypot(below, half),
        interval.value + math.hypot(above, half),
    )


def share_between(interval: Interval, low: float, high: float) -> float:
    """Return the probability that the true value lies between two limits."""
    sd = (interval.high - interval.low) / (2 * Z95)
    if not sd > 0:
        return float(low <= interval.value <= high)

    def below(limit: float) -> float:
        return 0.5 * (1 + math.erf((limit - interval.value) / (sd * math.sqrt(2))))

    return below(high) - below(low)
