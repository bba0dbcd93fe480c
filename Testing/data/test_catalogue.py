"""The catalogue: every row fits its function, and values are read in the parameter's kind."""

from __future__ import annotations

import inspect

import pytest

from QSMSeparationLib import catalogue
from QSMSeparationLib.data.method import Parameter
from QSMSeparationLib.data.quantities import QUANTITIES
from QSMSeparationLib.runtime.errors import InputError

every = pytest.mark.parametrize("row", catalogue.methods(), ids=lambda row: row.name)


@every
def test_the_function_takes_maps_context_and_the_parameters_of_its_row(row):
    parameters = list(inspect.signature(row.load()).parameters.values())
    assert [p.name for p in parameters[:2]] == ["maps", "context"]
    assert {p.name for p in parameters[2:]} == {p.name for p in row.parameters}
    assert all(p.default is p.empty for p in parameters), "defaults stand in the catalogue alone"


@every
def test_defaults_are_allowed_and_needs_are_maps(row):
    assert row.parameters_for() == {p.name: p.default for p in row.parameters}
    assert set(row.needs) <= set(QUANTITIES)
    assert row.stage in catalogue.STAGES


@pytest.mark.parametrize(
    ("parameter", "text", "value"),
    [
        (Parameter("rate", 0.5, "", 0.0, 1.0), "0.25", 0.25),
        (Parameter("steps", 3, "", 1, 9), "4", 4),
        (Parameter("edges", True, ""), "no", False),
        (Parameter("edges", False, ""), "1", True),
        (Parameter("kind", "fast", "", choices=("fast", "exact")), "exact", "exact"),
    ],
)
def test_a_text_is_read_in_the_kind_of_the_parameter(parameter, text, value):
    found = parameter.checked(text)
    assert found == value
    assert type(found) is type(value)
    assert parameter.checked(value) == value


@pytest.mark.parametrize(
    ("parameter", "text"),
    [
        (Parameter("rate", 0.5, "", 0.0, 1.0), "1.5"),
        (Parameter("rate", 0.5, "", 0.0, 1.0), "nan"),
        (Parameter("rate", 0.5, "", 0.0, 1.0), "much"),
        (Parameter("steps", 3, "", 1, 9), "2.5"),
        (Parameter("edges", True, ""), "2"),
        (Parameter("kind", "fast", "", choices=("fast", "exact")), "slow"),
    ],
)
def test_other_values_are_refused_with_the_allowed_ones(parameter, text):
    with pytest.raises(InputError, match=parameter.name) as caught:
        parameter.checked(text)
    assert parameter.allowed in str(caught.value)


@pytest.mark.parametrize(
    ("maps", "b0_tesla", "name"),
    [
        ({"local_field", "net", "r2prime", "r2star"}, 3.0, "chi-sepnet-r2prime"),
        ({"net", "r2prime"}, 3.0, "closed-form"),
        ({"local_field", "net", "r2star"}, 3.0, "joint-net"),
        ({"local_field", "net", "r2star"}, 7.0, "r2star-joint"),
        ({"net", "r2star"}, 3.0, "r2star-joint"),
    ],
)
def test_the_default_separation_fits_what_there_is(maps, b0_tesla, name):
    assert catalogue.default_separation(frozenset(maps), b0_tesla) == name


class _Point:
    """An entry point of another package."""

    def __init__(self, name, loaded):
        self.name, self.value, self._loaded = name, f"{name}:rows", loaded

    def load(self):
        if isinstance(self._loaded, Exception):
            raise self._loaded
        return self._loaded


def test_rows_of_other_packages_come_last_and_bad_ones_are_told_in_a_line(monkeypatch):
    good = catalogue.Method("mine", "inversion", "Mine", ("local_field",), "somewhere:mine")
    twin = catalogue.Method("tv", "inversion", "Other", ("local_field",), "somewhere:tv")
    points = [
        _Point("a-good", good),
        _Point("b-broken", ImportError("no module\nnamed x")),
        _Point("c-twin", [twin]),
        _Point("d-odd", [3]),
    ]
    monkeypatch.setattr(catalogue, "entry_points", lambda group: points)
    catalogue._plug_ins.cache_clear()
    try:
        assert catalogue.methods("inversion")[-1] is good
        problems = catalogue.plug_in_problems()
        assert [p.split()[1] for p in problems] == ["b-broken", "c-twin", "d-odd"]
        assert all("\n" not in p for p in problems)
    finally:
        catalogue._plug_ins.cache_clear()
