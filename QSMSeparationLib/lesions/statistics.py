"""Numbers of a lesion: size, statistics of a map, contrasts with bootstrap intervals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import ConvexHull, QhullError
from scipy.spatial.distance import pdist


@dataclass(frozen=True)
class Statistics:
    """Statistics of one map in one compartment; NaN where there are no voxels."""

    n: int
    mean: float
    sd: float
    median: float
    p5: float
    p95: float
    minimum: float
    maximum: float


@dataclass(frozen=True)
class Interval:
    """An estimate with its 95 % confidence interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Blocks:
    """Sums of maps over small cubes, from which a bootstrap draws.

    Neighboring voxels of a reconstructed map are not independent, so cubes are drawn
    and not voxels; single voxels would give intervals that are too narrow.

    Parameters
    ----------
    sums : ndarray
        Sum of each map in each cube, (cube, map).
    counts : ndarray
        Voxels in each cube.
    """

    sums: NDArray[np.float64]
    counts: NDArray[np.float64]


def statistics(values: NDArray[np.floating]) -> Statistics:
    """Return the statistics of values; SD with n - 1."""
    if values.size == 0:
        nan = float("nan")
        return Statistics(0, nan, nan, nan, nan, nan, nan, nan)
    wide = values.astype(np.float64)
    low, p5, median, p95, high = np.percentile(wide, (0, 5, 50, 95, 100))
    sd = wide.std(ddof=1) if wide.size > 1 else float("nan")
    numbers = (wide.mean(), sd, median, p5, p95, low, high)
    return Statistics(int(wide.size), *(float(v) for v in numbers))


def robust(values: NDArray[np.floating]) -> tuple[float, float]:
    """Return median and robust SD (1.4826 times the median absolute deviation)."""
    if values.size == 0:
        return float("nan"), float("nan")
    median = float(np.median(values))
    return median, float(1.4826 * np.median(np.abs(values - median)))


def equivalent_diameter_mm(volume_mm3: float) -> float:
    """Return the diameter of the sphere of the same volume."""
    return float((6 * volume_mm3 / np.pi) ** (1 / 3))


def largest_diameter_mm(mask: NDArray[np.bool_], spacing_kji: tuple[float, ...]) -> float:
    """Return the largest distance between two voxel centers of a lesion (Feret diameter).

    SimpleITK's label shapes give the same, but compare all pairs of border voxels, and need a
    label map, which lesions that overlap are not.
    """
    border = mask & ~np.asarray(ndimage.binary_erosion(mask), dtype=bool)
    points = np.argwhere(border) * np.asarray(spacing_kji)
    if len(points) > 400:
        # Flat lesions have no hull of three dimensions; pdist of all points does for them.
        try:
            points = points[ConvexHull(points).vertices]
        except QhullError:
            points = points[:: max(1, len(points) // 3000)]
    return float(pdist(points).max()) if len(points) > 1 else 0.0


def blocks(
    maps: NDArray[np.floating], where: NDArray[np.bool_], edge_voxels: tuple[int, ...]
) -> Blocks:
    """Sum maps (map, k, j, i) over cubes of ``edge_voxels`` within ``where``."""
    index = np.argwhere(where) // np.asarray(edge_voxels)
    if len(index) == 0:
        return Blocks(np.zeros((0, len(maps))), np.zeros(0))
    size = index.max(axis=0) + 1
    cube = np.ravel_multi_index(index.T, size)
    counts = np.bincount(cube)
    sums = [np.bincount(cube, weights=one[where], minlength=counts.size) for one in maps]
    used = counts > 0
    table = np.stack(sums, axis=1).astype(np.float64, copy=False)
    return Blocks(table[used], counts[used].astype(np.float64))


def bootstrap_means(
    data: Blocks, draws: int, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return means (map,) and bootstrap replicates of them (draw, map).

    A Bayesian bootstrap (Rubin, Ann Stat 1981;9:130): cubes get exponential weights, and
    all draws of all maps are one matrix product. With fewer than two cubes there is
    nothing to draw from and the replicates are NaN.
    """
    n_maps = data.sums.shape[1]
    if len(data.counts) == 0:
        return np.full(n_maps, np.nan), np.full((draws, n_maps), np.nan)
    means = data.sums.sum(axis=0) / data.counts.sum()
    if len(data.counts) == 1:
        return means, np.full((draws, n_maps), np.nan)
    weights = rng.standard_exponential((draws, len(data.counts)))
    return means, (weights @ data.sums) / (weights @ data.counts)[:, None]


def contrast(value: float, replicates: NDArray[np.float64], level: float = 0.95) -> Interval:
    """Return a value with the percentile interval of its replicates."""
    if not np.isfinite(value) or not np.all(np.isfinite(replicates)):
        return Interval(float(value), float("nan"), float("nan"))
    low, high = np.quantile(replicates, ((1 - level) / 2, (1 + level) / 2))
    return Interval(float(value), float(low), float(high))
