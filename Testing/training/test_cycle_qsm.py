"""Training of cycle-qsm: unpaired data, cycles that know the truth, critic and generator apart."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from catalogued import method
from small_pool import fill_pool

from QSMSeparationLib.data.maps import Maps
from QSMSeparationLib.evaluation.metrics import demeaned_nrmse
from QSMSeparationLib.networks.inputs import NET_PPM
from QSMSeparationLib.networks.weights import save_weights
from QSMSeparationLib.physics.dipole import DipoleOperator
from QSMSeparationLib.runtime.errors import InputError
from QSMSeparationLib.training import command, loop, recipes
from QSMSeparationLib.training import cycle_qsm as training
from QSMSeparationLib.training.heads import CHANNELS
from QSMSeparationLib.training.pool import PatchPlan
from QSMSeparationLib.training.switches import Switches

SIDE = 32


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    return training.UnpairedPool(fill_pool(tmp_path_factory.mktemp("pool"), 4))


def batch_of(pool, count=2):
    patches = pool.patches(count, PatchPlan(SIDE), np.random.default_rng(1))
    return training.measure(patches, torch.Generator().manual_seed(1))


def test_no_head_gives_both_its_field_and_its_map(pool):
    fields, maps = pool.halves()
    assert len(fields) == len(maps) == 2
    assert not set(fields) & set(maps)


def test_a_pool_of_one_head_is_refused(tmp_path):
    folder = fill_pool(tmp_path, 1)
    with pytest.raises(InputError, match="fewer than 2"):
        training.UnpairedPool(folder, wait_s=0.0)


def test_heads_that_give_fields_show_no_truth_and_the_others_no_measurement(pool):
    stored = np.array(pool._open[pool.halves()[0][0]], dtype=np.float32)
    maps = dict(zip(CHANNELS, torch.from_numpy(stored), strict=True))
    junk = {name: torch.randn_like(maps[name]) for name in maps}
    blind = maps | {name: junk[name] for name in ("para", "dia", "r2")}
    assert torch.equal(training._field_head(blind), training._field_head(maps))
    blind = maps | {name: junk[name] for name in ("field", "net_tv", "net_l2", "r2")}
    assert torch.equal(training._map_head(blind), training._map_head(maps))


def test_the_made_field_is_that_of_the_map(pool):
    """Over a whole head; its L2 inversion resembles the map."""
    head = torch.from_numpy(pool._head(pool.halves()[1][0], False).astype(np.float32))
    field, linear, net, mask = head
    expected = DipoleOperator(tuple(net.shape), (1.0,) * 3, (1.0, 0.0, 0.0), pad=1.0)(net)
    inside = mask > 0
    assert demeaned_nrmse(field.numpy(), expected.numpy(), inside.numpy()) < 10
    assert float(torch.corrcoef(torch.stack([linear[inside], net[inside]]))[0, 1]) > 0.4


class Known(torch.nn.Module):
    """A generator that knows what is true of the made fields, and says nothing of the others."""

    def __init__(self, batch):
        super().__init__()
        self.error = (batch.net_ppm - batch.made_l2_ppm) * batch.map_mask / NET_PPM

    def forward(self, x):
        return torch.cat([torch.zeros_like(self.error), self.error])


def test_the_cycle_of_maps_is_0_for_the_truth_and_that_of_fields_is_the_rest(pool):
    batch = batch_of(pool)
    networks = training.CycleNetworks()
    networks.generator = Known(batch)
    found = training.terms(networks, batch, Switches())
    assert all(float(found[n]) < 1e-5 for n in ("l1", "mean_2", "mean_4", "gradient"))
    noisier = replace(batch, rest_ppm=2 * batch.rest_ppm)
    twice = training.terms(networks, noisier, Switches())
    assert float(twice["cycle_field"]) == pytest.approx(2 * float(found["cycle_field"]), rel=1e-4)


def test_generator_and_critic_are_trained_each_by_its_own_terms(pool):
    networks, batch = training.CycleNetworks().train(), batch_of(pool)
    parts = {"generator": networks.generator, "critic": networks.critic}
    recipe, switches = recipes.find("cycle-qsm"), Switches()
    for name, terms in (("generator", recipe.terms), ("critic", recipe.critic_terms)):
        networks.zero_grad(set_to_none=True)
        recipes.total(terms(networks, batch, switches), recipe).backward()
        reached = {n for n, p in parts.items() if any(q.grad is not None for q in p.parameters())}
        assert reached == {name}


def test_the_critic_learns_which_maps_are_true(pool):
    """After some steps it holds true maps above smooth ones, with a slope of about 1."""
    torch.manual_seed(0)
    networks, recipe = training.CycleNetworks(), recipes.find("cycle-qsm")
    optimizer = torch.optim.Adam(networks.critic.parameters(), 2e-3)
    true = torch.randn(2, 1, 16, 16, 16)
    smooth = torch.nn.functional.avg_pool3d(true, 5, 1, 2)
    for _ in range(60):
        networks.made = (true, smooth)
        terms = training.critic_terms(networks, None, Switches())
        optimizer.zero_grad()
        recipes.total(terms, recipe).backward()
        optimizer.step()
    assert float(terms["critic"].detach()) < -0.2
    assert float(terms["penalty"].detach()) < 0.3


def test_a_run_trains_both_and_keeps_the_generator(tmp_path, pool):
    settings = loop.Settings(steps=2, batch=1, patch=SIDE, rate=1e-3, seed=4, save_every=2)
    recipe = recipes.find("cycle-qsm")
    device = torch.device("cpu")
    network = loop.train(recipe, settings, pool, None, tmp_path, device)
    start = loop._start(recipe, settings, device, None).network
    saved = torch.load(tmp_path / loop.CHECKPOINT, weights_only=True)["network"]
    for part in ("generator", "critic"):
        before = getattr(start, part).state_dict()
        assert any(not torch.equal(v, saved[f"{part}.{k}"]) for k, v in before.items())
    save_weights(network, tmp_path / "w.pt", command.card_of("cycle-qsm", tmp_path, device))
    maps = Maps(torch.ones(24, 24, 24, dtype=torch.bool), (1.0,) * 3, (0.0, 0.6, 0.8),
                local_field=0.01 * torch.randn(24, 24, 24))  # fmt: skip
    net = method("cycle-qsm")(maps, weights=tmp_path / "w.pt")
    assert net.shape == maps.mask.shape
    assert net.isfinite().all()
    assert abs(float(net.mean())) < 1e-6


def test_without_the_critic_only_the_cycles_are_left(pool):
    found = training.terms(training.CycleNetworks(), batch_of(pool), Switches(critic=False))
    assert "potential" not in found
    assert {"l1", "cycle_field"} <= set(found)


def test_the_shipped_weights_beat_the_closed_form_on_a_head():
    from ellipsoid_head import ellipsoid_head

    head = ellipsoid_head(seed=1, shape=(64, 86, 72), spacing_kji=(1.5, 1.5, 1.5))
    error = {
        name: demeaned_nrmse(method(name)(head.maps).numpy(), head.chi_ppm, head.mask)
        for name in ("l2", "cycle-qsm")
    }
    assert error["cycle-qsm"] < 0.9 * error["l2"]
