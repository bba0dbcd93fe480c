"""R2*, R2 and R2' against analytic signals."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from QSMSeparationLib.data.volume import Geometry, Volume
from QSMSeparationLib.physics.constants import hz_per_ppm
from QSMSeparationLib.preprocess.epg import cpmg_echoes
from QSMSeparationLib.preprocess.r2 import fit_r2
from QSMSeparationLib.preprocess.r2prime import r2prime_from, register_to
from QSMSeparationLib.preprocess.r2star import field_change_hz, fit_r2star
from QSMSeparationLib.runtime.errors import InputError

SHAPE = (12, 14, 16)
TIMES = (0.004, 0.009, 0.013, 0.021, 0.030)  # uneven on purpose
EVEN = tuple(0.01 * n for n in range(1, 13))


def rates(low: float, high: float, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return low + (high - low) * torch.rand(SHAPE, generator=generator)


def decay(rate: torch.Tensor, times) -> torch.Tensor:
    return torch.stack([1000 * torch.exp(-rate * t) for t in times])


def noisy(signal: torch.Tensor, sd: float, seed: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    real = signal + sd * torch.randn(signal.shape, generator=generator)
    return torch.hypot(real, sd * torch.randn(signal.shape, generator=generator))


FULL = torch.ones(SHAPE, dtype=torch.bool)


@settings(max_examples=12, deadline=None)
@given(
    st.lists(st.floats(0.002, 0.06), min_size=2, max_size=8, unique_by=lambda t: round(t, 3)),
    st.floats(1e-3, 1e6),
)
def test_r2star_is_exact_without_noise_for_any_echo_times_and_scale(times, scale):
    truth = rates(5, 60)
    result = fit_r2star(decay(truth, sorted(times)) * scale, sorted(times), FULL)
    assert (result.r2star_hz / truth - 1).abs().max() < 0.01
    assert (result.s0 / (1000 * scale) - 1).abs().max() < 0.02  # at echo times up to 60 ms
    assert not result.uncorrectable.any()


def test_r2star_is_unbiased_at_snr_100_and_its_misfit_is_that_of_the_noise():
    truth = torch.full(SHAPE, 35.0)
    result = fit_r2star(noisy(decay(truth, TIMES), 10.0), TIMES, FULL)
    assert abs(result.r2star_hz.mean() / 35 - 1) < 0.01
    assert result.noise_sd == pytest.approx(10.0, rel=0.2)


def test_echoes_below_the_noise_floor_do_not_flatten_the_decay():
    truth = torch.full(SHAPE, 150.0)  # last echo: 1.1 % of S0, the noise is 3 %
    magnitude = noisy(decay(truth, TIMES), 30.0)
    log = torch.log(magnitude)
    plain = -(log[-1] - log[0]) / (TIMES[-1] - TIMES[0])
    result = fit_r2star(magnitude, TIMES, FULL)
    assert plain.mean() < 0.9 * 150
    assert abs(result.r2star_hz[~result.uncorrectable].mean() / 150 - 1) < 0.05


def test_dephasing_of_a_linear_gradient_is_corrected():
    """Average the complex signal over the voxel by brute force; the fit must undo it."""
    rate, b0 = 25.0, 3.0
    gradient = torch.tensor([0.06, -0.04, 0.05])  # ppm per voxel along k, j, i
    index = torch.stack(torch.meshgrid(*[torch.arange(float(n)) for n in SHAPE], indexing="ij"))
    field = (gradient.view(3, 1, 1, 1) * index).sum(0)
    fine = (torch.arange(201) - 100) / 201
    magnitude = []
    for t in TIMES:
        share = 1.0
        for g in gradient.tolist():
            angle = 2 * math.pi * hz_per_ppm(b0) * g * t * fine
            share *= torch.polar(torch.ones_like(angle), angle).mean().abs().item()
        magnitude.append(torch.full(SHAPE, 1000 * share * math.exp(-rate * t)))
    magnitude = torch.stack(magnitude)
    change = field_change_hz(field, FULL, b0)
    assert torch.allclose(change[:, 3, 4, 5], gradient * hz_per_ppm(b0), rtol=1e-4)
    plain = fit_r2star(magnitude, TIMES, FULL)
    corrected = fit_r2star(magnitude, TIMES, FULL, field, b0)
    assert (plain.r2star_hz - rate).abs().min() > 2
    assert (corrected.r2star_hz / rate - 1).abs().max() < 0.01


def test_voxels_beyond_the_zero_of_the_sinc_are_marked():
    field = torch.zeros(SHAPE)
    field[:, 8:] = 2.5 * torch.arange(SHAPE[1] - 8.0).view(1, -1, 1)  # 2.5 ppm a voxel
    result = fit_r2star(decay(rates(20, 30), TIMES), TIMES, FULL, field, 3.0)
    assert result.uncorrectable[:, 9:].all()
    assert not result.uncorrectable[:, :7].any()
    assert (result.r2star_hz[result.uncorrectable] == 0).all()


def test_field_outside_the_mask_does_not_enter_the_gradient():
    mask = FULL.clone()
    mask[:, :, 8:] = False
    field = torch.where(mask, 0.0, 99.0)
    assert field_change_hz(field, mask, 3.0).abs().max() == 0


def test_r2star_needs_two_echoes():
    with pytest.raises(InputError, match="two echoes"):
        fit_r2star(torch.ones(1, *SHAPE), (0.01,), FULL)


# ---- EPG -----------------------------------------------------------------------------------


def angle(degrees: float) -> torch.Tensor:
    return torch.tensor(math.radians(degrees), dtype=torch.float64)


def r2_of(value: float) -> torch.Tensor:
    return torch.tensor(value, dtype=torch.float64)


def test_perfect_refocusing_decays_with_t2_alone():
    train = cpmg_echoes(16, 0.01, r2_of(14.0), angle(180))
    expected = torch.exp(-14.0 * 0.01 * torch.arange(1, 17))
    assert torch.allclose(train, expected.double(), rtol=1e-6)


@pytest.mark.parametrize("degrees", [60.0, 120.0, 150.0])
def test_first_two_echoes_without_relaxation(degrees):
    """sin^2(a/2), and spin echo plus stimulated echo: sin^4(a/2) + sin^2(a)/2 (Hennig 1991)."""
    a = math.radians(degrees)
    train = cpmg_echoes(2, 0.01, r2_of(0.0), angle(degrees), t1_s=1e9)
    assert train[0].item() == pytest.approx(math.sin(a / 2) ** 2, abs=1e-6)
    expected = math.sin(a / 2) ** 4 + 0.5 * math.sin(a) ** 2
    assert train[1].item() == pytest.approx(expected, abs=1e-6)


@settings(max_examples=15, deadline=None)
@given(st.floats(20, 340), st.floats(0.0, 100.0))
def test_train_is_bounded_and_even_about_180_degrees(degrees, r2):
    train = cpmg_echoes(20, 0.01, r2_of(r2), angle(degrees))
    other = cpmg_echoes(20, 0.01, r2_of(r2), angle(360 - degrees))
    assert torch.allclose(train, other, atol=1e-9)
    bound = torch.exp(-min(r2, 1 / 1.2) * 0.01 * torch.arange(1, 21))
    assert (train.abs() <= bound + 1e-9).all()


def test_equal_t1_and_t2_scale_the_train_without_relaxation():
    """If T1 = T2 every pathway decays alike, so the train factorises."""
    pure = cpmg_echoes(12, 0.01, r2_of(0.0), angle(130), t1_s=1e9)
    both = cpmg_echoes(12, 0.01, r2_of(10.0), angle(130), t1_s=0.1)
    expected = pure * torch.exp(-10.0 * 0.01 * torch.arange(1, 13))
    assert torch.allclose(both, expected, rtol=1e-5)


# ---- R2 ------------------------------------------------------------------------------------


def smooth_b1() -> torch.Tensor:
    ramp = torch.linspace(0.72, 1.0, SHAPE[2])
    return ramp.expand(SHAPE)


def test_epg_returns_r2_and_b1_where_the_exponential_is_biased():
    truth, b1 = rates(8, 30), smooth_b1()
    train = 1000 * cpmg_echoes(12, 0.01, truth, math.pi * b1).permute(3, 0, 1, 2)
    result = fit_r2(train, EVEN, FULL, (5.0, 5.0, 5.0))
    plain = fit_r2(train, EVEN, FULL, method="log-linear")
    assert result.method == "epg"
    error = (result.r2_hz / truth - 1).abs()
    assert error.median() < 0.01
    assert error.max() < 0.06
    assert (result.b1 - b1).abs().median() < 0.02
    low = b1 < 0.85
    assert (plain.r2_hz / truth - 1)[low].mean() < -0.05


def test_epg_is_robust_to_noise():
    truth, b1 = torch.full(SHAPE, 15.0), smooth_b1()
    train = 1000 * cpmg_echoes(12, 0.01, truth, math.pi * b1).permute(3, 0, 1, 2)
    result = fit_r2(noisy(train, 10.0), EVEN, FULL, (5.0, 5.0, 5.0))
    assert abs(result.r2_hz.mean() - 15.0) < 0.2
    assert result.r2_hz.std() < 0.6
    assert result.residual.median() < 0.05


def test_perfect_refocusing_needs_no_dictionary():
    truth = rates(2, 40)
    result = fit_r2(decay(truth, TIMES), TIMES, FULL)
    assert result.method == "log-linear"
    assert (result.r2_hz / truth - 1).abs().max() < 0.01
    perfect = fit_r2(decay(truth, EVEN), EVEN, FULL)
    assert (perfect.r2_hz / truth - 1).abs().max() < 0.01


def test_epg_refuses_uneven_echoes():
    with pytest.raises(InputError, match="multiples"):
        fit_r2(decay(rates(5, 6), TIMES), TIMES, FULL, method="epg")


# ---- R2' and movement ----------------------------------------------------------------------


def test_r2prime_is_the_difference_and_counts_what_it_clips():
    mask = FULL.clone()
    mask[0] = False
    r2star, r2 = torch.full(SHAPE, 20.0), torch.full(SHAPE, 15.0)
    r2[1] = 25.0
    r2[2] = 0.0
    r2prime, clipped = r2prime_from(r2star, r2, mask)
    assert (r2prime[3:] == 5).all()
    assert (r2prime[:3] == 0).all()
    assert clipped == pytest.approx(1 / 10)


def blob_image(grid: Geometry, matrix: np.ndarray, shift: np.ndarray, invert: bool) -> Volume:
    """An off-center head with ventricles and dots, seen after x -> matrix x + shift."""
    index = np.stack(np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij"), axis=-1)
    x = (grid.world(index) - shift) @ matrix
    value = np.where((x / [50, 62, 45]) ** 2 @ np.ones(3) < 1, 1.0, 0.0)
    rng = np.random.default_rng(3)
    for _ in range(14):
        center, size = rng.uniform(-28, 28, 3), rng.uniform(5, 13, 3)
        inside = ((x - center) / size) ** 2 @ np.ones(3) < 1
        value = np.where(inside, rng.uniform(0.3, 0.9), value)
    if invert:
        value = np.where(value > 0, 1.4 - value, 0.0)
    return Volume((1000 * value).astype(np.float32), grid)


def test_registration_recovers_a_movement_between_contrasts():
    fixed_grid = Geometry((44, 56, 48), (2.5, 2.5, 2.5), (-60, -70, -54))
    moving_grid = Geometry((37, 56, 48), (2.5, 2.5, 3.0), (-60, -70, -54))
    a = math.radians(3.0)
    turn = np.array([[math.cos(a), -math.sin(a), 0], [math.sin(a), math.cos(a), 0], [0, 0, 1]])
    shift = np.array([2.0, -1.5, 3.0])
    fixed = blob_image(fixed_grid, np.eye(3), np.zeros(3), invert=False)
    moving = blob_image(moving_grid, turn, shift, invert=True)
    found = register_to(moving, fixed)
    assert found.applied
    assert found.metric_after > found.metric_before
    points = np.array([[30.0, 0, 0], [0, 40, 0], [0, 0, 30], [-30, -20, 10]])
    mapped = np.array([found.transform.TransformPoint(p) for p in points.tolist()])
    assert np.linalg.norm(mapped - (points @ turn.T + shift), axis=1).max() < 0.6
    back = found.move(moving, fixed_grid)
    reference = blob_image(fixed_grid, np.eye(3), np.zeros(3), invert=True)
    assert np.corrcoef(back.array.ravel(), reference.array.ravel())[0, 1] > 0.95


def test_a_head_that_did_not_move_is_left_alone():
    grid = Geometry((36, 46, 40), (3.0, 3.0, 3.0), (-60, -70, -54))
    fixed = blob_image(grid, np.eye(3), np.zeros(3), invert=False)
    moving = blob_image(grid, np.eye(3), np.zeros(3), invert=True)
    found = register_to(moving, fixed)
    assert not found.applied
    assert np.array_equal(found.move(moving, grid).array, moving.array)
