"""The table of maps: rows that agree with each other and with what travels."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields

import pytest

from QSMSeparationLib.data.maps import Maps
from QSMSeparationLib.data.quantities import IN_LESIONS, IN_REPORT, MAPS, QUANTITIES, UNIT_CODES


def test_no_two_maps_share_a_file_a_title_or_columns():
    for attribute in ("bids", "title", "plain_title"):
        values = [getattr(row, attribute) for row in QUANTITIES.values()]
        assert len(set(values)) == len(values)
    assert len({MAPS[name].column for name in IN_LESIONS}) == len(IN_LESIONS)


def test_inputs_of_methods_are_maps_of_the_table():
    travelling = {"local_field", "net", "r2prime", "r2star", "trust", "mask"}
    assert travelling <= {field.name for field in fields(Maps)} & set(QUANTITIES)


@pytest.mark.parametrize("name", MAPS)
def test_susceptibility_and_fields_are_ppm_in_files_and_ppb_on_screen(name):
    row = MAPS[name]
    assert (row.unit == "ppm") == (row.unit_on_screen == "ppb")
    assert abs(row.scale) == (1000 if row.unit == "ppm" else 1)
    assert row.unit_on_screen in UNIT_CODES or row.unit == "arbitrary"


@pytest.mark.parametrize("b0_tesla", [1.5, 3.0, 7.0])
@pytest.mark.parametrize("name", IN_REPORT)
def test_a_report_keeps_all_that_a_window_shows(name, b0_tesla):
    low, high = MAPS[name].span_at(b0_tesla)
    for preset in ("standard", "wide", "narrow"):
        least, most = MAPS[name].window_at(b0_tesla, preset)
        assert low <= least < most <= high


def test_windows_of_rates_grow_with_the_field_and_those_of_susceptibility_do_not():
    assert MAPS["r2star"].window_at(7.0)[1] == pytest.approx(7 / 3 * MAPS["r2star"].window_at()[1])
    assert MAPS["net"].window_at(7.0) == MAPS["net"].window_at(3.0)


def test_titles_for_views_are_ascii():
    assert all(row.plain_title.isascii() for row in QUANTITIES.values())


def test_the_table_loads_without_torch():
    code = "import sys, QSMSeparationLib.data.quantities; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
