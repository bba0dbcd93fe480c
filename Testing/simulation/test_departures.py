"""Heads in which chi and relaxation do not go together: what changes, and what stays."""

from __future__ import annotations

from dataclasses import replace

import pytest
from small_head import small_head

from QSMSeparationLib.simulation import departures
from QSMSeparationLib.simulation.lesions import core_r2_hz, draw_lesions
from QSMSeparationLib.simulation.rasterize import rasterize
from QSMSeparationLib.simulation.tissues import R2_FREE_HZ


@pytest.fixture(scope="module")
def head():
    plain = small_head()
    return replace(plain, lesions=draw_lesions(plain.anatomy, plain.tissues, 1, 6, by_age=True))


def changed(head, other, what):
    return [name for name in head.tissues if what(head.tissues[name]) != what(other.tissues[name])]


def test_shuffled_tissues_keep_their_rates_and_turn_their_net_chi(head):
    other = departures.shuffled(head)
    turned = changed(head, other, lambda t: t.net_ppm)
    assert 0 < len(turned) < len(departures.brain_tissues(head))
    for name in turned:
        before, after = head.tissues[name], other.tissues[name]
        assert after.net_ppm == pytest.approx(-before.net_ppm)
        assert after.r2_hz == pytest.approx(before.r2_hz, rel=0.03)


def test_other_rates_leave_chi_as_it_is(head):
    other = departures.with_other_rates(head)
    assert not changed(head, other, lambda t: (t.chi_para_ppb, t.chi_dia_ppb))
    assert len(changed(head, other, lambda t: round(t.r2_hz, 6))) > 3


@pytest.mark.parametrize("share", [0.5, 1.5])
def test_lesions_lose_a_share_of_their_r2_and_keep_their_sources(head, share):
    other = departures.lesions_losing(share)(head)
    for before, after in zip(head.lesions, other.lesions, strict=True):
        assert after.core_dia_ppb == before.core_dia_ppb
        lost = R2_FREE_HZ - before.state.free_r2_hz
        wanted = max(R2_FREE_HZ - share * lost, departures.LEAST_FREE_R2_HZ)
        assert after.state.free_r2_hz == pytest.approx(wanted)
        assert core_r2_hz(after) - core_r2_hz(before) == pytest.approx(
            wanted - before.state.free_r2_hz
        )


def test_r2_of_nothing_reaches_the_maps_and_chi_does_not_move(head):
    before, after = (rasterize(one, 3.0) for one in (head, departures.with_r2_of_nothing(head)))
    assert (before.chi_para_ppm == after.chi_para_ppm).all()
    assert (before.r2_hz - after.r2_hz)[before.brain].abs().mean() > 0.5
