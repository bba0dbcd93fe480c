"""Agreement statistics against hand calculations, and comparisons of two results."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lesion_phantom import phantom

from QSMSeparationLib.data.volume import Geometry, Volume
from QSMSeparationLib.lesions import Thresholds, analyze_lesions
from QSMSeparationLib.lesions.agreement import (
    bland_altman,
    class_agreement,
    cohen_kappa,
    deming,
    deming_slope,
    smallest_detectable_change,
    wilson,
)
from QSMSeparationLib.lesions.compare import (
    compare_results,
    compare_visits,
    compare_voxels,
    comparison_summary,
    comparison_table,
    match_lesions,
)
from QSMSeparationLib.runtime.errors import InputError


def test_wilson_gives_the_published_intervals():
    """249 and 246 of 250: 97.8-99.9 and 96.0-99.4 %."""
    for agreed, low, high in ((249, 97.8, 99.9), (246, 96.0, 99.4)):
        interval = wilson(agreed, 250)
        assert 100 * interval.low == pytest.approx(low, abs=0.05)
        assert 100 * interval.high == pytest.approx(high, abs=0.05)
    assert wilson(0, 10).low == 0
    assert wilson(10, 10).high == pytest.approx(1)


def test_kappa_of_a_textbook_table():
    """20, 5, 10, 15: observed 0.7, expected 0.5, kappa 0.4."""
    kappa = cohen_kappa(np.array([[20, 5], [10, 15]]))
    assert kappa.value == pytest.approx(0.4)
    # Fleiss et al. 1969 by hand: a = .4(1-1.1*.6)^2 + .3(1-.9*.6)^2,
    # b = .36(.1*1.0^2 + .2*1.0^2), c = (.4 - .5*.6)^2; the margins are .6+.5, .5+.4, .6+.4, .5+.5.
    a = 0.4 * (1 - 1.1 * 0.6) ** 2 + 0.3 * (1 - 0.9 * 0.6) ** 2
    b = 0.36 * (0.1 * (0.6 + 0.5) ** 2 + 0.2 * (0.4 + 0.5) ** 2)
    error = np.sqrt((a + b - (0.4 - 0.5 * 0.6) ** 2) / (50 * 0.25))
    assert kappa.high - kappa.value == pytest.approx(1.96 * error, rel=1e-3)


def test_kappa_interval_covers_as_often_as_it_says():
    rng = np.random.default_rng(0)
    p = np.array([[0.35, 0.05, 0.02], [0.04, 0.25, 0.04], [0.03, 0.05, 0.17]])
    truth = cohen_kappa((p * 1e6).astype(int)).value
    draws = [cohen_kappa(rng.multinomial(250, p.ravel()).reshape(3, 3)) for _ in range(400)]
    covered = np.mean([one.low <= truth <= one.high for one in draws])
    assert covered == pytest.approx(0.95, abs=0.03)


@settings(max_examples=50)
@given(st.lists(st.sampled_from("abc"), min_size=3, max_size=40))
def test_perfect_agreement_is_one_and_a_single_class_has_no_kappa(labels):
    agreed = class_agreement(labels, labels, "abc")
    assert agreed.share.value == 1
    if len(set(labels)) > 1:
        assert agreed.kappa.value == pytest.approx(1)
    else:
        assert np.isnan(agreed.kappa.value)


def test_bland_altman_by_hand():
    made = bland_altman([1, 2, 3, 4], [2, 2, 5, 5])
    assert made.bias.value == pytest.approx(1.0)
    assert made.sd == pytest.approx(np.sqrt(2 / 3))
    assert made.upper_limit == pytest.approx(1 + 1.96 * np.sqrt(2 / 3), rel=1e-4)
    assert smallest_detectable_change([1, 2, 3, 4], [2, 2, 5, 5]) == pytest.approx(
        1.96 * np.sqrt(2 / 3), rel=1e-4
    )


def test_deming_finds_the_slope_where_least_squares_is_diluted():
    rng = np.random.default_rng(1)
    truth = rng.normal(0, 10, 4000)
    x, y = truth + rng.normal(0, 5, 4000), 1.3 * truth + 2 + rng.normal(0, 5, 4000)
    slope, intercept = deming(x, y)
    assert slope == pytest.approx(1.3, abs=0.05)
    assert intercept == pytest.approx(2, abs=0.4)
    assert np.polyfit(x, y, 1)[0] < 1.1
    assert deming(y, x)[0] == pytest.approx(1 / slope)
    interval, _ = deming_slope(x[:60], y[:60])
    assert interval.low < 1.3 < interval.high


@pytest.fixture(scope="module")
def two():
    maps, seg, mask, white, truth = phantom(repeat=2)
    other, *_ = phantom(repeat=2, seed=0, noise=1.5)
    other["chi_dia"] = other["chi_dia"].like(other["chi_dia"].array * np.float32(0.9))
    return maps, other, seg, mask, white, truth


def test_a_result_agrees_with_itself_and_a_scaled_one_shows_its_scale(two):
    maps, other, seg, mask, white, truth = two
    first = analyze_lesions(maps, seg, mask, white)
    same = compare_results(first, first)
    assert same.para.share.value == same.dia.share.value == 1
    assert same.para.kappa.value == pytest.approx(1)
    assert all(d == 0 for pair in same.pairs for d in pair.difference_ppb.values())
    scaled = compare_results(
        first,
        analyze_lesions(other, seg, mask, white),
        {"chi_dia": (maps["chi_dia"], other["chi_dia"])},
        mask,
    )
    assert scaled.values["chi_dia"].slope.value == pytest.approx(0.9, abs=0.01)
    assert scaled.values["chi_para"].differences.bias.value == pytest.approx(0, abs=1e-5)
    assert scaled.voxels["chi_dia"].slope == pytest.approx(0.9, abs=1e-4)
    assert len(scaled.pairs) == len(truth)
    assert json.loads(json.dumps(comparison_summary(scaled)))["lesions_in_both"] == len(truth)
    rows = comparison_table(scaled).splitlines()
    assert len(rows) == len(truth) + 1
    assert len({len(row.split(",")) for row in rows}) == 1


def test_different_thresholds_are_named(two):
    maps, _, seg, mask, white, _ = two
    first = analyze_lesions(maps, seg, mask, white)
    second = analyze_lesions(maps, seg, mask, white, Thresholds(z=4))
    assert any("thresholds" in note for note in compare_results(first, second).notes)


def test_visits_find_new_gone_and_changed_lesions(two):
    maps, _, seg, mask, white, _ = two
    first_seg, second_seg = seg.array.copy(), seg.array.copy()
    first_seg[first_seg == 1], second_seg[second_seg == 2] = 0, 0
    second_seg[second_seg > 0] += 100
    later = dict(maps)
    dia = maps["chi_dia"].array.copy()
    dia[seg.array == 5] -= 0.030
    later["chi_dia"] = maps["chi_dia"].like(dia)
    made = compare_visits(
        analyze_lesions(maps, seg.like(first_seg), mask, white),
        analyze_lesions(later, seg.like(second_seg), mask, white),
        {"chi_dia": 6.0},
    )
    assert made.only_first == (2,)
    assert made.only_second == (101,)
    assert all(pair.second.id == pair.first.id + 100 for pair in made.pairs)
    assert [p.first.id for p in made.pairs if p.changed["chi_dia"]] == [5]
    changed = next(p for p in made.pairs if p.first.id == 5)
    assert changed.difference_ppb["chi_dia"] == pytest.approx(30, abs=0.1)


def test_matching_is_one_to_one_and_takes_the_best():
    a, b = np.zeros((10, 10, 10), np.int32), np.zeros((10, 10, 10), np.int32)
    a[:, :, :6], a[:, :, 7:] = 1, 2
    b[:, :, :5], b[:, :, 5:] = 8, 9
    grid = Geometry(a.shape)
    assert [(p, q) for p, q, _ in match_lesions(Volume(a, grid), Volume(b, grid))] == [
        (1, 8),
        (2, 9),
    ]
    assert match_lesions(Volume(a, grid), Volume(np.zeros_like(b), grid)) == []


def test_voxel_agreement_has_lins_concordance():
    rng = np.random.default_rng(0)
    x = rng.normal(0, 1, (20, 20, 20)).astype(np.float32)
    grid = Geometry(x.shape)
    mask = Volume(np.ones(x.shape, np.uint8), grid)
    made = compare_voxels(Volume(x, grid), Volume(x + 1, grid), mask)
    assert made.correlation == pytest.approx(1, abs=1e-5)
    assert made.concordance == pytest.approx(2 / 3, abs=0.02)
    assert made.bias == pytest.approx(1, abs=1e-4)
    with pytest.raises(InputError, match="does not lie on the grid"):
        compare_voxels(Volume(x, grid), Volume(x[:-1], Geometry((19, 20, 20))), mask)
