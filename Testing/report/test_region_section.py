"""The regions in the report: numbers, published ranges, safety."""

from __future__ import annotations

import re

import numpy as np

from QSMSeparationLib.anatomy.regions import measure_regions
from QSMSeparationLib.data.volume import Geometry, Volume
from QSMSeparationLib.report.data import ReportData
from QSMSeparationLib.report.page import render_report
from QSMSeparationLib.report.regions import region_bars

GRID = Geometry((20, 20, 20))


def regions(names=None):
    labels = np.zeros(GRID.shape, np.int16)
    labels[6:14, 6:14, 11:19], labels[6:14, 6:14, 1:9], labels[0:5] = 12, 51, 24
    maps = {
        "chi_para": Volume(np.full(GRID.shape, 0.08, np.float32), GRID),
        "chi_dia": Volume(np.full(GRID.shape, -0.01, np.float32), GRID),
    }
    return measure_regions(maps, Volume(labels, GRID), names)


def section(regions):
    """Return the section of regions of a report."""
    mask = Volume(np.ones(GRID.shape, np.uint8), GRID)
    maps = {"chi_para": Volume(np.full(GRID.shape, 0.08, np.float32), GRID)}
    page = render_report(ReportData(maps, mask, regions=regions))
    start = page.index('<h2 id="regions-title">')
    return page[start : page.index("</section>", start)]


def test_section_shows_every_region_with_its_mean_and_the_caution() -> None:
    page = section(regions())
    for text in ("left putamen", "right putamen", "sulcal fluid", "80.0 ± 0.0", "not a finding"):
        assert text in page


def test_bars_show_only_what_has_a_published_range() -> None:
    chart = region_bars(regions(), "chi_para")
    assert "left putamen" in chart
    assert "sulcal fluid" not in chart


def test_longer_bars_are_larger_values() -> None:
    chart = region_bars(regions(), "chi_para")
    bars = re.findall(r'<rect x="\d+" y="[\d.]+" width="([\d.]+)"', chart)
    bands = re.findall(r'<rect class="band" x="[\d.]+" y="[\d.]+" width="([\d.]+)"', chart)
    # 80 ppb against a range of four SD of 20.6 ppb.
    assert abs(float(bars[0]) / float(bands[0]) - 80 / (4 * 20.6)) < 0.06


def test_names_of_a_user_cannot_write_the_page() -> None:
    page = section(regions([(12, "<script>alert(1)</script>")]))
    assert "<script>" not in page


def test_no_labels_no_table() -> None:
    assert "<table" not in section(())
