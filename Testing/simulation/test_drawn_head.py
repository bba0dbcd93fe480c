"""The procedural head is a plausible person: volumes, places, neighbors, vessels."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from QSMSeparationLib.simulation.anatomy import Anatomy
from QSMSeparationLib.simulation.drawn_head.anatomy import procedural_anatomy
from QSMSeparationLib.simulation.tissues import (
    AIR_SINUS_LABEL,
    EXTRACEREBRAL_CSF_LABEL,
    LABELS,
    PARENCHYMA_LABELS,
    TISSUES,
    VENTRICLE_LABELS,
    label_of,
)

SIDES = ("left", "right")
PAIRED_NUCLEI = (
    "caudate", "putamen", "globus pallidus", "accumbens", "thalamus", "pulvinar", "hippocampus",
    "amygdala", "substantia nigra", "red nucleus", "subthalamic nucleus", "ventral diencephalon",
    "dentate nucleus",
)  # fmt: skip
TRACTS = (
    "anterior internal capsule", "posterior internal capsule", "retrolenticular capsule",
    "anterior corona radiata", "superior corona radiata", "posterior corona radiata",
    "optic radiation", "sagittal stratum", "superior longitudinal fasciculus",
    "cerebral peduncle",
)  # fmt: skip


@pytest.fixture(scope="module")
def heads() -> dict[int, Anatomy]:
    return {seed: procedural_anatomy(seed) for seed in (1, 2)}


@pytest.fixture(params=(1, 2))
def head(heads: dict[int, Anatomy], request: pytest.FixtureRequest) -> Anatomy:
    return heads[request.param]


def _mask(head: Anatomy, *labels: int) -> np.ndarray:
    wanted = np.zeros(1000, bool)
    wanted[list(labels)] = True
    return wanted[head.labels.array]


def _where(head: Anatomy, label: int) -> np.ndarray:
    """World positions of the voxels of one label."""
    return head.labels.geometry.world(np.argwhere(head.labels.array == label))


def _ml(head: Anatomy, *tissues: str) -> float:
    numbers = [n for n, name in LABELS.items() if name in tissues]
    return float(_mask(head, *numbers).sum()) / 1000


def _touch(a: np.ndarray, b: np.ndarray, steps: int = 1) -> bool:
    ((box),) = ndimage.find_objects(a.astype(np.uint8))
    box = tuple(slice(max(s.start - 3, 0), s.stop + 3) for s in box)
    return bool((ndimage.binary_dilation(a[box], iterations=steps) & b[box]).any())


def _intracranial(head: Anatomy) -> np.ndarray:
    inside = _mask(head, *PARENCHYMA_LABELS, *VENTRICLE_LABELS, EXTRACEREBRAL_CSF_LABEL)
    stem_end = np.argwhere(_mask(head, label_of("spinal cord")))[:, 0].max()
    inside[: stem_end + 1] = False
    return inside


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bytes(heads: dict[int, Anatomy]) -> None:
    again = procedural_anatomy(1)
    assert again.labels.array.tobytes() == heads[1].labels.array.tobytes()
    assert len(again.vessels) == len(heads[1].vessels)
    for a, b in zip(again.vessels, heads[1].vessels, strict=True):
        assert a.points_mm.tobytes() == b.points_mm.tobytes()
        assert a.radius_mm.tobytes() == b.radius_mm.tobytes()


def test_grid_is_upright_and_the_brain_is_at_the_origin(head: Anatomy) -> None:
    geometry = head.labels.geometry
    assert geometry.spacing_mm == (1, 1, 1)
    assert np.array_equal(geometry.direction_matrix, np.eye(3))
    assert head.labels.array.dtype == np.int16
    brain = np.argwhere(_mask(head, *PARENCHYMA_LABELS))
    assert np.linalg.norm(geometry.world(brain.mean(axis=0))) < 15


def test_another_seed_is_another_person(heads: dict[int, Anatomy]) -> None:
    first, second = (heads[s].labels.array for s in (1, 2))
    cortex = [np.isin(a, (3, 42)) for a in (first, second)]
    dice = 2 * (cortex[0] & cortex[1]).sum() / (cortex[0].sum() + cortex[1].sum())
    # independent folds agree only by the ribbon filling much of the outer brain
    assert dice < 0.75
    assert abs(_intracranial(heads[1]).sum() / _intracranial(heads[2]).sum() - 1) > 0.002


@pytest.mark.parametrize(
    ("tissue", "low_ml", "high_ml"),
    [
        ("caudate", 2.6, 4.6),
        ("putamen", 3.5, 6.0),
        ("globus pallidus", 1.1, 2.1),
        ("accumbens", 0.4, 0.9),
        ("hippocampus", 2.4, 4.6),
        ("amygdala", 0.9, 2.1),
        ("substantia nigra", 0.25, 0.8),
        ("red nucleus", 0.12, 0.4),
        ("subthalamic nucleus", 0.09, 0.25),
        ("dentate nucleus", 0.5, 1.4),
    ],
)
def test_volume_of_each_nucleus(head: Anatomy, tissue: str, low_ml: float, high_ml: float) -> None:
    for side in SIDES:
        volume = _mask(head, label_of(tissue, side)).sum() / 1000
        assert low_ml < volume < high_ml, side


def test_volumes_of_the_whole_brain(head: Anatomy) -> None:
    white = [n for n, t in TISSUES.items() if t.white]
    for name in ("brain stem", "optic nerve", "spinal cord", "cerebellar white matter"):
        white.remove(name)
    assert 1.3e6 < _intracranial(head).sum() < 1.7e6
    assert 1.0 < _ml(head, "cortex") / _ml(head, *white) < 1.45
    assert 5.0 < _ml(head, "thalamus", "pulvinar") / 2 < 8.0
    assert 10 < _mask(head, *VENTRICLE_LABELS).sum() / 1000 < 40
    assert 80 < _ml(head, "cerebellar cortex") < 130
    assert 20 < _ml(head, "cerebellar white matter") < 45
    assert 15 < _ml(head, "brain stem") < 30
    # extent of the cerebrum along superior, posterior, left
    extent = np.ptp(np.argwhere(_mask(head, 2, 3, 41, 42)), axis=0)
    assert np.all(extent > (100, 150, 115))
    assert np.all(extent < (145, 185, 150))


def test_left_is_towards_positive_x(head: Anatomy) -> None:
    labels, geometry = head.labels.array.ravel(), head.labels.geometry
    x_mm = geometry.origin_mm[0] + np.arange(geometry.shape[2])
    count = np.bincount(labels, minlength=1000)
    sums = np.bincount(labels, np.tile(x_mm, len(labels) // len(x_mm)), minlength=1000)
    for tissue in (*PAIRED_NUCLEI, *TRACTS, "cortex", "white matter", "cerebellar cortex"):
        for side, sign in (("left", 1), ("right", -1)):
            number = label_of(tissue, side)
            assert count[number] > 0, (tissue, side)
            assert sign * sums[number] / count[number] > 2, (tissue, side)


def test_neighbors(head: Anatomy) -> None:
    for side in SIDES:

        def part(tissue: str, side: str = side) -> np.ndarray:
            return _mask(head, label_of(tissue, side))

        ventricle = _mask(head, 4 if side == "left" else 43)
        assert _touch(part("caudate"), ventricle)
        assert _touch(part("putamen"), part("globus pallidus"))
        assert _touch(part("accumbens"), part("caudate"))
        assert _touch(part("thalamus"), part("pulvinar"))
        assert _touch(part("thalamus"), _mask(head, 14), 2)
        assert _touch(part("hippocampus"), part("amygdala"))
        assert _touch(part("hippocampus"), _mask(head, 5 if side == "left" else 44))
        assert _touch(part("posterior internal capsule"), part("thalamus"))
        assert _touch(part("posterior internal capsule"), part("globus pallidus"))
        assert _touch(part("anterior internal capsule"), part("caudate"))
        assert _touch(part("substantia nigra"), part("cerebral peduncle"))
        # the internal capsule parts thalamus and pallidum
        assert not _touch(part("thalamus"), part("globus pallidus"))
        assert _touch(part("dentate nucleus"), part("cerebellar white matter"))


def test_callosum_runs_from_front_to_back_across_the_midline(head: Anatomy) -> None:
    places = []
    for name in ("genu", "body", "splenium"):
        world = _where(head, label_of(f"corpus callosum {name}"))
        assert world[:, 0].min() < -5
        assert world[:, 0].max() > 5
        places.append(world.mean(axis=0))
    assert places[0][1] < places[1][1] < places[2][1]
    assert places[1][2] > max(places[0][2], places[2][2])


def test_brain_is_enclosed_by_skull(head: Anatomy) -> None:
    """From the brain nothing but the spinal canal leads out of the skull."""
    brain = _mask(head, *PARENCHYMA_LABELS)
    above = np.argwhere(_mask(head, label_of("spinal cord")))[:, 0].max() + 6
    soft = ~_mask(head, label_of("cortical bone"), 530)  # the optic canals are filled
    soft[:above] = False
    reached, _ = ndimage.label(soft)
    inside = np.unique(reached[brain & soft])
    reach = np.isin(reached, inside[inside > 0])
    assert not reach[_mask(head, label_of("skin"))].any()
    assert not reach[-1].any()


def test_head_is_closed_and_stands_free_in_the_air(head: Anatomy) -> None:
    labels = head.labels.array
    for face in (labels[-1], labels[:, 0], labels[:, -1], labels[:, :, 0], labels[:, :, -1]):
        assert not face.any()
    assert 20 < _mask(head, AIR_SINUS_LABEL).sum() / 1000 < 150
    for name in ("skin", "fat", "muscle", "mucosa", "eye", "bone marrow", "optic nerve"):
        assert _ml(head, name) > 0.5, name


def test_cortex_is_a_folded_ribbon(head: Anatomy) -> None:
    labels = head.labels.array
    (box,) = ndimage.find_objects(_mask(head, 2, 3, 41, 42).astype(np.uint8))
    cortex = np.isin(labels[box], (3, 42))
    csf = labels[box] == EXTRACEREBRAL_CSF_LABEL
    white = np.isin(labels[box], (2, 41))
    # where the ribbon meets CSF, white matter begins about its thickness away
    pial = cortex & ndimage.binary_dilation(csf)
    to_white = ndimage.distance_transform_edt(~white)
    assert 2.0 < np.median(to_white[pial]) < 3.6
    # white matter is never within the thinnest plausible ribbon of the CSF
    to_csf = ndimage.distance_transform_edt(~csf)
    assert np.mean(to_csf[white] < 2) < 0.02
    # sulci reach 10-20 mm below a smooth hull, and the surface is folded 2-3 times
    thin = (slice(None, None, 2),) * 3
    solid = np.pad((cortex | white)[thin], 10)
    hull = ndimage.distance_transform_edt(~solid) < 6
    hull = ndimage.distance_transform_edt(hull) > 6
    depth = 2 * ndimage.distance_transform_edt(hull)
    assert 10 < np.percentile(depth[np.pad(csf[thin], 10) & hull], 97) < 30


def test_vessels_lie_inside_the_head(head: Anatomy) -> None:
    labels, geometry = head.labels.array, head.labels.geometry
    veins = [v for v in head.vessels if v.tissue == "vein"]
    assert len(veins) > 100
    assert any(v.tissue == "artery" for v in head.vessels)
    for vessel in head.vessels:
        assert np.linalg.norm(np.diff(vessel.points_mm, axis=0), axis=1).max() <= 0.5
        assert vessel.points_mm.shape == (len(vessel.radius_mm), 3)
        assert vessel.radius_mm.min() >= 0.2
        assert vessel.radius_mm.max() <= 4.0
        index = np.rint(geometry.index(vessel.points_mm)).astype(int)
        assert np.all(index >= 0)
        assert np.all(index < labels.shape)
        assert np.all(labels[tuple(index.T)] != label_of("air"))
    inside = [labels[tuple(np.rint(geometry.index(v.points_mm)).astype(int).T)] for v in veins]
    outside_bone = np.concatenate(inside) != label_of("cortical bone")
    assert outside_bone.mean() > 0.97
