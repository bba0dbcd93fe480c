"""Relaxation follows from water, iron and myelin, and lesions of every age are as measured."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
import torch

from QSMSeparationLib.physics.constants import DR_HZ_PER_PPM
from QSMSeparationLib.physics.spoiled import signal_at_te0
from QSMSeparationLib.simulation.lesion_ages import (
    AGES,
    RIM,
    draw_rim,
    draw_sources,
    draw_state,
    likely_age,
)
from QSMSeparationLib.simulation.lesion_values import CLASS_LIMIT_PPB, LIMIT_GAP_PPB, class_of
from QSMSeparationLib.simulation.relaxation import (
    draw_relaxivities,
    t1_of_water_s,
    with_relaxation,
)
from QSMSeparationLib.simulation.texture import draw_contrast, with_contrast
from QSMSeparationLib.simulation.tissues import TISSUES, draw_tissues, r2_of_sources_hz

DR_HZ_PER_PPB = DR_HZ_PER_PPM / 1000
# chi+, |chi-|, water, R2, R2', T1 and the signal at TE 0 (TR 33 ms, 15 degrees) over that of white
# matter: means of the classes that the prior was fitted to (measured in people, see lesion_ages).
MEANS = {
    "acute nodular": (15, 24, 0.745, 10.8, 4.5, 1.23, 0.88),
    "shell": (18, 17, 0.755, 8.7, 4.0, 1.30, 0.87),
    "early chronic": (28, 14, 0.755, 12.4, 4.8, 1.29, 0.87),
    "chronic": (7, 8, 0.795, 7.9, 2.2, 1.54, 0.82),
    "remyelinated": (17, 23, 0.72, 14.2, 4.6, 1.02, 0.94),
}


def saturated(water, t1_s):
    values = torch.tensor([water, 0.70]), torch.tensor([t1_s, 0.85])
    lesion, white = signal_at_te0(*values, tr_s=0.033, flip_deg=15.0)
    return float(lesion / white)


@pytest.fixture(scope="module")
def drawn():
    """Values of 1500 lesions by age, without the gap between classes."""
    rng = np.random.default_rng(7)
    rows = defaultdict(list)
    for age in AGES:
        for _ in range(1500):
            para, dia = draw_sources(age, False, rng)
            state = draw_state(age, rng)
            r2 = state.free_r2_hz + r2_of_sources_hz(para, dia)
            r2prime = DR_HZ_PER_PPB * (para + dia)
            signal = saturated(state.water, state.t1_s)
            rows[age].append((para, dia, state.water, r2, r2prime, state.t1_s, signal))
    return {age: np.array(values) for age, values in rows.items()}


@pytest.mark.parametrize("age", MEANS)
def test_lesions_of_an_age_have_the_means_of_their_class(drawn, age):
    means = drawn[age].mean(axis=0)
    if age == "chronic":
        assert 3 <= means[0] <= 11  # given as a range
        means[0] = MEANS[age][0]
        means[4] = max(means[4], MEANS[age][4] * 0.9)  # follows it
    assert means == pytest.approx(np.array(MEANS[age]), rel=0.10)


def test_lesions_differ_from_normal_appearing_white_matter_as_measured(drawn):
    """R2* -5.6 and -8.0 Hz (Zhang 2016) within the spread, R2' -0.5 to -2.5 Hz (Paling 2012)."""
    white = [person_of(seed)["white matter"] for seed in range(40)]
    r2star = np.mean([w.r2_hz + DR_HZ_PER_PPB * (w.chi_para_ppb - w.chi_dia_ppb) for w in white])
    r2prime = np.mean([DR_HZ_PER_PPB * (w.chi_para_ppb - w.chi_dia_ppb) for w in white])
    for age, loss in (("acute nodular", -5.6), ("shell", -8.0)):
        found = drawn[age][:, 3] + drawn[age][:, 4] - r2star
        assert abs(found.mean() - loss) < found.std()
    shares = np.array([age.share for age in AGES.values()])
    mixed = sum(s * drawn[age][:, 4].mean() for s, age in zip(shares, AGES, strict=True))
    assert -2.5 < mixed - r2prime < -0.5


def test_r1_and_r2_correlate_within_lesions_but_do_not_tell_each_other(drawn):
    values = np.concatenate(list(drawn.values()))
    r = np.corrcoef(1 / values[:, 5], values[:, 3])[0, 1]
    assert 0.4 < r < 0.8  # measured: .62


def person_of(seed):
    tissues = with_relaxation(draw_tissues(seed, 50), seed, patient=True)
    return with_contrast(tissues, draw_contrast(seed), patient=True)


@pytest.mark.parametrize("contrast", [False, True])
def test_tissue_relaxes_as_gelman_measured(contrast):
    """R2 and R2* at 3 T within the ranges of the measurements, over people of either table."""
    ranges = {
        "white matter": ((14.0, 19.2), (18.0, 26.0)),
        "cortex": ((12.6, 16.2), (15.0, 23.0)),
        "globus pallidus": ((23.6, 30.0), (33.0, 50.0)),
    }
    people = [
        person_of(s) if contrast else with_relaxation(draw_tissues(s, 50), s, False)
        for s in range(30)
    ]
    for name, (r2, r2star) in ranges.items():
        own = [person[name] for person in people]
        assert r2[0] < np.mean([t.r2_hz for t in own]) < r2[1]
        sources = [DR_HZ_PER_PPB * (t.chi_para_ppb - t.chi_dia_ppb) for t in own]
        assert (
            r2star[0]
            < np.mean([t.r2_hz + s for t, s in zip(own, sources, strict=True)])
            < r2star[1]
        )


def test_relaxation_has_its_own_stream_and_leaves_the_sources_alone():
    plain = draw_tissues(4, 40)
    patient, healthy = (with_relaxation(plain, 4, sick) for sick in (True, False))
    for name, tissue in plain.items():
        assert patient[name].chi_para_ppb == tissue.chi_para_ppb
        assert patient[name].chi_dia_ppb == tissue.chi_dia_ppb
    assert patient["white matter"].water > healthy["white matter"].water
    assert patient["white matter"].r2_hz < healthy["white matter"].r2_hz
    assert patient["CSF"] == plain["CSF"]


def test_t1_of_white_matter_follows_its_water():
    assert t1_of_water_s(0.70) == pytest.approx(0.85, abs=0.01)
    assert t1_of_water_s(0.745) > t1_of_water_s(0.70)


def test_at_small_flip_angles_lesions_vanish_at_te_0():
    """T1 weighting makes them dark at 15 degrees; at 8 degrees more water makes up for it."""
    water, t1 = torch.tensor([0.755, 0.712]), torch.tensor([1.30, 0.90])
    dark, even = (signal_at_te0(water, t1, 0.033, flip) for flip in (15.0, 6.0))
    assert dark[0] / dark[1] < 0.90
    assert even[0] / even[1] > 0.97


def test_values_near_a_limit_have_no_class():
    for side in (-1, 1):
        assert class_of(side * (CLASS_LIMIT_PPB + 0.9 * LIMIT_GAP_PPB)) is None
        assert class_of(side * (CLASS_LIMIT_PPB - 0.9 * LIMIT_GAP_PPB)) is None
    assert [class_of(v) for v in (-9, 0, 9)] == ["hypo", "iso", "hyper"]


def test_a_lesion_without_age_gets_one_that_fits():
    rng = np.random.default_rng(0)
    ages = [likely_age(6.0, 7.0, False, rng) for _ in range(200)]
    assert ages.count("chronic") > ages.count("remyelinated")
    assert len(set(ages)) > 2
    rims = [draw_rim(rng) for _ in range(500)]
    assert np.mean(rims, axis=0) == pytest.approx([RIM.para[0], RIM.dia[0]], rel=0.1)


def test_relaxivities_scatter_between_regions_and_scale_with_the_protocol():
    one, same, other = (draw_relaxivities(seed, 5) for seed in (1, 1, 2))
    assert one == same
    assert one.scale != other.scale
    factors = np.log([f for s in range(20) for f in draw_relaxivities(s, 5).tissues.values()])
    assert factors.std() == pytest.approx(0.12, rel=0.15)
    assert set(one.lesions) == set(range(1, 6))
    assert set(one.tissues) == set(TISSUES)
