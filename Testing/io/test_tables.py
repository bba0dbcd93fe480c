"""Cells that every spreadsheet reads alike and none runs."""

import csv

import numpy as np
import pytest

from QSMSeparationLib.io.tables import cell, csv_text, rows_to_csv


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.0, "1"), (-0.123456789, "-0.123457"), (np.float32(2.5), "2.5"), (np.int16(7), "7"),
        (float("nan"), ""), (float("-inf"), ""), (None, ""), (True, "true"),
        ("=HYPERLINK(1)", "'=HYPERLINK(1)"), ("+1", "'+1"), ("-1", "'-1"), ("@a", "'@a"),
        ("two\nlines\x07", "two lines"), ("", ""),
    ],
)  # fmt: skip
def test_a_cell(value, text):
    assert cell(value) == text


def test_a_table_comes_back():
    rows = [{"name": 'a,"b"', "x": 1.5}, {"name": "c", "x": None}]
    assert list(csv.DictReader(rows_to_csv(rows).splitlines())) == [
        {"name": 'a,"b"', "x": "1.5"}, {"name": "c", "x": ""},
    ]  # fmt: skip
    assert csv_text(["a", "b"], ()) == "a,b\n"
    assert rows_to_csv([]) == ""
