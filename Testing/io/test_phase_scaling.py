"""Phase units: known spans come back as radians, and nothing else is accepted."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from QSMSeparationLib.io.phase_scaling import (
    PhaseFacts,
    phase_to_radians,
    undo_alternating_slices,
)
from QSMSeparationLib.runtime.errors import InputError

RNG = np.random.default_rng(0)
TRUE = RNG.uniform(-np.pi, np.pi, (3, 6, 12, 12)).astype(np.float32)
STEP = 2 * np.pi / 4096
INTEGERS = np.minimum(np.rint((TRUE + np.pi) / STEP), 4095)
POSITIVE = np.mod(TRUE, 2 * np.pi)


def angle_between(a, b):
    return np.abs(np.angle(np.exp(1j * (a.astype(np.float64) - b))))


STORED = {
    "radians": (TRUE, 1e-6),
    "radians from zero": (POSITIVE, 1e-6),
    "uint16 0..4095": (INTEGERS.astype(np.uint16), STEP),
    "float 0..4095": (INTEGERS.astype(np.float32), STEP),
    "int16 -4096..4094": ((2 * INTEGERS - 4096).astype(np.int16), STEP),
    "int16 -2048..2047": ((INTEGERS - 2048).astype(np.int16), STEP),
    "0..8190": (2 * INTEGERS, STEP),
    "milliradians": (np.rint(1000 * TRUE).astype(np.int16), 0.00051),
    "milliradians from zero": (np.rint(1000 * POSITIVE), 0.00051),
    "philips slope": (INTEGERS * 1.534 - 3141.6, 0.002),
}


@pytest.mark.parametrize("name", STORED)
def test_known_spans_give_radians(name):
    stored, tolerance = STORED[name]
    phase, note = phase_to_radians(stored, PhaseFacts("scan"))
    assert phase.dtype == np.float32
    assert np.abs(phase).max() <= np.pi + 1e-6
    assert angle_between(phase, TRUE).max() < tolerance + 1e-6
    assert "stored as" in note


@pytest.mark.parametrize("factor", [0.3, 0.85, 1.2, 57.3, 100.0, 2607.6])
def test_other_spans_are_refused_and_named(factor):
    with pytest.raises(InputError, match=r"scan: the phase runs from -.* to .* known spans"):
        phase_to_radians(TRUE * factor, PhaseFacts("scan"))


@given(st.floats(1e-3, 1e6))
@settings(max_examples=60, deadline=None)
def test_never_stretched(factor):
    """Whatever is accepted is a true multiple of the phase, not one fitted to the span."""
    try:
        phase, _ = phase_to_radians(TRUE * np.float32(factor), PhaseFacts())
    except InputError:
        return
    scale = float(np.median(phase / TRUE))
    known = [2 * np.pi / turn for turn in (2 * np.pi, 2000 * np.pi, 4096, 8192)]
    assert min(abs(scale / factor / k - 1) for k in known) < 1e-4


def test_units_and_headers_admit_phase_that_does_not_fill_the_circle():
    quiet = TRUE * 0.1
    phase, _ = phase_to_radians(quiet, PhaseFacts(units="rad"))
    np.testing.assert_array_equal(phase, quiet)
    steps = np.rint(quiet / STEP) * 2
    phase, note = phase_to_radians(steps, PhaseFacts(vendor="Siemens", header_span=(-4096, 4094)))
    assert angle_between(phase, quiet).max() < STEP
    assert "Siemens" in note
    with pytest.raises(InputError):
        phase_to_radians(TRUE * 3, PhaseFacts(units="rad"))  # beyond pi, but not unwrapped


def test_phase_that_is_unwrapped_already_is_wrapped_again():
    k, j, i = np.meshgrid(*[np.linspace(-1, 1, n) for n in (6, 24, 24)], indexing="ij")
    unwrapped = np.stack([n * (9 * i**2 + 4 * j + k) for n in (1, 2, 3)])
    phase, note = phase_to_radians(unwrapped, PhaseFacts(units="rad"))
    assert np.abs(phase).max() <= np.pi + 1e-6
    assert angle_between(phase, unwrapped).max() < 1e-5
    assert "unwrapped already" in note
    with pytest.raises(InputError, match="wrapped or not, with Units 'rad'"):
        phase_to_radians(unwrapped, PhaseFacts())
    with pytest.raises(InputError, match="known spans"):  # degrees that claim to be radians
        phase_to_radians(np.degrees(unwrapped), PhaseFacts(units="rad"))
    # Integers of a scanner are known by their span, whatever a sidecar claims.
    phase, note = phase_to_radians(INTEGERS, PhaseFacts(units="rad"))
    assert "integers 0 to 4095" in note


@pytest.mark.parametrize("units", ["Hz", "ppm"])
def test_a_field_map_is_no_phase(units):
    with pytest.raises(InputError, match="a field map"):
        phase_to_radians(TRUE * 30, PhaseFacts(units=units))


def test_a_slope_that_the_converter_wrote_wrongly_is_undone():
    phase, note = phase_to_radians(TRUE * 0.00117, PhaseFacts(slope=0.00117))
    assert angle_between(phase, TRUE).max() < 1e-5
    assert "undoing" in note


@pytest.mark.parametrize("name", ["radians", "uint16 0..4095", "int16 -4096..4094"])
def test_zeros_outside_the_head_stay_zero(name):
    stored = STORED[name][0].copy()
    fill = -4096 if name.startswith("int16") else 0  # zero before the rescaling
    stored[:, :, :4] = fill
    phase, _ = phase_to_radians(stored, PhaseFacts())
    assert (phase[:, :, :4] == 0).all()
    assert angle_between(phase[:, :, 4:], TRUE[:, :, 4:]).max() < STEP + 1e-6


def test_a_rare_lowest_integer_is_minus_pi():
    stored = np.clip(INTEGERS, 1, 4095)
    stored[0, 0, 0, 0] = 0
    phase, _ = phase_to_radians(stored, PhaseFacts())
    assert phase[0, 0, 0, 0] == pytest.approx(-np.pi)


def test_values_that_are_not_finite_become_zero():
    stored = TRUE.copy()
    stored[0, 0, 0, :3] = np.nan, np.inf, -np.inf
    phase, note = phase_to_radians(stored, PhaseFacts())
    assert np.isfinite(phase).all()
    assert (phase[0, 0, 0, :3] == 0).all()
    assert "not finite" in note


@pytest.mark.parametrize("stored", [np.zeros((2, 3)), np.full((2, 3), np.nan), np.zeros((0,))])
def test_phase_without_content_is_refused(stored):
    with pytest.raises(InputError, match="same everywhere"):
        phase_to_radians(stored, PhaseFacts())


def head_phase(shape=(12, 24, 24), field_hz_per_slice=4.0):
    k, j, i = np.meshgrid(*[np.arange(n) - n / 2 for n in shape], indexing="ij")
    hz = field_hz_per_slice * k + 0.3 * j**2 - 2 * i
    head = (k / 5) ** 2 + (j / 10) ** 2 + (i / 10) ** 2 < 1
    rng = np.random.default_rng(1)
    phase = [np.where(head, 2 * np.pi * hz * t, rng.uniform(-3, 3, shape)) for t in (0.004, 0.012)]
    magnitude = np.stack([np.where(head, 100.0, 1.0)] * 2)
    return magnitude.astype(np.float32), np.angle(np.exp(1j * np.array(phase))).astype(np.float32)


@pytest.mark.parametrize("gradient", [0.0, 4.0, 25.0])
def test_alternating_slices_are_found_and_undone(gradient):
    magnitude, phase = head_phase(field_hz_per_slice=gradient)
    same, note = undo_alternating_slices(magnitude, phase)
    assert note is None
    np.testing.assert_array_equal(same, phase)
    flipped = phase.copy()
    flipped[:, 1::2] = np.angle(np.exp(1j * (flipped[:, 1::2] + np.pi)))
    restored, note = undo_alternating_slices(magnitude, flipped)
    assert "opposite sign" in note
    assert angle_between(restored, phase).max() < 1e-5
    assert np.abs(restored).max() <= np.pi + 1e-6
