"""The misfit of a local field is found in the field alone: its SD, its spectrum, on any grid."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from catalogued import method
from ellipsoid_head import ellipsoid_head

from QSMSeparationLib.evaluation import metrics
from QSMSeparationLib.inversion.tv import rounds_for
from QSMSeparationLib.physics.smoothing import gaussian
from QSMSeparationLib.solvers.misfit import believed_field, field_power, wiener
from QSMSeparationLib.solvers.window import Window

WHITE_PPM = 0.002
"""In the field of the ellipsoids already."""


@pytest.fixture(scope="module")
def head():
    return ellipsoid_head(seed=1, shape=(64, 86, 72))


def with_misfit(head, sd_ppm, length_mm=2.0):
    """Add a field that is correlated over a length."""
    maps = head.maps
    noise = torch.randn(maps.mask.shape, generator=torch.Generator().manual_seed(7))
    noise = gaussian(noise, length_mm, maps.spacing_kji)
    noise *= sd_ppm / noise[maps.mask].std()
    return replace(maps, local_field=(maps.local_field + noise) * maps.mask)


def power_of(maps):
    return field_power(maps, Window(maps))


@pytest.mark.parametrize("sd_ppm", [0.003, 0.006, 0.012])
@pytest.mark.parametrize("length_mm", [1.5, 4.0])
def test_the_misfit_is_found(head, sd_ppm, length_mm):
    found = power_of(with_misfit(head, sd_ppm, length_mm)).misfit_sd_ppm
    assert found == pytest.approx(math.hypot(sd_ppm, WHITE_PPM), rel=0.3)


def test_a_field_without_misfit_has_its_noise(head):
    assert power_of(head.maps).misfit_sd_ppm == pytest.approx(WHITE_PPM, rel=0.4)


def test_the_spectrum_falls_as_that_of_what_was_added(head):
    """Noise through a Gaussian has long waves: there the trust is small, at short ones it is 1."""
    power = power_of(with_misfit(head, 0.006, 3.0))
    assert power.misfit[1] > 30 * power.misfit[-1]
    trust = power.trust()
    assert float(trust.min()) < 0.3
    assert float(trust.max()) == pytest.approx(1.0, abs=1e-4)
    plain = power_of(head.maps).trust()
    assert float(plain.mean()) > 0.9


def test_a_head_stored_in_another_order_has_the_same_misfit(head):
    maps, order = with_misfit(head, 0.006), (2, 0, 1)
    turned = replace(
        maps,
        mask=maps.mask.permute(order),
        local_field=maps.local_field.permute(order),
        trust=maps.trust.permute(order),
        spacing_kji=tuple(maps.spacing_kji[a] for a in order),
        b0_kji=tuple(maps.b0_kji[a] for a in order),
    )
    assert power_of(turned).misfit_sd_ppm == pytest.approx(power_of(maps).misfit_sd_ppm, rel=0.02)


def test_the_linear_inversion_by_both_powers_beats_other_weights(head):
    maps = with_misfit(head, 0.006)
    power = power_of(maps)

    def error(times):
        changed = replace(power, misfit=power.misfit * times)
        chi = power.window.extract(wiener(maps, changed)).numpy()
        return metrics.demeaned_nrmse(chi, head.chi_ppm, head.mask)

    assert error(1.0) < min(error(0.1), error(10.0))


@pytest.mark.parametrize(
    ("name", "setting", "values"),
    [("tkd", "threshold", (0.06, 0.19, 0.45)), ("l2", "regularisation", (0.02, 0.1, 0.5))],
)
@pytest.mark.parametrize("sd_ppm", [0.0, 0.008])
def test_direct_methods_find_their_weight(head, name, setting, values, sd_ppm):
    """By itself no worse than the best of three, far apart, whatever the misfit."""
    invert = method(name)
    maps = with_misfit(head, sd_ppm) if sd_ppm else head.maps

    def error(**settings):
        return metrics.demeaned_nrmse(invert(maps, **settings).numpy(), head.chi_ppm, head.mask)

    assert error() < 1.03 * min(error(**{setting: value}) for value in values)


def test_the_more_misfit_the_fewer_rounds(head):
    rounds = [
        rounds_for(power_of(maps), maps)
        for maps in (head.maps, with_misfit(head, 0.006), with_misfit(head, 0.03))
    ]
    assert rounds[0] > rounds[-1]
    assert rounds == sorted(rounds, reverse=True)


def test_voxels_without_trust_do_not_count(head):
    maps = head.maps
    field, trust = maps.local_field.clone(), maps.trust.clone()
    places = np.argwhere(maps.mask.numpy())[::997]
    field[tuple(places.T)] += 0.5
    trust[tuple(places.T)] = 0.0
    broken = replace(maps, local_field=field, trust=trust)
    assert power_of(broken).misfit_sd_ppm < 1.1 * power_of(maps).misfit_sd_ppm
    window = Window(maps)
    assert (believed_field(broken, window) - window.embed(maps.local_field)).abs().max() < 0.2


def test_a_mask_too_small_for_shells_still_has_a_power(head):
    mask = torch.zeros_like(head.maps.mask)
    mask[30:34, 40:44, 30:34] = True
    small = replace(head.maps, mask=mask, trust=mask.float())
    assert math.isfinite(power_of(small).misfit_sd_ppm)
