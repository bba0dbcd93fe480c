"""Anatomy from a whole-head label map: what is added lies where it belongs."""

import os
from pathlib import Path

import numpy as np
import pytest

from QSMSeparationLib.data.volume import Geometry, Volume
from QSMSeparationLib.runtime.errors import InputError
from QSMSeparationLib.simulation.label_map.anatomy import ALIASES, anatomy_from_labels
from QSMSeparationLib.simulation.label_map.structures import Frame, fit_frame
from QSMSeparationLib.simulation.tissues import AIR_SINUS_LABEL, LABELS, PARENCHYMA_LABELS, label_of

DATA = Path(os.environ.get("QSMSEP_DATA", Path(__file__).resolve().parents[2] / "../shared/data"))
HEAD = DATA / "heads" / "head09.nii.gz"
SIDES = ("left", "right")


def test_values_that_are_no_labels_are_refused():
    image = Volume(np.full((4, 4, 4), 0.5, np.float32), Geometry((4, 4, 4)), "t1.nii.gz")
    with pytest.raises(InputError, match=r"t1\.nii\.gz: not a label map"):
        anatomy_from_labels(image, seed=1)


def test_unknown_labels_are_named():
    array = np.zeros((4, 4, 4), np.int32)
    array[1, 1, 1] = 2035
    with pytest.raises(InputError, match="unknown labels 2035"):
        anatomy_from_labels(Volume(array, Geometry((4, 4, 4)), "aparc.nii.gz"), seed=1)


def test_missing_nuclei_are_named():
    array = np.full((4, 4, 4), 2, np.int32)
    with pytest.raises(InputError, match="thalamus"):
        anatomy_from_labels(Volume(array, Geometry((4, 4, 4)), "wm.nii.gz"), seed=1)


def test_frame_is_found_again_from_nuclei_it_placed():
    """Nuclei put at their MNI places by a known similarity give that similarity back."""
    from QSMSeparationLib.simulation.label_map.structures import _LANDMARKS

    angle = np.radians(12)
    turn = np.array(
        [[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]]
    )
    known = Frame(turn, 1.08, np.array([2.0, -5.0, 7.0]))
    grid = Geometry((101, 101, 101), origin_mm=(-50, -50, -50))
    array = np.zeros(grid.shape, np.int16)
    z, y, x = np.meshgrid(*[np.arange(101.0) - 50] * 3, indexing="ij")
    for name, place in _LANDMARKS.items():
        for side, sign in (("left", 1), ("right", -1)):
            center = known.world(np.array(place) * (sign, 1, 1))
            near = (x - center[0]) ** 2 + (y - center[1]) ** 2 + (z - center[2]) ** 2 < 6
            array[near] = label_of(name, side)
    found = fit_frame(Volume(array, grid))
    assert found.scale == pytest.approx(1.08, abs=0.01)
    assert np.allclose(found.rotation, turn, atol=0.01)
    assert np.allclose(found.shift_mm, known.shift_mm, atol=0.4)
    box = (slice(10, 12), slice(20, 22), slice(30, 32))
    voxel = grid.world(np.array([11, 21, 31]))
    axes = found.mni(Volume(array, grid), box)
    mni = np.array([np.broadcast_to(c, (2, 2, 2))[1, 1, 1] for c in axes])
    assert np.allclose(found.world(mni), voxel, atol=1e-3)


@pytest.fixture(scope="module")
def source():
    if not HEAD.exists():
        pytest.skip(f"{HEAD} is missing: the label-map heads are not part of the project")
    from QSMSeparationLib.io.nifti import read_volume

    return read_volume(HEAD)


@pytest.fixture(scope="module")
def anatomy(source):
    return anatomy_from_labels(source, seed=9)


def center(anatomy, tissue, side):
    """Center (left, posterior, superior) of a structure."""
    found = np.argwhere(anatomy.labels.array == label_of(tissue, side))
    assert len(found), (tissue, side)
    return anatomy.labels.geometry.world(found.mean(axis=0))


def volume(anatomy, tissue, side):
    return int((anatomy.labels.array == label_of(tissue, side)).sum())


def test_grid_is_upright_and_centered(anatomy):
    grid = anatomy.labels.geometry
    assert anatomy.labels.array.dtype == np.int16
    assert np.allclose(grid.direction_matrix, np.eye(3))
    assert grid.spacing_mm == (1.0, 1.0, 1.0)
    brain = np.argwhere(np.isin(anatomy.labels.array, PARENCHYMA_LABELS))
    middle = grid.world((brain.min(axis=0) + brain.max(axis=0)) / 2)
    assert np.abs(middle).max() < 2
    # The neck goes on 60 mm below the brain and the air around the head is no sinus.
    assert brain[:, 0].min() == pytest.approx(60, abs=2)
    assert (anatomy.labels.array[:, 0, 0] == 0).all()
    assert set(np.unique(anatomy.labels.array)) <= set(LABELS)


def test_nothing_moves_but_the_origin(source, anatomy):
    """The thalami keep their distance and volume, and left stays left (+x)."""
    before = [source.geometry.world(np.argwhere(source.array == n).mean(0)) for n in (10, 49)]
    after = []
    for side in SIDES:
        both = [label_of(name, side) for name in ("thalamus", "pulvinar")]
        found = np.argwhere(np.isin(anatomy.labels.array, both))
        after.append(anatomy.labels.geometry.world(found.mean(0)))
    assert np.allclose(before[0] - before[1], after[0] - after[1], atol=0.3)
    assert after[0][0] > 5
    assert after[1][0] < -5


@pytest.mark.parametrize("side", SIDES)
def test_midbrain_nuclei(anatomy, side):
    """Red nucleus medial and behind, nigra in front and lateral of it, subthalamic above."""
    sign = 1 if side == "left" else -1
    red, nigra, subthalamic, thalamus, pallidum, peduncle = (
        center(anatomy, name, side)
        for name in (
            "red nucleus",
            "substantia nigra",
            "subthalamic nucleus",
            "thalamus",
            "globus pallidus",
            "cerebral peduncle",
        )
    )
    assert 2 < sign * red[0] < 9
    assert sign * (nigra[0] - red[0]) > 1.5
    assert nigra[1] < red[1]
    assert nigra[2] < red[2]
    assert subthalamic[2] > nigra[2] + 2
    assert thalamus[2] > subthalamic[2] + 5
    assert sign * (pallidum[0] - subthalamic[0]) > 3
    assert sign * (peduncle[0] - nigra[0]) > 0
    assert 200 < volume(anatomy, "red nucleus", side) < 700
    assert 200 < volume(anatomy, "substantia nigra", side) < 900
    assert 70 < volume(anatomy, "subthalamic nucleus", side) < 400


@pytest.mark.parametrize("side", SIDES)
def test_dentate_and_pulvinar(anatomy, side):
    sign = 1 if side == "left" else -1
    dentate, pulvinar, thalamus = (
        center(anatomy, name, side) for name in ("dentate nucleus", "pulvinar", "thalamus")
    )
    fourth = anatomy.labels.geometry.world(np.argwhere(anatomy.labels.array == 15).mean(axis=0))
    assert 8 < sign * (dentate[0] - fourth[0]) < 22
    assert -4 < dentate[1] - fourth[1] < 20
    assert 250 < volume(anatomy, "dentate nucleus", side) < 1300
    assert pulvinar[1] > thalamus[1] + 8
    share = volume(anatomy, "pulvinar", side) / volume(anatomy, "thalamus", side)
    assert 0.2 < share < 0.6


@pytest.mark.parametrize("side", SIDES)
def test_internal_capsule_lies_between_the_nuclei(anatomy, side):
    sign = 1 if side == "left" else -1
    anterior = center(anatomy, "anterior internal capsule", side)
    posterior = center(anatomy, "posterior internal capsule", side)
    behind = center(anatomy, "retrolenticular capsule", side)
    assert anterior[1] < posterior[1] < behind[1]
    lateral = sign * center(anatomy, "putamen", side)[0]
    assert sign * center(anatomy, "caudate", side)[0] < sign * anterior[0] < lateral
    assert sign * center(anatomy, "thalamus", side)[0] < sign * posterior[0] < lateral


def test_callosum_runs_from_genu_to_splenium(anatomy):
    genu, body, splenium = (
        center(anatomy, f"corpus callosum {part}", "left") for part in ("genu", "body", "splenium")
    )
    assert genu[1] < body[1] < splenium[1]
    assert body[2] > genu[2]
    assert body[2] > splenium[2]
    assert max(abs(part[0]) for part in (genu, body, splenium)) < 4
    assert body[2] > center(anatomy, "thalamus", "left")[2] + 8


def test_every_tract_exists_on_both_sides_in_similar_size(anatomy):
    for number, name in LABELS.items():
        if 911 <= number <= 920:
            left, right = volume(anatomy, name, "left"), volume(anatomy, name, "right")
            assert min(left, right) > 300, name
            assert max(left, right) < 2.2 * min(left, right), name


def test_sinuses_are_air_within_the_head(anatomy):
    air = anatomy.labels.array == AIR_SINUS_LABEL
    assert 5_000 < air.sum() < 500_000
    place = anatomy.labels.geometry.world(np.argwhere(air).mean(axis=0))
    assert place[1] < 0  # mostly in front
    assert place[2] < 0  # and below


def test_veins_are_fine_and_lie_in_the_brain(anatomy):
    assert len(anatomy.vessels) > 40
    for vein in anatomy.vessels:
        assert vein.tissue == "vein"
        assert len(vein.points_mm) == len(vein.radius_mm)
        assert np.linalg.norm(np.diff(vein.points_mm, axis=0), axis=1).max() <= 0.55
        assert 0.05 < vein.radius_mm.min() <= vein.radius_mm.max() < 2.5
        index = np.rint(anatomy.labels.geometry.index(vein.points_mm)).astype(int)
        below = anatomy.labels.array[tuple(index.T)]
        inside = np.isin(below, [*PARENCHYMA_LABELS, 4, 5, 14, 15, 24, 30, 43, 44, 62, 514])
        assert inside.mean() > 0.9


@pytest.mark.slow
def test_the_seed_draws_another_person(source, anatomy):
    again = anatomy_from_labels(source, seed=9)
    assert np.array_equal(again.labels.array, anatomy.labels.array)
    other = anatomy_from_labels(source, seed=10)
    assert not np.array_equal(other.labels.array, anatomy.labels.array)


def test_aliases_become_known_tissues():
    assert set(ALIASES.values()) <= set(LABELS)
    assert not set(ALIASES) & set(LABELS)
