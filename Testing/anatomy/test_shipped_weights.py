"""The shipped anatomy-net tells a head from what is none."""

from __future__ import annotations

import numpy as np
import pytest

from QSMSeparationLib.anatomy.segment import segment
from QSMSeparationLib.data.volume import Geometry, Volume
from QSMSeparationLib.evaluation.anatomy import drawn_contrasts
from QSMSeparationLib.runtime.errors import InputError
from QSMSeparationLib.simulation.drawn_head.anatomy import procedural_anatomy
from QSMSeparationLib.simulation.split import SETTINGS_SEEDS

GRID = Geometry((90, 100, 86), (2.0, 2.0, 2.0))


def noisy(inside: np.ndarray) -> Volume:
    """Return the magnitude of an object with noise."""
    noise = np.random.default_rng(0).normal(0, 0.02, (2, *inside.shape))
    return Volume(np.hypot(inside + noise[0], noise[1]).astype(np.float32), GRID, "phantom")


@pytest.mark.parametrize("shape", ["ball", "cylinder", "cylinder with tubes"])
def test_a_phantom_is_no_brain(shape: str) -> None:
    k, j, i = np.ogrid[tuple(slice(-n + 1, n, 2) for n in GRID.shape)]  # mm from the middle
    radius = np.hypot(j, i)
    inside = k**2 + radius**2 < 70**2 if shape == "ball" else (radius < 75) & (abs(k) < 80)
    object_ = inside.astype(float)
    for number in range(6 if "tubes" in shape else 0):
        j0, i0 = 40 * np.sin(number), 40 * np.cos(number)
        object_[inside & (np.hypot(j - j0, i - i0) < 10)] = 0.3 + 0.1 * number
    with pytest.raises(InputError, match=r"too little like a brain.*--mask"):
        segment(noisy(object_))


def test_a_head_has_a_brain_and_upside_down_it_is_refused() -> None:
    image = drawn_contrasts(procedural_anatomy(SETTINGS_SEEDS[0]), "head", 7)[0].image
    assert 1000 < segment(image).millilitres < 2000
    turned = image.like(np.ascontiguousarray(image.array[::-1]))
    with pytest.raises(InputError, match="--mask"):
        segment(turned)
