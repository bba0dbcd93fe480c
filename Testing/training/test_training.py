"""Training: heads obey the physics, runs resume to the same weights, losses know the truth."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from small_pool import fill_pool, tiny_person

from QSMSeparationLib.cli.parser import main
from QSMSeparationLib.evaluation.metrics import xsim
from QSMSeparationLib.networks.susep import SusepOutput
from QSMSeparationLib.physics.dipole import DipoleOperator
from QSMSeparationLib.runtime.errors import InputError
from QSMSeparationLib.training import loop, losses, recipes
from QSMSeparationLib.training.anatomy_pool import ShapePool
from QSMSeparationLib.training.heads import CHANNELS, draw_training_head
from QSMSeparationLib.training.pool import PatchPlan, Pool, fill
from QSMSeparationLib.training.scan_noise import measure
from QSMSeparationLib.training.switches import Switches


@pytest.fixture(scope="module")
def pool_folder(tmp_path_factory):
    return fill_pool(tmp_path_factory.mktemp("pool"), 2)


def batch_of(pool_folder, count=2, size=24):
    patches = Pool(pool_folder).patches(count, PatchPlan(size), np.random.default_rng(0))
    return patches, measure(patches, torch.Generator().manual_seed(0))


def test_the_same_seed_gives_the_same_head_and_another_seed_another():
    first, again, other = (draw_training_head(tiny_person(), s) for s in (3, 3, 4))
    assert torch.equal(first.maps, again.maps)
    assert first.maps.shape != other.maps.shape or not torch.equal(first.maps, other.maps)


def test_field_of_a_head_is_that_of_its_sources():
    """What is left of the field after its own sources is noise: small, and not from them."""
    head = draw_training_head(tiny_person(), 3)
    maps = dict(zip(CHANNELS, head.maps, strict=True))
    net = maps["para"] - maps["dia"]
    spacing = (head.spacing_mm,) * 3
    maps["field"] = maps["field"] - maps["misfit"]
    field = DipoleOperator(tuple(net.shape), spacing, (1.0, 0.0, 0.0), pad=1.0)(net)
    inside = maps["importance"] > 0
    measured, own = maps["field"][inside], field[inside]
    measured, own = measured - measured.mean(), own - own.mean()
    slope = (measured @ own) / (own @ own)
    assert slope == pytest.approx(1.0, abs=0.15)
    assert maps["para"].min() >= 0
    assert maps["dia"].min() >= 0
    assert not (maps["para"] * ~inside).any()


def test_blobs_of_many_values_are_drawn_and_marked():
    head = draw_training_head(tiny_person(), 3)
    maps = dict(zip(CHANNELS, head.maps, strict=True))
    blobs = maps["importance"] > 1.5
    assert 0.01 < blobs.float().mean() < 0.9
    assert maps["dia"][blobs].std() > 0.2 * maps["dia"][blobs].mean()


def test_a_pool_keeps_whole_heads_only_and_the_latest(tmp_path, pool_folder):
    np.save(tmp_path / "tiny.npy", tiny_person().index)
    people = [tmp_path / "tiny.npy"]
    fill(tmp_path / "heads", people, 0, [0, 1], slots=1)
    assert [p.name for p in (tmp_path / "heads").iterdir()] == ["slot000-head00001.npy"]
    alike = np.load(tmp_path / "heads" / "slot000-head00001.npy")
    assert np.array_equal(alike, np.load(pool_folder / "slot001-head00001.npy"))


def test_an_empty_pool_says_what_to_do(tmp_path):
    with pytest.raises(InputError, match="fill the pool"):
        Pool(tmp_path, wait_s=0.0)


def test_patches_are_turned_about_b0_only(pool_folder):
    """Patches, flipped and turned, still obey the dipole with B0 along k."""
    patches, _ = batch_of(pool_folder, 4, 40)
    for patch in patches:
        maps = dict(zip(CHANNELS, patch, strict=True))
        net = maps["para"] - maps["dia"]
        inside = maps["importance"] > 0
        fits = []
        for b0 in ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0)):
            field = DipoleOperator((40,) * 3, (1.0,) * 3, b0, pad=1.0)(net)[inside]
            measured = maps["field"][inside]
            fits.append(float(torch.corrcoef(torch.stack([field, measured]))[0, 1]))
        assert fits[0] > 0.6
        assert fits[0] > fits[1]


def test_measured_r2prime_follows_the_drawn_relaxivities(pool_folder):
    patches, batch = batch_of(pool_folder)
    para, dia = batch.sources_ppm[:, :1], batch.sources_ppm[:, 1:]
    scatter = patches[:, CHANNELS.index("r2prime_factor")][:, None]
    expected = scatter * (batch.dr_para * para + batch.dr_dia * dia) * batch.mask
    assert torch.allclose(batch.true_r2prime_hz, expected, atol=1e-4)
    assert (batch.r2prime_hz >= 0).all()
    error = (batch.r2prime_hz - expected)[batch.mask > 0]
    assert 0.2 < error.std() < 12
    _, told = batch_of(pool_folder)
    ignorant = measure(batch_of(pool_folder)[0], torch.Generator().manual_seed(0), know_dr=False)
    assert (ignorant.dr_para == 114).all()
    assert torch.equal(ignorant.r2prime_hz, told.r2prime_hz)


# anatomy-net draws its images from shapes, not from heads (test_anatomy_training).
OF_HEADS = [name for name, recipe in recipes.RECIPES.items() if recipe.pool is not ShapePool]


@pytest.mark.parametrize("name", OF_HEADS)
def test_losses_are_finite_and_reach_every_parameter(name, pool_folder):
    recipe = recipes.find(name)
    network = recipe.build().train()
    patches = recipe.pool(pool_folder).patches(2, PatchPlan(32), np.random.default_rng(0))
    batch = recipe.measure(patches, torch.Generator().manual_seed(0), True)
    for part in filter(None, (recipe.terms, recipe.critic_terms)):
        recipes.total(part(network, batch, Switches()), recipe).backward()
    silent = [n for n, p in network.named_parameters() if p.grad is None]
    assert not silent


def test_error_terms_are_0_for_the_truth_and_feel_a_lost_lesion(pool_folder):
    _, batch = batch_of(pool_folder)
    nothing = torch.zeros_like(batch.sources_ppm)
    terms = losses.error_terms(nothing, batch.importance)
    terms |= losses.model_terms(nothing, batch)
    assert all(float(v) == 0 for v in terms.values())
    lost = 0.01 * (batch.importance > 1.5).float().expand_as(nothing)
    plain = losses.error_terms(lost, batch.importance, lesion_weight=0.0)
    weighted = losses.error_terms(lost, batch.importance)
    assert weighted["l1"] > plain["l1"] > 0
    assert weighted["mean_4"] > plain["mean_4"] > 0


def test_errors_that_keep_net_chi_are_not_seen_by_its_term(pool_folder):
    _, batch = batch_of(pool_folder)
    error = 0.01 * batch.mask.expand_as(batch.sources_ppm)  # chi+ and |chi-| wrong alike
    terms = losses.model_terms(error, batch)
    assert float(terms["net"]) == 0
    assert float(terms["field"]) == pytest.approx(0, abs=1e-6)
    assert float(terms["rate"]) > 0.1


def test_the_structure_term_is_what_xsim_lacks(pool_folder):
    _, batch = batch_of(pool_folder, count=1)
    noise = 0.004 * torch.randn(batch.sources_ppm.shape, generator=torch.Generator().manual_seed(1))
    found = batch.sources_ppm + noise
    inside = batch.mask[0, 0].numpy() > 0
    sources = zip(found[0].numpy(), batch.sources_ppm[0].numpy(), strict=True)
    lacking = np.mean([1 - xsim(result, truth, inside) for result, truth in sources])
    term = losses.structure_term(found, batch.sources_ppm, batch.mask)
    assert float(term) == pytest.approx(lacking, rel=1e-3)
    assert losses.structure_term(batch.sources_ppm, batch.sources_ppm, batch.mask) < 1e-4


def test_the_contrastive_term_prefers_the_own_guidance():
    own, other = torch.randn(2, 6, 4, 4, 4), torch.randn(2, 6, 4, 4, 4)
    sources = torch.zeros(2, 2, 8, 8, 8)
    right = losses.contrastive(SusepOutput(sources, own, other, own, other))
    wrong = losses.contrastive(SusepOutput(sources, own, other, other, own))
    assert right < 0.3 * wrong


def settings(steps: int, **changes) -> loop.Settings:
    plain = loop.Settings(
        steps=steps, batch=1, patch=16, rate=1e-3, seed=4, save_every=2, validate_every=4
    )
    return replace(plain, **changes)


def tiny_recipe() -> recipes.Recipe:
    return recipes.find("r2primenet")


def test_a_resumed_run_ends_like_one_that_was_not_interrupted(tmp_path, pool_folder):
    pool, device = Pool(pool_folder), torch.device("cpu")
    whole = loop.train(tiny_recipe(), settings(4), pool, pool, tmp_path / "a", device)

    def stop(done: int, of: int) -> None:
        if done >= 500:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        loop.train(tiny_recipe(), settings(4), pool, pool, tmp_path / "b", device, report=stop)
    parts = loop.train(tiny_recipe(), settings(4), pool, pool, tmp_path / "b", device)
    for first, second in zip(whole.parameters(), parts.parameters(), strict=True):
        assert torch.allclose(first, second, atol=1e-6)
    facts = json.loads((tmp_path / "b" / "run.json").read_text())
    assert facts["steps_done"] == 4
    with (tmp_path / "a" / "curves.csv").open() as file:
        assert [row["part"] for row in csv.DictReader(file)] == ["validation"]


def test_a_run_of_another_seed_is_not_resumed(tmp_path, pool_folder):
    pool, device = Pool(pool_folder), torch.device("cpu")
    loop.train(tiny_recipe(), settings(2), pool, None, tmp_path / "a", device)
    with pytest.raises(InputError, match="seed 4"):
        loop.train(tiny_recipe(), settings(2, seed=5), pool, None, tmp_path / "a", device)


def test_a_damaged_checkpoint_is_named(tmp_path, pool_folder):
    (tmp_path / loop.CHECKPOINT).write_bytes(b"not a checkpoint")
    with pytest.raises(InputError, match="can't be resumed"):
        loop.train(
            tiny_recipe(), settings(2), Pool(pool_folder), None, tmp_path, torch.device("cpu")
        )


def test_the_command_scores_a_held_out_pool_and_exports_weights(tmp_path, pool_folder):
    run, weights = tmp_path / "run", tmp_path / "r2primenet.pt"
    common = ["train", "r2primenet", "--run", str(run), "--pool", str(pool_folder)]
    common += ["--workers", "0", "--batch", "1", "--progress", "none"]
    assert main([*common, "--patch", "17", "--steps", "2"]) == 2
    more = ["--patch", "16", "--steps", "2", "--held-out", str(pool_folder)]
    assert main([*common, *more, "--export", str(weights)]) == 0
    rows = list(csv.DictReader((run / "curves.csv").open()))
    assert [r["part"] for r in rows] == ["validation"]
    assert float(rows[0]["l1"]) > 0
    assert json.loads((tmp_path / "r2primenet.json").read_text())["training"]["patch"] == 16


@pytest.mark.slow
def test_two_processes_train_one_network(tmp_path, pool_folder):
    """Gradients are averaged: both processes hold the same weights at the end."""
    script = tmp_path / "script.py"
    script.write_text(
        "import sys, torch\n"
        "from pathlib import Path\n"
        "from QSMSeparationLib.training import loop, recipes\n"
        "from QSMSeparationLib.training.pool import Pool\n"
        "import os\n"
        "s = loop.Settings(steps=2, batch=1, patch=16, rate=1e-3)\n"
        "net = loop.train(recipes.find('r2primenet'), s, Pool(Path(sys.argv[1])), None,\n"
        "    Path(sys.argv[2]), torch.device('cpu'))\n"
        "total = sum(float(p.double().sum()) for p in net.parameters())\n"
        "Path(sys.argv[2], 'rank' + os.environ['RANK']).write_text(repr(total))\n"
    )
    run = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone"]
    subprocess.run(
        [*run, str(script), str(pool_folder), str(tmp_path / "run")],
        check=True, env=os.environ | {"OMP_NUM_THREADS": "1"}, timeout=300,
    )  # fmt: skip
    assert (tmp_path / "run" / "rank0").read_text() == (tmp_path / "run" / "rank1").read_text()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("name", OF_HEADS)
def test_a_gpu_cuts_the_same_patches_and_finds_the_same_loss(pool_folder, name):
    recipe, device = recipes.find(name), torch.device("cuda")
    here, there = (
        recipe.pool(pool_folder, device=where).patches(2, PatchPlan(32), np.random.default_rng(0))
        for where in (torch.device("cpu"), device)
    )
    assert torch.equal(here, there.cpu())
    batch = recipe.measure(here, torch.Generator().manual_seed(0), True)
    network = recipe.build().train()
    expected = recipes.total(recipe.terms(network, batch, Switches()), recipe)
    found = recipes.total(recipe.terms(network.to(device), batch.to(device), Switches()), recipe)
    assert float(found) == pytest.approx(float(expected), rel=0.02)
    drawn = recipe.measure(there, torch.Generator(there.device).manual_seed(0), True).to(device)
    assert torch.isfinite(recipes.total(recipe.terms(network, drawn, Switches()), recipe))
