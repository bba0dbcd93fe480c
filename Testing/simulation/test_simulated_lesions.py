"""Simulated MS lesions: shape, place, class and values."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from QSMSeparationLib.data.volume import Geometry, Volume, resample
from QSMSeparationLib.runtime.errors import InputError
from QSMSeparationLib.simulation import lesion_values as values
from QSMSeparationLib.simulation import lesions as module
from QSMSeparationLib.simulation.anatomy import Anatomy
from QSMSeparationLib.simulation.lesion_ages import AGES
from QSMSeparationLib.simulation.lesion_shapes import random_rotation, signed_distance
from QSMSeparationLib.simulation.lesions import draw_lesions, truth_rows
from QSMSeparationLib.simulation.tissues import TISSUES, draw_tissues

COUNT = 20


def onion() -> Anatomy:
    """Concentric ellipsoids: CSF, cortex, white matter, lateral ventricle; a brain stem below.

    A head of its own: at 1 mm and with a stem, so that lesions find every place they may have.
    """
    shape = (118, 120, 104)
    grid = Geometry(shape, origin_mm=(-51.5, -59.5, -69.5))
    z, y, x = np.meshgrid(
        *[np.arange(n) + o for n, o in zip(shape, (-69.5, -59.5, -51.5), strict=True)],
        indexing="ij",
    )

    def within(a, b, c):
        return (x / a) ** 2 + (y / b) ** 2 + (z / c) ** 2 < 1

    labels = np.zeros(shape, np.int16)
    labels[within(50, 58, 47)] = 24
    labels[within(47, 55, 44)] = 3
    labels[within(44, 52, 41)] = 2
    labels[within(9, 22, 11)] = 4
    stem = ((x / 13) ** 2 + (y / 13) ** 2 < 1) & (z < -25) & (z > -67)
    labels[stem] = 16
    return Anatomy(Volume(labels, grid, "onion"))


@pytest.fixture(scope="module")
def anatomy():
    return onion()


@pytest.fixture(scope="module")
def person():
    return draw_tissues(3)


@pytest.fixture(scope="module")
def drawn(anatomy, person):
    return draw_lesions(anatomy, person, seed=3, count=COUNT)


def labels_below(anatomy, lesion):
    return resample(anatomy.labels, lesion.inside_mm.geometry, order=0, outside=0).array


def test_signed_distance_of_a_sphere_is_sub_voxel():
    z, y, x = np.meshgrid(*[np.arange(41) * 0.5] * 3, indexing="ij")
    truth = 6.2 - np.sqrt((z - 10.1) ** 2 + (y - 9.9) ** 2 + (x - 10.2) ** 2)
    bent = (truth * (1 + 0.3 * np.tanh(truth))).astype(np.float32)  # the same zero level
    found = signed_distance(bent, 0.5)
    assert found.dtype == np.float32
    assert np.abs(found - truth).max() < 0.12


def test_rotation_is_a_rotation_about_its_axis():
    axis = np.array([1.0, -2.0, 0.5])
    turn = random_rotation(np.random.default_rng(0), axis)
    assert np.allclose(turn.T @ turn, np.eye(3), atol=1e-12)
    assert np.linalg.det(turn) == pytest.approx(1)
    assert turn[:, 0] @ axis == pytest.approx(np.linalg.norm(axis))


def test_depth_is_a_distance_with_margin(drawn):
    for lesion in drawn:
        depth = lesion.inside_mm.array
        assert depth.dtype == np.float32
        assert lesion.inside_mm.geometry.spacing_mm == (0.5, 0.5, 0.5)
        edge = np.ones(depth.shape, bool)
        edge[1:-1, 1:-1, 1:-1] = False
        assert depth[edge].max() < -3.0
        inside = depth > 0
        outer = -ndimage.distance_transform_edt(~inside, sampling=0.5)
        inner = ndimage.distance_transform_edt(inside, sampling=0.5)
        # A binary transform measures from voxel centers: up to a voxel (0.87 mm) more.
        excess = np.where(inside, inner, -outer) - np.abs(depth)
        assert excess.min() > -0.3
        assert excess.max() < 0.9


def test_sizes_and_number(drawn):
    assert [lesion.id for lesion in drawn] == list(range(1, COUNT + 1))
    diameters = np.array([lesion.diameter_mm for lesion in drawn])
    assert diameters.min() >= 3.0
    assert diameters.max() <= 20.0
    assert np.median(diameters) < diameters.mean()
    for lesion in drawn:
        assert ndimage.label(lesion.inside_mm.array > 0)[1] == 1


def test_lesions_stay_in_white_matter(anatomy, drawn):
    for lesion in drawn:
        white = np.isin(labels_below(anatomy, lesion), (2, 16))
        depth = lesion.inside_mm.array
        # A smooth border cuts the corners of voxels, no more.
        assert depth[~white].max(initial=-9.0) < 0.5
        assert np.mean(~white[depth > 0]) < 0.08


def test_lesions_lie_where_they_say(anatomy, drawn):
    assert {lesion.location for lesion in drawn} == set(module.LOCATION_SHARES)
    for lesion in drawn:
        depth, below = lesion.inside_mm.array, labels_below(anatomy, lesion)
        touched = set(np.unique(below[depth > -1.0]))
        if lesion.location == "periventricular":
            assert 4 in touched
        elif lesion.location == "juxtacortical":
            assert 3 in touched
        elif lesion.location == "infratentorial":
            assert np.mean(below[depth > 0] == 16) > 0.5
        else:
            assert not touched & {3, 4}


def test_periventricular_lesions_point_away_from_the_ventricle(anatomy, person):
    many = draw_lesions(anatomy, person, seed=8, count=24)
    cosines = []
    for lesion in many:
        if lesion.location != "periventricular" or lesion.diameter_mm < 4.5:
            continue
        points = lesion.inside_mm.geometry.world(np.argwhere(lesion.inside_mm.array > 0))
        long_axis = np.linalg.eigh(np.cov(points.T))[1][:, 2]
        normal = points.mean(0) / np.array([9.0, 22.0, 11.0]) ** 2
        cosines.append(abs(long_axis @ normal) / np.linalg.norm(normal))
    assert len(cosines) >= 4
    assert np.median(cosines) > 0.8


def test_lesions_keep_apart(drawn):
    for a in drawn:
        for b in drawn:
            if a.id < b.id:
                depth = resample(a.inside_mm, b.inside_mm.geometry, outside=-99.0).array
                assert depth[b.inside_mm.array > 0].max() < -(3.0 - 0.2)


def check_values(lesion, para, dia):
    """The class margins, against the white matter around the lesion."""
    core_para, rim_para = lesion.core_para_ppb, lesion.rim_para_ppb
    core_dia, rim_dia = -lesion.core_dia_ppb, -lesion.rim_dia_ppb
    if lesion.class_para == "iso":
        assert abs(core_para - para) <= values.ISO_MARGIN_PPB + 0.01
    elif lesion.class_para == "hypo":
        assert 0 <= core_para <= para - values.HYPO_PARA_MARGIN_PPB
    elif lesion.class_para == "hyper":
        assert core_para >= para + values.HYPER_PARA_MARGIN_PPB
    else:
        assert rim_para >= para + values.HYPER_PARA_MARGIN_PPB
        assert rim_para >= core_para + values.RIM_MARGIN_PPB
    if lesion.class_dia == "iso":
        assert abs(core_dia - dia) <= values.ISO_MARGIN_PPB + 0.01
    elif lesion.class_dia == "hypo":
        assert max(core_dia, rim_dia) <= dia - values.HYPO_DIA_MARGIN_PPB + 0.01
    else:
        assert min(core_dia, rim_dia) >= dia + values.HYPER_DIA_MARGIN_PPB


def test_values_keep_their_class(anatomy):
    # One value for all white matter, so that the surroundings are known exactly.
    same = replace(TISSUES["white matter"], chi_para_ppb=16.0, chi_dia_ppb=-29.0)
    person = {**draw_tissues(1), "white matter": same, "brain stem": same}
    for seed in range(2):
        for lesion in draw_lesions(anatomy, person, seed, count=14):
            check_values(lesion, 16.0, 29.0)
            assert lesion.age in AGES
            assert 0.65 < lesion.state.water < 0.9
            if lesion.class_para == "rim":
                assert 1.0 <= lesion.rim_mm <= 2.0
                assert lesion.diameter_mm >= 6 or lesion.rim_mm <= 1.5
                assert lesion.inside_mm.array.max() >= lesion.rim_mm + 1.0
            else:
                assert lesion.rim_mm == 0
                assert lesion.rim_para_ppb == lesion.core_para_ppb


def test_drawn_classes_follow_the_shares_within_one_lesion_a_pair(drawn):
    counts = Counter((lesion.class_para, lesion.class_dia) for lesion in drawn)
    assert sum(counts.values()) == COUNT
    for pair, share in module.CLASS_SHARES.items():
        assert abs(counts[pair] - share * COUNT) < 1, pair


def test_same_seed_same_lesions_other_seed_others(anatomy, person):
    first, again = (draw_lesions(anatomy, person, seed=3, count=4) for _ in range(2))
    assert truth_rows(again) == truth_rows(first)
    for a, b in zip(again, first, strict=True):
        assert np.array_equal(a.inside_mm.array, b.inside_mm.array)
    assert truth_rows(draw_lesions(anatomy, person, seed=4, count=4)) != truth_rows(first)


def test_table_agrees_with_the_lesions(drawn):
    for row, lesion in zip(truth_rows(drawn), drawn, strict=True):
        assert row["volume_mm3"] == pytest.approx(lesion.volume_mm3, abs=0.1)
        assert row["diameter_mm"] == pytest.approx(
            (6 * row["volume_mm3"] / np.pi) ** (1 / 3), abs=0.01
        )
        center = np.array([row[f"centre_{axis}_mm"] for axis in "xyz"])
        # World axes, LPS: the deepest point lies near the center of mass.
        deepest = np.unravel_index(lesion.inside_mm.array.argmax(), lesion.inside_mm.array.shape)
        peak = lesion.inside_mm.geometry.world(np.array(deepest))
        assert np.linalg.norm(center - peak) < lesion.diameter_mm
        assert row["core_dia_ppb"] <= 0 <= row["core_para_ppb"]


def test_real_shapes_are_used(anatomy, person):
    """A mask that holds one flat cross gives flat lesions."""
    mask = np.zeros((30, 40, 40), np.uint8)
    mask[12:16, 8:32, 16:24] = 1
    mask[12:16, 16:24, 8:32] = 1
    cross = Volume(mask, Geometry(mask.shape), "cross")
    crosses = draw_lesions(anatomy, person, seed=5, count=6, masks=[cross])
    flat = [lesion for lesion in crosses if not lesion.rim_mm]  # a rim needs a thicker one
    assert len(flat) >= 3
    for lesion in flat:
        points = np.argwhere(lesion.inside_mm.array > 0)
        spread = np.sqrt(np.linalg.eigvalsh(np.cov(points.T)))
        assert spread[0] < 0.5 * spread[1]


def test_empty_mask_and_missing_white_matter_are_refused(anatomy, person):
    empty = Volume(np.zeros((4, 4, 4), np.uint8), Geometry((4, 4, 4)), "empty.nii.gz")
    with pytest.raises(InputError, match=r"empty\.nii\.gz"):
        draw_lesions(anatomy, person, seed=1, masks=[empty])
    bare = Anatomy(anatomy.labels.like(np.full_like(anatomy.labels.array, 24)))
    with pytest.raises(InputError, match="white matter"):
        draw_lesions(bare, person, seed=1)


def test_too_many_lesions_are_refused(person):
    labels = np.zeros((30, 30, 30), np.int16)
    labels[10:20, 10:20, 10:20] = 2
    small = Anatomy(Volume(labels, Geometry(labels.shape), "small"))
    with pytest.raises(InputError, match="fewer lesions"):
        draw_lesions(small, person, seed=1, count=8)


def test_no_lesions_wanted(anatomy, person):
    assert draw_lesions(anatomy, person, seed=1, count=0) == ()
