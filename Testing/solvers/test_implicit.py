"""inr-qsm and inr-sep: gradients, known truth, any geometry, phase compensation, cancelling."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from ball import EVERYWHERE, ball_with_boxes
from catalogued import method as run_method

from QSMSeparationLib.data.maps import Maps
from QSMSeparationLib.evaluation import metrics
from QSMSeparationLib.inversion import inr_qsm as module
from QSMSeparationLib.inversion.inr_qsm import Patchwise, fit_patches
from QSMSeparationLib.runtime.errors import Cancelled, InputError
from QSMSeparationLib.solvers.implicit import CoordinateMaps, GridEncoded, Siren
from QSMSeparationLib.solvers.implicit_terms import FieldTerm, Stopper, flat_tissue, tv_gradient
from QSMSeparationLib.solvers.window import Window

inr_qsm, l2, tkd, closed_form, inr_sep = (
    run_method(name) for name in ("inr-qsm", "l2", "tkd", "closed-form", "inr-sep")
)


def phantom(shape=(30, 36, 33), noise_ppm=0.001, rate_hz=1.5, **scan):
    """A ball with boxes of both sources, its field and R2' with noise; returns maps and truth."""
    para = [(0.015, 0, EVERYWHERE), (0.10, 4, 3.6), (0.03, -1, 2.1)]
    dia = [(0.03, 0, EVERYWHERE), (-0.02, 4, 3.6), (0.05, -5, 3.1)]
    return ball_with_boxes(13.5, para, dia, shape, noise_ppm=noise_ppm, rate_hz=rate_hz, **scan)


def error(maps, chi_ppm, para, dia):
    return metrics.demeaned_nrmse(chi_ppm.numpy(), (para - dia).numpy(), maps.mask.numpy())


def slope_along(function, at, direction, step=1e-3):
    """Numerical derivative of a function of a map along a direction, in double precision."""
    return (float(function(at + step * direction)) - float(function(at - step * direction))) / (
        2 * step
    )


def test_the_field_term_gives_the_gradient_of_its_objective():
    maps, para, _ = phantom()
    window = Window(maps, 0.15)
    term = FieldTerm(maps, window, consistency=0.3)
    flat = flat_tissue(window, [window.embed(para)], 0.5, 0.9)
    random = torch.Generator().manual_seed(3)
    direction = window.embed(torch.randn(para.shape, generator=random))

    def objective(chi):
        model = torch.fft.irfftn(torch.fft.rfftn(chi) * window.dipole, s=window.padded)
        misfit = ((model - term.field) * term.weight).double()
        steps = [(misfit.roll(-1, a) - misfit).square() * m for a, m in enumerate(flat)]
        total = misfit.square().sum() + 0.3 * sum(s.sum() for s in steps)
        return 0.5 * total / term.noise_ppm**2

    # Small misfits only: the term is robust beyond two SD.
    chi = window.embed(para)
    term.field = torch.fft.irfftn(torch.fft.rfftn(chi) * window.dipole, s=window.padded)
    chi = chi + 2e-4 * direction
    gradient, _ = term.gradient(chi, flat)
    found = float((gradient.double() * direction).sum())
    assert found == pytest.approx(slope_along(objective, chi, direction, 1e-4), rel=0.01)


def test_total_variation_is_joint_and_its_gradient_right():
    maps, para, dia = phantom()
    window = Window(maps, 0.15)
    flat = flat_tissue(window, [], 0.5, 0.9)
    volumes = [window.embed(para), window.embed(dia)]
    random = torch.Generator().manual_seed(3)
    direction = [window.embed(torch.randn(para.shape, generator=random)) for _ in volumes]

    def objective(t):
        moved = [(v + t * d).double() for v, d in zip(volumes, direction, strict=True)]
        total = 0.0
        for axis, share in enumerate(flat):
            squares = sum((m.roll(-1, axis) - m).square() for m in moved)
            total += float((share * (squares + module_corner() ** 2).sqrt()).sum())
        return total

    gradients = tv_gradient(volumes, flat, window.step_weights)
    found = sum(float((g * d).sum()) for g, d in zip(gradients, direction, strict=True))
    assert found == pytest.approx((objective(1e-5) - objective(-1e-5)) / 2e-5, rel=0.01)


def module_corner():
    from QSMSeparationLib.solvers import implicit_terms

    return implicit_terms._CORNER_PPM


def test_held_out_voxels_are_not_fitted():
    """Whatever stands in them, gradient and start are the same; only the score differs."""
    maps, para, dia = phantom()
    window = Window(maps, 0.15)
    plain = FieldTerm(maps, window)
    held = torch.zeros(maps.mask.shape, dtype=torch.bool)
    held[window.box] = plain.held[window.inner]
    assert 0.005 < float(held.float().sum() / maps.mask.sum()) < 0.05
    other = FieldTerm(maps, window)
    other.field = other.field + 0.05 * plain.held
    chi = window.embed(para - dia)
    (first, score), (second, spoilt) = (t.gradient(chi, None) for t in (plain, other))
    assert torch.equal(first, second)
    assert torch.equal(plain.known_field(), other.known_field())
    assert spoilt > 5 * score


@pytest.mark.parametrize("kind", [GridEncoded, Siren])
def test_a_network_in_parts_has_the_gradient_of_the_whole(kind):
    maps, *_ = phantom((12, 14, 13))
    window = Window(maps, 0.15)
    shape = tuple(s.stop for s in window.inner)
    torch.manual_seed(1)
    network = kind(shape, maps.spacing_kji, **({"width": 16, "depth": 3} if kind is Siren else {}))
    network.at_once = 97
    volume = CoordinateMaps(network, window)
    target = torch.randn(1, *window.padded)
    index = window.mask[window.box].flatten().nonzero()[:, 0]
    values = network(slice(0, shape[0]), index)[0]
    part = target[(0, *window.inner)].flatten()[index]
    assert torch.allclose(volume.evaluate()[(0, *window.inner)].flatten()[index], values, atol=1e-6)
    (values * part).sum().backward()
    whole = [p.grad.clone() for p in network.parameters()]
    network.zero_grad()
    volume.descend(target)
    for parameter, expected in zip(network.parameters(), whole, strict=True):
        assert torch.allclose(parameter.grad, expected, atol=1e-4, rtol=1e-3)


def test_a_fit_starts_at_its_start():
    maps, *_ = phantom((12, 14, 13))
    window = Window(maps, 0.15)
    network = GridEncoded(tuple(s.stop for s in window.inner), maps.spacing_kji)
    assert float(CoordinateMaps(network, window).evaluate().abs().max()) < 0.05


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (1.6, 0.9, 0.9)])
@pytest.mark.parametrize("b0", [(1, 0, 0), (0.6, -0.48, 0.64)])
def test_boxes_come_back_for_any_b0_and_voxel_size(spacing, b0):
    maps, para, dia = phantom(spacing=spacing, b0=b0)
    chi = inr_qsm(maps)
    assert not chi[~maps.mask].any()
    assert abs(float(chi[maps.mask].mean())) < 1e-6
    found = error(maps, chi, para, dia)
    assert found < 30
    assert found < 0.65 * error(maps, tkd(maps), para, dia)


def test_a_head_stored_in_another_order_gives_the_same_map():
    maps, *_ = phantom(spacing=(1.4, 1.0, 0.8), b0=(0.8, 0.6, 0.0))
    order = (2, 0, 1)
    turned = Maps(
        mask=maps.mask.permute(order),
        spacing_kji=tuple(maps.spacing_kji[a] for a in order),
        b0_kji=tuple(maps.b0_kji[a] for a in order),
        local_field=maps.local_field.permute(order),
    )
    expected = inr_qsm(maps).permute(order)
    assert (inr_qsm(turned) - expected).norm() < 0.15 * expected.norm()


def test_voxels_that_are_not_trusted_do_not_count():
    maps, para, dia = phantom()
    field, weight = maps.local_field.clone(), torch.ones(maps.mask.shape)
    field[12:15, 17:20, 16] += 1.0
    weight[12:15, 17:20, 16] = 0.0
    clean = error(maps, inr_qsm(maps), para, dia)
    trusted = inr_qsm(replace(maps, local_field=field, trust=weight))
    assert error(maps, trusted, para, dia) < clean + 8


@pytest.mark.slow
def test_phase_compensation_lowers_the_error_of_patches():
    """Without it, the field of what lies outside a patch is taken for sources within."""
    maps, para, dia = phantom()
    small = Patchwise(depth=3, width=48, omega=20.0, patch=(16, 18, 17), rate=1e-3, renew=3)
    found = {
        on: error(maps, fit_patches(maps, replace(small, compensate=on), 1.0, 24), para, dia)
        for on in (True, False)
    }
    assert found[True] < 0.9 * found[False]


def test_fitting_stops_when_held_out_voxels_get_worse():
    stop = Stopper(3)
    assert not any(stop(h) for h in (1.0, 0.9, 0.95, 0.95, 0.9, 0.95, 0.95))
    assert stop(0.95)


def separated(maps):
    """The phantom with a net chi to start from."""
    return replace(maps, net=l2(maps))


def test_inr_sep_beats_the_closed_form_on_the_same_inputs():
    maps, para, dia = phantom(rate_hz=2.0)
    maps = separated(maps)
    inside = maps.mask.numpy()
    scores = {}
    for name, method in (("closed", closed_form), ("inr", inr_sep)):
        found_para, found_dia = method(maps)
        assert found_para.min() >= 0
        assert found_dia.max() <= 0
        scores[name] = [
            metrics.nrmse(f.numpy(), t.numpy(), inside)
            for f, t in zip((found_para, found_dia), (para, -dia), strict=True)
        ]
    assert scores["inr"][0] < 0.8 * scores["closed"][0]
    assert scores["inr"][1] < 0.8 * scores["closed"][1]


def test_inr_sep_knows_both_relaxivities():
    """R2' of other relaxivities, told: the same sources come out."""
    maps, para, dia = phantom(rate_hz=0.5)
    plain = inr_sep(separated(maps))
    rate = (150 * para + 90 * dia) * maps.mask
    other = separated(replace(maps, r2prime=rate, dr_para=150.0, dr_dia=90.0))
    for first, second in zip(plain, inr_sep(other), strict=True):
        assert (first - second).norm() < 0.25 * first.norm()


@pytest.mark.parametrize("method", [inr_qsm, inr_sep, lambda m, report: module.fit_patches(
    m, Patchwise(depth=3, width=8, patch=(16, 16, 16)), 1.0, 2, report=report)])  # fmt: skip
def test_progress_ends_and_cancels(method):
    maps = separated(phantom((16, 18, 17))[0])
    seen = []
    method(maps, report=lambda done, of: seen.append((done, of)))
    assert seen[0][0] == 0
    assert seen[-1][0] == seen[-1][1]
    assert all(a[0] <= b[0] for a, b in pairwise(seen))

    def cancel(done, of):
        if done >= 2:
            raise Cancelled

    with pytest.raises(Cancelled):
        method(maps, report=cancel)


def test_what_is_missing_is_named():
    maps = phantom((12, 14, 13))[0]
    with pytest.raises(InputError, match="local_field"):
        inr_qsm(replace(maps, local_field=None))
    with pytest.raises(InputError, match="mask is empty"):
        inr_qsm(replace(maps, mask=torch.zeros_like(maps.mask)))
    with pytest.raises(InputError, match="net"):
        inr_sep(maps)
