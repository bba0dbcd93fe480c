"""Interpolated images are told, with the matrix that was measured."""

from __future__ import annotations

import numpy as np
import pytest

from QSMSeparationLib.io.zero_filled import measured_matrix, zero_filling_note


def head(shape, noise=0.02, seed=0):
    """A head-like complex image with noise, as a scanner measures it."""
    rng = np.random.default_rng(seed)
    k, j, i = np.meshgrid(*[np.linspace(-1.2, 1.2, n) for n in shape], indexing="ij")
    inside = (k**2 + j**2 + i**2 < 1) * 1.0 + 0.5 * ((k**2 + (j - 0.3) ** 2 + i**2) < 0.1)
    signal = inside * np.exp(1j * (3 * i**2 + 2 * j))
    return signal + noise * (rng.normal(size=shape) + 1j * rng.normal(size=shape))


def zero_filled(signal, shape):
    """Interpolate by zeros around k-space, and store as scanners do: 12 bits."""
    space = np.fft.fftshift(np.fft.fftn(signal))
    filled = np.zeros(shape, complex)
    corner = [n // 2 - m // 2 for n, m in zip(shape, signal.shape, strict=True)]
    filled[tuple(slice(c, c + m) for c, m in zip(corner, signal.shape, strict=True))] = space
    image = np.fft.ifftn(np.fft.ifftshift(filled))
    return stored(image)


def stored(image):
    magnitude = np.rint(4095 * np.abs(image) / np.abs(image).max())
    phase = np.rint(np.angle(image) / np.pi * 2048) / 2048 * np.pi
    return (magnitude * np.exp(1j * phase)).astype(np.complex64)


@pytest.mark.parametrize("noise", [0.005, 0.02, 0.05])
@pytest.mark.parametrize(
    ("measured", "shape"),
    [((20, 48, 48), (20, 64, 64)), ((20, 64, 40), (20, 64, 64)), ((32, 40, 36), (64, 64, 64)),
     ((20, 51, 64), (20, 65, 64))],
)  # fmt: skip
def test_the_true_matrix_is_found(measured, shape, noise):
    found = measured_matrix(zero_filled(head(measured, noise), shape))
    assert all(abs(f - m) <= 1 for f, m in zip(found, measured, strict=True))


@pytest.mark.parametrize("noise", [0.0, 0.002, 0.02, 0.1])
@pytest.mark.parametrize("shape", [(20, 64, 64), (48, 65, 50), (6, 10, 8)])
def test_images_that_were_measured_in_full_are_left_alone(shape, noise):
    assert measured_matrix(stored(head(shape, noise))) == shape


def test_the_note_names_matrix_and_voxel():
    image = zero_filled(head((20, 48, 48)), (20, 64, 64))
    note = zero_filling_note(np.abs(image), np.angle(image), (2.0, 0.75, 0.75))
    assert "64 x 64 x 20 was made of 48 x 48 x 20" in note
    assert "1 x 1 x 2 mm" in note
