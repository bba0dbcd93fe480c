"""The report: self-contained, escaped, right way round, and driven in a real browser."""

import base64
import gzip
import hashlib
import json
import re
import time

import numpy as np
import pytest
from lesion_phantom import phantom

from QSMSeparationLib.data.check import Check
from QSMSeparationLib.data.quantities import MAPS
from QSMSeparationLib.data.volume import Geometry, Volume
from QSMSeparationLib.lesions import analyze_lesions
from QSMSeparationLib.lesions.classes import CLASSES, class_words
from QSMSeparationLib.report.data import ReportData
from QSMSeparationLib.report.images import MOST_VALUES, make_scene
from QSMSeparationLib.report.page import render_report
from QSMSeparationLib.runtime.errors import InputError

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&{{data}}"


def scene_of(html):
    found = re.search(r'<script type="application/json" id="scene">(.*?)</script>', html, re.S)
    return json.loads(found.group(1))


def unpacked(text, shape, kind=np.uint8):
    return np.frombuffer(gzip.decompress(base64.b64decode(text)), kind).reshape(shape)


def report_data(**changed):
    maps, seg, mask, white, _ = phantom(repeat=2)
    net = maps["chi_para"].array + maps["chi_dia"].array
    r2star = (14 + 114 * (maps["chi_para"].array - maps["chi_dia"].array)).astype(np.float32)
    maps = {**maps, "net": mask.like(net), "r2star": mask.like(r2star)}
    given = {
        "maps": maps,
        "mask": mask,
        "lesions": analyze_lesions(maps, seg, mask, white),
        "checks": (
            Check("Echo times", "pass", 5, "echoes", "pass from 3"),
            Check("Phase sign", "warn", 0.4, "confidence", "pass from 0.6", "look at the veins"),
            Check("Spin echo", "fail", float("nan"), "", "", "measure one"),
        ),
        "parameters": {"separation": {"Dr+": "114 Hz/ppm"}},
        "provenance": {"inputs": {"mag.nii.gz": "ab12"}},
        "r2prime_estimated": True,
        "subject": "sub-01",
    }
    return ReportData(**{**given, **changed})


@pytest.fixture(scope="module")
def page():
    return render_report(report_data())


def test_nothing_is_loaded_from_outside(page):
    text = page.replace(json.dumps(scene_of(page)), "")
    assert not re.search(r"(?:https?:)?//[a-z0-9.-]+\.[a-z]{2,}", text, re.I)
    assert not re.search(r"<link|<iframe|<object|@import|url\(|\ssrc=|\sstyle=|\son[a-z]+=", text)


def test_the_policy_allows_only_this_script_and_this_style(page):
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page).group(1)
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    for tag in ("script", "style"):
        body = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.S)
        assert len(body) == 1
        digest = base64.b64encode(hashlib.sha256(body[0].encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy


def test_hostile_strings_stay_text():
    plain = report_data()
    lesions = plain.lesions
    renamed = type(lesions)(
        **{
            **vars(lesions),
            "lesions": tuple(type(o)(**{**vars(o), "name": HOSTILE}) for o in lesions.lesions),
            "notes": (HOSTILE,),
            "tissue_source": HOSTILE,
        }
    )
    html = render_report(
        report_data(
            lesions=renamed,
            subject=HOSTILE,
            title=HOSTILE,
            notes=(HOSTILE,),
            checks=(Check(HOSTILE, "warn", 1.0, HOSTILE, HOSTILE, HOSTILE),),
            parameters={HOSTILE: {HOSTILE: HOSTILE}},
            provenance={HOSTILE: [HOSTILE, {HOSTILE: HOSTILE}]},
        )
    )
    assert html.count("<script") == 2
    assert "<img" not in html
    assert "alert(1)&lt;/script&gt;" in html


def test_classes_are_said_in_words_that_cannot_be_misread(page):
    report = report_data().lesions
    for source in ("para", "dia"):
        for lesion in report.lesions:
            words = class_words(getattr(lesion, source).name, source)
            assert words not in ("hypo", "iso", "hyper")
            assert f"> {words}</span>" in page


def test_outlines_have_the_color_of_the_class(page):
    scene = scene_of(page)
    for lesion in report_data().lesions.lesions:
        assert scene["lesions"][str(lesion.id)]["color"] == CLASSES[lesion.para.name].color


def test_windows_are_those_of_the_table_of_maps_and_grow_with_the_field():
    for b0_tesla in (3.0, 7.0):
        for one in scene_of(render_report(report_data(b0_tesla=b0_tesla)))["maps"]:
            row = MAPS[one["name"]]
            assert one["windows"]["standard"] == list(row.window_at(b0_tesla))
            assert one["windows"]["narrow"] == list(row.window_at(b0_tesla, "narrow"))
            assert one["span"] == list(row.span_at(b0_tesla))


def test_what_must_be_said_is_said(page):
    assert "For research only" in page
    assert "Estimated, not measured" in page
    for word in (
        "Echo times",
        "look at the veins",
        "measure one",
        "not measured",
        "114 Hz/ppm",
        "ab12",
    ):
        assert word in page
    assert page.index("measure one") < page.index("look at the veins")


def test_maps_come_back_within_one_level(page):
    data = report_data()
    scene = scene_of(page)
    shape = scene["shape"]
    assert [one["name"] for one in scene["maps"]] == ["net", "chi_para", "chi_dia", "r2star"]
    for one in scene["maps"]:
        low, high = one["span"]
        levels = unpacked(one["data"], shape)
        shown = low + (levels.astype(float) - 1) / 254 * (high - low)
        wanted = data.maps[one["name"]].array * MAPS[one["name"]].scale
        assert np.abs(shown - np.clip(wanted, low, high)).max() <= (high - low) / 254
    labels = unpacked(scene["labels"], shape, "<i4")
    assert (labels == data.lesions.labels.array).all()


@pytest.mark.parametrize(
    "direction",
    [
        (1, 0, 0, 0, 1, 0, 0, 0, 1),
        (-1, 0, 0, 0, -1, 0, 0, 0, 1),
        (0, 0, -1, 1, 0, 0, 0, -1, 0),
        (0.98, 0, 0.19899749, 0, 1, 0, -0.19899749, 0, 0.98),
    ],
)
def test_left_is_left_however_the_scan_was_stored(direction):
    """A bright block in the patient's left, posterior, superior corner is shown there."""
    geometry = Geometry((20, 24, 28), (1, 1, 1), (0, 0, 0), direction)
    points = geometry.world(np.stack(np.indices(geometry.shape), axis=-1))
    middle = geometry.center_mm
    block = ((points - middle) > 3).all(axis=-1)
    array = np.where(block, 0.1, 0.0).astype(np.float32)
    volume = Volume(array, geometry)
    mask = Volume(np.ones(geometry.shape, np.uint8), geometry)
    scene = make_scene({"chi_para": volume}, mask, None)
    k, j, i = np.argwhere(scene.maps["chi_para"] > 50).mean(axis=0)
    half = (np.asarray(scene.geometry.shape) - 1) / 2
    assert i > half[2]  # columns run to the left: the right side of the screen
    assert j > half[1]  # rows run to the posterior: down
    assert k > half[0]  # slices run to the superior
    assert (
        np.abs(scene.geometry.world(np.array([k, j, i])) - points[block].mean(axis=0)).max() < 0.6
    )


def test_lesions_are_found_where_they_are_drawn(page):
    scene = scene_of(page)
    labels = unpacked(scene["labels"], scene["shape"], "<i4")
    assert all(labels[tuple(one["at"])] == int(n) for n, one in scene["lesions"].items())


def test_a_brain_of_one_millimeter_stays_below_fifteen_megabytes():
    """1.5 liters of pure noise, the worst that can be compressed."""
    shape = (140, 170, 140)
    k, j, i = (np.indices(shape) - (np.array(shape) / 2)[:, None, None, None]) / 70
    inside = (k**2 + (j / 1.2) ** 2 + i**2) < 1
    assert inside.sum() > 1_400_000
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.02, shape).astype(np.float32) * inside
    geometry = Geometry(shape)
    maps = {
        "net": Volume(noise, geometry),
        "chi_para": Volume(np.abs(noise), geometry),
        "chi_dia": Volume(-np.abs(noise), geometry),
        "r2star": Volume(20 + 100 * noise, geometry),
    }
    html = render_report(ReportData(maps, Volume(inside.astype(np.uint8), geometry)))
    assert len(html) < 15e6


def test_a_finer_brain_is_shown_coarser_and_says_so():
    shape = (225, 225, 225)
    geometry = Geometry(shape, (0.5, 0.5, 0.5))
    mask = Volume(np.ones(shape, np.uint8), geometry)
    ramp = np.broadcast_to(np.linspace(0, 0.2, 225, dtype=np.float32), shape)
    scene = make_scene({"chi_para": Volume(ramp, geometry)}, mask, None)
    assert scene.mask.size <= 1.05 * MOST_VALUES
    assert "coarser" in scene.note
    at = scene.geometry.world(np.array([10, 10, 60]))
    assert scene.maps["chi_para"][10, 10, 60] == pytest.approx(
        200 * geometry.index(at)[2] / 224, abs=1.0
    )


def test_an_empty_mask_and_an_unknown_status_are_refused():
    data = report_data()
    with pytest.raises(InputError, match="mask is empty"):
        render_report(report_data(mask=data.mask.like(np.zeros_like(data.mask.array))))
    with pytest.raises(ValueError, match="pass, warn, fail"):
        Check("x", "maybe", 1.0, "", "")


def test_a_report_without_lesions_and_with_one_map_is_complete():
    data = report_data()
    html = render_report(ReportData({"net": data.maps["net"]}, data.mask))
    assert "No lesion segmentation was given" in html


PIXELS = """
const c = document.querySelector(`canvas[data-map="${arguments[0]}"][data-plane="${arguments[1]}"]`);
const d = c.getContext("2d").getImageData(0, 0, c.width, c.height).data;
let sum = 0; for (let n = 0; n < d.length; n += 4) sum = (sum * 31 + d[n] + 2 * d[n + 1]) % 1000003;
return sum;
"""


@pytest.mark.browser
def test_slider_jump_and_windows_work_in_a_browser(browser, page, tmp_path):
    path = tmp_path / "report.html"
    path.write_text(page, encoding="utf-8")
    browser.get(path.as_uri())
    wait_for(lambda: browser.execute_script("return document.documentElement.dataset.ready"))

    def pixels(name, plane):
        browser.execute_async_script(
            "const done = arguments[0]; requestAnimationFrame(() => requestAnimationFrame(done));"
        )
        return browser.execute_script(PIXELS, name, plane)

    def set_value(selector, value):
        browser.execute_script(
            "const e = document.querySelector(arguments[0]); e.value = arguments[1];"
            "e.dispatchEvent(new Event('input', {bubbles: true}));",
            selector,
            value,
        )

    before = {key: pixels(*key) for key in (("net", "axial"), ("chi_dia", "axial"))}
    set_value("#slice-axial", 4)
    assert all(pixels(*key) != old for key, old in before.items())
    assert browser.find_element("css selector", "#slice-axial + output").text.startswith("5 of")

    old = pixels("chi_para", "coronal"), pixels("net", "coronal")
    set_value("#window-chi_para-to", 30)
    assert pixels("chi_para", "coronal") != old[0]
    assert pixels("net", "coronal") == old[1]

    scene = scene_of(page)
    button = browser.find_element("css selector", 'button.jump[data-lesion="3"]')
    browser.execute_script("arguments[0].focus()", button)
    button.send_keys("\n")
    pixels("net", "axial")
    for plane, value in zip(
        ("axial", "coronal", "sagittal"), scene["lesions"]["3"]["at"], strict=True
    ):
        slider = browser.find_element("id", f"slice-{plane}")
        assert int(slider.get_attribute("value")) == value
    assert "lesion 3" in browser.find_element("id", "readout").text
    assert browser.find_element("css selector", "tr.chosen").get_attribute("data-lesion") == "3"

    canvas = browser.find_element("css selector", 'canvas[data-map="net"][data-plane="axial"]')
    canvas.send_keys("\ue014")  # arrow right: one column to the patient's left
    pixels("net", "axial")
    moved = browser.find_element("id", "slice-sagittal").get_attribute("value")
    assert int(moved) == scene["lesions"]["3"]["at"][2] + 1

    volume = browser.find_element("css selector", "#lesions thead th:nth-child(3) button")
    browser.execute_script("arguments[0].click()", volume)
    shown = [
        float(cell.get_attribute("data-value"))
        for cell in browser.find_elements("css selector", "#lesions tbody td:nth-child(3)")
    ]
    assert shown == sorted(shown)
    # Chromium remarks that this test, not the page, reads pixels back.
    assert [e for e in browser.get_log("browser") if "readback" not in e["message"]] == []


def wait_for(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "the page did not become ready"
        time.sleep(0.1)
