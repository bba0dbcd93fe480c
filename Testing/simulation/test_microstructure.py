"""White matter with a direction: its field, its decay, its fibers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from QSMSeparationLib.physics.dipole import DipoleOperator
from QSMSeparationLib.simulation.microstructure import (
    MEAN_SIN2,
    Anisotropy,
    draw_anisotropy,
    fiber_directions,
    fiber_field,
    rate_changes,
    sin2_to_b0,
)
from QSMSeparationLib.simulation.tissues import label_of

SHAPE = (48, 48, 48)


def ball(radius=12.0):
    axes = [torch.arange(n) - (n - 1) / 2 for n in SHAPE]
    k, j, i = torch.meshgrid(*axes, indexing="ij")
    return (k**2 + j**2 + i**2).sqrt() < radius


def along(axis):
    direction = torch.zeros((3, *SHAPE))
    direction[axis] = ball().float()
    return direction


def test_isotropic_tissue_adds_nothing():
    dia = -0.03 * ball().float()
    assert not fiber_field(dia, along(1), 1.0, Anisotropy()).any()
    assert all(not change.any() for change in rate_changes(dia, torch.rand(SHAPE), Anisotropy()))


@pytest.mark.parametrize(("axis", "share"), [(0, 2 / 3), (1, -1 / 3), (2, -1 / 3)])
def test_fibers_along_one_axis_are_a_ball_of_their_chi_along_b0(axis, share):
    """Outside, the field is that of chi_zz - mean: 2/3 of the anisotropy along B0, -1/3 across."""
    dia = -0.03 * ball().float()
    field = fiber_field(dia, along(axis), 1.0, Anisotropy(ratio=0.5))
    source = 0.5 * 0.03 * share * ball().float()
    expected = DipoleOperator(SHAPE, (1.0,) * 3, (1.0, 0.0, 0.0), pad=0.25)(source)
    outside = ~ball(15.0) & ball(22.0)
    error = (field - expected)[outside]
    assert float(error.abs().max()) < 0.03 * float(expected[outside].abs().max())


def test_the_mean_over_directions_is_isotropic():
    """Fields of fibers along the three axes add up to nothing, so chi- is what is left."""
    dia = -0.03 * ball().float()
    fields = [fiber_field(dia, along(a), 1.0, Anisotropy(0.5, 0.2)) for a in range(3)]
    assert float(sum(fields).abs().max()) < 1e-5 < float(fields[0].abs().max())


def test_decay_is_faster_across_b0_and_unchanged_on_average():
    dia = torch.full((2,), -0.03)
    change = rate_changes(dia, torch.tensor([0.0, 1.0]), Anisotropy(r2prime_hz=1.5, r2_hz=1.4))
    for values, total in zip(change, (1.5, 1.4), strict=True):
        assert float(values[1] - values[0]) == pytest.approx(total)
        assert float(values[0] * (1 - MEAN_SIN2) + values[1] * MEAN_SIN2) == pytest.approx(
            0, abs=1e-6
        )


def tracts():
    labels = np.full((40, 40, 40), 24, np.int16)
    labels[4:36, 4:36, 4:36] = label_of("cortex")
    labels[8:32, 8:32, 8:32] = label_of("white matter")
    labels[12:28, 16:24, 16:24] = label_of("posterior internal capsule")
    return labels


def test_directions_are_unit_vectors_of_white_matter_along_its_tracts():
    labels = tracts()
    found = fiber_directions(labels, 1.0, np.random.default_rng(0))
    white = np.isin(labels, (label_of("white matter"), label_of("posterior internal capsule")))
    length = torch.linalg.vector_norm(found, dim=0).numpy()
    assert length[white] == pytest.approx(1, abs=1e-4)
    assert not length[~white].any()
    capsule = labels == label_of("posterior internal capsule")
    assert np.median(np.abs(found[0].numpy()[capsule])) > 0.9
    again = fiber_directions(labels, 1.0, np.random.default_rng(0))
    assert torch.equal(found, again)


def test_fibers_climb_towards_the_cortex():
    found = fiber_directions(tracts(), 1.0, np.random.default_rng(1)).numpy()
    side = np.abs(found[1][18:22, 28:31, 18:22])
    assert side.mean() > 0.75


def test_neighbors_point_alike():
    found = fiber_directions(tracts(), 1.0, np.random.default_rng(2))
    a, b = found[:, 9:31, 9:31, 9:30], found[:, 9:31, 9:31, 10:31]
    assert float((a * b).sum(dim=0).abs().mean()) > 0.9


def test_the_angle_of_tissue_without_fibers_is_the_mean():
    assert sin2_to_b0(torch.zeros((3, 2, 2, 2))).unique().tolist() == pytest.approx([MEAN_SIN2])
    assert float(sin2_to_b0(torch.tensor([0.0, 1.0, 0.0]).view(3, 1, 1, 1))) == 1


def test_amplitudes_are_those_of_the_literature():
    drawn = [draw_anisotropy(np.random.default_rng(s)) for s in range(60)]
    cord_ppb = [30 * a.ratio for a in drawn]
    assert min(cord_ppb) < 13.6 < np.mean(cord_ppb) < 19.2
    across = [a.r2prime_hz + a.r2_hz for a in drawn]
    assert min(across) < 2.9 < max(across)  # 49 and 57 ms (Bender and Klose 2010)
