"""The report: one HTML file that holds everything and needs no network.

The page is a jinja2 template with automatic escaping; only the charts, which are made here, the
style, the script and the packed maps go in as they are.
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import asdict
from importlib import resources
from typing import Any

import numpy as np
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from QSMSeparationLib import __version__
from QSMSeparationLib.data.quantities import MAPS, PRESETS, SD_OF
from QSMSeparationLib.lesions.classes import CLASSES, class_words
from QSMSeparationLib.lesions.results import LesionReport
from QSMSeparationLib.lesions.statistics import Interval
from QSMSeparationLib.report.charts import histogram, scatter, swatch
from QSMSeparationLib.report.data import ReportData
from QSMSeparationLib.report.images import Scene, make_scene, pack
from QSMSeparationLib.report.regions import region_charts, region_maps, region_note

RESEARCH_USE = (
    "For research only. Not a medical device: not for diagnosis, treatment or any decision "
    "about a patient."
)
_WORDS = {"fail": "fail", "warn": "warning", "pass": "pass"}  # the worst first
_COUNTED = {"pass": "passed", "warn": "warnings", "fail": "failed"}
_OBLIQUE_DEG = 5.0
"""Tilt from which the letters of the directions are only nearly right, to the eye."""


def render_report(data: ReportData) -> str:
    """Return the report as one HTML page.

    Parameters
    ----------
    data : ReportData
        What to show.
    """
    labels = None if data.lesions is None else data.lesions.labels
    scene = make_scene(data.maps, data.mask, labels)
    titles = {name: data.map_title(name, MAPS[name].title) for name in scene.maps}
    script, style = page_script("report.js"), asset("report.css")
    payload = pack(scene, titles, data.b0_tesla) | {"presets": PRESETS}
    payload["lesions"] = _places(data.lesions, scene)
    template = environment().from_string(asset("report.html"))
    return template.render(
        policy=content_policy(script, style),
        style=Markup(style),
        script=Markup(script),
        scene=Markup(json.dumps(payload, ensure_ascii=True).replace("<", "\\u003c")),
        data=data,
        titles=titles,
        use=RESEARCH_USE,
        version=__version__,
        notes=_notes(data, scene),
        tiles=_tiles(data),
        checks=sorted(data.checks, key=lambda check: list(_WORDS).index(check.status)),
        words=_WORDS,
        signs={"pass": "✓", "warn": "!", "fail": "✕"},
        scatter=None if data.lesions is None else scatter(data.lesions),
        histograms=[
            histogram(values[scene.mask], MAPS[name], titles[name], data.b0_tesla)
            for name, values in scene.maps.items()
            if name not in SD_OF.values()
        ],
        has_sd=any(name in scene.maps for name in SD_OF.values()),
        undecided=_undecided(data.lesions),
        region_maps=region_maps(data.regions),
        region_note=region_note(),
        region_charts=region_charts(data.regions),
        groups=_groups(data),
    )


def environment() -> Environment:
    """Return the environment of all pages: what is put in is escaped, what is missing is an error."""
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "number": _number, "difference": _difference, "sortable": _sortable, "class_words": class_words
    }  # fmt: skip
    environment.globals["swatch"] = swatch
    environment.tests["a_mapping"] = lambda value: isinstance(value, dict)
    environment.tests["a_list"] = lambda value: isinstance(value, (list, tuple))
    return environment


def asset(name: str, package: str = "QSMSeparationLib.report") -> str:
    """Return a file of a page."""
    return resources.files(package).joinpath(name).read_text(encoding="utf-8")


def page_script(name: str, package: str = "QSMSeparationLib.report") -> str:
    """Return the script of a page, after what all pages share."""
    return asset("tables.js") + asset(name, package)


def content_policy(script: str, style: str, pictures: str = "") -> str:
    """Return the content security policy: nothing from outside, only this script and this style.

    ``pictures`` are sources of pictures that lie beside the page.
    """

    def digest(text: str) -> str:
        return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()

    images = f"img-src {pictures}; " if pictures else ""
    return (
        f"default-src 'none'; script-src 'sha256-{digest(script)}'; "
        f"style-src 'sha256-{digest(style)}'; {images}base-uri 'none'; form-action 'none'"
    )


def _places(report: LesionReport | None, scene: Scene) -> dict[str, dict[str, Any]]:
    """Return the voxel of the display nearest to the middle of each lesion, and its color, by id."""
    if report is None:
        return {}
    found = {}
    for one in report.lesions:
        index = np.rint(scene.geometry.index(np.asarray(one.center_mm))).astype(int)
        inside = np.clip(index, 0, np.asarray(scene.geometry.shape) - 1)
        color = CLASSES[one.para.name].color
        found[str(one.id)] = {"at": [int(v) for v in inside], "color": color}
    return found


def _notes(data: ReportData, scene: Scene) -> list[str]:
    """Return what the reader must see first."""
    notes = [*data.notes, *([scene.note] if scene.note else [])]
    angle = scene.geometry.b0_angle_deg
    if angle > _OBLIQUE_DEG:
        notes.append(
            f"Oblique scan: slices are tilted {angle:.0f}° against the scanner; "
            "the letters mark the nearest direction."
        )
    return notes


def _tiles(data: ReportData) -> list[tuple[str, list[tuple[int, str, str]]]]:
    """Return counts to begin with: title, then number, word and class of every line."""
    tiles = []
    if data.checks:
        statuses = [check.status for check in data.checks]
        counts = [(statuses.count(one), word, "") for one, word in _COUNTED.items()]
        tiles.append(("Data checks", counts))
    if data.lesions is not None:
        for source, title in (("para", "χ+"), ("dia", "|χ−|")):
            names = [getattr(one, source).name for one in data.lesions.lesions]
            counts = [
                (names.count(name), class_words(name, source), name)
                for name in CLASSES
                if name in names
            ]
            if open_calls := _undecided(data.lesions, source):
                counts.append((open_calls, "of them undecided", ""))
            tiles.append((f"Lesions in {title} ({len(names)})", counts))
    return tiles


def _undecided(report: LesionReport | None, *sources: str) -> int:
    """Return how many classes the data do not decide."""
    if report is None:
        return 0
    chosen = sources or ("para", "dia")
    return sum(getattr(one, s).decided is False for one in report.lesions for s in chosen)


def _groups(data: ReportData) -> dict[str, dict[str, Any]]:
    """Return parameters and provenance, by the heading that opens them."""
    groups = {str(name): dict(values) for name, values in data.parameters.items()}
    if data.lesions is not None:
        groups["lesion thresholds"] = asdict(data.lesions.thresholds)
    if data.provenance:
        groups["provenance"] = dict(data.provenance)
    return groups


def _number(value: float | None, form: str) -> str:
    """Return a number as text; a dash for one that is missing."""
    if value is None or not np.isfinite(value):
        return "–"
    return form.format(value).replace("-", "−")


def _difference(interval: Interval) -> tuple[str, str]:
    """Return a difference and its confidence interval as text."""
    if not np.isfinite(interval.value):
        return "–", ""
    value = f"{interval.value:+.1f}".replace("-", "−")
    if not np.isfinite(interval.low):
        return value, ""
    return value, f"({interval.low:+.1f} to {interval.high:+.1f})".replace("-", "−")


def _sortable(value: float | None) -> str:
    """Return a number for sorting; empty for one that is missing."""
    return f"{value:.6g}" if value is not None and np.isfinite(value) else ""
