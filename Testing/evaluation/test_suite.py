"""The suite: which heads it has, that it goes on where it stopped, and what its page says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from QSMSeparationLib.cli.parser import main
from QSMSeparationLib.evaluation import suite
from QSMSeparationLib.evaluation.suite import KINDS, SuitePlan
from QSMSeparationLib.evaluation.suite_page import markdown_page, summary_rows
from QSMSeparationLib.runtime.errors import InputError
from QSMSeparationLib.simulation.split import purpose_of_label_map, purpose_of_seed

SMALL = ("--kinds", "gre-only", "--heads", "1", "--voxel", "3", "--progress", "none")
METHODS = ("--methods", "closed-form", "r2star-joint", "--inversions", "tkd")


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    folder = tmp_path_factory.mktemp("suite") / "out"
    assert main(["evaluate", "--suite", str(folder), *SMALL, *METHODS]) == 0
    return folder


@pytest.mark.parametrize("people", ["figures", "settings"])
def test_people_of_the_suite_are_for_its_purpose(people):
    plan = SuitePlan((), (), people=people, label_maps=Path("heads"))
    cases = plan.cases()
    for case in cases:
        if case.person.label_map is None:
            assert purpose_of_seed(case.person.seed) == people
        else:
            assert purpose_of_label_map(Path(f"{case.person.name}.nii.gz")) == people
    heads = {kind: [c.person for c in cases if c.kind == kind] for kind in KINDS}
    assert {kind: len(own) for kind, own in heads.items()} == {
        kind: one.heads for kind, one in KINDS.items()
    }
    assert all(len(set(own)) == len(own) for own in heads.values())
    assert all(any(p.label_map for p in own) for own in heads.values())


def test_a_method_that_needs_a_spin_echo_is_left_out_without_one(ran):
    [row] = json.loads((ran / "separations.json").read_text())
    assert row["method"] == "r2star-joint"
    assert row["lesions"] > 10
    assert 0 < row["para_nrmse_percent"] < 100


def test_what_is_measured_stands_and_is_not_measured_again(ran, monkeypatch):
    before = {p: p.stat().st_mtime_ns for p in ran.glob("*/**/*") if p.is_file()}

    def fail(*args, **kwargs):
        raise AssertionError("measured again")

    with monkeypatch.context() as patch:
        patch.setattr(suite, "measure", fail)
        patch.setattr(suite, "scan_person", fail)
        assert main(["evaluate", "--suite", str(ran), *SMALL, *METHODS]) == 0
        with pytest.raises(AssertionError, match="measured again"):
            main(["evaluate", "--suite", str(ran), *SMALL, "--methods", "r2star-qsm"])
    assert before == {p: p.stat().st_mtime_ns for p in before}


def test_a_method_with_other_weights_or_parameters_is_measured_again(ran, monkeypatch):
    asked = []
    monkeypatch.setattr(
        suite, "measure", lambda *a: asked.append(a[2:4]) or {"separations": {}, "inversions": {}}
    )
    monkeypatch.setattr(suite, "_weights", lambda name, stage: {"net": "other"})
    main(["evaluate", "--suite", str(ran), *SMALL, *METHODS])
    assert asked == [(["r2star-joint"], ["tkd"])]


def test_the_page_has_a_table_a_kind_and_says_what_is_missing():
    lesions = [
        {"id": n, "true_net": 3.0 * n, "net": 1.5 * n + 2, "true_rim_contrast": None}
        for n in range(5)
    ]
    scores = {"net_demeaned_nrmse_percent": 40.0, "net_xsim": None}
    one = {
        "kind": "real",
        "separations": {},
        "inversions": {"tkd": {"scores": scores, "lesions": lesions}},
    }
    rows = summary_rows([one, one])
    [row] = rows["inversions"]
    assert row["heads"] == 2
    assert row["lesions"] == 10
    assert row["lesion_net_slope"] == pytest.approx(0.5)
    page = markdown_page(rows, "about")
    assert KINDS["real"].title in page
    assert KINDS["clean"].title not in page
    assert "| tkd | 2 | 10 | 40.0 | - |" in page


def test_what_the_suite_does_not_have_is_refused():
    with pytest.raises(InputError, match="no kind 'reel'"):
        SuitePlan((), (), kinds=("reel",))
    with pytest.raises(InputError):
        SuitePlan(("nothing",), ())


def test_cases_and_suite_do_not_go_together(tmp_path):
    assert main(["evaluate", str(tmp_path), "--suite", str(tmp_path)]) == 2
    assert main(["evaluate", "--progress", "none"]) == 2
