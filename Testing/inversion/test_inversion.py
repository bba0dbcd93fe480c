"""Dipole inversion: known truth, invariances, weights, noise, and a head of ellipsoids."""

import math
from dataclasses import replace
from functools import partial
from itertools import pairwise

import pytest
import torch
from ball import ball_with_boxes
from catalogued import method
from ellipsoid_head import ellipsoid_head

from QSMSeparationLib.catalogue import methods
from QSMSeparationLib.data.maps import Maps
from QSMSeparationLib.evaluation import metrics
from QSMSeparationLib.inversion.tv import _Admm
from QSMSeparationLib.runtime.errors import Cancelled, InputError
from QSMSeparationLib.solvers.noise import field_noise_ppm
from QSMSeparationLib.solvers.window import Window

tkd, l2, tv = (method(name) for name in ("tkd", "l2", "tv"))
# Every inversion of the catalogue that neither is a network nor fits one: a new one is tested too.
INVERSIONS = {
    row.name: method(row.name)
    for row in methods("inversion")
    if not row.networks and row.name != "inr-qsm"
}
every = pytest.mark.parametrize("invert", INVERSIONS.values(), ids=INVERSIONS.keys())


@pytest.fixture(scope="module")
def head():
    return ellipsoid_head(seed=1, shape=(64, 86, 72))


def blobs(**scan):
    """Two boxes of +0.1 and -0.05 ppm in a ball, and their field."""
    maps, para, dia = ball_with_boxes(14, [(0.1, 3, 3.5)], [(0.05, -4, 3.5)], **scan)
    return replace(maps, r2prime=None), (para - dia).numpy()


def error(maps, chi_ppm, truth):
    return metrics.demeaned_nrmse(chi_ppm.numpy(), truth, maps.mask.numpy())


@every
def test_result_is_referenced_finite_and_0_outside_the_mask(invert):
    maps, _ = blobs()
    chi = invert(maps)
    assert chi.dtype == torch.float32
    assert chi.shape == maps.mask.shape
    assert chi.isfinite().all()
    assert not chi[~maps.mask].any()
    assert abs(float(chi[maps.mask].mean())) < 1e-6


@pytest.mark.parametrize(("invert", "bound"), [(tkd, 60), (l2, 55), (tv, 20)])
@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (1.8, 0.9, 0.9)])
@pytest.mark.parametrize("b0", [(1, 0, 0), (0, 0, 1), (0.6, -0.48, 0.64)])
def test_boxes_come_back_for_any_b0_and_voxel_size(invert, bound, spacing, b0):
    maps, truth = blobs(spacing=spacing, b0=b0, noise_ppm=0.0005)
    assert error(maps, invert(maps), truth) < bound


@every
def test_inversion_turns_with_the_head(invert):
    """A head stored in another order of axes gives the same map in that order."""
    maps, _ = blobs(spacing=(1.5, 1.0, 0.8), b0=(0.8, 0.6, 0.0))
    order = (2, 0, 1)
    turned = Maps(
        mask=maps.mask.permute(order),
        spacing_kji=tuple(maps.spacing_kji[a] for a in order),
        b0_kji=tuple(maps.b0_kji[a] for a in order),
        local_field=maps.local_field.permute(order),
    )
    expected = invert(maps).permute(order)
    assert (invert(turned) - expected).norm() < 0.02 * expected.norm()


@pytest.mark.parametrize("invert", [partial(tkd, threshold=0.19), partial(l2, regularisation=0.05)])
def test_direct_methods_are_linear(invert):
    maps, _ = blobs()
    twice = replace(maps, local_field=2 * maps.local_field)
    assert torch.allclose(invert(twice), 2 * invert(maps), atol=1e-5)


@pytest.mark.parametrize("threshold", [0.1, 0.19, 0.3])
def test_tkd_keeps_the_amplitude_of_a_point(threshold):
    """The scaling of Schweser et al.: a point comes back with its own value at its place."""
    shape = (40, 40, 40)
    chi = torch.zeros(shape)
    chi[20, 20, 20] = 1.0
    everywhere = Maps(torch.ones(shape, dtype=torch.bool), (1, 1, 1), (0.8, 0.6, 0))
    window = Window(everywhere, 0.25)
    spectrum = torch.fft.rfftn(window.embed(chi)) * window.dipole
    field = torch.fft.irfftn(spectrum, s=window.padded)[window.inner]
    # The field is cut at the mask's edge and the mean removed: both are small for one point.
    result = tkd(replace(everywhere, local_field=field), threshold=threshold)
    assert float(result[20, 20, 20]) == pytest.approx(1.0, abs=0.02)


def test_l2_approaches_the_truth_without_noise_and_regularisation():
    """On a periodic grid without noise only the k-space near the cone is missing."""
    maps, truth = blobs()
    errors = [error(maps, l2(maps, regularisation=beta), truth) for beta in (0.3, 0.1, 0.03)]
    assert errors[0] > errors[1] > errors[2]


def test_tv_converges_to_the_minimum_of_its_objective():
    """The objective is convex: at its minimum no step in any direction lowers it."""
    maps, truth = blobs(noise_ppm=0.002)
    window, strength = Window(maps, 0.15), 1e-4
    field, known = window.embed(maps.local_field), window.embed(maps.mask)
    solver = _Admm(window, field.clone(), known.clone(), strength)
    for _ in range(300):
        solver.iterate(measure=False)

    def objective(chi):
        model = torch.fft.irfftn(torch.fft.rfftn(chi) * window.dipole, s=window.padded)
        jumps = sum((chi.roll(-1, a) - chi).abs().double().sum() for a in range(3))
        return float(0.5 * (known * (model - field)).double().square().sum() + strength * jumps)

    lowest = objective(solver.chi)
    noise = torch.randn(window.padded, generator=torch.Generator().manual_seed(1))
    towards = [window.embed(f) for f in (torch.from_numpy(truth), l2(maps), tkd(maps))]
    directions = [t - solver.chi for t in towards] + [-solver.chi, solver.chi, 0.01 * noise]
    assert min(objective(solver.chi + 0.05 * d) for d in directions) > 0.999 * lowest
    assert all(objective(t) > 1.02 * lowest for t in towards)


def test_tv_beats_the_direct_methods_on_a_head(head):
    scores = {
        name: metrics.score_qsm(invert(head.maps).numpy(), head.chi_ppm, head.mask)
        for name, invert in INVERSIONS.items()
    }
    nrmse = {name: s["demeaned_nrmse_percent"] for name, s in scores.items()}
    assert nrmse["tv"] < nrmse["l2"] < nrmse["tkd"]
    assert nrmse["tv"] < 0.6 * nrmse["tkd"]
    assert scores["tv"]["xsim"] > scores["l2"]["xsim"] > scores["tkd"]["xsim"]
    result = tv(head.maps).numpy()
    slope = metrics.deep_grey_slope(result, head.chi_ppm, head.mask, head.labels, head.regions)
    assert 0.9 < slope < 1.1


def test_borders_in_r2star_help(head):
    """R2* that shows the tissues lowers the error; R2* that shows nothing does not raise it."""
    generator = torch.Generator().manual_seed(4)
    noise = torch.randn(head.mask.shape, generator=generator)
    chi = torch.from_numpy(head.chi_ppm)
    errors = {}
    for name, r2star in (
        ("none", None),
        ("tissues", (18 + 150 * chi + noise).clamp(min=0)),
        ("noise", (18 + noise).clamp(min=0)),
    ):
        found = tv(replace(head.maps, r2star=r2star))
        errors[name] = metrics.demeaned_nrmse(found.numpy(), head.chi_ppm, head.mask)
    assert errors["tissues"] < 0.93 * errors["none"]
    assert errors["noise"] < 1.05 * errors["none"]


def test_bregman_rounds_give_contrast_back():
    """Of a small box in noise, which one round of total variation flattens."""
    maps, truth = blobs(noise_ppm=0.003)
    box = maps.mask & (torch.from_numpy(truth) > 0.05)
    kept = [float(tv(maps, rounds=n)[box].mean()) / 0.1 for n in (1, 3)]
    assert kept[0] < kept[1] < 1.05
    assert 1 - kept[1] < 0.5 * (1 - kept[0])


def test_weight_keeps_broken_voxels_out():
    """A few voxels with a field off by 1 ppm ruin the map, unless they are not trusted."""
    maps, truth = blobs(noise_ppm=0.001)
    field, weight = maps.local_field.clone(), torch.ones(maps.mask.shape)
    field[20, 14:17, 20] += 1.0
    weight[20, 14:17, 20] = 0.0
    converged = {"tolerance": 0.01, "iterations": 60}
    clean = error(maps, tv(maps, **converged), truth)
    broken = replace(maps, local_field=field)
    assert error(maps, tv(broken, **converged), truth) > clean + 20
    assert error(maps, tv(replace(broken, trust=weight), **converged), truth) < clean + 3


def test_weight_of_one_is_no_weight():
    maps, _ = blobs()
    weighted = replace(maps, trust=torch.ones(maps.mask.shape))
    assert torch.equal(tv(maps), tv(weighted))


@every
def test_field_outside_the_mask_and_nan_do_not_count(invert):
    maps, _ = blobs()
    junk = torch.where(maps.mask, maps.local_field, float("nan"))
    assert torch.equal(invert(maps), invert(replace(maps, local_field=junk)))


@pytest.mark.parametrize("sd_ppm", [0.001, 0.003, 0.01])
def test_noise_of_the_field_is_found(head, sd_ppm):
    """Within a quarter, anatomy and vessels notwithstanding (2 ppb are in the field already)."""
    noise = torch.randn(head.mask.shape, generator=torch.Generator().manual_seed(5))
    found = field_noise_ppm(head.maps.local_field + sd_ppm * noise, head.maps.mask)
    assert found == pytest.approx(math.hypot(sd_ppm, 0.002), rel=0.25)


def test_more_noise_gives_a_smoother_map():
    def roughness(noise_ppm, **settings):
        maps, _ = blobs(noise_ppm=noise_ppm)
        chi = tv(maps, **settings)
        return float(sum(chi.diff(dim=a).abs().sum() for a in range(3)))

    assert roughness(0.002, regularisation=4.0) < roughness(0.002, regularisation=0.25)


def test_progress_ends_and_cancels():
    maps, _ = blobs()
    seen = []
    tv(maps, report=lambda done, of: seen.append((done, of)))
    assert seen[0][0] == 0
    assert seen[-1][0] == seen[-1][1]
    assert all(a[0] <= b[0] for a, b in pairwise(seen))

    def cancel(done, of):
        raise Cancelled

    with pytest.raises(Cancelled):
        tv(maps, report=cancel)


@every
def test_unusable_input_is_refused(invert):
    maps, _ = blobs()
    with pytest.raises(InputError, match="local_field"):
        invert(replace(maps, local_field=None))
    with pytest.raises(InputError, match="mask is empty"):
        invert(replace(maps, mask=torch.zeros_like(maps.mask)))
