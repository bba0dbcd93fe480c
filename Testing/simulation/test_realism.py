"""Levels of realism: what they hold, what they leave alone, and that a seed is a scan."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from small_head import small_head

from QSMSeparationLib.physics.dipole import DipoleOperator
from QSMSeparationLib.runtime.errors import InputError
from QSMSeparationLib.simulation.protocol import Protocol
from QSMSeparationLib.simulation.rasterize import rasterize
from QSMSeparationLib.simulation.realism import PARTS, Realism
from QSMSeparationLib.simulation.relaxation import draw_relaxivities
from QSMSeparationLib.simulation.scanner import simulate_scan

PROTOCOL = Protocol(voxel_mm=(3.0,) * 3, snr=float("inf"), spin_echo_times_s=(0.02, 0.05), seed=3)


# Mean and SD over the mask, and the sum of every 997th voxel, in ppb, of what the small head gave
# before there were levels.
BEFORE = {
    "chi_para": (25.292550787, 12.456917121, 732.1768883),
    "chi_dia": (-23.725852554, 7.315928881, -682.5584881),
    "local_field": (-0.044139473, 5.876470742, -28.5805769),
    "total_field": (1.104689671, 39.693733973, -144.9833837),
}


def scanned(realism: Realism, protocol: Protocol = PROTOCOL):
    head = replace(small_head(), realism=realism)
    if "relaxivity" in realism:
        head = replace(head, relaxivities=draw_relaxivities(1, 0))
    return simulate_scan(rasterize(head, 1.5), protocol, realism=realism)


@pytest.fixture(scope="module")
def plain():
    return scanned(Realism())


@pytest.fixture(scope="module")
def real():
    return scanned(Realism.of(1))


def test_levels_add_parts():
    sizes = [len(Realism.of(level).parts) for level in (0, 1, 2)]
    assert sizes[0] == 0 < sizes[1] < sizes[2] == len(PARTS)
    assert Realism.of(0, ["misfit"]).parts == {"misfit"}
    assert "flow" not in Realism.of(2, less=["flow"])
    with pytest.raises(InputError, match="dropot"):
        Realism.of(1, ["dropot"])
    with pytest.raises(InputError, match="choose 0"):
        Realism.of(3)


@pytest.mark.parametrize("name", BEFORE)
def test_level_0_has_the_sources_and_fields_of_before(plain, name):
    _, truth = plain
    values = 1000 * truth.maps[name][truth.mask].astype(np.float64)
    found = (values.mean(), values.std(), values[::997].sum())
    # Fields of thousands of ppb in single precision: FFTs differ in the last bit between CPUs.
    assert found == pytest.approx(BEFORE[name], rel=1e-4, abs=1e-3)


def test_without_realism_the_local_field_is_that_of_its_sources(plain):
    _, truth = plain
    assert np.array_equal(truth.maps["local_field"], truth.maps["local_field_isotropic"])
    expected = truth.maps["r2prime"]
    sources = 114 * (truth.maps["chi_para"] - truth.maps["chi_dia"])
    assert expected == pytest.approx(sources, abs=1e-3)
    assert truth.realism == {
        "level": 0,
        "parts": [],
        "drawn": {"misfit_sd_ppb": 0.0, "field_gain": 1.0},
    }


def test_parts_of_the_field_leave_the_sources_alone(plain):
    _, before = plain
    _, after = scanned(Realism.of(0, ["fibers", "misfit", "gain"]))
    for name in ("chi_para", "chi_dia", "water", "t1", "local_field_isotropic"):
        assert np.array_equal(before.maps[name], after.maps[name])
    mask, drawn = after.mask, after.realism["drawn"]
    rest = after.maps["local_field"] - drawn["field_gain"] * after.maps["local_field_isotropic"]
    assert 1000 * rest[mask].std() == pytest.approx(drawn["misfit_sd_ppb"], rel=1e-3)
    assert 2 <= drawn["misfit_sd_ppb"] <= 8
    assert 0.95 <= drawn["field_gain"] <= 1.10
    change = after.maps["total_field"] - before.maps["total_field"]
    assert change[mask] == pytest.approx(
        (after.maps["local_field"] - before.maps["local_field"])[mask], abs=1e-5
    )


def test_the_echoes_hold_the_misfit(plain):
    """Phase between two echoes is that of the total field of the truth, misfit included."""
    (first, before), (second, after) = plain, scanned(Realism.of(0, ["misfit"]))
    step = PROTOCOL.echo_times_s[1] - PROTOCOL.echo_times_s[0]
    turns = np.exp(1j * (second.phase_rad - first.phase_rad))
    found = np.angle(turns[1] / turns[0]) / (2 * np.pi * 42.577 * 3 * step)
    added = after.maps["total_field"] - before.maps["total_field"]
    assert found[after.mask] == pytest.approx(added[after.mask], abs=2e-4)


def test_white_matter_across_b0_decays_faster(plain):
    _, before = plain
    _, after = scanned(Realism.of(0, ["fibers"]))
    change = (after.maps["r2star"] - before.maps["r2star"])[after.mask & (after.labels == 2)]
    assert 0.1 < change.std() < 2.0
    grey = np.isin(after.labels, (12, 51)) & after.mask
    assert np.median(np.abs(after.maps["r2star"] - before.maps["r2star"])[grey]) < 1e-4


def test_texture_varies_within_tissue_and_r2_follows(plain):
    _, before = plain
    _, after = scanned(Realism.of(0, ["texture"]))
    inner = after.mask & (after.labels == 2)
    assert after.maps["chi_para"][inner].std() > 1.5 * before.maps["chi_para"][inner].std()
    sources = 97 * after.maps["chi_para"][inner] - 95 * after.maps["chi_dia"][inner]
    assert np.corrcoef(sources, after.maps["r2"][inner])[0, 1] > 0.8


def test_relaxivities_scatter_between_tissues(plain):
    _, before = plain
    _, after = scanned(Realism.of(0, ["relaxivity"]))
    ratio = after.maps["r2prime"] / np.maximum(before.maps["r2prime"], 1e-3)
    factors = [np.median(ratio[after.labels == n]) for n in (2, 3, 12, 13)]
    assert np.ptp(factors) > 0.02


def test_the_head_turns_between_the_scans_and_nothing_else_moves(plain):
    (first, _), (second, truth) = plain, scanned(Realism.of(0, ["motion"]))
    assert np.array_equal(first.magnitude, second.magnitude)
    assert second.spin_echo.geometry == second.geometry
    assert not np.array_equal(first.spin_echo.magnitude, second.spin_echo.magnitude)
    assert 1.0 <= truth.realism["drawn"]["motion"]["turn_deg"] <= 3.5


@pytest.mark.parametrize("part", ["bias", "flow", "pools", "poles", "bipolar", "dropout",
                                  "zero-filling", "partial-fourier", "strong-misfit"])  # fmt: skip
def test_every_part_on_its_own_changes_the_echoes_and_not_the_sources(plain, part):
    (first, before), (second, after) = plain, scanned(Realism.of(0, [part]))
    assert not np.array_equal(first.phase_rad, second.phase_rad) or not np.array_equal(
        first.magnitude, second.magnitude
    )
    assert np.array_equal(before.maps["net"], after.maps["net"])
    assert np.isfinite(second.magnitude).all()
    assert np.isfinite(second.phase_rad).all()


def test_bipolar_echoes_differ_by_a_ramp_along_the_readout(plain):
    (first, truth), (second, _) = plain, scanned(Realism.of(0, ["bipolar"]))
    turn = np.exp(1j * (second.phase_rad - first.phase_rad))
    assert np.abs(turn[0][truth.mask] - 1).max() < 1e-4
    ramp = np.angle(turn[1][truth.mask].mean(axis=0))
    assert abs(ramp) < np.pi
    middle = np.angle(turn[1][truth.geometry.shape[0] // 2].mean(axis=0))
    assert np.ptp(np.unwrap(middle)) > 0.5


def test_the_same_seed_gives_the_same_bytes_and_another_another(real):
    first, truth = real
    again, _ = scanned(Realism.of(1))
    assert first.phase_rad.tobytes() == again.phase_rad.tobytes()
    assert first.spin_echo.magnitude.tobytes() == again.spin_echo.magnitude.tobytes()
    other, _ = scanned(Realism.of(1), replace(PROTOCOL, seed=4))
    assert not np.array_equal(first.phase_rad, other.phase_rad)
    assert set(truth.realism["parts"]) == set(Realism.of(1).parts)


def test_the_isotropic_part_is_the_field_of_net_chi(real):
    _, truth = real
    grid = truth.geometry
    own = DipoleOperator(grid.shape, grid.spacing_kji, grid.b0_kji, pad=1.0)
    field = own(torch.from_numpy(truth.maps["net"])).numpy()[truth.mask]
    iso, all_of_it = (truth.maps[n][truth.mask] for n in ("local_field_isotropic", "local_field"))
    assert np.corrcoef(field, iso)[0, 1] > 0.95
    assert np.corrcoef(field, all_of_it)[0, 1] < np.corrcoef(field, iso)[0, 1]
