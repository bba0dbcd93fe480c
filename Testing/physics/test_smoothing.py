"""Smoothing and blocks of voxels: what they keep, at any size."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from QSMSeparationLib.physics.smoothing import gaussian, mean_of_blocks, over_blocks, sum_of_27

SHAPES = st.tuples(*[st.integers(1, 9)] * 3)


def volume(shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@settings(deadline=None, max_examples=30)
@given(SHAPES, st.integers(0, 2))
def test_sum_of_27_is_a_box_filter_with_nothing_beyond_the_border(shape, lead):
    values = volume((2,) * lead + shape)
    size = (1,) * lead + (3, 3, 3)
    expected = 27 * ndimage.uniform_filter(values.double().numpy(), size, mode="constant")
    assert np.allclose(sum_of_27(values), expected, atol=1e-4)


@settings(deadline=None, max_examples=30)
@given(SHAPES, st.tuples(*[st.integers(1, 4)] * 3))
def test_blocks_are_combined_each_for_itself(counts, block):
    values = volume(tuple(n * b for n, b in zip(counts, block, strict=True)))
    parted = values.reshape([n for pair in zip(counts, block, strict=True) for n in pair])
    assert torch.allclose(mean_of_blocks(values, block), parted.mean((1, 3, 5)), atol=1e-5)
    assert torch.equal(over_blocks(values, block, torch.minimum), parted.amin((1, 3, 5)))


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (3.0, 0.7, 1.1)])
@pytest.mark.parametrize("sigma", [1.5, 6.0])
def test_a_point_becomes_a_gaussian_of_the_wanted_width(spacing, sigma):
    shape = tuple(2 * int(5 * sigma / s) + 25 for s in spacing)
    point = torch.zeros(shape)
    middle = tuple(n // 2 for n in shape)
    point[middle] = 1.0
    spread = gaussian(point, sigma, spacing).double()
    assert float(spread.sum()) == pytest.approx(1.0, abs=1e-3)
    for axis in range(3):
        profile = spread.sum([a for a in range(3) if a != axis])
        x = (torch.arange(shape[axis]) - middle[axis]).double() * spacing[axis]
        mean = float((profile * x).sum())
        assert abs(mean) < 0.5 * sigma
        assert float((profile * (x - mean) ** 2).sum()) ** 0.5 == pytest.approx(sigma, rel=0.15)
