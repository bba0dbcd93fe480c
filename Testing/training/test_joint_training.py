"""Training without a spin echo: what the joint network is told, and how its sureness is scored."""

from __future__ import annotations

import copy
import csv

import numpy as np
import pytest
import torch
from small_pool import fill_pool
from torch import nn

from QSMSeparationLib.networks.inputs import fitted, sd_of
from QSMSeparationLib.networks.weights import start_with
from QSMSeparationLib.physics import tissue_prior
from QSMSeparationLib.physics.spoiled import signal_at_te0, t1_weighting
from QSMSeparationLib.physics.two_sources import r2star_closed_form
from QSMSeparationLib.runtime.errors import InputError
from QSMSeparationLib.training import loop, losses, recipes
from QSMSeparationLib.training.pool import PatchPlan, Pool
from QSMSeparationLib.training.scan_noise import measure_following


@pytest.fixture(scope="module")
def batch(tmp_path_factory):
    pool = Pool(fill_pool(tmp_path_factory.mktemp("pool"), 2))
    patches = pool.patches(12, PatchPlan(24), np.random.default_rng(0))
    return measure_following(patches, torch.Generator().manual_seed(1))


def test_the_start_without_a_spin_echo_is_right_where_r2_follows_the_sources():
    para, dia = 0.05 * torch.rand(2, 1, 1, 6, 6, 6)
    dr_para, dr_dia = 130.0, 100.0
    r2 = tissue_prior.R2_FREE_HZ + 3 * (
        tissue_prior.R2_FREE_HZ_PER_T
        + tissue_prior.R2_PER_PARA_HZ_PER_PPM_T * para
        + tissue_prior.R2_PER_DIA_HZ_PER_PPM_T * dia
    )
    r2star = r2 + dr_para * para + dr_dia * dia
    mask = torch.ones_like(para)
    found = r2star_closed_form(para - dia, r2star, dr_para, dr_dia, mask)
    assert torch.allclose(found, torch.cat([para, dia], dim=1), atol=1e-6)
    noisy = r2star_closed_form(para - dia, 0 * r2star, dr_para, dr_dia, mask)
    assert (noisy >= 0).all()
    assert torch.allclose(noisy[:, :1] - noisy[:, 1:], para - dia, atol=1e-6)


@pytest.mark.parametrize("flip_deg", [6.0, 15.0, 30.0])
def test_weighting_by_t1_is_the_slope_of_the_signal(flip_deg):
    t1 = torch.tensor([1.1 / 1.01, 1.1 * 1.01], dtype=torch.float64)
    low, high = signal_at_te0(torch.ones_like(t1), t1, 0.035, flip_deg).log()
    slope = float((low - high) / (2 * np.log(1.01)))
    assert t1_weighting(0.035, flip_deg) == pytest.approx(slope, rel=1e-3)


def test_some_patches_know_the_magnitude_at_te0_and_others_do_not(batch):
    assert 0 < batch.s0_known.mean() < 1
    unknown = batch.s0_known.flatten() == 0
    assert not batch.s0_log_ratio[unknown].any()
    assert batch.s0_log_ratio[~unknown].std() > 0.02


def test_surest_is_who_tells_the_errors_that_there_are(batch):
    error = 0.004 * torch.randn(batch.sources_ppm.shape, generator=torch.Generator().manual_seed(2))
    error.requires_grad_()

    def score(sd_ppm: float) -> torch.Tensor:
        log_sd = torch.full_like(error, float(np.log(sd_ppm / 0.01)), requires_grad=True)
        assert float(sd_of(log_sd).detach().mean()) == pytest.approx(sd_ppm, rel=1e-4)
        return losses.sureness_term(error, log_sd, batch.mask)

    scores = {sd: score(sd) for sd in (0.002, 0.004, 0.008)}
    assert min(scores, key=lambda sd: float(scores[sd].detach())) == 0.004
    scores[0.008].backward()
    assert error.grad is None  # to be sure must not bend what is estimated


def test_a_wider_network_starts_where_a_narrower_one_stood():
    wide = recipes.find("chi-sepnet").build().eval()
    narrow_recipe = recipes.find("susep-net")
    with pytest.raises(InputError, match="depth"):
        start_with(wide, narrow_recipe.build().state_dict())
    narrow = copy.deepcopy(wide.state_dict())
    first = next(name for name, value in narrow.items() if value.dim() == 5)
    last = [name for name, value in narrow.items() if value.dim() == 5][-1]
    narrow[first] = narrow[first][:, :5]
    narrow[last] = narrow[last][:2]
    narrow[last.replace("weight", "bias")] = narrow[last.replace("weight", "bias")][:2]
    another = recipes.find("chi-sepnet").build().eval()
    start_with(another, narrow)
    inputs = torch.randn(1, 6, 16, 16, 16)
    changed = inputs.clone()
    changed[:, 5] = 7.0  # counts nothing at first
    with torch.no_grad():
        before, after = another(inputs)[:, :2], another(changed)[:, :2]
        alone = wide(torch.cat([inputs[:, :5], 0 * inputs[:, 5:]], dim=1))[:, :2]
    assert torch.allclose(before, after, atol=1e-5)
    assert torch.allclose(before, alone, atol=1e-5)
    assert fitted(inputs, another).shape[1] == 6


def test_curves_of_a_run_that_knew_fewer_terms_go_on(tmp_path):
    (tmp_path / "curves.csv").write_text("step,seconds,part,loss,l1\n25,9,training,1.5,0.5\n")
    curves = loop._Curves(tmp_path, True)
    state = loop._State(nn.Identity(), nn.Identity(), None, 50, 20.0)  # type: ignore[arg-type]
    curves.validate(state, {"l1": 0.4, "sureness": -0.1})
    curves.write()
    with (tmp_path / "curves.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["step"], row["l1"], row["sureness"]) for row in rows] == [
        ("25", "0.5", ""),
        ("50", "0.4", "-0.1"),
    ]
    curves.figure("joint-net")
    assert (tmp_path / "curves.png").is_file()
