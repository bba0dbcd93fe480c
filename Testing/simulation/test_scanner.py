"""The simulated scan obeys the physics it was made from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage
from small_head import small_anatomy, small_head

from QSMSeparationLib.data.volume import Geometry, Volume, resample
from QSMSeparationLib.physics.constants import hz_per_ppm, relaxivity
from QSMSeparationLib.physics.dipole import DipoleOperator
from QSMSeparationLib.runtime.errors import InputError
from QSMSeparationLib.simulation.anatomy import Anatomy, Head, Vessel
from QSMSeparationLib.simulation.coil import shim_
from QSMSeparationLib.simulation.field import free_space_field
from QSMSeparationLib.simulation.protocol import Protocol
from QSMSeparationLib.simulation.rasterize import rasterize, refine_labels
from QSMSeparationLib.simulation.sampling import divided_slab, sample
from QSMSeparationLib.simulation.scanner import simulate_scan
from QSMSeparationLib.simulation.tissues import LABELS, TISSUES, draw_tissues, label_of

QUIET = Protocol(voxel_mm=(3.0, 3.0, 3.0), snr=float("inf"), spin_echo_times_s=(0.02, 0.05))


@pytest.fixture(scope="module")
def fine():
    return rasterize(small_head(), 1.5)


@pytest.fixture(scope="module")
def scanned(fine):
    return simulate_scan(fine, QUIET)


def interior(truth, depth: int = 2) -> np.ndarray:
    """Voxels whose neighborhood is one tissue, so that no partial volume blurs the physics."""
    same = ndimage.maximum_filter(truth.labels, 2 * depth + 1) == ndimage.minimum_filter(
        truth.labels, 2 * depth + 1
    )
    return same & truth.mask


def test_free_space_field_of_a_sphere():
    """No periodic images: the field falls off as a dipole up to the edge of the box."""
    n, radius = 96, 12.0
    axis = np.arange(n) - (n - 1) / 2
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    r = np.sqrt(x**2 + y**2 + z**2)
    inside = np.clip(radius - r + 0.5, 0, 1).astype(np.float32)
    field = free_space_field(torch.from_numpy(inside), 1.0).numpy()
    outside = r > radius + 3
    with np.errstate(invalid="ignore"):
        expected = (radius / r) ** 3 * (3 * (z / r) ** 2 - 1) / 3
    error = np.abs(field - expected)[outside]
    assert error.max() < 0.02 * np.abs(expected[outside]).max()
    far = r > 40
    assert np.abs((field - expected)[far]).max() < 0.002


def test_a_shim_flattens_the_field_and_is_harmonic():
    """A coil outside the head can only make fields without sources in it, whatever the box."""
    shape = (26, 48, 34)
    k, j, i = (
        (torch.arange(n, dtype=torch.float32) - n / 2).view([-1 if a == b else 1 for b in range(3)])
        for a, n in enumerate(shape)
    )
    field = (k * k + 0.5 * j * i - i * i + 0.01 * j**3) / 100
    brain = (k / 11) ** 2 + (j / 20) ** 2 + (i / 14) ** 2 < 1
    shimmed = field.clone()
    shim_(shimmed, brain, seed=1, every=1)
    added = (shimmed - field).double()
    inner = (slice(1, -1),) * 3
    curved = [(added.roll(1, a) + added.roll(-1, a) - 2 * added)[inner] for a in range(3)]
    assert max(float(c.abs().max()) for c in curved) > 5e-4
    assert sum(curved).abs().max() < 1e-5
    assert shimmed[brain].std() < 0.2 * field[brain].std()


def test_r2prime_fits_back_from_the_noiseless_signal(scanned):
    """log-linear R2* of the gradient echo minus R2 of the spin echo is Dr+ chi+ + Dr- |chi-|."""
    scan, truth = scanned
    # Through-voxel field gradients also dephase; nuclei and white matter far from air have little.
    gradient = np.sqrt(sum(g**2 for g in np.gradient(truth.maps["total_field"])))
    inner = interior(truth) & (gradient < 0.004)
    assert inner.sum() > 500
    r2star = -np.polyfit(scan.echo_times_s, np.log(scan.magnitude[:, inner]), 1)[0]
    te = scan.spin_echo.echo_times_s
    r2 = -np.diff(np.log(scan.spin_echo.magnitude[:, inner]), axis=0)[0] / (te[1] - te[0])
    dr = relaxivity(114.0, 3.0)
    expected = dr * truth.maps["chi_para"][inner] - dr * truth.maps["chi_dia"][inner]
    assert np.median(np.abs(r2star - r2 - expected) / expected) < 0.01


def test_phase_is_the_field_times_echo_time(scanned):
    scan, truth = scanned
    inner = interior(truth)
    turn = 2 * np.pi * hz_per_ppm(3.0) * (scan.echo_times_s[1] - scan.echo_times_s[0])
    step = np.angle(np.exp(1j * (scan.phase_rad[1] - scan.phase_rad[0])))
    expected = np.angle(np.exp(1j * turn * truth.maps["total_field"]))
    assert np.abs(np.angle(np.exp(1j * (step - expected))))[inner].max() < 0.05


def test_iron_raises_the_field_at_its_poles(scanned):
    """A positive source: the field above and below it along B0 is higher than beside it."""
    _, truth = scanned
    field = truth.maps["local_field"]
    nucleus = np.argwhere(truth.labels == label_of("globus pallidus"))
    k, j, i = np.rint(nucleus.mean(axis=0)).astype(int)
    poles = [field[k + 3, j, i], field[k - 3, j, i]]
    sides = [field[k, j + 4, i], field[k, j - 4, i]]
    assert min(poles) > max(sides)
    assert np.mean(poles) > 0.01


@pytest.mark.parametrize("tilt", [20.0, -33.0])
def test_a_tilted_scan_sees_the_same_field(fine, tilt):
    """Convolving on the tilted grid with its own B0 direction gives the field of the upright head."""
    protocol = replace(QUIET, oblique_deg=tilt, voxel_mm=(2.0, 2.0, 2.0))
    _, truth = simulate_scan(fine, protocol)
    grid = truth.geometry
    assert grid.b0_angle_deg == pytest.approx(abs(tilt), abs=1e-6)
    chi = torch.from_numpy(truth.maps["net"])
    turned = DipoleOperator(grid.shape, grid.spacing_kji, grid.b0_kji, pad=1.0)(chi).numpy()
    expected = truth.maps["local_field"]
    difference = (turned - expected)[truth.mask]
    difference -= difference.mean()
    # The coarse convolution also lacks what the fine one resolves; a straight scan tells how much.
    _, straight = simulate_scan(fine, replace(protocol, oblique_deg=0.0))
    chi = torch.from_numpy(straight.maps["net"])
    upright = DipoleOperator(
        straight.geometry.shape, straight.geometry.spacing_kji, (1, 0, 0), pad=1.0
    )
    residue = (upright(chi).numpy() - straight.maps["local_field"])[straight.mask]
    scale = np.linalg.norm(expected[truth.mask])
    floor = np.linalg.norm(residue - residue.mean()) / np.linalg.norm(straight.maps["local_field"])
    assert np.linalg.norm(difference) / scale < floor + 0.05


def test_a_head_turned_by_20_degrees_with_its_b0_has_the_same_field(fine):
    """Turn the head's grid, convolve along the turned B0, turn the field back."""
    grid = fine.geometry
    # Partial volume, as in a scan: borders sharper than a voxel can't be resampled at all.
    chi = ndimage.gaussian_filter((fine.chi_para_ppm + fine.chi_dia_ppm).numpy(), 0.7)
    c, s = np.cos(np.radians(20)), np.sin(np.radians(20))
    turn = np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    origin = grid.center_mm - turn @ ((np.array(grid.shape[::-1]) - 1) / 2 * grid.spacing_mm)
    tilted = Geometry(grid.shape, grid.spacing_mm, tuple(origin), tuple(turn.ravel()))

    def field(volume: Volume) -> Volume:
        g = volume.geometry
        dipole = DipoleOperator(g.shape, g.spacing_kji, g.b0_kji, pad=1.0)
        return volume.like(dipole(torch.from_numpy(volume.array)).numpy())

    upright = field(Volume(chi, grid)).array
    back = resample(field(resample(Volume(chi, grid), tilted, order=3)), grid, order=3).array
    brain = fine.brain.numpy()
    difference = (back - upright)[brain]
    error = np.linalg.norm(difference - difference.mean()) / np.linalg.norm(upright[brain])
    assert error < 0.05


def test_truth_of_a_tilted_scan_is_the_resampled_truth(fine, scanned):
    _, straight = scanned
    _, tilted = simulate_scan(fine, replace(QUIET, oblique_deg=20.0, voxel_mm=(2.0, 2.0, 2.0)))
    moved = resample(
        Volume(straight.maps["r2"] * straight.mask, straight.geometry), tilted.geometry
    ).array
    inner = interior(tilted, 3) & (moved > 0)
    assert inner.sum() > 1000
    error = np.abs(moved - tilted.maps["r2"] * tilted.mask)[inner]
    assert np.median(error) < 0.02 * np.median(tilted.maps["r2"][inner])


def test_same_seed_same_scan_and_other_seed_another(fine):
    protocol = Protocol(voxel_mm=(3.0,) * 3, seed=4)
    a, b = (simulate_scan(fine, protocol)[0] for _ in range(2))
    assert a.phase_rad.tobytes() == b.phase_rad.tobytes()
    c, _ = simulate_scan(fine, replace(protocol, seed=5))
    assert not np.array_equal(a.phase_rad, c.phase_rad)


def test_noise_has_the_snr_asked_for(fine, scanned):
    noisy, truth = simulate_scan(fine, replace(QUIET, snr=50.0))
    clean, _ = scanned
    noise = (noisy.magnitude[0] - clean.magnitude[0])[truth.mask]
    assert clean.magnitude[0][truth.mask].mean() / noise.std() == pytest.approx(50, rel=0.05)


def test_stronger_field_scales_phase_and_r2prime(fine, scanned):
    _, low = scanned
    _, high = simulate_scan(fine, replace(QUIET, b0_tesla=7.0))
    assert high.maps["r2prime"] == pytest.approx(low.maps["r2prime"] * 7 / 3, rel=1e-4)
    assert high.maps["local_field"] == pytest.approx(low.maps["local_field"], abs=1e-5)
    inner = interior(high)
    ratio = high.maps["r2"][inner] / low.maps["r2"][inner]
    assert ratio == pytest.approx(1 / 0.65, rel=0.01)


def test_net_truth_is_the_sum_and_has_its_signs(scanned):
    _, truth = scanned
    para, dia = truth.maps["chi_para"], truth.maps["chi_dia"]
    assert para.min() >= 0 >= dia.max()
    assert np.array_equal(truth.maps["net"], para + dia)


def test_divided_voxels_average_to_their_center():
    """The mean position of a voxel's parts is the voxel's center, tilted and anisotropic too."""
    grid = Geometry((6, 5, 4), (1.0, 2.0, 3.0), (5, 6, 7), (1, 0, 0, 0, 0.8, -0.6, 0, 0.6, 0.8))
    part = divided_slab(grid, 2, 4, (3, 2, 4))
    index = np.stack(np.meshgrid(np.arange(3), np.arange(2), np.arange(4), indexing="ij"), -1)
    assert part.world(index.reshape(-1, 3)).mean(axis=0) == pytest.approx(
        grid.world(np.array([2.0, 0, 0]))
    )


def test_sampling_a_linear_map_is_exact():
    fine = Geometry((20, 21, 22), (0.7,) * 3, (1, 2, 3))
    index = np.stack(np.meshgrid(*[np.arange(n) for n in fine.shape], indexing="ij"), -1)
    plane = torch.from_numpy((fine.world(index) @ [0.3, -0.2, 0.5]).astype(np.float32))[None]
    grid = Geometry((5, 5, 5), (1.0, 1.2, 1.4), (5, 6, 7), (1, 0, 0, 0, 0.8, -0.6, 0, 0.6, 0.8))
    index = np.stack(np.meshgrid(*[np.arange(5)] * 3, indexing="ij"), -1)
    expected = grid.world(index) @ [0.3, -0.2, 0.5]
    assert sample(plane, fine, grid)[0].numpy() == pytest.approx(expected, abs=1e-4)


def test_refined_labels_keep_volumes():
    anatomy = small_anatomy()
    grid = Geometry(
        (140, 160, 140), (1.0,) * 3, tuple(np.array(anatomy.labels.geometry.origin_mm) - 0.5)
    )
    refined = refine_labels(anatomy.labels, grid).numpy()
    for number in np.unique(anatomy.labels.array):
        coarse = (anatomy.labels.array == number).sum() * 8
        assert (refined == number).sum() == pytest.approx(coarse, rel=0.06), LABELS[int(number)]


def test_a_vein_is_drawn_in_brain_but_not_in_bone():
    anatomy = small_anatomy()
    points = np.stack([np.arange(-70, 70, 0.5), np.zeros(280), np.zeros(280)], axis=1)
    vessel = Vessel(points, np.full(280, 1.5))
    head = Head(Anatomy(anatomy.labels, (vessel,)), draw_tissues(1))
    fine = rasterize(head, 1.0)
    vein = np.argwhere(fine.labels.numpy() == label_of("vein"))
    reach = np.abs(fine.geometry.world(vein.astype(float))[:, 0]).max()
    assert 54 < reach < 62  # ends in the CSF below the skull
    area = len(vein) / (2 * reach)
    assert area == pytest.approx(np.pi * 1.5**2, rel=0.35)


def test_people_differ_and_age_brings_iron():
    young, old = draw_tissues(3, 20), draw_tissues(3, 75)
    assert old["putamen"].chi_para_ppb > 1.3 * young["putamen"].chi_para_ppb
    assert old["white matter"] == young["white matter"]
    people = [draw_tissues(seed, 50)["thalamus"].chi_dia_ppb for seed in range(40)]
    spread = TISSUES["thalamus"].chi_dia_sd
    assert 0.5 * spread < np.std(people) < 1.8 * spread


@pytest.mark.parametrize(
    "bad",
    [
        {"voxel_mm": (0.01, 1, 1)},
        {"echo_times_s": (0.01, 0.005)},
        {"echo_times_s": ()},
        {"echo_times_s": (5.0, 10.0)},
        {"b0_tesla": 50},
        {"snr": -1},
        {"snr": float("nan")},
        {"oblique_deg": 90},
    ],
)
def test_impossible_protocols_are_refused(bad):
    with pytest.raises(InputError):
        Protocol(**bad)


def test_moved_values_are_another_table_of_the_same_person():
    plain, same, moved = (draw_tissues(5, 40.0, share) for share in (0.0, 0.0, 0.3))
    assert plain == same
    ratios = [
        moved[name].chi_para_ppb / tissue.chi_para_ppb
        for name, tissue in plain.items()
        if tissue.chi_para_ppb > 1
    ]
    assert 0.7 <= min(ratios) < 0.85
    assert 1.15 < max(ratios) <= 1.3
