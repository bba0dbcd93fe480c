"""Networks: geometry, tiles, relaxivities, weight files."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
import torch
from catalogued import method
from untrained import untrained

from QSMSeparationLib import catalogue
from QSMSeparationLib.data.maps import Maps
from QSMSeparationLib.inversion.by_network import linear_inversion
from QSMSeparationLib.networks import tiles
from QSMSeparationLib.networks.architectures import create
from QSMSeparationLib.networks.cards import FOLDER, read_card
from QSMSeparationLib.networks.grid import NetworkGrid
from QSMSeparationLib.networks.susep import SusepNet
from QSMSeparationLib.networks.tiles import infer
from QSMSeparationLib.networks.unet import UNet, folded, unfolded
from QSMSeparationLib.networks.weights import build, load_weights, save_weights
from QSMSeparationLib.physics.dipole import DipoleOperator
from QSMSeparationLib.physics.two_sources import guided, guided_closed_form
from QSMSeparationLib.runtime.errors import InputError
from QSMSeparationLib.solvers.refine import refine
from QSMSeparationLib.training import recipes

NETWORKS = sorted({name for row in catalogue.methods() for name in row.networks})


def blob(shape: tuple[int, int, int], spacing: tuple[float, float, float]) -> torch.Tensor:
    """A smooth off-center ellipsoid."""
    axes = [
        ((torch.arange(n) - 0.45 * n) * s).view([-1 if a == b else 1 for b in range(3)])
        for a, (n, s) in enumerate(zip(shape, spacing, strict=True))
    ]
    return torch.exp(-(axes[0] ** 2 / 90 + axes[1] ** 2 / 140 + axes[2] ** 2 / 60))


def maps_of(shape=(40, 36, 32), spacing=(1.0, 1.0, 1.0), b0=(1.0, 0.0, 0.0)) -> Maps:
    """Maps without edges, as resampling blurs those: the ball of boxes has many."""
    net = 0.05 * blob(shape, spacing)
    return Maps(
        torch.ones(shape, dtype=torch.bool),
        spacing,
        b0,
        local_field=DipoleOperator(shape, spacing, b0)(net).clone(),
        net=net,
        r2prime=114 * net,
    )


def active(network: torch.nn.Module) -> torch.nn.Module:
    """A network whose untrained output is not small."""
    torch.manual_seed(3)
    for module in network.modules():
        if isinstance(module, torch.nn.Conv3d) and module.kernel_size == (1, 1, 1):
            torch.nn.init.normal_(module.weight, std=0.2)
    return network.eval()


@pytest.mark.parametrize("name", NETWORKS)
def test_shipped_networks_keep_the_shape_and_fit_the_budget(name):
    network = build(name).eval()
    inputs = load_weights(name).card["parameters"]["inputs"]
    with torch.no_grad():
        output = network(torch.zeros(1, inputs, 2 * network.multiple, 16, 16))
    output = output.sources if isinstance(network, SusepNet) else output
    assert output.shape[2:] == (2 * network.multiple, 16, 16)
    assert 2 * sum(p.numel() for p in network.parameters()) < 10e6


def test_folding_is_undone_by_unfolding_and_keeps_neighbors_together():
    volume = torch.arange(2 * 8 * 6 * 4, dtype=torch.float32).view(1, 2, 8, 6, 4)
    together = folded(volume, 2)
    assert torch.equal(unfolded(together, 2), volume)
    block = volume[0, 1, 2:4, 4:6, 0:2].flatten()
    assert torch.equal(together[0, 8:, 1, 2, 0], block)


def test_susep_net_is_fed_by_its_guidance():
    """Net chi alone drives both guidance encoders: the other channels don't reach them."""
    torch.manual_seed(0)
    network = SusepNet(3, (8, 8, 8)).eval()
    x = torch.randn(1, 3, 16, 16, 16)
    other = x.clone()
    other[:, 1:] = 0
    first, second = network(x), network(other)
    assert torch.equal(first.guide_para, second.guide_para)
    assert torch.equal(first.guide_dia, second.guide_dia)
    assert not torch.allclose(first.latent_para, second.latent_para)


def test_tiles_give_the_whole_volume(monkeypatch):
    monkeypatch.setattr(tiles, "TILE", 88)
    network = active(UNet(2, 1, (8, 12, 16), fold=2))
    inputs = torch.randn(2, 112, 96, 48)
    whole, run = infer(network, inputs, 1)
    parts, tiled = infer(network, inputs, 1, budget_bytes=0)
    assert (run.tiled, tiled.tiled) == (False, True)
    assert (parts - whole).norm() < 0.01 * whole.norm()


def test_half_the_digits_change_a_result_by_less_than_its_noise(monkeypatch):
    network = active(UNet(2, 1, (8, 12, 16), fold=2))
    inputs = torch.randn(2, 32, 48, 40)
    found = []
    for fast in (False, True):
        monkeypatch.setattr(tiles, "has_bfloat16_units", lambda device, fast=fast: fast)
        found.append(infer(network, inputs, 1)[0])
    exact, rounded = found
    assert rounded.dtype == torch.float32
    assert 0 < (rounded - exact).norm() < 0.02 * exact.norm()


def test_out_of_memory_falls_back_to_tiles_and_says_so(monkeypatch):
    network = active(UNet(1, 1, (4, 8), fold=2))
    inputs = torch.randn(1, 64, 48, 48)
    whole, _ = infer(network, inputs, 1)
    forward = network.forward

    def limited(x):
        if x[0, 0].numel() > 40**3:
            raise torch.OutOfMemoryError("not enough")
        return forward(x)

    monkeypatch.setattr(network, "forward", limited)
    monkeypatch.setattr(tiles, "TILE", 40)
    monkeypatch.setattr(tiles, "MARGIN", 16)  # as far as this network looks
    result, run = infer(network, inputs, 1)
    assert run.tiled
    assert "memory" in run.note
    assert (result - whole).norm() < 1e-4 * whole.norm()


def test_other_errors_are_not_taken_for_lack_of_memory(monkeypatch):
    network = UNet(1, 1, (4, 8))

    def broken(x):
        raise RuntimeError("shapes differ")

    monkeypatch.setattr(network, "forward", broken)
    with pytest.raises(RuntimeError, match="shapes differ"):
        infer(network, torch.ones(1, 8, 8, 8), 1)


@pytest.mark.parametrize("b0", [(1.0, 0.0, 0.0), (0.0, -1.0, 0.0), (0.0, 0.0, 1.0)])
def test_a_head_stored_along_any_axis_is_only_turned(b0):
    maps = maps_of(b0=b0)
    grid = NetworkGrid(maps)
    upright = grid.to_network(maps.net)
    assert not grid.resampled
    assert upright.shape[0] == maps.mask.shape[max(range(3), key=lambda a: abs(b0[a]))]
    assert torch.equal(grid.from_network(upright), maps.net)


def test_an_oblique_anisotropic_map_survives_the_way_there_and_back():
    angle = math.radians(20)
    spacing = (1.5, 0.9, 0.9)
    maps = maps_of((36, 50, 46), spacing, (math.cos(angle), math.sin(angle), 0.0))
    grid = NetworkGrid(maps)
    assert grid.resampled
    upright = grid.to_network(maps.net)
    back = grid.from_network(upright)
    inner = (slice(6, -6),) * 3
    assert (back - maps.net)[inner].norm() < 0.05 * maps.net[inner].norm()
    volume = grid.spacing_mm**3 * float(upright.sum())
    assert volume == pytest.approx(1.5 * 0.81 * float(maps.net.sum()), rel=0.03)


def test_the_field_on_the_upright_grid_is_that_of_the_upright_dipole():
    """Turned to the grid of the networks, field and susceptibility obey B0 along axis 0."""
    angle = math.radians(30)
    maps = maps_of((48, 48, 48), b0=(math.cos(angle), 0.0, math.sin(angle)))
    grid = NetworkGrid(maps)
    chi, field = (grid.to_network(m) for m in (maps.net, maps.local_field))
    expected = DipoleOperator(tuple(chi.shape), (grid.spacing_mm,) * 3, (1.0, 0.0, 0.0))(chi)
    inside = grid.to_network(maps.mask.float()) > 0.99
    inside[:8] = inside[-8:] = False
    error = (field - expected)[inside]
    error = error - error.mean()
    assert error.norm() < 0.1 * field[inside].norm()


def test_a_network_that_changes_nothing_leaves_an_oblique_scan_as_sharp_as_it_is(tmp_path):
    notes = []
    angle = math.radians(20)
    maps = maps_of((36, 50, 46), (1.5, 0.9, 0.9), (math.cos(angle), math.sin(angle), 0.0))
    maps = replace(maps, r2prime=20 + 100 * maps.net.abs())
    network = build("chi-sepnet")
    for value in network.parameters():
        torch.nn.init.zeros_(value)
    save_weights(network, tmp_path / "nothing.pt", read_card(FOLDER / "chi-sepnet.pt"))
    found = method("chi-sepnet-r2prime")(
        maps, weights=tmp_path / "nothing.pt", refinement=0, note=notes.append
    )
    assert "resampled" in notes[0]
    for source, expected in zip(found, method("closed-form-guided")(maps), strict=True):
        assert torch.allclose(source, expected, atol=1e-6)


@pytest.mark.parametrize("name", ["qsmnet", "cycle-qsm"])
def test_an_inversion_that_corrects_nothing_is_the_one_that_it_starts_from(tmp_path, name):
    angle = math.radians(20)
    maps = maps_of((36, 50, 46), (1.5, 0.9, 0.9), (math.cos(angle), math.sin(angle), 0.0))
    size = recipes.find(name).size or ("unet", {"inputs": 2, "outputs": 1, "widths": [8, 8]})
    weights = untrained(tmp_path, name, size, gain=0)
    found = method(name)(maps, weights=weights, refinement=0)
    start = method("tv")(maps) if name == "qsmnet" else linear_inversion(maps)
    inner = (slice(4, -4),) * 3
    assert (found - start)[inner].norm() < 1e-3 * start[inner].norm()


def test_starting_sources_solve_both_equations():
    net, para = 0.02 * torch.ones(1, 1, 6, 6, 6), 0.06
    dr_para, dr_dia = 130.0, 100.0
    rate = (dr_para * para + dr_dia * (para - 0.02)) / 115.0
    mask = torch.ones_like(net)
    sources = guided_closed_form(net, rate * mask, 30 / 230, mask)
    assert torch.allclose(sources[0, 0], torch.tensor(para), atol=1e-6)
    assert torch.allclose(sources[0, 1], torch.tensor(para - 0.02), atol=1e-6)


def test_guided_filter_takes_noise_and_keeps_edges_of_the_guide():
    generator = torch.Generator().manual_seed(0)
    shape = (1, 1, 32, 32, 32)
    guide = torch.zeros(shape)
    guide[..., 16:] = 0.05
    noise = 0.02 * torch.randn(shape, generator=generator)
    smooth = guided(2 * guide + noise, guide, torch.ones(shape))
    inner = (..., slice(4, -4), slice(4, -4), slice(4, -4))
    error = (smooth - 2 * guide)[inner]
    assert error.std() < 0.3 * 0.02
    step = smooth[inner][..., 12:].mean() - smooth[inner][..., :12].mean()
    assert step == pytest.approx(0.1, rel=0.03)


def test_refinement_restores_a_lesion_that_a_network_washed_out():
    shape = (40, 40, 40)
    mask = torch.ones(shape, dtype=torch.bool)
    true = torch.stack([torch.full(shape, 0.015), torch.full(shape, 0.03)])
    lesion = (blob(shape, (1.0, 1.0, 1.0)) > 0.7).float()
    true[1] -= 0.02 * lesion
    washed = true.clone()
    washed[1] += 0.01 * lesion
    field = DipoleOperator(shape, (1.0,) * 3, (1.0, 0.0, 0.0))(true[0] - true[1])
    generator = torch.Generator().manual_seed(1)
    noise = 2 * torch.randn(shape, generator=generator)
    maps = Maps(
        mask, (1.0,) * 3, (1.0, 0.0, 0.0), local_field=field,
        r2prime=114 * true.sum(0) + noise,
    )  # fmt: skip
    refined = refine(washed, maps, 4)
    inside = lesion > 0
    before, after = ((s[1] - true[1])[inside].mean().abs() for s in (washed, refined))
    assert after < 0.5 * before


@pytest.fixture
def stored(tmp_path):
    network = active(create("unet", {"inputs": 1, "outputs": 1, "widths": [4, 8], "fold": 2}))
    file = tmp_path / "tiny.pt"
    save_weights(
        network,
        file,
        {
            "name": "tiny", "architecture": "unet",
            "parameters": {"inputs": 1, "outputs": 1, "widths": [4, 8], "fold": 2},
        },
    )  # fmt: skip
    return network, file


def test_weights_come_back_in_half_precision(stored):
    network, file = stored
    x = torch.randn(1, 1, 8, 8, 8)
    loaded = load_weights("tiny", file)
    assert torch.allclose(loaded.network(x), network(x), atol=2e-3)
    assert loaded.sha256 == json.loads(file.with_suffix(".json").read_text())["sha256"]


def test_statistics_beyond_half_precision_survive(tmp_path):
    network = active(create("unet", {"inputs": 1, "outputs": 1, "widths": [4, 8], "fold": 2}))
    card = {"name": "tiny", "architecture": "unet"}
    card["parameters"] = {"inputs": 1, "outputs": 1, "widths": [4, 8], "fold": 2}
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm3d):
            module.running_var.fill_(3e5)
            module.running_mean.fill_(1e5)
    save_weights(network, tmp_path / "tiny.pt", card)
    x = 1e3 * torch.randn(1, 1, 8, 8, 8)
    assert torch.allclose(load_weights("tiny", tmp_path / "tiny.pt").network(x), network(x), atol=1)
    next(network.parameters()).data.fill_(float("nan"))
    with pytest.raises(InputError, match="not finite"):
        save_weights(network, tmp_path / "bad.pt", card)
    assert not (tmp_path / "bad.pt").exists()


def test_damaged_weights_are_refused(stored):
    _, file = stored
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(InputError, match="checksum"):
        load_weights("tiny", file)


def test_weights_of_another_network_or_without_a_card_are_refused(stored):
    _, file = stored
    with pytest.raises(InputError, match="not of 'chi-sepnet'"):
        load_weights("chi-sepnet", file)
    file.with_suffix(".json").unlink()
    with pytest.raises(InputError, match="model card"):
        load_weights("tiny", file)


def test_code_in_a_weight_file_is_not_run(stored, tmp_path):
    _, file = stored
    witness = tmp_path / "ran"

    class Hostile:
        def __reduce__(self):
            return (type(witness).touch, (witness,))

    torch.save({"head.weight": Hostile()}, file)
    card = json.loads(file.with_suffix(".json").read_text())
    from QSMSeparationLib.io.files import sha256

    file.with_suffix(".json").write_text(json.dumps(card | {"sha256": sha256(file)}))
    with pytest.raises(InputError, match="model card"):
        load_weights("tiny", file)
    assert not witness.exists()


def _with_weights(stage: str) -> list[catalogue.Method]:
    return [m for m in catalogue.methods(stage) if m.networks]


@pytest.mark.parametrize("method", _with_weights("separation"), ids=lambda m: m.name)
def test_separation_networks_keep_signs_and_background(method):
    maps = maps_of()
    mask = maps.mask.clone()
    mask[:5] = False
    maps = replace(maps, mask=mask, r2star=maps.r2prime + 14.0)
    para, dia = method.run(maps)
    assert para.min() >= 0
    assert dia.max() <= 0
    assert not para[:5].any()
    assert not dia[:5].any()
    assert para.dtype == dia.dtype == torch.float32


def test_only_the_ratio_of_r2prime_to_dr_matters_to_a_network():
    method = catalogue.find("chi-sepnet-r2prime", "separation")
    maps = maps_of()
    seven_tesla = replace(
        maps, b0_tesla=7.0, dr_para=266.0, dr_dia=266.0, r2prime=maps.r2prime * 266 / 114
    )
    (first, _), (second, _) = method.run(maps), method.run(seven_tesla)
    assert torch.allclose(first, second, atol=1e-5)


def test_r2prime_is_not_guessed_away_from_3_tesla():
    method = catalogue.find("chi-sepnet-r2star", "separation")
    maps = replace(maps_of(), r2star=torch.full((40, 36, 32), 20.0), b0_tesla=7.0)
    with pytest.raises(InputError, match="3 T"):
        method.run(maps)
