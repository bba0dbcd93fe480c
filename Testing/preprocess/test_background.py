"""Background removal: what is harmonic goes, what the brain makes stays."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from QSMSeparationLib.catalogue import find
from QSMSeparationLib.data.maps import Maps
from QSMSeparationLib.physics.dipole import DipoleOperator
from QSMSeparationLib.physics.smoothing import gaussian
from QSMSeparationLib.preprocess.background import fill_harmonic, remove_background
from QSMSeparationLib.preprocess.smv import ball, mean_value_weights
from QSMSeparationLib.runtime.errors import InputError

SPACING = (2.4, 2.0, 2.0)
SHAPE = (40, 48, 44)
TILT = float(np.radians(20))
B0 = (float(np.cos(TILT)), float(np.sin(TILT)), 0.0)


def positions(shape, spacing) -> list[torch.Tensor]:
    axes = [(torch.arange(n) - (n - 1) / 2) * s for n, s in zip(shape, spacing, strict=True)]
    return list(torch.meshgrid(*axes, indexing="ij"))


def ellipsoid(x, center, radii) -> torch.Tensor:
    return sum(((a - c) / r) ** 2 for a, c, r in zip(x, center, radii, strict=True)) < 1


def halve(fine: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.avg_pool3d(fine[None, None], 2)[0, 0]


@pytest.fixture(scope="module")
def head():
    """A tilted head with nuclei and an air cavity below it, made on a grid twice as fine.

    A head of its own, as the fields of what lies inside and outside of it are needed apart.
    """
    shape = tuple(2 * n for n in SHAPE)
    spacing = tuple(s / 2 for s in SPACING)
    x = positions(shape, spacing)
    brain = ellipsoid(x, (4, 0, 0), (34, 38, 34))
    inner = 0.01 * brain.float()
    generator = torch.Generator().manual_seed(5)
    for _ in range(12):
        center = (torch.rand(3, generator=generator) - 0.5) * torch.tensor([36.0, 44, 38])
        size = 3 + 6 * torch.rand(3, generator=generator)
        value = 0.16 * torch.rand(1, generator=generator).item() - 0.06
        inner += value * ellipsoid(x, center.tolist(), size.tolist())
    inner *= brain
    air = ellipsoid(x, (-41, -12, 5), (7, 12, 10)) & ~brain
    outer = 9.4 * air.float() - 2.0 * (ellipsoid(x, (4, 0, 0), (42, 46, 42)) & ~brain & ~air)
    dipole = DipoleOperator(shape, spacing, B0, pad=1.0)
    mask = halve(brain.float()) > 0.5
    return {
        "mask": mask,
        "local": halve(dipole(inner)),
        "background": halve(dipole(outer)),
        "r2star": 20 + 150 * halve(inner),
    }


def removed(
    field,
    mask,
    method="resharp",
    trust=None,
    rates=(),
    iterations=None,
    axes=(SPACING, B0),
):
    maps = Maps(mask, *axes, total_field=field)
    if trust is not None:
        maps = replace(maps, trust=trust)
    chosen = {} if iterations is None else {"background_iterations": iterations}
    return remove_background(maps, find(method, "background"), chosen, rates)


def compare(found: torch.Tensor, truth: torch.Tensor, where: torch.Tensor) -> tuple[float, float]:
    a, b = (v[where] - v[where].mean() for v in (found, truth))
    return float((a - b).norm() / b.norm()), float((a * b).sum() / a.norm() / b.norm())


def neighbor_share(mask: torch.Tensor) -> torch.Tensor:
    padded = torch.nn.functional.pad(mask.float()[None, None], (1,) * 6)
    return torch.nn.functional.avg_pool3d(padded, 3, stride=1)[0, 0]


@pytest.mark.parametrize("radius", [2.6, 4.0, 8.0])
@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (1.5, 0.9, 0.9)])
def test_mean_value_is_exact_near_a_dipole(spacing, radius):
    """The mean of a dipole's field over a ball 3 mm away from it is the central value."""
    plain, exact = ball(spacing, radius), mean_value_weights(spacing, radius)
    assert exact.sum() == pytest.approx(1.0, abs=1e-9)
    x = positions(plain.shape, spacing)
    source = (radius + 3.0) * torch.tensor([0.6, 0.64, 0.48])
    r = torch.stack([a - s for a, s in zip(x, source, strict=True)])
    field = ((3 * r[0] ** 2 - r.square().sum(0)) / r.square().sum(0) ** 2.5).double().numpy()
    middle = tuple(n // 2 for n in plain.shape)
    error = [abs((w * field).sum() - field[middle]) for w in (plain, exact)]
    assert error[1] < 0.04 * abs(field).max()
    assert error[1] <= error[0] + 1e-4 * abs(field).max()


@pytest.mark.parametrize("method", ["resharp", "vsharp", "pdf"])
def test_a_harmonic_field_is_removed(head, method):
    result = removed(head["background"], head["mask"], method)
    before = head["background"][result.mask]
    left = result.local_field[result.mask]
    # PDF is stopped early, which leaves some of the steep field at the edge.
    assert left.std() < (0.08 if method == "pdf" else 0.04) * before.std()


@pytest.mark.parametrize(("method", "error"), [("resharp", 0.3), ("vsharp", 0.6), ("pdf", 0.5)])
def test_a_local_field_is_kept(head, method, error):
    result = removed(head["local"], head["mask"], method)
    # Beside the outermost layer, which a head of 7 cm at 2 mm has a seventh of its voxels in.
    where = result.mask & (neighbor_share(head["mask"]) >= 0.8)
    nrmse, correlation = compare(result.local_field, head["local"], where)
    assert nrmse < error
    assert correlation > 0.8


def test_default_keeps_the_edge_and_the_local_field_of_a_tilted_head(head):
    total = head["local"] + head["background"] + 0.7
    result = removed(total, head["mask"])
    nrmse, correlation = compare(result.local_field, head["local"], result.mask)
    # A head of 7 cm at 2 mm is mostly edge: a layer of one voxel is a fifth of it.
    assert correlation > 0.92
    assert nrmse < 0.4
    assert result.mask.sum() > 0.88 * head["mask"].sum()
    assert not (result.mask & ~head["mask"]).any()
    assert (result.local_field[~result.mask] == 0).all()
    assert abs(result.local_field[result.mask].mean()) < 1e-5


def test_sources_that_rates_show_are_kept(head):
    """R2* that goes with the sources takes a third off the error; rates that have nothing to do with
    them do no harm, as only the harmonic part of what they say is used."""
    total = head["local"] + head["background"]
    generator = torch.Generator().manual_seed(3)
    noise = torch.randn(total.shape, generator=generator)
    errors = {}
    follows = (head["r2star"] + noise) * head["mask"]
    unrelated = (20 + 5 * noise).clamp(min=1) * head["mask"]
    for name, rates in (
        ("none", []),
        ("follows", [follows]),
        ("unrelated", [unrelated]),
        ("both", [unrelated, follows]),
    ):
        result = removed(total, head["mask"], rates=rates)
        errors[name], _ = compare(result.local_field, head["local"], result.mask)
    assert errors["follows"] < 0.7 * errors["none"]
    assert errors["both"] < 0.7 * errors["none"]
    assert errors["unrelated"] < 1.05 * errors["none"]


def sign_lost(head) -> torch.Tensor:
    """Iron and calcium, of which a rate tells how much but not which: a coin for each nucleus."""
    inner = head["r2star"] - 20
    return (20 + inner.abs()) * head["mask"]


def depth(head) -> torch.Tensor:
    """A rate that rises inwards, as under an uneven coil: its sources make a harmonic field."""
    within = head["mask"].float()
    return (10 + 30 * gaussian(within, 8.0, SPACING)) * within


def smooth(head) -> torch.Tensor:
    noise = torch.randn(SHAPE, generator=torch.Generator().manual_seed(1))
    wide = gaussian(noise, 10.0, SPACING)
    return (25 + 5 * wide / wide.std()).clamp(min=1) * head["mask"]


def mirrored(head) -> torch.Tensor:
    return head["r2star"].flip(2) * head["mask"]


@pytest.mark.parametrize("rate", [sign_lost, depth, smooth, mirrored])
def test_rates_that_susceptibility_does_not_follow_cost_little(head, rate):
    total = head["local"] + head["background"]
    plain, led = (removed(total, head["mask"], rates=r) for r in ([], [rate(head)]))
    without, error = (compare(r.local_field, head["local"], r.mask)[0] for r in (plain, led))
    assert error < 1.05 * without


def test_a_field_that_no_source_explains_is_kept(head):
    """What fibers and microstructure make is no field of isotropic sources, and is local."""
    noise = torch.randn(SHAPE, generator=torch.Generator().manual_seed(4))
    other = gaussian(noise, 3.0, SPACING)
    other *= head["local"][head["mask"]].std() / other[head["mask"]].std()
    result = removed(other + head["background"], head["mask"])
    where = result.mask & (neighbor_share(head["mask"]) >= 0.8)
    nrmse, correlation = compare(result.local_field, other, where)
    assert nrmse < 0.6
    assert correlation > 0.8


@pytest.fixture(scope="module")
def lobes():
    """A brain that is no ellipsoid, of white matter with nuclei and fluid: chi, field, R2*."""
    x = positions(SHAPE, SPACING)
    brain = ellipsoid(x, (6, 4, 0), (28, 34, 34)) | ellipsoid(x, (-24, -18, 0), (14, 14, 22))
    fluid = ellipsoid(x, (8, 4, 0), (7, 16, 12))
    nuclei = ellipsoid(x, (2, 4, 16), (6, 6, 4)) | ellipsoid(x, (2, 4, -16), (6, 6, 4))
    chi = torch.where(fluid, 0.019, torch.where(nuclei, 0.09, -0.03)) * brain
    rate = torch.where(fluid, 1.5, torch.where(nuclei, 40.0, 20.0)) * brain
    dipole = DipoleOperator(SHAPE, SPACING, B0, pad=1.0)
    return {"mask": brain, "chi": chi, "rate": rate, "dipole": dipole, "local": dipole(chi)}


def test_fluid_is_the_reference(lobes):
    """The field of a uniform brain is harmonic in it: only a tissue that is known tells of it."""
    rate = lobes["rate"]
    errors = []
    for rates in ([rate], [rate.where(rate != 1.5, 12.0)]):  # with fluid, with no tissue known
        result = removed(lobes["local"], lobes["mask"], rates=rates)
        errors += compare(result.local_field, lobes["local"], result.mask)[:1]
    assert errors[0] < 0.6 * errors[1]


def test_the_inner_field_is_that_of_sources_in_the_mask_about_their_mean(lobes):
    local, mask = lobes["local"], lobes["mask"]
    result = removed(local, mask, rates=[lobes["rate"]])
    mean = lobes["chi"][result.mask].mean()
    truth = lobes["dipole"](torch.where(result.mask, lobes["chi"] - mean, 0.0))
    inner, _ = compare(result.local_field_in_mask, truth, result.mask)
    whole, _ = compare(result.local_field, truth, result.mask)
    assert inner < 0.5 * whole
    plain = removed(local, mask)
    assert torch.equal(plain.local_field_in_mask, plain.local_field)


def test_rates_do_not_count_where_the_echoes_disagree(lobes):
    """A vessel's field dephases the voxels about it: they look full of iron, and are not."""
    mask, local = lobes["mask"], lobes["local"]
    rim = mask & (neighbor_share(mask) < 1) & (torch.arange(SHAPE[0])[:, None, None] % 4 == 0)
    spoiled = torch.where(rim, 80.0, lobes["rate"])
    weight = torch.where(rim, 0.4, mask.float())
    errors = []
    for rate, trust in ((lobes["rate"], weight), (spoiled, weight), (spoiled, mask.float())):
        result = removed(local, mask, trust=trust, rates=[rate])
        errors += compare(result.local_field, local, result.mask)[:1]
    clean, told, untold = errors
    assert told == pytest.approx(clean, rel=1e-3)
    assert untold > 1.5 * clean


def test_a_rate_without_contrast_changes_nothing(head):
    total = head["local"] + head["background"]
    plain = removed(total, head["mask"], iterations=3)
    for rate in (torch.zeros_like(total), torch.full_like(total, 25.0)):
        other = removed(total, head["mask"], rates=[rate], iterations=3)
        assert torch.allclose(plain.local_field, other.local_field, atol=1e-5)


def test_unreliable_voxels_do_not_leak(head):
    total = head["local"] + head["background"]
    spoiled, weight = total.clone(), head["mask"].float()
    generator = torch.Generator().manual_seed(2)
    inside = torch.nonzero(head["mask"])
    for at in inside[torch.randperm(len(inside), generator=generator)[:40]].tolist():
        spoiled[tuple(at)] += 2.6  # one wrap at 3 T and 3 ms
        weight[tuple(at)] = 0.0
    clean = removed(total, head["mask"], iterations=10)
    trusted = removed(spoiled, head["mask"], trust=weight, iterations=10)
    misled = removed(spoiled, head["mask"], iterations=10)
    good = clean.mask & (weight > 0)
    reference = clean.local_field[good].std()
    off = (trusted.local_field - clean.local_field)[good].std() / reference
    bad = (misled.local_field - clean.local_field)[good].std() / reference
    assert off < 0.15
    assert bad > 3 * off
    assert any("filled" in note for note in trusted.notes)


def test_filling_reproduces_a_linear_field():
    x = positions((9, 10, 11), (1.0, 1.0, 1.0))
    field = 0.3 * x[0] - 0.2 * x[1] + 0.5 * x[2]
    bad = torch.zeros(field.shape, dtype=torch.bool)
    bad[3:6, 4:7, 5:7] = True
    spoiled = torch.where(bad, 50.0, field)
    filled = fill_harmonic(spoiled, bad, ~bad, (1.0, 1.0, 1.0))
    assert (filled - field).abs().max() < 0.02
    assert torch.equal(filled[~bad], field[~bad])


def test_a_storage_order_does_not_matter(head):
    """The same head stored with other axes gives the same local field."""
    total = (head["local"] + head["background"])[:, 2:-2, :]
    mask = head["mask"][:, 2:-2, :]
    one = removed(total, mask, iterations=5)
    order = (2, 0, 1)
    other = removed(
        total.permute(order).contiguous(),
        mask.permute(order).contiguous(),
        iterations=5,
        axes=[tuple(v[a] for a in order) for v in (SPACING, B0)],
    )
    back = other.local_field.permute(1, 2, 0)
    assert compare(back, one.local_field, one.mask)[0] < 0.03


@pytest.mark.parametrize("case", ["empty", "method"])
def test_unusable_input_is_refused_in_one_line(head, case):
    mask = torch.zeros_like(head["mask"]) if case == "empty" else head["mask"]
    with pytest.raises(InputError) as caught:
        removed(head["local"], mask, "lbv" if case == "method" else "resharp")
    assert "\n" not in str(caught.value)
