"""The joint network beside its training: what it starts from, keeps, refuses and is told."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from ball import EVERYWHERE, ball_with_boxes
from catalogued import method
from untrained import untrained

from QSMSeparationLib.data.separated import Separated
from QSMSeparationLib.networks.grid import NetworkGrid
from QSMSeparationLib.networks.inputs import SD_PPM, MagnitudeAtTE0
from QSMSeparationLib.physics.two_sources import BRAIN_MEAN_PPM
from QSMSeparationLib.runtime.errors import InputError
from QSMSeparationLib.separation.joint_net import magnitude_at_te0
from QSMSeparationLib.training.two_sources import CHI_SEPNET_SIZE, JOINT_NET_SIZE

joint_net, chi_sepnet = (method(name) for name in ("joint-net", "chi-sepnet-r2prime"))
SHAPE = (40, 44, 48)


@pytest.fixture(scope="module")
def ball():
    """A ball of white matter with iron and a pale lesion, its R2 following the sources."""
    maps, para, dia = ball_with_boxes(
        17.0,
        [(0.02, 0, EVERYWHERE), (0.08, 6, 4)],
        [(0.03, 0, EVERYWHERE), (-0.02, -6, 4)],
        SHAPE,
    )
    net = para - dia
    r2 = (11.7 + 97 * para + 95 * dia) * maps.mask
    s0 = (100 - 400 * dia) * maps.mask
    return (
        replace(
            maps,
            net=(net - BRAIN_MEAN_PPM) * maps.mask,
            r2star=maps.r2prime + r2,
            s0=s0,
            tr_s=0.035,
            flip_deg=15.0,
        ),
        para,
        dia,
    )


@pytest.fixture(scope="module")
def silent(tmp_path_factory):
    return untrained(tmp_path_factory.mktemp("silent"), "joint-net", JOINT_NET_SIZE, gain=0)


@pytest.fixture(scope="module")
def loud(tmp_path_factory):
    return untrained(tmp_path_factory.mktemp("loud"), "joint-net", JOINT_NET_SIZE, gain=30)


def test_it_starts_from_sources_that_explain_net_chi_and_r2star(ball, silent):
    maps, para, dia = ball
    found = joint_net(maps, weights=silent, refinement=0)
    assert isinstance(found, Separated)
    assert torch.allclose(found.chi_para, para, atol=1e-4)
    assert torch.allclose(-found.chi_dia, dia, atol=1e-4)
    assert torch.allclose(found.r2prime, maps.r2prime, atol=0.05)
    assert found.chi_para_sd[maps.mask].min() >= 0.999 * SD_PPM
    for one in found.maps().values():
        assert not one[~maps.mask].any()


def test_where_measurements_fit_no_tissue_it_is_less_sure(ball, silent):
    maps, _, _ = ball
    where = torch.zeros_like(maps.mask)
    where[20, 22, 24] = True
    odd = replace(maps, r2star=torch.where(where, 110.0, maps.r2star))
    found = joint_net(odd, weights=silent, refinement=0)
    assert found.unusual[where].all()
    assert found.chi_para_sd[where] > 1.5 * SD_PPM


def test_signs_and_mask_hold_whatever_the_network_says(ball, loud):
    maps, _, _ = ball
    found = joint_net(maps, weights=loud, refinement=2)
    assert found.chi_para.min() >= 0
    assert found.chi_dia.max() <= 0
    assert found.r2prime.min() >= 0
    assert found.chi_para[~maps.mask].abs().max() == 0


def test_the_magnitude_at_te0_counts_without_its_scale(ball, loud):
    maps, _, _ = ball
    notes = []
    plain = joint_net(maps, weights=loud).chi_para
    scaled = joint_net(replace(maps, s0=4096 * maps.s0), weights=loud).chi_para
    without = joint_net(replace(maps, s0=None), weights=loud, note=notes.append).chi_para
    untold = joint_net(replace(maps, tr_s=None), weights=loud).chi_para
    assert torch.allclose(plain, scaled, atol=1e-4)
    assert torch.allclose(without, untold, atol=1e-6)
    assert (plain - without).abs().max() > 1e-3
    assert any("TE 0" in note for note in notes)


def test_a_receive_coil_hardly_changes_what_is_told():
    maps, _, dia = ball_with_boxes(
        58.0, [(0.0, 0, 1)], [(0.02, 0, 8)], (64, 64, 64), (2.0, 2.0, 2.0)
    )
    s0 = (1 - 10 * dia) * maps.mask
    place = torch.linspace(-64, 64, 64)[:, None, None]
    shaded = s0 * torch.exp(0.6 * place / 64)
    plain, coil = (
        MagnitudeAtTE0.of(one, maps.mask, (2.0, 2.0, 2.0), 0.03, 15.0).log_ratio[0, 0]
        for one in (s0, shaded)
    )
    lesion = dia > 0
    around = maps.mask & ~lesion
    around[:20] = around[44:] = False
    contrast, shaded_contrast = (
        float(one[lesion].mean() - one[around].mean()) for one in (plain, coil)
    )
    nothing = MagnitudeAtTE0.of(0 * s0, maps.mask, (2.0, 2.0, 2.0), 0.03, 15.0)
    assert not nothing.known.any()
    assert contrast < -0.15
    assert shaded_contrast == pytest.approx(contrast, abs=0.02)


def test_where_all_is_as_bright_the_border_of_an_oblique_mask_tells_nothing():
    tilted = (0.96, 0.28, 0.0)
    maps, _, _ = ball_with_boxes(17.0, [(0, 0, 1)], [(0, 0, 1)], SHAPE, (1.0, 1.0, 1.3), tilted)
    maps = replace(maps, s0=700.0 * maps.mask, tr_s=0.03, flip_deg=15.0)
    grid = NetworkGrid(maps)
    mask = grid.to_network(maps.mask.float()) > 0.5
    found = magnitude_at_te0(maps, grid, mask)
    assert grid.resampled
    assert found.log_ratio.abs().max() < 1e-3
    assert torch.equal(found.known[0, 0] > 0, mask)


def test_other_field_strengths_are_refused_with_what_to_use(ball, silent):
    maps, _, _ = ball
    with pytest.raises(InputError, match="r2star-joint"):
        joint_net(replace(maps, b0_tesla=7.0), weights=silent)


def test_separation_networks_with_more_outputs_tell_sds(ball, tmp_path):
    maps, _, _ = ball
    weights = untrained(tmp_path, "chi-sepnet", CHI_SEPNET_SIZE, gain=0)
    found = chi_sepnet(maps, weights=weights, refinement=0)
    assert found.has_sd
    assert found.chi_dia_sd[maps.mask].mean() == pytest.approx(SD_PPM, rel=1e-3)
