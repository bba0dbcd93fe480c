"""Statistics of agreement, each in its textbook form.

Intervals are for 95 %. Lesions of one patient are not independent, so over few patients
the intervals are too narrow; the report says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from QSMSeparationLib.lesions.statistics import Interval

_Z95 = 1.959963984540054


@dataclass(frozen=True, eq=False)
class ClassAgreement:
    """How often two classifications agree.

    Parameters
    ----------
    classes : tuple of str
        Order of the rows and columns of ``counts``.
    counts : ndarray
        Confusion table, rows the first result.
    share : Interval
        Raw agreement with Wilson interval.
    kappa : Interval
        Cohen's kappa; NaN when both use one and the same class only.
    """

    classes: tuple[str, ...]
    counts: NDArray[np.int64]
    share: Interval
    kappa: Interval


@dataclass(frozen=True)
class BlandAltman:
    """Differences second - first: mean with interval, and limits of agreement."""

    n: int
    bias: Interval
    sd: float
    lower_limit: float
    upper_limit: float


def wilson(agreed: int, n: int) -> Interval:
    """Return a share with its Wilson score interval (JASA 1927;22:209)."""
    if n == 0:
        return Interval(float("nan"), float("nan"), float("nan"))
    from scipy.stats import binomtest

    interval = binomtest(agreed, n).proportion_ci(method="wilson")
    return Interval(agreed / n, float(interval.low), float(interval.high))


def correlation(first: ArrayLike, second: ArrayLike) -> float:
    """Return Pearson's correlation; NaN below three values and where one side is constant."""
    x, y = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if x.size < 3 or x.std() == 0 or y.std() == 0:
        return float("nan")
    return float(np.corrcoef(x, y)[0, 1])


def class_agreement(
    first: Sequence[str], second: Sequence[str], classes: Sequence[str]
) -> ClassAgreement:
    """Compare two classifications of the same lesions, in the same order."""
    index = {name: n for n, name in enumerate(classes)}
    counts = np.zeros((len(classes), len(classes)), dtype=np.int64)
    for a, b in zip(first, second, strict=True):
        counts[index[a], index[b]] += 1
    share = wilson(int(np.trace(counts)), int(counts.sum()))
    return ClassAgreement(tuple(classes), counts, share, cohen_kappa(counts))


def cohen_kappa(counts: NDArray[np.int64]) -> Interval:
    """Return Cohen's kappa with the interval from its large-sample variance.

    Fleiss, Cohen and Everitt, Psychol Bull 1969;72:323, equation 14 (non-null case).
    """
    n = counts.sum()
    nan = float("nan")
    if n == 0:
        return Interval(nan, nan, nan)
    p = counts / n
    rows, columns = p.sum(axis=1), p.sum(axis=0)
    observed, expected = float(np.trace(p)), float(rows @ columns)
    if np.isclose(expected, 1.0):
        return Interval(nan, nan, nan)
    kappa = (observed - expected) / (1 - expected)
    # margins[i, j] = p(column class i) + p(row class j)
    margins = columns[:, None] + rows[None, :]
    diagonal = np.sum(np.diag(p) * (1 - np.diag(margins) * (1 - kappa)) ** 2)
    off = p * margins**2
    off_diagonal = (1 - kappa) ** 2 * (off.sum() - np.trace(off))
    rest = (kappa - expected * (1 - kappa)) ** 2
    variance = max(0.0, (diagonal + off_diagonal - rest) / (n * (1 - expected) ** 2))
    half = _Z95 * np.sqrt(variance)
    return Interval(kappa, max(-1.0, float(kappa - half)), min(1.0, float(kappa + half)))


def bland_altman(first: ArrayLike, second: ArrayLike) -> BlandAltman:
    """Return bias and limits of agreement of second - first (Lancet 1986;327:307)."""
    from scipy.stats import t

    difference = np.asarray(second, dtype=np.float64) - np.asarray(first, dtype=np.float64)
    difference = difference[np.isfinite(difference)]
    n = difference.size
    if n < 2:
        nan = float("nan")
        value = float(difference[0]) if n else nan
        return BlandAltman(n, Interval(value, nan, nan), nan, nan, nan)
    bias, sd = float(difference.mean()), float(difference.std(ddof=1))
    half = float(t.ppf(0.975, n - 1)) * sd / np.sqrt(n)
    return BlandAltman(
        n, Interval(bias, bias - half, bias + half), sd, bias - _Z95 * sd, bias + _Z95 * sd
    )


def deming(first: ArrayLike, second: ArrayLike, error_ratio: float = 1.0) -> tuple[float, float]:
    """Return slope and intercept of a line with errors on both axes.

    Parameters
    ----------
    first, second : array_like
        Values of the same lesions.
    error_ratio : float
        Error variance of ``second`` over that of ``first``.
    """
    x, y = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    good = np.isfinite(x) & np.isfinite(y)
    x, y = x[good], y[good]
    if x.size < 3:
        return float("nan"), float("nan")
    sxx, syy = x.var(ddof=1), y.var(ddof=1)
    sxy = float(np.cov(x, y)[0, 1])
    if abs(sxy) < 1e-12:
        return float("nan"), float("nan")
    lean = syy - error_ratio * sxx
    slope = (lean + np.sqrt(lean**2 + 4 * error_ratio * sxy**2)) / (2 * sxy)
    return float(slope), float(y.mean() - slope * x.mean())


def deming_slope(
    first: ArrayLike, second: ArrayLike, error_ratio: float = 1.0
) -> tuple[Interval, float]:
    """Return the Deming slope with its jackknife interval, and the intercept."""
    from scipy.stats import t

    x, y = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    good = np.isfinite(x) & np.isfinite(y)
    x, y = x[good], y[good]
    slope, intercept = deming(x, y, error_ratio)
    n = x.size
    if n < 4 or not np.isfinite(slope):
        return Interval(slope, float("nan"), float("nan")), intercept
    left_out = [deming(np.delete(x, m), np.delete(y, m), error_ratio)[0] for m in range(n)]
    pseudo = n * slope - (n - 1) * np.asarray(left_out)
    half = float(t.ppf(0.975, n - 1) * pseudo.std(ddof=1) / np.sqrt(n))
    return Interval(slope, slope - half, slope + half), intercept


def smallest_detectable_change(first: ArrayLike, second: ArrayLike) -> float:
    """Return the repeatability coefficient: 1.96 SD of the differences of two scans.

    A change of one lesion beyond it is larger than what repeated scans of lesions that
    did not change show in 95 % of cases. The bias between the visits is taken out.
    """
    return float(_Z95 * bland_altman(first, second).sd)
