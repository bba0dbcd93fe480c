"""Geometry is never lost: B0 direction, resampling, reorientation, comparison."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from QSMSeparationLib.data.volume import (
    Geometry,
    Volume,
    from_sitk,
    reorient,
    resample,
    to_sitk,
    upright_grid,
)
from QSMSeparationLib.io.nifti import read_volume, write_volume
from QSMSeparationLib.runtime.errors import InputError

angles = st.tuples(*[st.floats(-180, 180) for _ in range(3)])
spacings = st.tuples(*[st.floats(0.4, 3.0) for _ in range(3)])


def tilted(shape, spacing, degrees, origin=(3.0, -7.0, 11.0)) -> Geometry:
    matrix = Rotation.from_euler("xyz", degrees, degrees=True).as_matrix()
    return Geometry(shape, spacing, origin, tuple(matrix.ravel()))


def bump(geometry: Geometry, width_mm: float = 9.0) -> Volume:
    """A smooth bump at a fixed place of the world."""
    index = np.stack(np.meshgrid(*[np.arange(n) for n in geometry.shape], indexing="ij"), -1)
    offset = geometry.world(index) - (geometry.center_mm + np.array([4.0, -3.0, 2.0]))
    values = np.exp(-0.5 * (offset**2).sum(-1) / width_mm**2)
    return Volume(values.astype(np.float32), geometry)


def test_b0_direction_comes_from_the_rotation_only():
    """30 degrees of tilt at 0.8 x 0.8 x 3 mm: voxel sizes must not bend the direction."""
    geometry = tilted((20, 40, 40), (0.8, 0.8, 3.0), (30, 0, 0))
    k, j, i = geometry.b0_kji
    assert (k, abs(j), i) == pytest.approx((np.cos(np.pi / 6), 0.5, 0.0), abs=1e-9)
    # Walking along B0 in voxel steps goes straight up in the world.
    step = np.array(geometry.b0_kji) / np.array(geometry.spacing_kji)
    walk = geometry.world(10 * step) - geometry.world(np.zeros(3))
    assert walk == pytest.approx([0, 0, 10], abs=1e-9)
    assert geometry.b0_angle_deg == pytest.approx(30, abs=1e-6)


@given(angles, spacings)
def test_world_and_index_are_inverse(degrees, spacing):
    geometry = tilted((5, 6, 7), spacing, degrees)
    index = np.random.default_rng(0).uniform(-3, 9, (8, 3))
    assert geometry.index(geometry.world(index)) == pytest.approx(index, abs=1e-9)


@given(angles, spacings)
def test_index_affine_maps_between_grids(degrees, spacing):
    a, b = tilted((5, 6, 7), spacing, degrees), tilted((9, 4, 3), (1, 2, 3), (0, 0, 30))
    matrix, offset = a.index_affine(b)
    index = np.array([2.0, 1.0, 0.5])
    assert matrix @ index + offset == pytest.approx(a.index(b.world(index)), abs=1e-9)


@pytest.mark.parametrize("degrees", [(20, 0, 0), (10, -15, 5)])
def test_resampling_there_and_back_keeps_a_smooth_map(degrees):
    original = bump(tilted((40, 44, 48), (1.1, 0.9, 1.3), degrees))
    upright = resample(original, upright_grid(original.geometry, 1.0), order=3)
    assert upright.geometry.b0_kji == pytest.approx((1, 0, 0))
    back = resample(upright, original.geometry, order=3)
    inner = (slice(4, -4),) * 3
    error = np.linalg.norm((back.array - original.array)[inner])
    assert error / np.linalg.norm(original.array[inner]) < 0.01


@settings(max_examples=30)
@given(angles, spacings)
def test_upright_grid_covers_the_volume(degrees, spacing):
    geometry = tilted((6, 9, 7), spacing, degrees)
    grid = upright_grid(geometry, 1.0)
    corners = np.array(np.meshgrid(*[(-0.5, n - 0.5) for n in geometry.shape])).reshape(3, -1).T
    index = grid.index(geometry.world(corners))
    assert np.all(index >= -0.5 - 1e-6)
    assert np.all(index <= np.array(grid.shape) - 0.5 + 1e-6)


@given(
    st.permutations([0, 1, 2]),
    st.tuples(*[st.booleans()] * 3),
    st.tuples(*[st.floats(-35, 35)] * 3),
)
@example([0, 1, 2], (False, False, False), (32.0, 35.0, 33.0))  # the nearest pair is not the best
def test_reorient_moves_no_voxel_in_the_world(order, flips, degrees):
    tilt = Rotation.from_euler("xyz", degrees, degrees=True).as_matrix()
    signed = np.eye(3)[:, order] * np.where(flips, -1, 1)
    geometry = Geometry((4, 5, 6), (1.0, 1.5, 2.0), (1, 2, 3), tuple((tilt @ signed).ravel()))
    volume = Volume(np.arange(120, dtype=np.float32).reshape(4, 5, 6), geometry)
    turned = reorient(volume)
    for index in ((0, 0, 0), (3, 1, 2), (1, 4, 5)):
        place = geometry.world(np.array(index, float))
        new = np.rint(turned.geometry.index(place)).astype(int)
        assert turned.geometry.world(new.astype(float)) == pytest.approx(place, abs=1e-6)
        assert turned.array[tuple(new)] == volume.array[index]
    # The axes now run mostly along L, P, S, up to what the tilt leaves.
    assert np.trace(turned.geometry.direction_matrix) >= np.trace(geometry.direction_matrix) - 1e-9


def test_reoriented_axes_run_left_posterior_superior():
    volume = Volume(
        np.zeros((4, 5, 6)),
        Geometry((4, 5, 6), (1, 2, 3), (0, 0, 0), (0, 0, -1, -1, 0, 0, 0, 1, 0)),
    )
    turned = reorient(volume)
    assert np.allclose(turned.geometry.direction_matrix, np.eye(3))
    assert turned.geometry.spacing_mm == (3, 1, 2)
    assert resample(turned, volume.geometry).array.shape == volume.array.shape


def test_sitk_round_trip_is_exact():
    volume = bump(tilted((7, 8, 9), (0.8, 0.9, 2.5), (12, -20, 33)))
    back = from_sitk(to_sitk(volume))
    assert np.array_equal(back.array, volume.array)
    assert volume.geometry.difference(back.geometry, 1e-9) is None


def test_file_round_trip_keeps_values_and_geometry(tmp_path):
    volume = bump(tilted((7, 8, 9), (0.8, 0.9, 2.5), (12, -20, 33)))
    write_volume(volume, tmp_path / "a.nii.gz")
    back = read_volume(tmp_path / "a.nii.gz")
    assert np.array_equal(back.array, volume.array)
    assert volume.geometry.difference(back.geometry, 1e-3) is None


@pytest.mark.parametrize(
    ("other", "word"),
    [
        (Geometry((5, 6, 8)), "matrix"),
        (Geometry((5, 6, 7), (1, 1, 1.2)), "voxel size"),
        (Geometry((5, 6, 7), origin_mm=(0, 2, 0)), "position"),
        (tilted((5, 6, 7), (1, 1, 1), (5, 0, 0), (0, 0, 0)), "orientation"),
    ],
)
def test_difference_names_what_differs(other, word):
    base = Geometry((5, 6, 7))
    assert word in base.difference(other)
    with pytest.raises(InputError, match=f"second.*first.*{word}"):
        Volume(np.zeros((5, 6, 7)), base, "first").require_same_grid(
            Volume(np.zeros(other.shape), other, "second")
        )


def test_header_rounding_is_no_difference():
    assert (
        Geometry((5, 6, 7)).difference(Geometry((5, 6, 7), (1.00001, 1, 1), (0.001, 0, 0))) is None
    )


@pytest.mark.parametrize(
    "bad",
    [
        {"spacing_mm": (1, 1, 0)},
        {"spacing_mm": (1, 1, float("nan"))},
        {"spacing_mm": (1, -1, 1)},
        {"direction": (1, 0.5, 0, 0, 1, 0, 0, 0, 1)},
    ],
)
def test_broken_geometry_is_refused(bad):
    with pytest.raises(InputError):
        Geometry((4, 4, 4), **bad)


def test_labels_resample_to_labels():
    labels = Volume(
        (np.random.default_rng(0).random((8, 9, 10)) > 0.5).astype(np.uint8) * 7,
        Geometry((8, 9, 10)),
    )
    moved = resample(labels, tilted((8, 9, 10), (1, 1, 1), (0, 0, 20), (0, 0, 0)), order=0)
    assert set(np.unique(moved.array)) <= {0, 7}
    assert moved.array.dtype == np.uint8
