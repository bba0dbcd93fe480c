"""Figures in pages and model cards are those of docs/results; pages made from code hold what they must."""

from __future__ import annotations

import importlib
import re
import sys

import pytest
from source_files import ROOT

from QSMSeparationLib import catalogue


@pytest.fixture
def benchmarks(monkeypatch):
    """Return a function that imports a module of Testing/benchmarks."""
    monkeypatch.syspath_prepend(ROOT / "Testing" / "benchmarks")
    return importlib.import_module


@pytest.fixture
def hooks(monkeypatch):
    pytest.importorskip("mkdocs")
    pytest.importorskip("latex2mathml")
    monkeypatch.syspath_prepend(ROOT / "docs")
    monkeypatch.setattr(sys, "path", list(sys.path))  # the hooks add the checkout to it
    return importlib.import_module("site_hooks")


def test_figures_are_those_of_the_results(benchmarks):
    for path, text in benchmarks("pages").all_files().items():
        written = path.read_text(encoding="utf-8")
        assert written == text, f"{path.name} is old: run python Testing/benchmarks/pages.py"


def test_every_result_is_shown_and_says_what_it_was_measured_on(benchmarks):
    results = benchmarks("results")
    page = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    for name in results.names():
        table = results.load(name)
        assert f"<!-- result {name} -->" in page
        assert table["commands"]
        assert {"version", "commit", "cases"} <= set(table["measured"])
        assert table.get("by_hand") or table["collect"], f"{name}: nothing says where numbers are"
        keys = {column["key"] for column in table["columns"]}
        assert all(set(row) <= keys for row in table["rows"]), name


def test_commands_of_results_are_valid(benchmarks):
    """What a table says it was measured by is understood by the command line of today."""
    import shlex

    from QSMSeparationLib.cli.parser import build_parser

    results, parser = benchmarks("results"), build_parser()
    names = {method.name for method in catalogue.methods()}
    for name in results.names():
        for command in results.load(name)["commands"]:
            words = shlex.split(command)
            if words[0] == "qsmsep" and not {"NAME", "METHOD"} & set(words):
                parsed = parser.parse_args(words[1:])
                assert set(getattr(parsed, "methods", None) or []) <= names
            elif words[0] == "python":
                assert (ROOT / words[1]).is_file()


def test_scores_become_mean_and_sd_a_method(benchmarks):
    bench = benchmarks("bench")
    rows = [
        {"method": "a", "case": "1", "x": 1.0},
        {"method": "a", "case": "2", "x": 3.0},
        {"method": "b", "case": "1", "x": 5.0},
    ]
    assert bench.summaries(rows, ["method"]) == [
        {"method": "a", "x": [2.0, 1.0]},
        {"method": "b", "x": 5.0},
    ]


def test_lesions_become_slopes(benchmarks):
    bench = benchmarks("bench")
    rows = [
        {"method": "a", "case": "1", "true_para": t, "para": 2 * t, "true_dia": t, "dia": t / 2,
         "true_class_para": "iso", "class_para": "iso", "true_class_dia": "iso",
         "class_dia": "hypo", "true_rim_contrast": float("nan"), "rim_contrast": float("nan")}
        for t in (10.0, 20.0, 30.0, 40.0)
    ]  # fmt: skip
    [found] = bench.summaries(rows, ["method"])
    assert found["lesion_para_slope"] == pytest.approx(2.0)
    assert found["lesion_dia_slope"] == pytest.approx(0.5)
    assert (found["class_para_percent"], found["class_dia_percent"]) == (100, 0)


def test_page_of_methods_holds_every_method(hooks):
    text = hooks.methods_text()
    for method in catalogue.methods():
        if method.function.startswith("QSMSeparationLib."):
            assert f"{{ #{method.stage}-{method.name} }}" in text
            assert all(f"`{parameter.name}`" in text for parameter in method.parameters)


def test_links_to_methods_go_to_methods(hooks):
    anchors = {f"{method.stage}-{method.name}" for method in catalogue.methods()}
    for page in (ROOT / "docs").glob("*.md"):
        for stage, name in re.findall(
            r"#(background|inversion|separation)-([\w-]+)\)", page.read_text("utf-8")
        ):
            found = f"{stage}-{name}"
            assert found in anchors or found.startswith("background-removal"), (
                f"{page.name}: {found}"
            )


def test_equations_read_as_equations(hooks):
    assert hooks.equation("chi+ = (R2' + Dr- chi) / (Dr+ + Dr-)") == (
        "χ<sup>+</sup> = (R2′ + Dr<sup>−</sup> χ) / (Dr<sup>+</sup> + Dr<sup>−</sup>)"
    )
    assert hooks.equation("Dr+ p, as chi-sepnet") == "Dr<sup>+</sup> p, as chi-sepnet"
    assert hooks.equation("min sum_r |f|^2 + lambda |u|") == (
        "min Σ<sub>r</sub> |f|<sup>2</sup> + λ |u|"
    )


def test_help_of_every_command_is_on_the_page(hooks):
    from QSMSeparationLib.cli.parser import COMMANDS

    text = hooks.command_line()
    assert text.count("```text") == len(COMMANDS)
