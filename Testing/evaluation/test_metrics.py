"""Measures of agreement: hand-computable cases, invariances, and an independent scorer."""

import math

import numpy as np
import pytest
from scipy import ndimage

from QSMSeparationLib.evaluation import metrics
from QSMSeparationLib.runtime.errors import InputError
from QSMSeparationLib.simulation.tissues import label_of

VOXELWISE = ("nrmse", "demeaned_nrmse", "detrended_nrmse", "hfen")


@pytest.fixture(scope="module")
def case():
    """A smooth map, a worse copy of it, a ball as mask and six nuclei; junk outside the mask."""
    rng = np.random.default_rng(3)
    shape = (29, 34, 31)
    grid = np.indices(shape) - np.array(shape).reshape(3, 1, 1, 1) / 2
    mask = (grid**2).sum(0) < 13.5**2
    labels = np.zeros(shape, np.int16)
    truth = ndimage.gaussian_filter(rng.normal(0, 0.3, shape), 1.5)
    for n in range(6):
        box = (slice(8 + n, 12 + n), slice(5 + 4 * n, 8 + 4 * n), slice(10, 20))
        labels[box] = n + 1
        truth[box] += 0.02 * (n + 1)
    result = 0.8 * truth + 0.01 + ndimage.gaussian_filter(rng.normal(0, 0.05, shape), 0.7)
    truth[~mask] = rng.normal(0, 9, (~mask).sum())
    return result.astype(np.float32), truth.astype(np.float32), mask, labels


@pytest.fixture(scope="module")
def scorer():
    return pytest.importorskip("qsm_ci.qsm_eval", reason="qsm-ci (development only) is missing")


@pytest.mark.parametrize("broken", [False, True])
def test_agrees_with_the_public_scorer(case, scorer, broken):
    result, truth, mask, _ = case
    if broken:  # a result with holes and NaN, and a mask that touches the edge of the image
        result, mask = result.copy(), np.ones_like(mask)
        result[5:9], result[20, 3, 4] = 0, np.nan
    ours = metrics.score_qsm(result, truth, mask)
    theirs, _ = scorer.score_arrays(
        result.astype(float), truth.astype(float), mask.astype(np.uint8), kind="chi"
    )
    pairs = {
        "demeaned_nrmse_percent": theirs["nrmse"],
        "detrended_nrmse_percent": theirs["nrmse_detrend"],
        "hfen_percent": theirs["hfen"],
        "correlation": theirs["correlation"],
        "xsim": theirs["xsim"],
        "coverage_percent": 100 * theirs["coverage"],
    }
    for name, expected in pairs.items():
        assert ours[name] == pytest.approx(expected, rel=1e-6), name


def test_regions_agree_with_the_public_scorer(case, scorer):
    result, truth, mask, labels = case
    regions = {str(n): (n,) for n in range(1, 7)}
    inside = np.where(mask, labels, 0)
    slope = metrics.deep_grey_slope(result, truth, mask, labels, regions)
    assert abs(1 - slope) == pytest.approx(scorer.dgm_linearity(result, truth, inside), rel=1e-5)
    assert metrics.roi_mspe(result, truth, mask, labels, regions) == pytest.approx(
        scorer.roi_mspe(result, truth, labels, range(1, 7), mask), rel=1e-4
    )


def test_leakage_agrees_with_the_public_scorer(case, scorer):
    result, truth, mask, labels = case
    para = scorer.chisep_metrics(result, truth, mask, np.where(labels == 3, 16, 0), "para")
    assert metrics.leakage(result, truth, mask, labels == 3) == pytest.approx(
        para["calc_leak"], rel=1e-5
    )


def test_perfect_result(case):
    _, truth, mask, labels = case
    scores = metrics.score_qsm(truth, truth, mask)
    for name in VOXELWISE:
        assert scores[f"{name}_percent"] == pytest.approx(0, abs=1e-4)
    for name in ("xsim", "ssim", "correlation"):
        assert scores[name] == pytest.approx(1)
    assert scores["psnr_db"] == math.inf
    regions = {str(n): (n,) for n in range(1, 7)}
    assert metrics.deep_grey_slope(truth, truth, mask, labels, regions) == pytest.approx(1)
    assert metrics.roi_relative_error(truth, truth, mask, labels, regions) == 0


def test_a_tenth_too_small(case):
    """A result of 0.9 t has an error of 10 % by every norm, and none once detrended."""
    _, truth, mask, labels = case
    regions = {str(n): (n,) for n in range(1, 7)}
    for name in ("nrmse", "demeaned_nrmse", "hfen"):
        assert getattr(metrics, name)(0.9 * truth, truth, mask) == pytest.approx(10, rel=1e-4)
    assert metrics.detrended_nrmse(0.9 * truth, truth, mask) == pytest.approx(0, abs=1e-4)
    assert metrics.deep_grey_slope(0.9 * truth, truth, mask, labels, regions) == pytest.approx(0.9)
    error = metrics.roi_relative_error(0.9 * truth, truth, mask, labels, regions)
    assert error == pytest.approx(10, rel=1e-4)


def test_another_reference_counts_only_where_it_should(case):
    """An offset leaves the demeaned measures as they are and changes the plain NRMSE."""
    result, truth, mask, _ = case
    for name in ("demeaned_nrmse", "detrended_nrmse", "correlation"):
        measure = getattr(metrics, name)
        assert measure(result + 0.1, truth, mask) == pytest.approx(measure(result, truth, mask))
    assert metrics.nrmse(result + 0.1, truth, mask) > metrics.nrmse(result, truth, mask) + 10


def test_hand_computed_norms():
    truth = np.zeros((3, 3, 3), np.float32)
    result = truth.copy()
    mask = np.zeros(truth.shape, bool)
    mask[0, 0] = mask[0, 1, 0] = True
    truth[mask] = [1, 2, 3, 4]
    result[mask] = [1, 2, 3, 8]
    assert metrics.nrmse(result, truth, mask) == pytest.approx(100 * 4 / math.sqrt(30))
    # Deviations: truth -1.5 -0.5 0.5 1.5, result -2.5 -1.5 -0.5 4.5; difference -1 -1 -1 3.
    assert metrics.demeaned_nrmse(result, truth, mask) == pytest.approx(100 * math.sqrt(12 / 5))
    assert metrics.correlation(result, truth, mask) == pytest.approx(11 / math.sqrt(5 * 29))
    assert metrics.psnr(result, truth, mask) == pytest.approx(20 * math.log10(3 / 2))


def test_xsim_of_two_constants():
    """With constants inside one window only the luminance term is left."""
    mask = np.zeros((15, 15, 15), bool)
    mask[7, 7, 7] = True
    window = ndimage.binary_dilation(mask, np.ones((5, 5, 5), bool))
    expected = (2 * 0.02 + 1e-4) / (0.04 + 0.01 + 1e-4)
    scored = metrics.xsim(np.where(window, 0.2, 0), np.where(window, 0.1, 0), window)
    # Only the center's window lies wholly inside, so score there: equals the formula at 1 voxel.
    alone = metrics.xsim(np.full(mask.shape, 0.2), np.full(mask.shape, 0.1), np.ones_like(mask))
    assert alone == pytest.approx(expected, rel=1e-6)
    assert scored < alone


def test_xsim_notices_a_wrong_unit(case):
    """Maps in ppb instead of ppm give another value: the constants are in ppm."""
    result, truth, mask, _ = case
    ppm = metrics.xsim(result, truth, mask)
    assert metrics.xsim(1e-3 * result, 1e-3 * truth, mask) > ppm + 0.05


def test_measures_get_worse_with_noise(case):
    _, truth, mask, _ = case
    noise = np.random.default_rng(0).normal(0, 1, truth.shape)
    scores = [metrics.score_qsm(truth + s * noise, truth, mask) for s in (0.005, 0.02, 0.08)]
    for name in ("xsim", "ssim", "correlation", "psnr_db"):
        assert scores[0][name] > scores[1][name] > scores[2][name]
    for name in VOXELWISE[:3]:
        key = f"{name}_percent"
        assert scores[0][key] < scores[1][key] < scores[2][key]


def test_what_is_outside_the_mask_does_not_count(case):
    result, truth, mask, _ = case
    junk = np.where(mask, result, 100.0)
    assert metrics.score_qsm(junk, truth, mask) == metrics.score_qsm(result, truth, mask)


def test_separation_scores():
    """Iron of 100 ppb shown half in chi-, calcification of -200 ppb with 30 ppb of chi+."""
    shape = (24, 24, 24)
    labels = np.full(shape, label_of("white matter"), np.int16)
    labels[2:10, 2:10, 2:10] = label_of("putamen")
    labels[2:10, 12:20, 2:10] = label_of("globus pallidus", "right")
    labels[14:18, 14:18, 14:18] = label_of("choroid calcification")
    iron = labels == label_of("putamen")
    pallidum = labels == label_of("globus pallidus", "right")
    calcium = labels == label_of("choroid calcification")
    truth_para = 0.1 * iron + 0.2 * pallidum
    truth_dia = -0.2 * calcium - 0.03 * (labels == label_of("white matter")) - 0.01 * iron
    para, dia = truth_para - 0.05 * iron + 0.03 * calcium, truth_dia - 0.05 * iron
    mask = np.ones(shape, bool)
    scores = metrics.score_separation(para, dia, truth_para, truth_dia, mask, labels)
    assert scores["para_calcium_leak_ppb"] == pytest.approx(30)
    assert scores["dia_iron_leak_ppb"] == pytest.approx(0.5 * 60)
    assert scores["dia_iron_excess_leak_ppb"] == pytest.approx(0.5 * 50)
    assert scores["para_deep_grey_slope"] == pytest.approx((0.2 - 0.05) / 0.1)
    assert scores["para_roi_error_percent"] == pytest.approx(0.5 * 50)
    assert scores["para_roi_mspe_percent"] == pytest.approx(0.5 * 25)
    assert scores["dia_roi_error_percent"] == pytest.approx(0)
    assert all(isinstance(value, float) for value in scores.values())


def test_unusable_input_is_refused():
    ones = np.ones((4, 4, 4), np.float32)
    with pytest.raises(InputError, match="shape"):
        metrics.nrmse(ones, ones[:3], ones > 0)
    with pytest.raises(InputError, match="empty"):
        metrics.xsim(ones, ones, ones < 0)
    with pytest.raises(InputError, match="labels"):
        metrics.deep_grey_slope(ones, ones, ones > 0, np.zeros((2, 2, 2), int))
