"""SDs of a separation: from the method through the result to files, and back."""

from __future__ import annotations

import json

import numpy as np
import pytest
from ball import ball_with_boxes

from QSMSeparationLib import catalogue
from QSMSeparationLib.data.method import Calibration, Method
from QSMSeparationLib.data.separated import Separated
from QSMSeparationLib.data.volume import Geometry, Volume
from QSMSeparationLib.io.derivatives import write_result
from QSMSeparationLib.io.outputs import Outputs
from QSMSeparationLib.io.results import read_result
from QSMSeparationLib.pipeline.maps import separate
from QSMSeparationLib.pipeline.options import Options
from QSMSeparationLib.runtime.errors import InputError

SHAPE = (24, 26, 28)
SD_PPM = 0.004


def pair(maps, context):
    """A method that knows no errors."""
    return maps.net.clamp(min=0), maps.net.clamp(max=0)


def surely(maps, context):
    """A method with SDs and an estimate of R2'."""
    para, dia = pair(maps, context)
    inside = maps.mask.float()
    return Separated(
        para, dia, SD_PPM * inside, 2 * SD_PPM * inside,
        r2prime=114 * (para - dia), r2prime_sd=inside,
    )  # fmt: skip


def row(function, **more):
    return Method(
        function.__name__, "separation", "test", ("net",), f"{__name__}:{function.__name__}", **more
    )


@pytest.fixture
def separated(monkeypatch):
    """Run a function as a method on a ball."""

    def run(function, given=("net",), **more):
        rows = (row(function, **more),)
        monkeypatch.setattr(catalogue, "_plug_ins", lambda: (rows, ()))
        ball, para, dia = ball_with_boxes(10.0, [(0.1, 2, 2.5)], [(0.05, -3, 2.5)], SHAPE)
        maps = {"net": para - dia, "r2prime": ball.r2prime}
        volumes = {n: Volume(maps[n].numpy(), Geometry(SHAPE), n) for n in given}
        mask = Volume(ball.mask.byte().numpy(), Geometry(SHAPE), "mask")
        return separate(volumes, mask, Options(method=function.__name__))

    return run


def test_a_method_without_errors_returns_two_maps_and_nothing_is_made_up(separated):
    result = separated(pair)
    assert not [name for name in result.maps if name.endswith("_sd")]
    assert "SDCalibration" not in result.facts


def test_errors_are_calibrated_written_under_their_names_and_read_back(separated, tmp_path):
    result = separated(surely, calibration=Calibration(para=1.5, dia=2.0))
    with Outputs(tmp_path) as outputs:
        write_result(result, outputs, "sub-01", {})
    names = {
        "chi_para_sd": ("stat-sd_desc-paramagnetic_Chimap", 1.5 * SD_PPM),
        "chi_dia_sd": ("stat-sd_desc-diamagnetic_Chimap", 4 * SD_PPM),
        "r2prime_sd": ("stat-sd_R2primemap", 1.0),
    }
    back, _ = read_result(tmp_path)
    for name, (bids, wanted) in names.items():
        assert (tmp_path / f"sub-01_{bids}.nii.gz").is_file()
        assert np.unique(back.maps[name]) == pytest.approx([0, wanted])
    sidecar = json.loads((tmp_path / "sub-01_desc-paramagnetic_Chimap.json").read_text())
    assert sidecar["SDCalibration"]["para"] == 1.5


def test_an_estimate_of_r2prime_is_called_so_and_never_takes_the_place_of_a_measured_one(separated):
    estimated = separated(surely, estimates_r2prime=True)
    assert estimated.r2prime_map_estimated
    assert "r2prime" not in estimated.measured(["r2prime", "net"])
    measured = separated(surely, given=("net", "r2prime"), estimates_r2prime=True)
    assert not measured.r2prime_map_estimated
    assert measured.maps["r2prime"].max() == pytest.approx(11.4)
    assert "r2prime_sd" not in measured.maps


def test_the_mean_of_many_voxels_is_surer_than_one_but_not_without_limit():
    law = Calibration(floor=0.3, power=0.2)
    shares = [law.share_of_mean(n) for n in (1, 10, 100, 1e4, 1e6)]
    assert shares[0] == 1
    assert shares == sorted(shares, reverse=True)
    assert shares[-1] == shares[-2] == 0.3
    assert shares[2] > 100**-0.5


def test_a_band_of_relaxivities_widens_the_errors_by_what_it_does_to_the_sources():
    ball, para, dia = ball_with_boxes(10.0, [(0.1, 2, 2.5)], [(0.05, -3, 2.5)], SHAPE)
    maps = {"net": para - dia, "r2prime": ball.r2prime}
    given = {n: Volume(m.numpy(), Geometry(SHAPE), n) for n, m in maps.items()}
    mask = Volume(ball.mask.byte().numpy(), Geometry(SHAPE), "mask")
    low, usual, high, banded = (
        separate(given, mask, Options("closed-form", dr_para=d, dr_dia=d, dr_band_percent=b)).maps
        for d, b in ((0.8 * 114, 0), (114, 0), (1.2 * 114, 0), (114, 20))
    )
    assert np.array_equal(banded["chi_para"], usual["chi_para"])
    half = 0.5 * (high["chi_para"] - low["chi_para"])
    wanted = np.hypot(usual["chi_para_sd"], half)
    assert banded["chi_para_sd"] == pytest.approx(wanted, abs=1e-6)
    assert abs(half).max() > 0.005  # where there is iron


def test_a_band_of_relaxivities_needs_a_method_that_tells_errors():
    ball, para, dia = ball_with_boxes(10.0, [(0.1, 2, 2.5)], [(0.05, -3, 2.5)], SHAPE)
    maps = {"net": para - dia, "r2star": ball.r2prime + 12}
    given = {n: Volume(m.numpy(), Geometry(SHAPE), n) for n, m in maps.items()}
    mask = Volume(ball.mask.byte().numpy(), Geometry(SHAPE), "mask")
    with pytest.raises(InputError, match="--dr-band"):
        separate(given, mask, Options("r2star-qsm", dr_band_percent=20))
    with pytest.raises(InputError, match="0 to 50"):
        Options(dr_band_percent=80)
