"""Data checks: the number is right, and the verdict turns where the limits say."""

import json
import math

import numpy as np
import pytest
import torch

from QSMSeparationLib.preprocess import checks
from QSMSeparationLib.preprocess.phase_sign import PhaseSign

SHAPE = (10, 12, 14)
MASK = np.zeros(SHAPE, bool)
MASK[2:8, 2:10, 2:12] = True


def filled(inside, outside=999.0):
    return np.where(MASK, inside, outside).astype(np.float32)


@pytest.mark.parametrize(
    ("rate", "b0", "status"),
    [
        (18, 3.0, "pass"), (9, 3.0, "warn"), (0.018, 3.0, "fail"),
        (10, 1.5, "pass"), (45, 3.0, "warn"), (45, 7.0, "pass"), (18000, 3.0, "fail"),
    ],
)  # fmt: skip
def test_r2star_limits_follow_the_field_strength(rate, b0, status):
    check = checks.check_r2star(filled(rate), MASK, b0)
    assert (check.status, check.unit) == (status, "Hz")
    assert check.value == pytest.approx(rate, rel=1e-5)
    assert bool(check.advice) == (status != "pass")


@pytest.mark.parametrize(("dr_para", "dr_dia"), [(114.0, 114.0), (100.0, 300.0), (300.0, 60.0)])
def test_infeasible_share_counts_voxels_without_a_pair_of_sources(dr_para, dr_dia):
    """Sources made from chi+ and chi- are feasible; R2' below what net chi alone causes is not."""
    rng = np.random.default_rng(0)
    para, dia = rng.uniform(0, 0.1, SHAPE), -rng.uniform(0, 0.1, SHAPE)
    r2prime, net = dr_para * para - dr_dia * dia, para + dia
    assert checks.check_feasible(r2prime, net, MASK, dr_para, dr_dia).value == 0
    spoiled = np.flatnonzero(MASK)[: MASK.sum() // 2]
    least = np.where(net > 0, dr_para * net, -dr_dia * net)
    r2prime.ravel()[spoiled] = 0.9 * least.ravel()[spoiled]
    check = checks.check_feasible(r2prime, net, MASK, dr_para, dr_dia)
    assert check.value == pytest.approx(50, abs=0.1)
    assert check.status == "warn"


@pytest.mark.parametrize(
    ("side", "status"),
    [(11.0, "pass"), (9.0, "warn"), (13.0, "warn"), (7.0, "fail"), (14.0, "fail")],
)
def test_mask_volume_in_litres(side, status):
    check = checks.check_mask_volume(np.ones((10, 10, 10)), (10 * side / 10) ** 3)
    assert check.value == pytest.approx(side**3 / 1000, rel=1e-6)
    assert check.status == status


def test_mask_kept():
    final = MASK.copy()
    final[2] = False  # one of six slices
    check = checks.check_mask_kept(final, MASK)
    assert check.value == pytest.approx(100 * 5 / 6, abs=1e-3)
    assert check.status == "warn"
    assert checks.check_mask_kept(MASK, MASK).status == "pass"


def test_residual_field_is_a_robust_spread_and_knows_no_constant():
    rng = np.random.default_rng(0)
    residual = rng.normal(0.3, 0.004, SHAPE)
    residual[4, 4, 4] = 50.0
    check = checks.check_residual_field(residual, MASK)
    assert check.value == pytest.approx(4.0, rel=0.1)
    assert check.status == "pass"
    assert checks.check_residual_field(residual * 5, MASK).status == "fail"


def test_snr_and_echo_consistency():
    assert checks.check_snr(filled(300), 5.0, MASK).value == pytest.approx(60)
    assert checks.check_snr(filled(300), 10.0, MASK).status == "warn"
    assert checks.check_snr(filled(300), 30.0, MASK).status == "fail"
    assert checks.check_snr(filled(300), 0.0, MASK).status == "warn"
    trust = filled(1.0, 0.0)
    assert checks.check_echo_consistency(trust, MASK).value == 0
    trust[2] = 0.1
    assert checks.check_echo_consistency(trust, MASK).status == "fail"


def test_a_wrap_is_counted_and_a_ramp_is_not():
    turn = 1.3
    ramp = np.linspace(0, 4, SHAPE[1], dtype=np.float32)[None, :, None] * np.ones(SHAPE, np.float32)
    assert checks.check_wraps(ramp, MASK, turn).value == 0
    ramp[5, 5, 5] += turn
    check = checks.check_wraps(torch.from_numpy(ramp), torch.from_numpy(MASK), turn)
    assert check.value > 0
    assert check.status == "warn"
    ramp[5:] += turn
    assert checks.check_wraps(ramp, MASK, turn).status == "fail"


@pytest.mark.parametrize(("confidence", "status"), [(0.9, "pass"), (0.4, "warn"), (0.1, "fail")])
def test_phase_sign(confidence, status):
    assert checks.check_phase_sign(PhaseSign(-1, confidence, "")).status == status


def test_no_voxels_never_pass_and_go_into_json():
    nothing = np.zeros(SHAPE, bool)
    found = [
        checks.check_r2star(filled(18), nothing, 3.0),
        checks.check_feasible(filled(1), filled(0), nothing, 114.0, 114.0),
        checks.check_mask_kept(nothing, nothing),
        checks.check_residual_field(filled(0), nothing),
        checks.check_echo_consistency(filled(1), nothing),
        checks.check_wraps(filled(0), nothing, 1.3),
    ]
    assert all(math.isnan(c.value) and c.status == "fail" for c in found)
    assert all(json.loads(json.dumps(c.as_dict()))["value"] is None for c in found)


@pytest.mark.parametrize(("misfit", "status"), [(3.0, "pass"), (10.0, "warn"), (20.0, "fail")])
def test_field_misfit_limits(misfit, status):
    check = checks.check_field_misfit(misfit)
    assert (check.status, check.value, check.unit) == (status, misfit, "ppb")


@pytest.mark.parametrize(("share", "status"), [(0.01, "pass"), (0.05, "warn"), (0.3, "fail")])
def test_unusual_inputs_are_told(share, status):
    check = checks.check_usual(share)
    assert (check.status, check.value) == (status, pytest.approx(100 * share))


@pytest.mark.parametrize(("scale", "status"), [(1.1, "pass"), (1.5, "warn"), (2.4, "fail")])
def test_the_level_of_r2prime_is_told(scale, status):
    check = checks.check_r2prime_level(scale)
    assert (check.status, check.value) == (status, scale)
    assert ("--dr-auto" in check.advice) == (status != "pass")
