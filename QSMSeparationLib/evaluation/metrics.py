"""Measures of agreement of a susceptibility map with the truth, one definition each.

Every measure takes ``(result, truth, mask)``: two arrays in ppm and a mask, all of shape
(k, j, i). What lies outside the mask is set to 0 in both before anything is computed, so that
nothing beyond the brain's edge bleeds into a neighborhood measure; voxels of the result that
are not finite count as 0. Sums run in float64 on the mask's bounding box: the variance in a
window of XSIM is a difference of near-equal numbers, for which float32 is too coarse.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.stats import linregress

from QSMSeparationLib.lesions.agreement import correlation as pearson
from QSMSeparationLib.runtime.errors import InputError
from QSMSeparationLib.simulation.tissues import DEEP_GREY, LABELS, WHITE_MATTER

Array = NDArray[np.floating]
Mask = NDArray[np.bool_]
Regions = Mapping[str, Sequence[int]]
"""Label numbers of each region, by its name."""


def nrmse(result: Array, truth: Array, mask: Mask) -> float:
    """Return the root-mean-square error over that of the truth, in percent.

    100 ||r - t|| / ||t|| over the mask, as it is: no mean is removed. 0 is perfect.
    """
    r, t = _inside(result, truth, mask)
    return _percent(r - t, t)


def demeaned_nrmse(result: Array, truth: Array, mask: Mask) -> float:
    """Return the NRMSE in percent after the mean over the mask is taken from both maps.

    100 ||r' - t'|| / ||t'|| with x' = x - mean(x): the reference of a susceptibility map is
    arbitrary (QSM Challenge 2.0 Committee, Magn Reson Med 2021;86:1241).
    """
    r, t = _inside(result, truth, mask)
    t = t - t.mean()
    return _percent(r - r.mean() - t, t)


def detrended_nrmse(result: Array, truth: Array, mask: Mask) -> float:
    """Return the demeaned NRMSE in percent after the slope a of r' = a t' is divided out of the result.

    100 ||r'/a - t'|| / ||t'||: what remains when a global underestimation is forgiven
    (QSM Challenge 2.0 Committee, Magn Reson Med 2021;86:1241). Without any slope the
    demeaned NRMSE is returned.
    """
    r, t = _inside(result, truth, mask)
    r, t = r - r.mean(), t - t.mean()
    power = float(t @ t)
    slope = float(r @ t) / power if power > 0 else 0.0
    return _percent(r / slope - t if abs(slope) > 1e-30 else r - t, t)


def correlation(result: Array, truth: Array, mask: Mask) -> float:
    """Return Pearson's correlation over the mask; NaN where one of the maps is constant."""
    return pearson(*_inside(result, truth, mask))


def psnr(result: Array, truth: Array, mask: Mask) -> float:
    """Return the peak signal-to-noise ratio in dB: 20 log10(range of the truth / RMSE), over the mask."""
    r, t = _inside(result, truth, mask)
    rmse = math.sqrt(float(np.mean((r - t) ** 2)))
    peak = float(np.ptp(t))
    if rmse == 0.0:
        return math.inf
    return 20 * math.log10(peak / rmse) if peak > 0 else math.nan


def xsim(result: Array, truth: Array, mask: Mask) -> float:
    """Return the structural similarity made for QSM: 1 is perfect.

    The mean over the mask of
    (2 m_r m_t + c1)(2 s_rt + c2) / ((m_r^2 + m_t^2 + c1)(s_r^2 + s_t^2 + c2))
    with means and (co)variances in uniform 5x5x5 windows, c1 = 1e-4 and c2 = 1e-6 ppm^2
    (L = 1 ppm, K1 = 0.01, K2 = 0.001); windows are cut at the edge of the image. No
    rescaling, so it depends on the unit (Milovic et al., Magn Reson Med 2025;93:411).
    """
    c1, c2, size = 1e-4, 1e-6, 5
    r, t, m = _boxes(result, truth, mask, margin=size // 2)
    count = ndimage.uniform_filter(np.ones_like(r), size, mode="constant")

    def local_mean(values: Array) -> Array:
        return ndimage.uniform_filter(values, size, mode="constant")[m] / count[m]

    mean_r, mean_t = local_mean(r), local_mean(t)
    spread = local_mean(r * r) - mean_r**2 + local_mean(t * t) - mean_t**2
    joint = local_mean(r * t) - mean_r * mean_t
    similarity = (2 * mean_r * mean_t + c1) * (2 * joint + c2)
    return float(np.mean(similarity / ((mean_r**2 + mean_t**2 + c1) * (spread + c2))))


def ssim(result: Array, truth: Array, mask: Mask) -> float:
    """Return the structural similarity of Wang et al. (IEEE Trans Image Process 2004;13:600): 1 is perfect.

    Gaussian windows with SD 1.5 voxels, K1 = 0.01, K2 = 0.03, L the range of the truth over
    the mask; mean over the mask. Its constants are large for QSM: :func:`xsim` is the finer.
    """
    from skimage.metrics import structural_similarity

    r, t, m = _boxes(result, truth, mask, margin=6)
    span = float(np.ptp(t[m]))
    if span == 0.0:
        return math.nan
    margin = [(max(0, 11 - n), 0) for n in t.shape]
    r, t, m = np.pad(r, margin), np.pad(t, margin), np.pad(m, margin)
    found = structural_similarity(
        t, r, data_range=span, gaussian_weights=True, use_sample_covariance=False, full=True
    )
    local = cast("NDArray[np.float64]", found[1])
    return float(local[m].mean())


def hfen(result: Array, truth: Array, mask: Mask) -> float:
    """Return the high-frequency error norm in percent: 0 is perfect.

    100 ||LoG(r) - LoG(t)|| / ||LoG(t)|| over the mask, with the Laplacian of a Gaussian of
    SD 1.5 voxels in a window of about 15^3 (Ravishankar and Bresler, IEEE Trans Med Imaging
    2011;30:1028; for QSM Langkammer et al., Magn Reson Med 2018;79:1661).
    """
    r, t, m = _boxes(result, truth, mask, margin=8)
    edges_t = ndimage.gaussian_laplace(t, 1.5, truncate=5.0)[m]
    # The filter is linear: that of the difference is the difference of the two.
    return _percent(ndimage.gaussian_laplace(r - t, 1.5, truncate=5.0)[m], edges_t)


def tissue_regions(names: Iterable[str]) -> dict[str, tuple[int, ...]]:
    """Return the label numbers of tissues of the digital head, both sides taken together."""
    return {name: tuple(n for n, tissue in LABELS.items() if tissue == name) for name in names}


def deep_grey_slope(
    result: Array, truth: Array, mask: Mask, labels: NDArray, regions: Regions | None = None
) -> float:
    """Return the slope a of mean(r) = a mean(t) + b over the deep grey nuclei: 1 is perfect.

    One point a nucleus (both sides taken together), fitted by least squares: whether the
    contrast of iron is kept (QSM Challenge 2.0 reports |1 - a|). NaN below two nuclei.

    Parameters
    ----------
    result, truth, mask : ndarray
        Maps in ppm and mask.
    labels : ndarray of int
        Label map.
    regions : mapping, optional
        Label numbers of each nucleus; by default those of the digital head.
    """
    regions = tissue_regions(DEEP_GREY) if regions is None else regions
    means = [(t, r) for t, r, _ in _region_means(result, truth, mask, labels, regions)]
    if len(means) < 2:
        return math.nan
    return line_through(*zip(*means, strict=True))[0]


def line_through(true: Sequence[float], measured: Sequence[float]) -> tuple[float, float]:
    """Return slope and correlation of the least-squares line measured = a true + b.

    NaN below two points and where the truth is constant; the correlation also where the
    measured values are.
    """
    x, y = np.asarray(true, dtype=np.float64), np.asarray(measured, dtype=np.float64)
    if x.size < 2 or np.ptp(x) == 0:
        return math.nan, math.nan
    slope, _, r, _, _ = cast("tuple[float, ...]", linregress(x, y))
    return float(slope), float(r) if np.ptp(y) > 0 else math.nan


def roi_relative_error(
    result: Array, truth: Array, mask: Mask, labels: NDArray, regions: Regions
) -> float:
    """Return the mean over regions of |mean(r) - mean(t)| / |mean(t)|, in percent.

    Regions below 50 voxels, or whose true mean is below 5 ppb (where a ratio says nothing),
    are left out; NaN when none is left.
    """
    errors = _relative_errors(result, truth, mask, labels, regions)
    return 100.0 * float(np.mean(np.abs(errors))) if errors else math.nan


def roi_mspe(result: Array, truth: Array, mask: Mask, labels: NDArray, regions: Regions) -> float:
    """Return the mean over regions of 100 ((mean(r) - mean(t)) / mean(t))^2.

    The squared percentage error of Ridani et al. (Magn Reson Med 2026,
    doi:10.1002/mrm.70468); the same regions count as in :func:`roi_relative_error`.
    """
    errors = _relative_errors(result, truth, mask, labels, regions)
    return 100.0 * float(np.mean(np.square(errors))) if errors else math.nan


def leakage(result: Array, truth: Array, mask: Mask, region: Mask) -> float:
    """Return the mean |r| in ppm in the region of the *other* source: what has leaked into this one.

    ``truth`` does not enter; it keeps the signature. Where the truth itself has some of this
    source, :func:`excess_leakage` is the fairer measure.
    """
    both = np.asarray(mask, bool) & region
    if not both.any():
        return math.nan
    r, _ = _inside(result, truth, both)
    return float(np.abs(r).mean())


def excess_leakage(result: Array, truth: Array, mask: Mask, region: Mask) -> float:
    """Return the mean of |r| - |t| in ppm in the region of the other source: 0 is perfect.

    Positive: the other source has leaked in. Negative: more was taken away than should be.
    """
    both = np.asarray(mask, bool) & region
    if not both.any():
        return math.nan
    r, t = _inside(result, truth, both)
    return float((np.abs(r) - np.abs(t)).mean())


def coverage(result: Array, truth: Array, mask: Mask) -> float:
    """Return the share of the mask, in percent, where the result is finite and not 0."""
    values = np.asarray(result)[np.asarray(mask, bool)]
    return 100.0 * float(np.mean(np.isfinite(values) & (values != 0))) if values.size else math.nan


def score_qsm(
    result: Array, truth: Array, mask: Mask, labels: NDArray | None = None
) -> dict[str, float]:
    """Return all measures of a net susceptibility map by name, the unit in the name.

    Parameters
    ----------
    result, truth : ndarray
        Maps in ppm, shape (k, j, i).
    mask : ndarray
        Where they are compared.
    labels : ndarray of int, optional
        Labels of the digital head; with them the measures by region are added.
    """
    scores = _score_map(result, truth, mask)
    if labels is not None:
        nuclei = tissue_regions(DEEP_GREY)
        scores["deep_grey_slope"] = deep_grey_slope(result, truth, mask, labels)
        scores["deep_grey_roi_error_percent"] = roi_relative_error(
            result, truth, mask, labels, nuclei
        )
    return scores


def score_separation(
    para: Array,
    dia: Array,
    para_truth: Array,
    dia_truth: Array,
    mask: Mask,
    labels: NDArray | None = None,
) -> dict[str, float]:
    """Return all measures of chi+ (``para_...``) and chi- (``dia_...``), units in the names.

    Parameters
    ----------
    para, dia : ndarray
        chi+ >= 0 and chi- <= 0 in ppm, shape (k, j, i).
    para_truth, dia_truth : ndarray
        The same of the truth.
    mask : ndarray
        Where they are compared.
    labels : ndarray of int, optional
        Labels of the digital head. With them: deep-grey slope of chi+, relative error of the
        regional means (chi+ in grey, chi- in white matter), and leakage of calcification
        into chi+ and of iron (deep grey matter, veins) into chi-.
    """
    scores = {f"para_{k}": v for k, v in _score_map(para, para_truth, mask).items()}
    scores |= {f"dia_{k}": v for k, v in _score_map(dia, dia_truth, mask).items()}
    if labels is None:
        return scores
    scores["para_deep_grey_slope"] = deep_grey_slope(para, para_truth, mask, labels)
    owners = {
        "para": (para, para_truth, (*DEEP_GREY, "thalamus", "cortex"), _calcium_region(labels)),
        "dia": (dia, dia_truth, WHITE_MATTER, _iron_region(labels)),
    }
    for name, (result, truth, tissues, foreign) in owners.items():
        regions = tissue_regions(tissues)
        scores[f"{name}_roi_error_percent"] = roi_relative_error(
            result, truth, mask, labels, regions
        )
        scores[f"{name}_roi_mspe_percent"] = roi_mspe(result, truth, mask, labels, regions)
        source = "calcium" if name == "para" else "iron"
        scores[f"{name}_{source}_leak_ppb"] = 1e3 * leakage(result, truth, mask, foreign)
        scores[f"{name}_{source}_excess_leak_ppb"] = 1e3 * excess_leakage(
            result, truth, mask, foreign
        )
    return scores


def _score_map(result: Array, truth: Array, mask: Mask) -> dict[str, float]:
    """Return the measures that need no labels."""
    measures = {
        "nrmse_percent": nrmse,
        "demeaned_nrmse_percent": demeaned_nrmse,
        "detrended_nrmse_percent": detrended_nrmse,
        "xsim": xsim,
        "hfen_percent": hfen,
        "psnr_db": psnr,
        "ssim": ssim,
        "correlation": correlation,
        "coverage_percent": coverage,
    }
    return {name: measure(result, truth, mask) for name, measure in measures.items()}


def _calcium_region(labels: NDArray) -> Mask:
    """Return the voxels of the choroid calcification."""
    return np.isin(labels, tissue_regions(["choroid calcification"])["choroid calcification"])


def _iron_region(labels: NDArray) -> Mask:
    """Return the voxels of deep grey matter, and of veins with one voxel around them."""
    vein = np.isin(labels, tissue_regions(["vein"])["vein"])
    nuclei = [n for numbers in tissue_regions(DEEP_GREY).values() for n in numbers]
    around = np.asarray(ndimage.binary_dilation(vein, np.ones((3, 3, 3), bool)), dtype=bool)
    return around | np.isin(labels, nuclei)


def _relative_errors(
    result: Array, truth: Array, mask: Mask, labels: NDArray, regions: Regions
) -> list[float]:
    """Return (mean(r) - mean(t)) / mean(t) of the regions large and strong enough for a ratio."""
    means = _region_means(result, truth, mask, labels, regions)
    return [(r - t) / t for t, r, count in means if count >= 50 and abs(t) >= 5e-3]


def _region_means(
    result: Array, truth: Array, mask: Mask, labels: NDArray, regions: Regions
) -> list[tuple[float, float, int]]:
    """Return the true mean, mean of the result and number of voxels, region by region."""
    if labels.shape != np.shape(mask):
        raise InputError(f"labels of shape {labels.shape} on a mask of shape {np.shape(mask)}")
    r, t = _inside(result, truth, mask)
    inside = labels[np.asarray(mask, bool)]
    found = (np.isin(inside, numbers) for numbers in regions.values())
    return [(float(t[s].mean()), float(r[s].mean()), int(s.sum())) for s in found if s.any()]


def _inside(result: Array, truth: Array, mask: Mask) -> tuple[Array, Array]:
    """Return the values within the mask, float64."""
    mask = _checked(result, truth, mask)
    r = np.asarray(result)[mask].astype(np.float64)
    return np.where(np.isfinite(r), r, 0.0), np.asarray(truth)[mask].astype(np.float64)


def _boxes(
    result: Array, truth: Array, mask: Mask, margin: int
) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Return both maps (0 outside the mask) and the mask, cut to its bounding box plus a margin."""
    mask = _checked(result, truth, mask)
    box = ndimage.find_objects(mask.astype(np.int8))[0]
    box = tuple(slice(max(0, s.start - margin), s.stop + margin) for s in box)
    r = np.asarray(result)[box].astype(np.float64)
    t = np.asarray(truth)[box].astype(np.float64)
    inside = mask[box]
    return np.where(inside & np.isfinite(r), r, 0.0), np.where(inside, t, 0.0), inside


def _checked(result: Array, truth: Array, mask: Mask) -> NDArray[np.bool_]:
    """Return the mask as bool, or raise InputError when the three do not fit."""
    if not np.shape(result) == np.shape(truth) == np.shape(mask):
        shapes = f"{np.shape(result)}, {np.shape(truth)}, {np.shape(mask)}"
        raise InputError(f"result, truth and mask must have one shape, got {shapes}")
    mask = np.asarray(mask, bool)
    if not mask.any():
        raise InputError("the mask is empty: there is nothing to compare")
    return mask


def _percent(error: Array, truth: Array) -> float:
    """Return the norm of the error over the norm of the truth, in percent; NaN for a truth of 0."""
    power = float(np.sum(truth * truth))
    return 100.0 * math.sqrt(float(np.sum(error * error)) / power) if power > 0 else math.nan
