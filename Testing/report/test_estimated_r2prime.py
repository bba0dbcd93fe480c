"""R2' that was not measured is called so, in sidecar and report, from what the pipeline says."""

from __future__ import annotations

import json

import pytest
from ball import ball_with_boxes

from QSMSeparationLib.data.volume import Geometry, Volume
from QSMSeparationLib.io.derivatives import write_result
from QSMSeparationLib.io.outputs import Outputs
from QSMSeparationLib.pipeline.maps import separate
from QSMSeparationLib.pipeline.options import Options
from QSMSeparationLib.report.write import Reading, write_report
from QSMSeparationLib.runtime.progress import Progress

SHAPE = (24, 26, 28)
BOX = "Estimated, not measured"


def given(**rates_hz):
    ball, para, dia = ball_with_boxes(10.0, [(0.1, 2, 2.5)], [(0.05, -3, 2.5)], SHAPE)
    maps = {"net": para - dia, "local_field": ball.local_field}
    maps |= {name: rate * ball.mask for name, rate in rates_hz.items()}
    maps["r2star"] += ball.r2prime
    volumes = {name: Volume(one.numpy(), Geometry(SHAPE), name) for name, one in maps.items()}
    return volumes, Volume(ball.mask.byte().numpy(), Geometry(SHAPE), "mask")


@pytest.fixture
def written(tmp_path):
    """Separate maps and write them: the result, the page, and the sidecar of R2' if there is one."""

    def write(method, **rates_hz):
        volumes, mask = given(**rates_hz)
        result = separate(volumes, mask, Options(method=method), Progress())
        with Outputs(tmp_path) as outputs:
            write_result(result, outputs, "sub-01", {})
            write_report(result, Reading(), outputs, "", "sub-01", {})
        sidecar = tmp_path / "sub-01_R2primemap.json"
        told = json.loads(sidecar.read_text(encoding="utf-8")) if sidecar.is_file() else {}
        return result, (tmp_path / "report.html").read_text(encoding="utf-8"), told

    return write


def test_r2star_alone_gives_an_estimate_that_the_report_names(written):
    result, page, sidecar = written("chi-sepnet-r2star", r2star=25.0)
    assert result.r2prime_estimated
    assert BOX in page
    assert sidecar == {}, "no R2' map is written that nobody measured"


def test_a_measured_map_keeps_its_name_though_the_method_estimates(written):
    result, page, sidecar = written("chi-sepnet-r2star", r2star=25.0, r2=17.0)
    assert result.r2prime_estimated
    assert not result.r2prime_map_estimated
    assert BOX in page
    assert "(estimated)" not in page
    assert "estimated" not in sidecar["Description"]
    assert sidecar["R2primeOrigin"] == "R2* - R2 as given"


def test_a_method_that_uses_measured_r2prime_estimates_nothing(written):
    result, page, sidecar = written("closed-form", r2star=25.0, r2=17.0)
    assert not result.r2prime_estimated
    assert BOX not in page
    assert "estimated" not in sidecar["Description"]


def test_r2prime_is_shown_beside_r2star(written):
    _, page, _ = written("closed-form", r2star=25.0, r2=17.0)
    start = page.index('id="scene">') + len('id="scene">')
    scene = json.loads(page[start : page.index("</script>", start)])
    names = [one["name"] for one in scene["maps"] if not one["name"].endswith("_sd")]
    assert names == ["net", "chi_para", "chi_dia", "r2star", "r2prime"]
