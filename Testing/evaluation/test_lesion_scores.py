"""Scores of lesions: slopes, rim contrast and classes, from rows whose answer is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from QSMSeparationLib.evaluation.lesions import agreement_between, summarize
from QSMSeparationLib.evaluation.metrics import line_through

CLASSES = ("hypo", "iso", "hyper", "rim", "hyper", "iso")


def rows(slope=1.0, offset=0.0, noise=0.0):
    """Return lesions whose measured values are a line of the true ones."""
    rng = np.random.default_rng(1)
    found = []
    for n, name in enumerate(CLASSES):
        row = {"case": "a", "id": n, "class_para": name, "true_class_para": name}
        row |= {"class_dia": "iso", "true_class_dia": "iso" if n else "hypo"}
        for quantity in ("para", "dia", "rim_contrast"):
            true = 10.0 + 7.0 * n
            row[f"true_{quantity}"] = true
            row[quantity] = slope * true + offset + noise * rng.normal()
        if name != "rim":
            row["true_rim_contrast"] = math.nan
        found.append(row)
    return found


def test_slope_and_correlation_are_those_of_the_line():
    summary = summarize(rows(slope=0.8, offset=5.0))
    assert summary["lesions"] == len(CLASSES)
    for label in ("lesion_para", "lesion_dia"):
        assert summary[f"{label}_slope"] == pytest.approx(0.8)
        assert summary[f"{label}_r"] == pytest.approx(1.0)
    assert math.isnan(summary["rim_contrast_slope"]), "one rim gives no line"


def test_noise_lowers_the_correlation():
    noisy = summarize(rows(noise=10.0))
    assert noisy["lesion_para_r"] < 0.98


def test_classes_are_counted_against_the_truth():
    summary = summarize(rows())
    assert summary["class_para_percent"] == 100
    assert summary["class_para_kappa"] == pytest.approx(1.0)
    assert summary["class_dia_percent"] == pytest.approx(100 * 5 / 6)


def test_methods_are_compared_lesion_by_lesion():
    first, second = rows(), rows()
    second[0]["class_para"] = "iso"
    found = agreement_between(first, second[:-1])
    assert found["lesions"] == len(CLASSES) - 1
    assert found["para_percent"] == pytest.approx(80)
    assert found["para_low_percent"] < 80 < found["para_high_percent"]


def test_a_line_needs_two_points_that_differ():
    assert all(map(math.isnan, line_through([1.0], [2.0])))
    assert all(map(math.isnan, line_through([1.0, 1.0], [2.0, 3.0])))
    slope, correlation = line_through([1.0, 2.0], [3.0, 3.0])
    assert slope == 0
    assert math.isnan(correlation)
