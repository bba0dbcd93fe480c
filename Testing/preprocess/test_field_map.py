"""The total field: known fields come back, whatever the scanner adds to the phase."""

import math
from functools import cache

import numpy as np
import pytest
import torch
from scipy import ndimage

from QSMSeparationLib.data.volume import Geometry
from QSMSeparationLib.physics.constants import hz_per_ppm
from QSMSeparationLib.physics.dipole import DipoleOperator
from QSMSeparationLib.preprocess.bipolar import alternating_contrast
from QSMSeparationLib.preprocess.field_map import estimate_field
from QSMSeparationLib.preprocess.unwrap import unwrap, wraps_left
from QSMSeparationLib.runtime.errors import InputError

SPACING = (2.0, 2.0, 2.0)
UPRIGHT = (1.0, 0.0, 0.0)
TIMES = (0.004, 0.010, 0.016, 0.022, 0.028)


def ramp(shape, slopes):
    grids = np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij")
    return sum(s * g for s, g in zip(slopes, grids, strict=True)).astype(np.float32), grids


@cache
def head(b0=UPRIGHT, fine=2, n=(52, 56, 48)):
    """A head with skull, air cavity, iron nuclei and veins, on a grid finer than the scan's.

    A head of its own: air makes the steep fields, and thin veins the dephasing, that are at issue.
    """
    shape = tuple(fine * m for m in n)
    _, (k, j, i) = ramp(shape, (0, 0, 0))
    radius = np.sqrt((k / 0.80) ** 2 + (j / 0.85) ** 2 + (i / 0.80) ** 2)
    air = radius > 1.0
    skull = (radius > 0.90) & ~air
    cavity = (k + 0.45) ** 2 + (j + 0.62) ** 2 + i**2 < 0.16**2
    brain = (radius < 0.86) & ~ndimage.binary_dilation(cavity, iterations=fine)
    chi = np.zeros(shape, np.float32)
    r2star = np.full(shape, 17.0, np.float32)
    for k0, j0, i0, size in ((0.1, 0, 0.25, 0.1), (0.1, 0, -0.25, 0.1), (-0.1, 0.1, 0.1, 0.06)):
        nucleus = (k - k0) ** 2 + (j - j0) ** 2 + (i - i0) ** 2 < size**2
        chi[nucleus], r2star[nucleus] = 0.12, 35.0
    for angle in np.arange(0, 6):
        vein = (j - 0.5 * math.sin(angle)) ** 2 + (i - 0.5 * math.cos(angle)) ** 2 < 0.025**2
        vein &= np.abs(k) < 0.4
        chi[vein], r2star[vein] = 0.2, 45.0
    chi[skull] = -2.2
    chi[air | cavity] = 9.4
    spacing = tuple(s / fine for s in SPACING)
    field = DipoleOperator(shape, spacing, b0, pad=1.0)(torch.from_numpy(chi - 9.4)).numpy()
    field -= field[brain].mean()
    m0 = np.where(air | cavity, 0.0, np.where(skull, 0.05, 1.0)).astype(np.float32)
    return field.astype(np.float32), r2star, m0, brain, fine


def blocks(a, fine):
    k, j, i = (n // fine for n in a.shape)
    return a.reshape(k, fine, j, fine, i, fine).mean((1, 3, 5))


def scan(*args, **kwargs):
    """Return copies of magnitude, phase, true field, and the brain mask of a scanned head."""
    return tuple(a.copy() for a in simulate(*args, **kwargs))


@cache
def simulate(
    times=TIMES, snr=60.0, b0=UPRIGHT, offset=1.0, bipolar=(0.0, 0.0, 0.0), constant=0.0, seed=0
):
    """Scan the head: complex signal on the fine grid, averaged over voxels, with noise."""
    field, r2star, m0, brain, fine = head(b0)
    rng = np.random.default_rng(seed)
    _, (k, j, i) = ramp(field.shape, (0, 0, 0))
    receive = offset * (0.7 + 1.5 * j - 1.2 * i + 0.8 * k * i + 0.9 * j**2)
    readout, _ = ramp(field.shape, bipolar)
    readout = (readout + constant).astype(np.float32)
    receive = receive.astype(np.float32)
    echoes = []
    for e, te in enumerate(times):
        phase = receive + (-1) ** e * readout + np.float32(math.tau * hz_per_ppm(3.0) * te) * field
        echoes.append(blocks(m0 * np.exp(-r2star * np.float32(te) + 1j * phase), fine))
    echoes = np.stack(echoes)
    echoes += (rng.normal(size=echoes.shape) + 1j * rng.normal(size=echoes.shape)) / snr
    mask = blocks(brain.astype(np.float32), fine) > 0.99
    magnitude, phase = np.abs(echoes), np.angle(echoes)
    return magnitude.astype(np.float32), phase.astype(np.float32), blocks(field, fine), mask


def errors_ppb(estimate, field, mask, erode=2):
    """Error without its mean (the field is known up to a constant), in the eroded mask."""
    inner = ndimage.binary_erosion(mask, iterations=erode)
    error = (estimate.total_field_ppm.numpy() - field)[inner] * 1e3
    return error - np.median(error)


def rms(x):
    return float(np.sqrt(np.mean(np.square(x))))


def estimate(magnitude, phase, mask, times=TIMES, b0=UPRIGHT, **more):
    geometry = Geometry.with_b0(mask.shape, SPACING, b0)
    return estimate_field(magnitude, phase, times, 3.0, mask, geometry, **more)


def test_field_within_three_ppb_without_wraps():
    magnitude, phase, field, mask = scan()
    result = estimate(magnitude, phase, mask)
    error = errors_ppb(result, field, mask)
    assert rms(error) < 3.0
    assert np.abs(error).max() < 500  # one turn of the shortest gap is 1305 ppb
    assert result.sign.sign == 1
    assert result.noise_sd == pytest.approx(1 / 60, rel=0.1)
    outside = ~torch.from_numpy(mask)
    for volume in (result.total_field_ppm, result.noise_ppm, result.reliability):
        assert volume.dtype == torch.float32
        assert not volume[outside].any()


def test_noise_map_is_the_spread_over_repeated_scans():
    runs = [scan(seed=s) for s in range(3)]
    results = [estimate(m, p, mask, phase_sign=1) for m, p, _, mask in runs]
    inner = ndimage.binary_erosion(runs[0][3], iterations=3)
    spread = np.stack([r.total_field_ppm.numpy() for r in results])[:, inner].std(0, ddof=1)
    noise = results[0].noise_ppm.numpy()[inner]
    assert np.sqrt(np.mean(spread**2)) == pytest.approx(np.sqrt(np.mean(noise**2)), rel=0.1)


def test_receive_phase_and_scale_do_not_matter():
    magnitude, phase, _field, mask = scan(offset=0.0, snr=600)
    other_m, other_p, _, _ = scan(offset=2.5, snr=600)
    a, b = estimate(magnitude, phase, mask), estimate(other_m * 731.0, other_p, mask)
    inner = ndimage.binary_erosion(mask, iterations=2)
    gap = (a.total_field_ppm - b.total_field_ppm).abs().numpy()[inner] * 1e3
    assert np.median(gap) < 0.3
    assert np.quantile(gap, 0.95) < 1.2  # most of it at the edge, where the offset is steepest


@pytest.mark.parametrize(
    "times",
    [
        (0.003, 0.008, 0.0155, 0.021, 0.0285),  # unequal
        (0.004, 0.016, 0.020, 0.024),  # a large first gap, in which phase turns more than once
        (0.006, 0.018),  # two echoes
    ],
)
def test_any_echo_spacing(times):
    magnitude, phase, field, mask = scan(times)
    error = errors_ppb(estimate(magnitude, phase, mask, times), field, mask)
    assert np.abs(error).max() < 300
    assert rms(error) < 4.0


def test_unequal_echoes_settle_the_turns_common_to_all_voxels():
    """A frequency that is off by more than a turn of the shortest gap is still found."""
    times = (0.004, 0.010, 0.0175, 0.0252)
    magnitude, phase, field, mask = scan(times)
    shift = 1.6  # ppm; a turn of 6 ms is 1.3 ppm
    lag = np.asarray(times, np.float32)[:, None, None, None]
    moved = np.angle(np.exp(1j * (phase + 2 * np.pi * hz_per_ppm(3.0) * shift * lag)))
    result = estimate(magnitude, moved.astype(np.float32), mask, times)
    found = np.median(result.total_field_ppm.numpy()[mask] - field[mask])
    assert found == pytest.approx(shift, abs=0.01)


def test_alternating_readout_is_measured_and_removed():
    plain = scan()
    magnitude, phase, field, mask = scan(bipolar=(0.0, 0.0, 1.2), constant=0.4)
    result = estimate(magnitude, phase, mask)
    assert sum("alternating readout" in note for note in result.notes) == 2
    quiet = estimate(*plain[:2], mask)
    plain_rms = rms(errors_ppb(quiet, field, mask))
    assert rms(errors_ppb(result, field, mask)) < 1.2 * plain_rms
    assert not any("alternating readout" in note for note in quiet.notes)


def test_contrast_cancels_lines_and_keeps_alternation():
    times = np.array([0.003, 0.009, 0.0135, 0.022])
    contrast = alternating_contrast(tuple(times))
    assert contrast @ (2.0 + 300 * times) == pytest.approx(0, abs=1e-9)
    assert contrast @ np.array([1, -1, 1, -1]) == pytest.approx(1)


@pytest.mark.parametrize("b0", [UPRIGHT, (0.0, 0.0, 1.0), (0.94, 0.342, 0.0)])
def test_opposite_phase_is_told_and_turned_round(b0):
    magnitude, phase, _field, mask = scan(b0=b0)
    right, wrong = estimate(magnitude, phase, mask, b0=b0), estimate(magnitude, -phase, mask, b0=b0)
    assert (right.sign.sign, wrong.sign.sign) == (1, -1)
    assert min(right.sign.confidence, wrong.sign.confidence) > 0.5
    assert "opposite" in wrong.sign.note
    assert torch.allclose(right.total_field_ppm, wrong.total_field_ppm, atol=1e-4)


def test_sign_is_found_from_iron_alone_when_the_head_was_cut_away():
    magnitude, phase, _field, mask = scan()
    magnitude = magnitude * mask
    for stored in (1, -1):
        sign = estimate(magnitude, stored * phase, mask).sign
        assert math.isnan(sign.air)
        assert sign.sign == stored


def test_given_sign_is_not_questioned():
    magnitude, phase, field, mask = scan()
    result = estimate(magnitude, -phase, mask, phase_sign=-1)
    assert rms(errors_ppb(result, field, mask)) < 3.0


def test_bad_voxels_are_not_trusted_and_good_ones_are():
    magnitude, phase, field, mask = scan()
    rng = np.random.default_rng(3)
    bad = mask & (rng.random(mask.shape) < 0.001)
    phase[:, bad] = rng.uniform(-np.pi, np.pi, (len(TIMES), int(bad.sum())))
    result = estimate(magnitude, phase, mask)
    trust = result.reliability.numpy()
    inner = ndimage.binary_erosion(mask, iterations=2)
    assert np.mean(trust[bad & inner] < 0.3) > 0.97
    assert np.mean(trust[inner & ~bad] > 0.8) > 0.97
    assert rms(errors_ppb(result, field, mask)) < 5.0  # what cannot be trusted is bridged


def test_storage_order_does_not_matter():
    magnitude, phase, _field, mask = scan()
    straight = estimate(magnitude, phase, mask)
    order = (2, 0, 1)
    move = lambda a: np.ascontiguousarray(np.flip(np.transpose(a, order), 1))  # noqa: E731
    echoes = [np.stack([move(e) for e in x]) for x in (magnitude, phase)]
    turned = estimate(*echoes, move(mask), b0=(0.0, -1.0, 0.0))
    difference = np.abs(turned.total_field_ppm.numpy() - move(straight.total_field_ppm.numpy()))
    assert np.quantile(difference, 0.999) < 2e-4


def test_odd_sizes_and_a_mask_in_two_parts():
    magnitude, phase, field, mask = (a[..., 1:, :-1, 2:-1] for a in scan())
    mask = mask.copy()
    mask[mask.shape[0] // 2] = False
    error = errors_ppb(estimate(magnitude, phase, mask), field, mask)
    assert np.abs(error).max() < 500


def test_unwrap_restores_a_steep_phase_up_to_whole_turns():
    phase, _ = ramp((20, 31, 26), (20.0, -26.0, 15.0))
    mask = np.ones(phase.shape, bool)
    mask[8:12, 10:20, 5:20] = False
    result = unwrap(np.angle(np.exp(1j * phase)).astype(np.float32), mask)
    turns = (result - phase)[mask] / (2 * np.pi)
    assert np.allclose(turns, np.round(turns[0]), atol=1e-4)
    assert wraps_left(result, mask) == 0
    assert not result[~mask].any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m, p, k: (m[:1], p[:1], k, TIMES[:1]), "two echoes"),
        (lambda m, p, k: (m, p, np.zeros_like(k), TIMES), "mask is empty"),
        (lambda m, p, k: (m, p[:, 1:], k, TIMES), "do not fit"),
        (lambda m, p, k: (m * 0, p, k, TIMES), "zero"),
    ],
)
def test_unusable_input_is_refused_in_one_line(change, message):
    magnitude, phase, _, mask = scan()
    magnitude, phase, mask, times = change(magnitude, phase, mask)
    with pytest.raises(InputError, match=message) as caught:
        estimate(magnitude, phase, mask, times)
    assert "\n" not in str(caught.value)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_same_field_on_a_gpu():
    magnitude, phase, _, mask = scan()
    here = estimate(magnitude, phase, mask)
    there = estimate(*(torch.from_numpy(a).cuda() for a in (magnitude, phase, mask)))
    assert there.total_field_ppm.is_cuda
    gap = (there.total_field_ppm.cpu() - here.total_field_ppm).abs()
    assert float(gap.quantile(0.999)) < 1e-4
