"""The dipole operator: analytic fields, adjoint, rotations, and a direct sum."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from QSMSeparationLib.physics.dipole import DipoleOperator, image_kernel, padded_shape
from QSMSeparationLib.physics.fourier import good_size, inverse_rfftn

DIRECTIONS = {
    "along k": (1.0, 0.0, 0.0),
    "tilted by 20 degrees": (math.cos(0.349), math.sin(0.349), 0.0),
    "doubly oblique": (0.6, -0.48, 0.64),
}
unit_vectors = st.tuples(*[st.floats(-1, 1)] * 3).filter(lambda v: math.hypot(*v) > 0.1)


def grid_mm(shape, spacing):
    """Positions in mm against the center of the grid, (3, k, j, i)."""
    view = np.array(spacing).reshape(3, 1, 1, 1)
    return (np.indices(shape) - (np.array(shape).reshape(3, 1, 1, 1) - 1) / 2) * view


def partial_volume(shape, spacing, inside, parts=3):
    """Share of each voxel that lies in an object, from parts^3 points a voxel."""
    center, share = grid_mm(shape, spacing), np.zeros(shape)
    offsets = (np.arange(parts) + 0.5) / parts - 0.5
    for dk in offsets:
        for dj in offsets:
            for di in offsets:
                shift = np.array([dk, dj, di]) * spacing
                share += inside(center + shift.reshape(3, 1, 1, 1))
    return torch.from_numpy((share / parts**3).astype(np.float32))


@pytest.mark.parametrize(
    ("spacing", "kernel"),
    [
        ((1.0, 1.0, 1.0), "k-space"),
        ((1.5, 0.9, 0.9), "k-space"),
        # Point dipoles stand for cubes (no field within), not for flat voxels.
        ((1.0, 1.0, 1.0), "image"),
    ],
)
@pytest.mark.parametrize("b0", DIRECTIONS.values(), ids=DIRECTIONS.keys())
def test_field_of_a_sphere(b0, spacing, kernel):
    """Outside a sphere the field is chi/3 (a/r)^3 (3 cos^2 theta - 1), inside it is 0."""
    radius, shape = 9.0, tuple(2 * round(24 / s) for s in spacing)
    x = grid_mm(shape, spacing)
    r = np.sqrt((x**2).sum(0))
    sphere = partial_volume(shape, spacing, lambda p: (p**2).sum(0) < radius**2)
    field = DipoleOperator(shape, spacing, b0, pad=1.0, kernel=kernel)(sphere).numpy()
    cosine = np.tensordot(b0, x, 1) / r
    exact = (radius / r) ** 3 * (3 * cosine**2 - 1) / 3
    peak = 2 / 3
    # Three voxels from the surface, whose sharp edge rings on any grid.
    outside = (r > radius + 3 * max(spacing)) & (r < 20)
    tolerance = 0.02 * peak
    assert np.abs(field - exact)[outside].max() < tolerance
    inside = r < radius - 2.5 * max(spacing)
    assert np.abs(field[inside].mean()) < tolerance


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (1.5, 0.9, 0.9)])
@pytest.mark.parametrize("b0", [(1.0, 0, 0), (0.0, 1.0, 0.0), (0.6, 0.64, -0.48)])
def test_field_of_an_infinite_cylinder(b0, spacing):
    """Along k, periodic without padding along it: chi/2 sin^2 (a/r)^2 cos 2 phi outside.

    Inside it is chi (3 cos^2 - 1) / 6; only differences count, as D(0) = 0.
    """
    radius, across = 6.0, 96.0
    shape = (
        good_size(8),
        good_size(round(across / spacing[1])),
        good_size(round(across / spacing[2])),
    )
    x = grid_mm(shape, spacing)
    r = np.hypot(x[1], x[2])
    cylinder = partial_volume(shape, spacing, lambda p: np.hypot(p[1], p[2]) < radius)
    field = DipoleOperator(shape, spacing, b0, pad=0.0)(cylinder).numpy()
    sine2 = b0[1] ** 2 + b0[2] ** 2
    aligned = (b0[1] * x[1] + b0[2] * x[2]) ** 2 / (r**2 * max(sine2, 1e-12))
    exact = sine2 / 2 * (radius / r) ** 2 * (2 * aligned - 1)
    inside, outside = r < radius - 2.5, (r > radius + 2.5) & (r < 20)
    step = field[inside].mean() - (field - exact)[outside].mean()
    assert step == pytest.approx((3 * b0[0] ** 2 - 1) / 6, abs=0.01)
    error = (field - exact)[outside]
    assert np.abs(error - error.mean()).max() < 0.02 * 0.5


@settings(max_examples=25, deadline=None)
@given(
    shape=st.tuples(*[st.sampled_from([4, 5, 7, 8, 11, 12, 13, 16])] * 3),
    spacing=st.tuples(*[st.floats(0.5, 3.0)] * 3),
    b0=unit_vectors,
    pad=st.sampled_from([0.0, 0.3, 1.0]),
    kernel=st.sampled_from(["k-space", "image"]),
    seed=st.integers(0, 99),
)
def test_the_operator_is_its_own_adjoint(shape, spacing, b0, pad, kernel, seed):
    generator = torch.Generator().manual_seed(seed)
    x, y = (torch.randn(shape, generator=generator) for _ in range(2))
    dipole = DipoleOperator(shape, spacing, b0, pad=pad, kernel=kernel)
    left = (dipole(x).double() * y.double()).sum()
    right = (x.double() * dipole.adjoint(y).double()).sum()
    scale = dipole(x).double().norm() * y.double().norm()
    assert abs(left - right) <= 1e-5 * scale


@pytest.mark.parametrize("kernel", ["k-space", "image"])
@pytest.mark.parametrize("axes", [(0, 1), (0, 2), (1, 2)])
def test_turning_object_and_b0_by_90_degrees_turns_the_field(axes, kernel):
    shape, spacing, b0 = (10, 13, 11), [2.0, 1.0, 1.4], [0.8, 0.36, -0.48]
    chi = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    field = DipoleOperator(shape, tuple(spacing), tuple(b0), pad=1.0, kernel=kernel)(chi)
    turned = torch.rot90(chi, 1, axes)
    p, q = axes
    spacing[p], spacing[q] = spacing[q], spacing[p]
    # rot90 from axis p towards q takes the direction e_p to e_q, and e_q to -e_p.
    b0[p], b0[q] = -b0[q], b0[p]
    operator = DipoleOperator(tuple(turned.shape), tuple(spacing), tuple(b0), 1.0, kernel)
    expected = torch.rot90(field, 1, axes)
    assert (operator(turned) - expected).norm() < 1e-4 * expected.norm()


@settings(max_examples=15, deadline=None)
@given(
    shape=st.tuples(*[st.integers(3, 7)] * 3),
    spacing=st.tuples(*[st.floats(0.5, 3.0)] * 3),
    b0=unit_vectors,
)
def test_padded_convolution_equals_the_direct_sum(shape, spacing, b0):
    """sum_n chi_n V (3 cos^2 - 1) / (4 pi r^3) over all other voxels, in double precision."""
    b = np.array(b0) / np.linalg.norm(b0)
    chi = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    points = np.indices(shape).reshape(3, -1).T * np.array(spacing)
    apart = points[:, None] - points[None]
    r2 = (apart**2).sum(-1)
    np.fill_diagonal(r2, 1.0)
    kernel = (3 * (apart @ b) ** 2 / r2 - 1) / (4 * np.pi * r2**1.5) * np.prod(spacing)
    np.fill_diagonal(kernel, 0.0)
    expected = (kernel @ chi.ravel()).reshape(shape)
    dipole = DipoleOperator(shape, spacing, b0, pad=1.0, kernel="image")
    field = dipole(torch.from_numpy(chi)).numpy()
    assert np.linalg.norm(field - expected) < 1e-4 * np.linalg.norm(expected)


def test_both_kernels_agree_on_a_smooth_object():
    shape, spacing = (48, 48, 48), (1.0, 1.0, 1.0)
    blob = torch.from_numpy(np.exp(-(grid_mm(shape, spacing) ** 2).sum(0) / 50).astype(np.float32))
    fields = [
        DipoleOperator(shape, spacing, (0.8, 0.0, 0.6), 1.0, kernel)(blob)
        for kernel in ("k-space", "image")
    ]
    fields = [field - field.mean() for field in fields]
    assert (fields[0] - fields[1]).norm() < 0.02 * fields[1].norm()


def test_paramagnetic_source_is_positive_at_its_poles():
    chi = torch.zeros(15, 15, 15)
    chi[7, 7, 7] = 1.0
    field = DipoleOperator(chi.shape, (1, 1, 1), (0, 1, 0), pad=1.0, kernel="image")(chi)
    assert field[7, 10, 7] > 0 > field[10, 7, 7]
    assert field[7, 10, 7] == pytest.approx(2 / (4 * math.pi * 27), rel=1e-4)


def test_uniform_image_makes_no_field_on_a_periodic_grid():
    dipole = DipoleOperator((8, 12, 10), (1, 1, 1), (0.6, 0.0, 0.8), pad=0.0)
    assert dipole(torch.ones(8, 12, 10)).abs().max() < 1e-6


@given(st.integers(1, 500))
def test_good_size(n):
    size = good_size(n)
    assert size >= n
    assert size % 2 == 0
    for prime in (2, 3, 5, 7):
        while size % prime == 0:
            size //= prime
    assert size == 1


@settings(deadline=None, max_examples=40)
@given(st.tuples(*[st.integers(1, 40)] * 3), st.integers(0, 2))
def test_inverse_transform_returns_any_volume(shape, batch):
    volume = torch.rand((2,) * batch + shape, generator=torch.Generator().manual_seed(0))
    spectrum = torch.fft.rfftn(volume, dim=(-3, -2, -1))
    kept = spectrum.clone()
    assert torch.allclose(inverse_rfftn(spectrum, shape), volume, atol=1e-5)
    assert torch.equal(spectrum, kept)
    out = torch.empty_like(volume)
    assert inverse_rfftn(spectrum, shape, out=out) is out
    assert torch.allclose(out, volume, atol=1e-5)


def test_transform_sizes_leave_the_margin():
    assert all(p >= 2 * n for p, n in zip(padded_shape((9, 11, 14), 1.0), (9, 11, 14), strict=True))
    assert image_kernel((8, 8, 8), (1, 1, 1), (1, 0, 0), "cpu").dtype == torch.float32
