"""SDs of the closed forms: they hold their errors, and grow with what makes them."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from ball import EVERYWHERE, ball_with_boxes
from catalogued import method

SHAPE = (30, 32, 34)


def ball(rate_hz: float = 2.0, net_noise_ppm: float = 0.006, scatter: float = 0.12):
    """A ball whose inputs have the errors that a scan's have; chi+ and |chi-| in ppm."""
    maps, para, dia = ball_with_boxes(
        13.0, [(0.06, 0, EVERYWHERE), (0.06, 2, 3)], [(0.05, 0, EVERYWHERE)], SHAPE,
        rate_hz=rate_hz,
    )  # fmt: skip
    random = torch.Generator().manual_seed(3)
    net = para - dia + net_noise_ppm * torch.randn(SHAPE, generator=random)
    rate = maps.r2prime + scatter * 114 * (para + dia) * torch.randn(SHAPE, generator=random)
    return replace(maps, net=net * maps.mask, r2prime=rate * maps.mask, local_field=None), para, dia


def test_errors_lie_within_their_sds_about_as_often_as_they_should():
    maps, para, dia = ball()
    found = method("closed-form")(maps)
    inside = maps.mask
    for value, sd, truth in (
        (found.chi_para, found.chi_para_sd, para), (-found.chi_dia, found.chi_dia_sd, dia)
    ):  # fmt: skip
        off = ((value - truth).abs() / sd)[inside]
        assert 0.6 < float((off < 1).float().mean()) < 0.9
        assert float((off < 2).float().mean()) > 0.92


@pytest.mark.parametrize("name", ["closed-form", "closed-form-guided"])
def test_noise_of_r2prime_makes_both_sources_less_sure(name):
    quiet, loud = (method(name)(ball(rate_hz=rate)[0]) for rate in (1.0, 8.0))
    inside = ball()[0].mask
    for sd in ("chi_para_sd", "chi_dia_sd"):
        before, after = (getattr(found, sd)[inside].median() for found in (quiet, loud))
        assert after > 1.1 * before
        assert not getattr(loud, sd)[~inside].any()


def test_a_field_that_no_source_explains_makes_net_chi_less_sure():
    clean, _, _ = ball_with_boxes(13.0, [(0.1, 0, 4)], [(0.0, 0, 4)], SHAPE, noise_ppm=0.001)
    dirty, _, _ = ball_with_boxes(13.0, [(0.1, 0, 4)], [(0.0, 0, 4)], SHAPE, noise_ppm=0.02)
    found = [
        method("closed-form")(replace(maps, net=torch.zeros(SHAPE))) for maps in (clean, dirty)
    ]
    first, second = (one.chi_para_sd[clean.mask].median() for one in found)
    assert second > 1.2 * first


def test_the_stronger_relaxivity_is_the_better_known_source():
    maps = replace(ball()[0], dr_para=200.0, dr_dia=60.0)
    found = method("closed-form")(maps)
    inside = maps.mask
    # chi+ = (R2' + Dr- chi) / (Dr+ + Dr-): net chi's error counts by the other's relaxivity
    assert (found.chi_para_sd < found.chi_dia_sd)[inside].all()
