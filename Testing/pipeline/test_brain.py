"""Mask and labels of a scan: by the network, by thresholds, or given, and what is said of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from QSMSeparationLib.anatomy.segment import Segmentation
from QSMSeparationLib.data.scan import Scan
from QSMSeparationLib.data.structures import FIRST_OF_BRAIN, INDEX, STRUCTURES
from QSMSeparationLib.data.volume import Geometry, Volume
from QSMSeparationLib.pipeline import brain
from QSMSeparationLib.pipeline.brain import find_brain
from QSMSeparationLib.runtime.errors import InputError
from QSMSeparationLib.runtime.progress import Progress

GRID = Geometry((60, 60, 60), (3.0, 3.0, 3.0))
BALL = sum((x - 29.5) ** 2 for x in np.ogrid[:60, :60, :60]) < 25**2


def scan_of_a_ball(mask: np.ndarray | None = None) -> Scan:
    """Return two echoes of a ball that decays like brain."""
    noise = np.random.default_rng(1).normal(0, 0.01, (2, 2, *GRID.shape))
    echoes = np.stack([BALL * np.exp(-20.0 * te) for te in (0.005, 0.02)])
    magnitude = np.hypot(echoes + noise[0], noise[1]).astype(np.float32)
    given = None if mask is None else Volume(mask.astype(np.uint8), GRID, "given mask")
    return Scan(
        magnitude=magnitude, phase_rad=np.zeros_like(magnitude), echo_times_s=(0.005, 0.02),
        b0_tesla=3.0, geometry=GRID, mask=given, name="sub-01",
    )  # fmt: skip


def segmentation(where: np.ndarray) -> Segmentation:
    """Return what the network would say of white matter in ``where``, left of the middle first."""
    classes = torch.zeros(len(STRUCTURES) - FIRST_OF_BRAIN, *GRID.shape)
    classes[INDEX["white matter"] - FIRST_OF_BRAIN] = torch.from_numpy(0.98 * where).float()
    left = torch.arange(60.0).expand(GRID.shape) - 29.5
    return Segmentation(classes.sum(dim=0).numpy(), classes, left, GRID, "0" * 64)


@pytest.fixture
def network(monkeypatch):
    """Let the network find ``network.found``, or fail with it."""

    class Stand:
        found: Segmentation | Exception = segmentation(BALL)

        def __call__(self, image, report):
            if isinstance(self.found, Exception):
                raise self.found
            return self.found

    stand = Stand()
    monkeypatch.setattr(brain, "segment", stand)
    return stand


def found(scan: Scan, method: str) -> brain.Brain:
    return find_brain(scan, torch.from_numpy(scan.magnitude), method, Progress())


def test_anatomy_gives_mask_and_labels_that_agree(network) -> None:
    result = found(scan_of_a_ball(), "anatomy")
    assert np.array_equal(result.labels > 0, result.mask.numpy())
    assert set(np.unique(result.labels)) == {0, 2, 41}
    overlap = 2 * (result.mask.numpy() & BALL).sum() / (result.mask.numpy().sum() + BALL.sum())
    assert overlap > 0.97
    assert result.facts["MaskMethod"] == "anatomy"
    assert [check.status for check in result.checks] == ["pass"]


def test_rough_labels_are_not_measured_in(network) -> None:
    network.found = replace(segmentation(BALL), rough=True)
    result = found(scan_of_a_ball(), "anatomy")
    assert result.labels is None
    assert result.mask.any()
    assert "too rough" in result.notes[0]


def test_masks_that_disagree_are_told(network) -> None:
    half = BALL & (np.arange(60) < 30)[:, None, None]
    network.found = segmentation(half)
    scan = scan_of_a_ball()
    scan = replace(scan, magnitude=scan.magnitude * np.where(half, 1.0, 0.98).astype(np.float32))
    [check] = found(scan, "anatomy").checks
    assert check.status == "fail"
    assert "look at the mask" in check.advice


def test_given_mask_is_used_and_labeled(network) -> None:
    given = sum((x - 29.5) ** 2 for x in np.ogrid[:60, :60, :60]) < 20**2
    result = found(scan_of_a_ball(given), "anatomy")
    assert np.array_equal(result.mask.numpy(), given)
    assert np.array_equal(result.labels > 0, given)
    assert result.facts["MaskMethod"] == "given"


def test_given_mask_needs_no_network(network) -> None:
    network.found = InputError("no brain could be told")
    result = found(scan_of_a_ball(BALL), "anatomy")
    assert result.labels is None
    assert "no brain could be told" in result.notes[0]


def test_no_mask_is_better_than_a_wrong_one(network) -> None:
    network.found = InputError("no brain could be told; give a brain mask with --mask")
    with pytest.raises(InputError, match="--mask"):
        found(scan_of_a_ball(), "anatomy")


def test_threshold_labels_nothing(network) -> None:
    network.found = AssertionError("not asked for")
    result = found(scan_of_a_ball(), "threshold")
    assert result.labels is None
    assert result.mask.any()


def test_unknown_method_is_refused() -> None:
    with pytest.raises(InputError, match="anatomy, threshold"):
        found(scan_of_a_ball(), "bet")
