"""The brain mask: brain and nothing else, at any voxel size, scale, contrast and storage order."""

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from QSMSeparationLib.preprocess._distance import depth_up_to
from QSMSeparationLib.preprocess.mask import brain_mask, clean_mask
from QSMSeparationLib.runtime.errors import InputError

TIMES = (0.005, 0.012, 0.019, 0.026)
ISO = (3.0, 3.0, 3.0)
# magnitude at TE = 0 and R2* in Hz
FLUID, BRAIN, SCALP, BONE, NERVE = (0.6, 2), (1.0, 17), (1.6, 45), (0.08, 200), (0.9, 18)
EYE, MUSCLE, MARROW, FAT = (1.0, 2), (0.9, 38), (0.85, 20), (1.9, 20)


def dice(a, b):
    return 2 * np.sum(a & b) / (a.sum() + b.sum())


@cache
def head(spacing=ISO, fluid=FLUID[0], snr=80.0, odd=""):
    """Return echoes, brain (with ventricles and sulci), and scalp with eyes, of a drawn head.

    A head of its own: shared ones have no eyes, nerves, neck and marrow for a mask to leave out.

    ``odd``: "ventricles" (wide, open to the outside by a dark slit), "muscle" (as brain, joined to it),
    "fat" (it decays as brain, and so does the bone below it) or "marrow" (as brain, right behind it
    but for 1.6 mm of bone).
    """
    size = (200.0, 220.0, 180.0)
    shape = tuple(int(s / d) for s, d in zip(size, spacing, strict=True))
    axes = [(np.arange(n) - (n - 1) / 2) * d for n, d in zip(shape, spacing, strict=True)]
    z, y, x = np.meshgrid(*axes, indexing="ij")

    def ball(cz, cy, cx, rz, ry, rx):
        return ((z - cz) / rz) ** 2 + ((y - cy) / ry) ** 2 + ((x - cx) / rx) ** 2 < 1

    start, decay = np.zeros(shape), np.full(shape, 1.0)

    def paint(where, kind):
        start[where], decay[where] = kind

    fluid_kind = (fluid, FLUID[1])
    scalp = ball(15, 5, 0, 83, 100, 84)
    paint(scalp, SCALP)
    neck = (np.abs(z + 75) < 25) & ball(-75, 30, 0, 40, 55, 60)
    paint(neck, MUSCLE)
    paint(ball(15, 5, 0, 77, 94, 78), BONE)
    eyes = ball(-20, -85, 32, 12, 12, 12) | ball(-20, -85, -32, 12, 12, 12)
    paint(ball(-20, -85, 32, 17, 17, 17) | ball(-20, -85, -32, 17, 17, 17), SCALP)
    paint(eyes, EYE)
    paint(ball(15, 5, 0, 71, 88, 72), fluid_kind)
    cord = ((y - 22) ** 2 + x**2 < 9**2) & (z < -30)
    paint(cord, fluid_kind)
    for side in (-1, 1):
        nerve = (y < -30) & (y > -80) & ((z + 20) ** 2 + (x - side * 32) ** 2 < 3**2)
        paint(nerve, NERVE)
    folds = 3.0 * np.sin(z / 6) * np.sin(y / 6) * np.sin(x / 6)
    radius = np.sqrt(((z - 15) / 66) ** 2 + ((y - 5) / 83) ** 2 + (x / 67) ** 2)
    tissue = (radius - 1) * 70 < folds - 1
    stem = ((y - 22) ** 2 + x**2 < 14**2) & (z < -20) & (z > -62)
    paint(tissue | stem, BRAIN)
    ventricle = ball(20, 5, 14, 10, 35, 6) | ball(20, 5, -14, 10, 35, 6)
    paint(ventricle, fluid_kind)
    other = scalp & (start == SCALP[0]) | eyes
    if odd == "ventricles":
        wide = ball(20, 5, 16, 18, 40, 14) | ball(20, 5, -16, 18, 40, 14)
        paint((np.abs(x) < 2.5) & (np.abs(y + 20) < 8) & (z < 25), BONE)
        paint(wide, fluid_kind)
    if odd == "muscle":
        muscle = ball(-20, 0, 92, 45, 45, 18) & ~ball(15, 5, 0, 77, 94, 78)
        bridge = ((z + 10) ** 2 + (y - 5) ** 2 < 5**2) & (x > 55) & (x < 90)
        paint(muscle | bridge, NERVE)
        other = muscle
    if odd == "fat":
        front = scalp & ~tissue & (y < -50) & (np.abs(z - 15) < 30)
        other = front & ~ball(15, 5, 0, 75, 92, 76)
        paint(front, MARROW)
        paint(other, FAT)
    if odd == "marrow":
        outside_mm = (radius - 1) * 67
        patch = (np.abs(z - 15) < 25) & (np.abs(y - 5) < 30) & (x > 0) & (outside_mm > -4)
        paint(patch & (outside_mm < 0), BRAIN)
        tissue = np.where(patch, outside_mm < 0, tissue)
        paint(patch & (outside_mm >= 0) & (outside_mm < 1.6), BONE)
        other = patch & (outside_mm >= 1.6) & (outside_mm < 6)
        paint(other, NERVE)
        paint(patch & (outside_mm >= 6) & (outside_mm < 9), BONE)
    coil = np.exp(0.004 * y + 0.003 * x)
    rng = np.random.default_rng(1)
    echoes = []
    for te in TIMES:
        clean = coil * start * np.exp(-decay * te)
        noise = rng.normal(size=(2, *shape)) / snr
        echoes.append(np.hypot(clean + noise[0], noise[1]))
    return np.stack(echoes).astype(np.float32), tissue | stem, other


@pytest.mark.parametrize(("spacing", "fluid"), [(ISO, 0.6), (ISO, 1.5), ((3.5, 1.8, 1.8), 1.0)])
def test_brain_is_found_whatever_the_contrast_of_fluid(spacing, fluid):
    magnitude, brain, other = head(spacing, fluid)
    mask = brain_mask(magnitude, TIMES, spacing)
    assert dice(mask, brain) > 0.93
    assert np.sum(mask & other) / other.sum() < 0.002  # neither scalp nor eyes
    assert mask[tuple(n // 2 for n in mask.shape)]


def test_wide_ventricles_that_are_open_belong_to_the_brain():
    magnitude, brain, _ = head(odd="ventricles")
    mask = brain_mask(magnitude, TIMES, ISO)
    assert dice(mask, brain) > 0.98
    middle = tuple(n // 2 for n in mask.shape)
    assert mask[middle[0] + 6, middle[1], middle[2] + 5]  # the middle of one of them


@pytest.mark.parametrize("odd", ["muscle", "fat"])
def test_what_touches_the_brain_does_not_belong_to_it(odd):
    magnitude, brain, other = head(odd=odd)
    mask = brain_mask(magnitude, TIMES, ISO)
    assert dice(mask, brain) > 0.93
    assert np.sum(mask & other) < 0.1 * other.sum()


def test_marrow_behind_a_thin_inner_table_is_not_brain():
    spacing = (1.2, 1.2, 1.2)  # masks are made on blocks of 2.4 mm
    magnitude, brain, marrow = head(spacing, odd="marrow")
    mask = brain_mask(magnitude, TIMES, spacing)
    assert dice(mask, brain) > 0.93
    assert np.sum(mask & marrow) / marrow.sum() < 0.1


def test_scale_of_the_magnitude_does_not_matter():
    magnitude, _, _ = head()
    first = brain_mask(magnitude, TIMES, ISO)
    assert dice(first, brain_mask(magnitude * 4095, TIMES, ISO)) > 0.9999
    assert dice(first, brain_mask((magnitude * 1000).astype(np.uint16), TIMES, ISO)) > 0.99


def test_storage_order_does_not_matter():
    magnitude, _, _ = head((3.5, 1.8, 1.8))
    straight = brain_mask(magnitude, TIMES, (3.5, 1.8, 1.8))
    turned = np.ascontiguousarray(np.flip(magnitude.transpose(0, 3, 1, 2), 2))
    again = brain_mask(turned, TIMES, (1.8, 3.5, 1.8))
    assert dice(np.flip(again, 1), straight.transpose(2, 0, 1)) > 0.985


def test_bad_phase_is_left_out_at_the_edge():
    magnitude, brain, _ = head()
    quality = np.ones(brain.shape, np.float32)
    quality[:, : brain.shape[1] // 4] = 0.0
    mask = brain_mask(magnitude, TIMES, ISO, quality=quality)
    left_out = mask[:, : brain.shape[1] // 4 - 3]
    assert left_out.mean() < 0.02
    assert mask.any()


def test_noise_is_not_taken_for_a_brain():
    noise = np.abs(np.random.default_rng(0).normal(size=(4, 50, 50, 50))).astype(np.float32)
    for magnitude in (noise, np.zeros_like(noise)):
        with pytest.raises(InputError):
            brain_mask(magnitude, TIMES, ISO)


def test_given_mask_is_mended():
    mask = np.zeros((20, 22, 24), np.int16)
    mask[4:16, 4:16, 4:16] = 255
    mask[9, 9, 9] = 0  # a hole
    mask[18, 18, 18] = 255  # a speck
    result = clean_mask(mask)
    assert result.dtype == bool
    assert result.sum() == 12**3
    assert np.array_equal(clean_mask(result), result)


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.zeros((4, 4, 4)), "empty"),
        (np.full((4, 4, 4), np.nan), "not numbers"),
        (np.arange(64.0).reshape(4, 4, 4), "threshold"),
        (np.ones((4, 4)), "three axes"),
        (np.ones((4, 4, 5)), r"needed \(4, 4, 4\)"),
        (-np.eye(4)[None].repeat(4, 0), "threshold"),
    ],
)
def test_unusable_mask_is_refused_with_its_name(mask, message):
    shape = None if mask.ndim == 2 else (4, 4, 4)
    with pytest.raises(InputError, match=message) as caught:
        clean_mask(mask, shape, "brain.nii.gz")
    assert str(caught.value).startswith("brain.nii.gz")
    assert "\n" not in str(caught.value)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    spacing=st.tuples(*[st.floats(0.5, 4.0)] * 3),
    limit=st.floats(0.5, 12.0),
    beyond=st.booleans(),
)
def test_distances_up_to_a_limit_are_exact(seed, spacing, limit, beyond):
    rng = np.random.default_rng(seed)
    mask = rng.random(rng.integers(1, 14, 3)) < 0.9
    mask.flat[0] &= beyond  # without anything outside there is no distance
    exact = ndimage.distance_transform_edt(np.pad(mask, int(beyond)), sampling=spacing)
    inner = (slice(int(beyond), -1 if beyond else None),) * 3
    found = depth_up_to(limit, mask, spacing, outside_beyond=beyond)
    assert np.allclose(found, np.minimum(exact[inner], limit), atol=1e-4)
