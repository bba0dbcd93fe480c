"""The level of R2' of a scan: of usual heads 1, and in proportion to R2'."""

from __future__ import annotations

import pytest
import torch
from small_head import small_head

from QSMSeparationLib.data.volume import Geometry, Volume
from QSMSeparationLib.physics.r2prime_level import r2prime_scale
from QSMSeparationLib.pipeline.maps import separate
from QSMSeparationLib.pipeline.options import Options
from QSMSeparationLib.simulation.rasterize import rasterize


@pytest.fixture(scope="module")
def head():
    """R2' with noise, net chi and mask of a head whose values are usual."""
    fine = rasterize(small_head(), 2.0)
    para, dia = (torch.as_tensor(m).float() for m in (fine.chi_para_ppm, fine.chi_dia_ppm))
    mask = torch.as_tensor(fine.brain)
    noise = 1.5 * torch.randn(para.shape, generator=torch.Generator().manual_seed(1))
    r2prime = (114 * (para + dia.abs()) + noise).clamp(min=0) * mask
    net = para - dia.abs()
    return r2prime, (net - net[mask].mean()) * mask, mask


def test_a_usual_head_has_the_usual_level(head):
    assert r2prime_scale(*head, 3.0) == pytest.approx(1.0, abs=0.2)


@pytest.mark.parametrize("factor", [0.7, 1.5])
def test_the_level_follows_r2prime_but_for_some_caution(head, factor):
    r2prime, net, mask = head
    ratio = r2prime_scale(factor * r2prime, net, mask, 3.0) / r2prime_scale(r2prime, net, mask, 3.0)
    assert abs(ratio - factor) < 0.12 * factor
    assert abs(ratio - 1) < abs(factor - 1)  # drawn towards 1


def test_the_same_tissue_at_another_field_strength_has_the_same_level(head):
    r2prime, net, mask = head
    assert r2prime_scale(7 / 3 * r2prime, net, mask, 7.0) == pytest.approx(
        r2prime_scale(*head, 3.0)
    )


def test_without_any_r2prime_nothing_is_scaled(head):
    r2prime, net, mask = head
    assert r2prime_scale(0 * r2prime, net, mask, 3.0) == 1.0
    assert r2prime_scale(r2prime, net, mask & False, 3.0) == 1.0


def test_scaled_relaxivities_are_those_that_the_sidecar_names(head):
    r2prime, net, mask = head
    geometry = Geometry(tuple(mask.shape), (2.0, 2.0, 2.0))

    def volume(tensor, name):
        return Volume(tensor.numpy(), geometry, name)

    given = {"net": volume(net, "net"), "r2prime": volume(1.4 * r2prime, "R2'")}
    brain = volume(mask.byte(), "mask")
    auto = separate(given, brain, Options("closed-form", dr_auto=True))
    dr = auto.facts["RelaxivityPara_HzPerPpm"]
    assert dr == pytest.approx(114 * auto.facts["R2primeScale"], rel=1e-3)
    assert dr > 130
    assert (
        f"both relaxivities were scaled by {dr / 114:.2f}, the level of R2' in this scan"
        in auto.notes
    )
    same = separate(given, brain, Options("closed-form", dr_para=dr, dr_dia=dr))
    assert auto.maps["chi_para"] == pytest.approx(same.maps["chi_para"], abs=1e-6)
    gre = {"net": given["net"], "r2star": volume(1.4 * r2prime + 12.0 * mask, "R2*")}
    assert any("no measured R2'" in note for note in
               separate(gre, brain, Options("r2star-joint", dr_auto=True)).notes)  # fmt: skip
