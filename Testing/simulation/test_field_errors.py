"""The misfit of a real field: its size, its spectrum, where it is larger."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from QSMSeparationLib.simulation.field_errors import (
    LARGEST_FIBER_SHARE,
    SCALES_MM,
    SPECTRUM,
    Surroundings,
    misfit,
    spectrum,
)

SHAPE = (72, 72, 72)
ONE = (1.0, 1.0, 1.0)


@pytest.fixture(scope="module")
def place():
    axes = [torch.arange(n) - (n - 1) / 2 for n in SHAPE]
    k, j, i = torch.meshgrid(*axes, indexing="ij")
    mask = ((k**2 + j**2 + i**2).sqrt() < 34).float()
    fibers = (i > 0).float() * mask
    vessels = ((j + 20).abs() < 1.5).float() * (k.abs() < 1.5).float() * mask
    return Surroundings(mask, fibers, vessels)


def drawn(place, known, sd=0.0059, seed=0):
    return misfit(known, place, ONE, sd, np.random.default_rng(seed))


def test_a_misfit_has_its_sd_and_the_spectrum_that_was_measured(place):
    field = drawn(place, torch.zeros(SHAPE))
    found = np.array(spectrum(field, place.mask, ONE))
    assert found[0] == pytest.approx(0.0059, rel=1e-3)
    # Up to 4 mm; a ball of 68 mm holds too few patches of 8 mm for a closer test.
    assert found[:4] / found[0] == pytest.approx(SPECTRUM[:4], rel=0.12)
    assert found[4] / found[0] == pytest.approx(SPECTRUM[4], rel=0.35)
    assert len(SCALES_MM) == len(SPECTRUM)


def test_what_is_known_is_kept_and_filled_up(place):
    axis = torch.linspace(-3, 3, 72)
    known = 0.003 * torch.sin(axis).view(-1, 1, 1).expand(SHAPE) * place.mask
    field = drawn(place, known.clone())
    inside = place.mask > 0
    assert float(field[inside].std()) == pytest.approx(0.0059, rel=1e-3)
    slope = (field[inside] @ known[inside]) / (known[inside] @ known[inside])
    assert float(slope) == pytest.approx(1, abs=0.35)


def test_fibers_alone_never_make_all_of_it(place):
    known = 0.05 * torch.randn(SHAPE, generator=torch.Generator().manual_seed(1)) * place.mask
    field = drawn(place, known.clone(), sd=0.004)
    inside = place.mask > 0
    assert float(field[inside].std()) == pytest.approx(0.004, rel=1e-3)
    r = np.corrcoef(field[inside].numpy(), known[inside].numpy())[0, 1]
    assert r < LARGEST_FIBER_SHARE + 0.15


def test_it_is_larger_at_fibers_vessels_and_the_edge(place):
    fields = torch.stack([drawn(place, torch.zeros(SHAPE), seed=s) for s in range(3)])
    size = fields.square().mean(dim=0)
    mask, fibers = place.mask > 0, place.fibers > 0
    axes = [torch.arange(n) - (n - 1) / 2 for n in SHAPE]
    radius = sum(
        a.view([-1 if b == d else 1 for b in range(3)]) ** 2 for d, a in enumerate(axes)
    ).sqrt()
    core = mask & (radius < 24) & (place.vessels == 0)
    assert size[core & fibers].mean() > 1.3 * size[core & ~fibers].mean()
    assert size[mask & (radius > 32) & ~fibers].mean() > 1.3 * size[core & ~fibers].mean()
    assert size[place.vessels > 0].mean() > 1.2 * size[core].mean()


def test_the_same_stream_gives_the_same_misfit(place):
    first, again, other = (drawn(place, torch.zeros(SHAPE), seed=s) for s in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
