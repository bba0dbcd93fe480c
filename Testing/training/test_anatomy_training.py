"""Heads that anatomy-net is trained on: shapes, contrasts, what spoils them, and the losses."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from QSMSeparationLib.data.structures import FIRST_OF_BRAIN, INDEX, OUTPUTS
from QSMSeparationLib.networks.unet import UNet
from QSMSeparationLib.networks.weights import start_with
from QSMSeparationLib.runtime.errors import InputError
from QSMSeparationLib.simulation.tissues import TISSUES
from QSMSeparationLib.training import (
    anatomy_images,
    anatomy_net,
    anatomy_pool,
    anatomy_shapes,
    recipes,
)
from QSMSeparationLib.training.anatomy_shapes import CLASS_OF_INDEX, TISSUE_NAMES, WINDOW
from QSMSeparationLib.training.switches import Switches

TISSUE = {name: n for n, name in enumerate(TISSUE_NAMES)}


def person() -> np.ndarray:
    """Return a ball of white matter with cortex around it, in bone, left and right."""
    axes = np.ogrid[tuple(slice(-n / 2 + 0.5, n / 2) for n in (160, 170, 150))]
    radius = np.sqrt(sum(x**2 for x in axes))
    index = np.zeros(radius.shape, np.uint8)
    for limit, name in ((70, "cortical bone/0"), (64, "cortex"), (54, "white matter")):
        index[radius < limit] = TISSUE[name]
    side = np.where(axes[2] > 0, 1, 2) * (radius < 64)
    return np.stack([index, side.astype(np.uint8)])


@pytest.fixture(scope="module")
def shape():
    return anatomy_shapes.draw_shape(person(), 5)


def blank(shape, brightness: float) -> anatomy_images.Picture:
    """Return a picture of one brightness."""
    target, side = (torch.from_numpy(shape[name].copy()) for name in ("target", "side"))
    return anatomy_images.Picture(torch.full(WINDOW, brightness), target, side)


def test_every_tissue_has_a_class_and_the_brain_is_complete() -> None:
    assert len(CLASS_OF_INDEX) == len(TISSUE_NAMES)
    assert set(CLASS_OF_INDEX) == set(range(len(INDEX)))


def test_shape_is_the_person_bent(shape) -> None:
    fine = CLASS_OF_INDEX[shape["fine"]]
    coarse = shape["target"]
    assert coarse.shape == WINDOW
    share = (fine == INDEX["white matter"]).mean() / (coarse == INDEX["white matter"]).mean()
    assert share == pytest.approx(1.0, abs=0.03)
    again = anatomy_shapes.draw_shape(person(), 5)
    other = anatomy_shapes.draw_shape(person(), 6)
    assert np.array_equal(again["fine"], shape["fine"])
    assert not np.array_equal(other["fine"], shape["fine"])


def test_tissues_that_are_several_things_are_divided(shape) -> None:
    parts = {TISSUE[f"cortical bone/{n}"] for n in range(3)}
    assert parts <= set(np.unique(shape["fine"]))


def test_left_stays_left(shape) -> None:
    columns = np.arange(WINDOW[2])
    left, right = ((shape["side"] == s).sum(axis=(0, 1)) for s in (1, 2))
    assert (left * columns).sum() / left.sum() > (right * columns).sum() / right.sum() + 5


def test_contrasts_turn_around_from_image_to_image() -> None:
    brighter = [
        values[TISSUE["white matter"]] > values[TISSUE["cortex"]]
        for values in (anatomy_images.brightness(np.random.default_rng(n)) for n in range(40))
    ]
    assert 8 < sum(brighter) < 32


def test_bone_is_dark_in_gradient_echoes() -> None:
    rng = np.random.default_rng(2)
    late = anatomy_images._gradient_echo(rng)
    assert late(TISSUES["cortical bone"]) < 0.2 * late(TISSUES["white matter"])


def test_picture_and_what_is_learnt_from_it_belong_together(shape) -> None:
    tensors = {name: torch.from_numpy(values) for name, values in shape.items()}
    for seed in range(6):
        picture = anatomy_images.draw_picture(tensors, np.random.default_rng(seed))
        assert picture.image.shape == picture.target.shape == picture.side.shape == WINDOW
        assert picture.image.isfinite().all()
        assert picture.image.min() >= 0
        sided = picture.side > 0
        assert picture.brain[sided].float().mean() > 0.95


def test_flip_exchanges_the_sides(shape) -> None:
    picture = blank(shape, 0.0)
    anatomy_images._flip(picture)
    assert np.array_equal(picture.target.numpy(), shape["target"][..., ::-1])
    assert np.array_equal((picture.side == 1).numpy(), shape["side"][..., ::-1] == 2)


def test_nothing_is_learnt_where_nothing_is_seen(shape) -> None:
    picture = blank(shape, 1.0)
    anatomy_images._cut_field_of_view(picture, np.random.default_rng(1))
    unseen = picture.image == 0
    assert unseen.any()
    assert (picture.target[unseen] == INDEX["air"]).all()


def test_extracted_brain_stays_whole(shape) -> None:
    picture = blank(shape, 1.0)
    anatomy_images._extract_brain(picture, np.random.default_rng(1))
    brain = shape["target"] >= FIRST_OF_BRAIN
    assert (picture.image[brain] == 1).all()
    assert picture.image.mean() < 1


def test_pool_gives_boxes_that_the_network_takes(tmp_path, shape) -> None:
    with pytest.raises(InputError, match="fill the pool"):
        anatomy_pool.ShapePool(tmp_path, wait_s=0.0)
    np.savez(tmp_path / "slot000-shape00000.npz", **shape)
    pool = anatomy_pool.ShapePool(tmp_path)
    first = pool.patches(1, None, np.random.default_rng(3))
    assert torch.equal(first, pool.patches(1, None, np.random.default_rng(3)))
    assert all(n % 16 == 0 for n in first.shape[2:])


def test_shape_that_a_worker_replaced_is_not_missed(tmp_path, shape) -> None:
    np.savez(tmp_path / "slot000-shape00000.npz", **shape)
    pool = anatomy_pool.ShapePool(tmp_path)
    (tmp_path / "slot000-shape00000.npz").rename(tmp_path / "slot000-shape00080.npz")
    assert pool.patches(1, None, np.random.default_rng(3)).any()
    (tmp_path / "slot000-shape00080.npz").unlink()
    with pytest.raises(InputError, match="gone"):
        pool.patches(1, None, np.random.default_rng(3))


def test_people_of_the_figures_are_refused(tmp_path) -> None:
    with pytest.raises(InputError, match="figures"):
        anatomy_shapes.prepare(tmp_path, [], [17])


class Perfect(torch.nn.Module):
    """Knows the answer with some certainty."""

    def __init__(self, batch: anatomy_net.HeadBatch, certainty: float) -> None:
        super().__init__()
        self.batch, self.certainty = batch, certainty

    def forward(self, image, parts):
        target = anatomy_net._of_parts(self.batch.target, parts)
        scores = torch.zeros(1, OUTPUTS, *target.shape[1:])
        scores.scatter_(1, target[:, None], self.certainty)
        left = anatomy_net._of_parts(self.batch.side, parts) == 1
        scores[:, -1] = torch.where(left, self.certainty, -self.certainty)
        return scores


def test_losses_fall_with_certainty_of_what_is_right(shape) -> None:
    heads = torch.zeros(1, 3, *WINDOW)
    heads[0, 1], heads[0, 2] = (torch.from_numpy(shape[n]) for n in ("target", "side"))
    batch = anatomy_net.measure(heads, torch.Generator().manual_seed(1), True)
    low, high = (anatomy_net.terms(Perfect(batch, c), batch, Switches()) for c in (2.0, 12.0))
    for name in anatomy_net.WEIGHTS:
        assert high[name] < low[name]
        assert high[name] < 0.02


@pytest.mark.parametrize("fine", [0, 4])
def test_parts_of_a_block_are_those_of_the_whole_image(fine) -> None:
    network = UNet(1, 3, [8, 8], fold=2, each_image=True, fine=fine).eval()
    image = torch.rand(1, 1, 16, 16, 16)
    with torch.no_grad():
        whole, parts = network(image), network(image, [5])
    assert torch.allclose(whole[:, :, 1::2, 0::2, 1::2], parts[:, :, 0], atol=1e-5)


def test_a_fine_level_starts_where_the_network_without_it_stood() -> None:
    without = UNet(1, 3, [8, 8], fold=2).eval()
    torch.nn.init.normal_(without.head.weight)
    with_level = UNet(1, 3, [8, 8], fold=2, fine=4).eval()
    start_with(with_level, without.state_dict())
    image = torch.rand(1, 1, 16, 16, 16)
    with torch.no_grad():
        before, after = without(image), with_level(image)
    assert (after - before).abs().mean() < 0.05 * before.std()
    with pytest.raises(InputError, match="depth"):
        start_with(without, with_level.state_dict())


def test_network_is_small_and_keeps_the_grid() -> None:
    network = recipes.find("anatomy-net").build()
    assert sum(p.numel() for p in network.parameters()) * 2 < 4e6
    network.eval()
    image = torch.rand(1, 1, 32, 32, 32)
    with torch.no_grad():
        assert network(image).shape == (1, OUTPUTS, 32, 32, 32)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_draws_images_that_the_network_takes(tmp_path, shape) -> None:
    np.savez(tmp_path / "slot000-shape00000.npz", **shape)
    device = torch.device("cuda")
    pool = anatomy_pool.ShapePool(tmp_path, device=device)
    heads = pool.patches(2, None, np.random.default_rng(3))
    assert heads.is_cuda
    batch = anatomy_net.measure(heads, torch.Generator(device).manual_seed(0), True)
    found = anatomy_net.terms(recipes.find("anatomy-net").build().to(device), batch, Switches())
    assert all(torch.isfinite(value) for value in found.values())
