"""Labels and masks come back to the voxels of the image, wherever and however it lies."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from QSMSeparationLib.anatomy import segment as segmentation
from QSMSeparationLib.anatomy.mask import anatomy_mask
from QSMSeparationLib.anatomy.segment import labels_on, segment
from QSMSeparationLib.anatomy.volumes import volume_table
from QSMSeparationLib.data.structures import INDEX, OUTPUTS, label_table
from QSMSeparationLib.data.volume import Geometry, Volume
from QSMSeparationLib.networks.weights import Weights
from QSMSeparationLib.runtime.errors import InputError

CENTER_LPS = (5.0, -12.0, 20.0)
RADIUS_MM = 62.0


class ByBrightness(nn.Module):
    """Stands for the network: bright is white matter, left where i is high, dim is cerebellum."""

    def forward(self, x):
        scores = torch.full((1, OUTPUTS, *x.shape[2:]), -10.0)
        image = x[0, 0]
        scores[0, INDEX["air"]] = 0.0
        scores[0, INDEX["white matter"]] = 40 * (image - 0.5).clamp(max=0.2)
        around = torch.nn.functional.max_pool3d(x, 5, stride=1, padding=2)[0, 0]
        dim = (image > 0.5) & (around < 0.8)  # all around, unlike an edge
        scores[0, INDEX["cerebellar cortex"]] = torch.where(dim, 9.0, -10.0)
        scores[0, -1] = torch.arange(x.shape[-1]) - (x.shape[-1] - 1) / 2
        return scores


@pytest.fixture(autouse=True)
def network(monkeypatch):
    stand_in = Weights(ByBrightness(), {}, "0" * 64)
    monkeypatch.setattr(segmentation, "load_weights", lambda name: stand_in)


def ball(geometry: Geometry, radius_mm: float = RADIUS_MM, below: float = 1.0) -> Volume:
    """Return a bright ball in the world; ``below``: brightness of its lowest and hindmost part."""
    index = np.stack(np.meshgrid(*[np.arange(n) for n in geometry.shape], indexing="ij"), axis=-1)
    offset = geometry.world(index) - np.asarray(CENTER_LPS)
    inside = np.linalg.norm(offset, axis=-1) <= radius_mm
    low = offset[..., 2] < -25
    return Volume(np.where(inside, np.where(low, below, 1.0), 0.0).astype(np.float32), geometry)


def around(shape, spacing, direction=None) -> Geometry:
    """Return a grid whose middle lies at the center of the ball."""
    direction = np.eye(3) if direction is None else direction
    half = (np.asarray(shape)[::-1] - 1) / 2 * np.asarray(spacing)
    origin = np.asarray(CENTER_LPS) - direction @ half
    return Geometry(shape, spacing, tuple(origin), tuple(direction.ravel()))


def tilted(degrees: float) -> np.ndarray:
    a = np.deg2rad(degrees)
    return np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])


GRIDS = {
    "upright": around((150, 160, 150), (1.0, 1.0, 1.0)),
    "thick slices": around((50, 180, 180), (0.9, 0.9, 3.0)),
    "oblique": around((120, 130, 130), (1.2, 1.2, 1.2), tilted(20)),
    "stored backwards": around((150, 160, 150), (1.0, 1.0, 1.0), np.diag([-1.0, 1.0, -1.0])),
    "sagittal": around(
        (140, 150, 150), (1.0, 1.0, 1.0), np.array([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]])
    ),
}


@pytest.mark.parametrize("name", GRIDS)
def test_mask_lies_where_the_brain_is(name: str) -> None:
    image = ball(GRIDS[name])
    mask = anatomy_mask(segment(image), image)
    true = image.array > 0
    assert 2 * (mask & true).sum() / (mask.sum() + true.sum()) > 0.97


@pytest.mark.parametrize("name", GRIDS)
def test_left_is_left_in_the_world(name: str) -> None:
    image = ball(GRIDS[name])
    found = segment(image)
    labels = labels_on(found, image.like((image.array > 0).astype(np.uint8)))
    x = {}
    for side, number in (("left", 2), ("right", 41)):
        x[side] = labels.geometry.world(np.argwhere(labels.array == number))[:, 0].mean()
    assert x["left"] > CENTER_LPS[0] + 10 > CENTER_LPS[0] - 10 > x["right"]


def test_labels_fill_the_mask_and_nothing_else() -> None:
    image = ball(GRIDS["upright"])
    mask = (image.array > 0).astype(np.uint8)
    labels = labels_on(segment(image), image.like(mask))
    assert np.array_equal(labels.array > 0, mask > 0)


def test_surface_is_finer_than_the_voxels_of_the_network() -> None:
    image = ball(GRIDS["upright"])
    mask = anatomy_mask(segment(image), image)
    wrong = mask != (image.array > 0)
    surface = 4 * np.pi * RADIUS_MM**2
    assert wrong.sum() < 0.25 * surface


def test_scale_of_the_image_does_not_matter() -> None:
    image = ball(GRIDS["upright"])
    first = segment(image).brain
    again = segment(image.like(image.array * 4000)).brain
    assert np.allclose(first, again, atol=1e-5)


def test_a_long_neck_changes_nothing() -> None:
    tall = around((330, 160, 150), (1.0, 1.0, 1.0))
    image = ball(tall)
    below = image.array.copy()
    rows = tall.world(np.argwhere(np.ones((330, 1, 1))) * (1, 0, 0))[:, 2] - CENTER_LPS[2]
    below[rows < -150] = 1.0  # a trunk, as bright as brain and larger
    mask = anatomy_mask(segment(image.like(below)), image.like(below))
    true = image.array > 0
    assert 2 * (mask & true).sum() / (mask.sum() + true.sum()) > 0.97


def test_extracted_brain_is_kept_whole() -> None:
    image = ball(GRIDS["upright"])
    dark = image.array.copy()
    dark[70:80, 70:80, 10:40] *= 0.2  # sulci that the stand-in does not take for brain
    mask = anatomy_mask(segment(image.like(dark)), image.like(dark))
    assert (mask & (dark > 0)).sum() >= 0.97 * (dark > 0).sum()


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (Volume(np.zeros((40, 40, 40), np.float32), Geometry((40, 40, 40))), "empty"),
        (Volume(np.full((40, 40, 40), 7.0, np.float32), Geometry((40, 40, 40))), "empty"),
        (ball(GRIDS["upright"], radius_mm=20.0), "--mask"),
    ],
)
def test_no_brain_no_mask(image: Volume, said: str) -> None:
    with pytest.raises(InputError, match=said):
        segment(image)


def test_head_upside_down_is_refused() -> None:
    geometry = GRIDS["upright"]
    image = ball(geometry, below=0.65)
    segment(image)
    turned = image.like(np.ascontiguousarray(image.array[::-1]))
    with pytest.raises(InputError, match="orientation"):
        segment(turned)


def test_volumes_count_voxels_of_every_structure() -> None:
    array = np.zeros((4, 4, 4), np.int16)
    array[0], array[1, 0] = 2, 51
    table = volume_table(Volume(array, Geometry((4, 4, 4), (1.0, 1.0, 2.0))))
    rows = dict(line.rsplit(",", 1) for line in table.splitlines()[1:])
    assert float(rows["2,left white matter"]) == 32.0
    assert float(rows["51,right putamen"]) == 8.0
    assert float(rows[",brain with ventricles and sulci"]) == 40.0


def test_every_label_has_one_name() -> None:
    numbers = [number for number, _ in label_table()]
    names = [name for _, name in label_table()]
    assert len(set(numbers)) == len(numbers)
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("side_mm", [0.5, 0.7, 1.0, 1.5])
def test_nothing_moves_where_the_image_is_averaged_to_the_voxels_of_the_network(side_mm) -> None:
    shape = tuple(round(60 / side_mm) for _ in range(3))
    geometry = Geometry(shape, (side_mm,) * 3, (5.0, -3.0, 2.0))
    world = geometry.world(np.stack(np.indices(shape), axis=-1).reshape(-1, 3).astype(float))
    center = world.mean(axis=0) + np.array([2.3, -1.1, 0.7])
    blob = np.exp(-(((world - center) / 6.0) ** 2).sum(axis=1)).reshape(shape)
    coarse = segmentation._coarse(Volume(blob.astype(np.float32), geometry, "blob"))
    places = np.stack(np.indices(coarse.array.shape), axis=-1).reshape(-1, 3).astype(float)
    found = np.average(coarse.geometry.world(places), axis=0, weights=coarse.array.ravel())
    assert found == pytest.approx(center, abs=0.05)
