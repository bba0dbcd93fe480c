"""With SDs of the maps a reader is told which classes the data decide."""

import csv
import io

import numpy as np
import pytest
from lesion_phantom import phantom

from QSMSeparationLib.data.method import Calibration
from QSMSeparationLib.lesions import analyze_lesions, lesion_table
from QSMSeparationLib.lesions.classify import classify
from QSMSeparationLib.lesions.statistics import Interval
from QSMSeparationLib.runtime.errors import InputError

LIMIT = 10.0


def decision(value_ppb: float, sd_ppb: float) -> bool | None:
    half = 1.96 * sd_ppb
    interval = Interval(value_ppb, value_ppb - half, value_ppb + half)
    return classify(interval, LIMIT, 3.0, errors_known=True).decided


@pytest.mark.parametrize(
    ("value", "decided"), [(0, True), (8, False), (10, False), (-10, False), (20, True)]
)
def test_a_value_on_a_limit_is_undecided_and_one_far_from_it_is_not(value, decided):
    assert decision(value, 5.0) is decided


def test_the_likeliest_class_is_named_even_where_the_data_do_not_decide():
    found = classify(Interval(-10.5, -20, -1), LIMIT, 3.0, errors_known=True)
    assert (found.name, found.decided, found.confidence) == ("hypo", False, "borderline")


def report(sd_ppm: float | None, **law: float):
    maps, seg, mask, white, _ = phantom(repeat=1)
    sds = None
    if sd_ppm is not None:
        sd = maps["chi_para"].like(np.full_like(maps["chi_para"].array, sd_ppm))
        sds = {"chi_para": sd, "chi_dia": sd}
    return analyze_lesions(maps, seg, mask, white, sds=sds, calibration=Calibration(**law))


def table(found) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(lesion_table(found))))


def test_without_sds_nothing_is_said_of_decisions_and_classes_stay():
    plain, sure = table(report(None)), table(report(1e-6))
    assert {row["decided_para"] for row in plain} == {""}
    assert {row["decided_para"] for row in sure} <= {"yes", "no"}
    for column in ("class_para", "class_dia"):
        assert [row[column] for row in plain] == [row[column] for row in sure]


def test_the_less_sure_the_maps_the_wider_the_intervals_and_the_fewer_the_decisions():
    width, decided = [], []
    for sd in (0.001, 0.01, 0.1):
        rows = table(report(sd))
        start = "dia_core_minus_nawm"
        width.append(np.mean([float(r[f"{start}_high"]) - float(r[f"{start}_low"]) for r in rows]))
        decided.append(sum(r["decided_dia"] == "yes" for r in rows))
    assert width == sorted(width)
    assert decided[0] > decided[2] == 0


def test_errors_that_cancel_between_neighbors_decide_more():
    alike, alone = (table(report(0.01, floor=0.5, power=0.1, contrast=c)) for c in (0.2, 1.0))
    counts = [sum(r["decided_para"] == "yes" for r in rows) for rows in (alike, alone)]
    assert counts[0] > counts[1]


def test_sds_of_one_source_alone_are_refused():
    maps, seg, mask, white, _ = phantom(repeat=1)
    with pytest.raises(InputError, match="chi_dia"):
        analyze_lesions(maps, seg, mask, white, sds={"chi_para": maps["chi_para"]})
