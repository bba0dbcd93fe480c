"""Tables and page over a cohort, from records whose answer is known."""

from __future__ import annotations

import time

import numpy as np
import pytest

from QSMSeparationLib.cohort.group import gather, robust_z, tsv
from QSMSeparationLib.cohort.page import render_page
from QSMSeparationLib.cohort.records import DONE, FAILED, Record
from QSMSeparationLib.cohort.visits import visit_pairs

LESIONS = "id,class_para,class_dia\n1,hyper,hypo\n2,iso,iso\n"


def record(out, number, snr=80.0, session="", **summary):
    """Return the record of a scan with a table of two lesions."""
    name = f"sub-{number:02d}" + (f"_ses-{session}" if session else "")
    folder = name.replace("_", "/") + "/anat"
    (out / folder).mkdir(parents=True)
    (out / folder / "lesions.csv").write_text(LESIONS)
    checks = [
        {"name": "SNR of the first echo", "value": snr, "status": "pass" if snr > 40 else "fail"}
    ]
    summary = {"checks": checks, "lesions": 2, "nawm": {"para_ppb": 15.0 + number}} | summary
    return Record(name, DONE, outputs=(f"{folder}/lesions.csv",), summary=summary, seconds=3.0)


@pytest.fixture
def cohort(tmp_path):
    """Twelve scans of which one is noisy, and one that failed."""
    found = [record(tmp_path, n, snr=80 + n % 3) for n in range(1, 12)]
    found.append(record(tmp_path, 12, snr=12.0, acquisition={"site": "<script>alert(1)</script>"}))
    found.append(Record("sub-13", FAILED, "sub-13: echo-2 is missing <b>"))
    return found, gather(found, tmp_path)


def test_the_scan_that_lies_far_off_is_marked_and_no_other(cohort):
    _, tables = cohort
    assert list(tables.outliers) == ["sub-12"]
    assert tables.outliers["sub-12"][0].startswith("snr of the first echo (z -")


def test_robust_z_is_that_of_a_normal_distribution_and_blind_to_few():
    values = np.random.default_rng(1).normal(10, 2, 4001)
    assert robust_z(values).std() == pytest.approx(1.0, abs=0.05)
    assert not robust_z(np.array([1.0, 2.0, 900.0])).any()
    assert not robust_z(np.ones(20)).any()


def test_rows_of_all_lesions_say_whose_they_are(cohort):
    _, tables = cohort
    assert len(tables.lesions) == 24
    assert tables.lesions[2]["participant_id"] == "sub-02"
    assert tables.lesions[2]["class_para"] == "hyper"
    assert len(tables.scans) == 13


def test_tables_have_tabs_and_na_and_a_header_even_without_rows():
    rows = [{"scan": "sub-01", "snr": None}, {"scan": "sub\t02\n", "snr": 1.0, "more": ""}]
    assert tsv(rows, ()) == "scan\tsnr\tmore\nsub-01\tn/a\tn/a\nsub 02\t1\tn/a\n"
    assert tsv([], ("scan", "id")) == "scan\tid\n"


def test_the_page_says_who_failed_and_why_and_runs_no_foreign_text(cohort):
    records, tables = cohort
    page = render_page(tables, records, ["sub-14"], "study <i>")
    assert "echo-2 is missing &lt;b&gt;" in page
    assert "study &lt;i&gt;" in page
    assert "<script>alert" not in page
    assert "sub-14" in page
    assert 'href="sub-12/anat/report.html"' in page
    assert 'loading="lazy"' in page


@pytest.mark.browser
def test_the_page_is_sorted_filtered_and_opens_a_scan_in_a_browser(browser, cohort, tmp_path):
    records, tables = cohort
    (tmp_path / "cohort.html").write_text(render_page(tables, records, [], "study"))
    (tmp_path / "sub-12/anat/report.html").write_text("<title>the report</title>")
    browser.get((tmp_path / "cohort.html").as_uri())
    assert browser.execute_script("return document.documentElement.dataset.ready") == "yes"

    def first_row():
        return browser.find_element("css selector", "#checks tbody tr td").text

    button = browser.find_element("css selector", "#checks th:nth-child(2) button")
    browser.execute_script("arguments[0].click()", button)
    assert first_row() == "sub-12"
    browser.execute_script("arguments[0].click()", button)
    assert first_row() != "sub-12"
    browser.find_element("id", "find").send_keys("sub-03")
    shown = [one for one in browser.find_elements("css selector", ".shot") if one.is_displayed()]
    assert [one.get_attribute("data-scan") for one in shown] == ["sub-03"]
    browser.find_element("id", "find").clear()
    browser.find_element("id", "find").send_keys("sub-")
    browser.execute_script("arguments[0].click()", browser.find_element("id", "odd"))
    assert browser.find_element("id", "shown").text == "1 shown"
    errors = [line for line in browser.get_log("browser") if "thumbnails" not in line["message"]]
    assert not errors  # but for pictures, which records alone do not have
    browser.execute_script(
        "arguments[0].click()", browser.find_element("css selector", ".shot.odd h3 a")
    )
    assert browser.title == "the report"


def test_visits_of_one_participant_are_paired_in_order(tmp_path):
    found = [
        record(tmp_path, 1, session="b"),
        record(tmp_path, 1, session="a"),
        record(tmp_path, 1, session="c", lesions=0),
        record(tmp_path, 2, session="a"),
        record(tmp_path, 3),
    ]
    pairs = [(a.name, b.name) for a, b in visit_pairs(found)]
    assert pairs == [("sub-01_ses-a", "sub-01_ses-b")]


def test_a_pair_of_visits_links_to_the_reports_of_both(tmp_path):
    found = [record(tmp_path, 1, session=name) for name in "ab"]
    counts = dict.fromkeys(("matched", "new", "gone", "para", "dia"), 0)
    row = {"participant": "sub-01", "scans": [one.name for one in found], **counts}
    page = render_page(gather(found, tmp_path), found, [], "study", [row])
    table = page[page.index("Change between visits") : page.index('id="scans"')]
    for session in ("ses-a", "ses-b"):
        report = f"sub-01/{session}/anat/report.html"
        assert f'<a href="{report}">{session}</a>' in table
        assert f'<a href="{report}"><img src="thumbnails/sub-01_{session}.jpg"' in table


@pytest.mark.slow
def test_two_thousand_scans_are_gathered_within_a_minute(tmp_path):
    found = [record(tmp_path, n) for n in range(2000)]
    began = time.monotonic()
    page = render_page(gather(found, tmp_path), found, [], "large")
    assert time.monotonic() - began < 60
    assert len(page) < 5e6
