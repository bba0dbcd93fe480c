"""The report: one HTML file that holds everything and needs no network."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from html import escape
from importlib import resources
from typing import Any

import numpy as np

from QSMSeparationLib import __version__
from QSMSeparationLib.lesions.results import LesionReport, LesionResult
from QSMSeparationLib.lesions.statistics import Interval
from QSMSeparationLib.report.charts import CLASS_WORDS, histogram, legend, scatter
from QSMSeparationLib.report.data import Check, ReportData
from QSMSeparationLib.report.images import SHOWN, Scene, make_scene, pack
from QSMSeparationLib.report.regions import region_section

RESEARCH_USE = (
    "For research only. Not a medical device: not for diagnosis, treatment or any decision "
    "about a patient."
)
_WORD = {"pass": "pass", "warn": "warning", "fail": "fail"}
_SIGN = {"pass": "✓", "warn": "!", "fail": "✕"}


def render_report(data: ReportData) -> str:
    """Return the report as one HTML page.

    Parameters
    ----------
    data : ReportData
        What to show.
    """
    labels = None if data.lesions is None else data.lesions.labels
    scene = make_scene(data.maps, data.mask, labels)
    titles = {
        name: SHOWN[name].title + (" (estimated)" if name in data.estimated else "")
        for name in scene.maps
    }
    script, style = _asset("report.js"), _asset("report.css")
    payload = pack(scene, titles)
    payload["lesions"] = _positions(data.lesions, scene)
    parts = {
        "csp": _policy(script, style),
        "style": style,
        "script": script,
        "data": json.dumps(payload, ensure_ascii=True).replace("<", "\\u003c"),
        "title": escape(data.title),
        "heading": escape(f"{data.title}: {data.subject}" if data.subject else data.title),
        "use": escape(RESEARCH_USE),
        "summary": _summary(data, scene),
        "checks": _checks(data),
        "lesions": _lesion_section(data.lesions),
        "regions": region_section(data.regions),
        "histograms": _histograms(scene, titles),
        "methods": _methods(data),
        "version": escape(__version__),
    }
    return _fill(_asset("report.html"), parts)


def _histograms(scene: Scene, titles: Mapping[str, str]) -> str:
    charts = (
        histogram(values[scene.mask], SHOWN[name].span, titles[name], SHOWN[name].unit)
        for name, values in scene.maps.items()
    )
    return "".join(f"<figure>{chart}</figure>" for chart in charts)


def _asset(name: str) -> str:
    return resources.files("QSMSeparationLib.report").joinpath(name).read_text(encoding="utf-8")


def _fill(template: str, parts: Mapping[str, str]) -> str:
    """Replace ``{{name}}`` in one pass, so that inserted text is never searched."""
    pieces = template.split("{{")
    page = [pieces[0]]
    for piece in pieces[1:]:
        name, _, rest = piece.partition("}}")
        page += [parts[name], rest]
    return "".join(page)


def _policy(script: str, style: str) -> str:
    """Content security policy: nothing from outside, only this script and this style."""

    def digest(text: str) -> str:
        return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()

    return (
        f"default-src 'none'; script-src 'sha256-{digest(script)}'; "
        f"style-src 'sha256-{digest(style)}'; base-uri 'none'; form-action 'none'"
    )


def _positions(report: LesionReport | None, scene: Scene) -> dict[str, list[int]]:
    """Voxel of the display nearest to the middle of each lesion, by id."""
    if report is None:
        return {}
    found = {}
    for one in report.lesions:
        index = np.rint(scene.geometry.index(np.asarray(one.centre_mm))).astype(int)
        inside = np.clip(index, 0, np.asarray(scene.geometry.shape) - 1)
        found[str(one.id)] = [int(v) for v in inside]
    return found


def _summary(data: ReportData, scene: Scene) -> str:
    lines = [f'<p class="note">{escape(note)}</p>' for note in data.notes]
    if scene.note:
        lines.append(f'<p class="note">{escape(scene.note)}</p>')
    estimated = [SHOWN[name].title if name in SHOWN else name for name in data.estimated]
    if estimated:
        lines.append(
            f'<p class="note"><strong>Estimated, not measured:</strong> {escape(", ".join(estimated))}. '
            "χ+ and χ− rest on it.</p>"
        )
    counts = {status: sum(c.status == status for c in data.checks) for status in _WORD}
    facts = [
        f"<li><strong>{counts[status]}</strong> {word}</li>"
        for status, word in (("pass", "passed"), ("warn", "warnings"), ("fail", "failed"))
        if data.checks
    ]
    tiles = (
        f'<div class="tile"><h3>Data checks</h3><ul>{"".join(facts)}</ul></div>' if facts else ""
    )
    if data.lesions is not None:
        tiles += _class_tile("Lesions in χ+", [one.para.name for one in data.lesions.lesions])
        tiles += _class_tile("Lesions in |χ−|", [one.dia.name for one in data.lesions.lesions])
    angle = scene.geometry.b0_angle_deg
    if angle > 5:
        lines.append(
            f'<p class="note">Oblique scan: slices are tilted {angle:.0f}° against the scanner; '
            "the letters mark the nearest direction.</p>"
        )
    return f'{"".join(lines)}<div class="tiles">{tiles}</div>'


def _class_tile(title: str, names: list[str]) -> str:
    items = [
        f"<li><strong>{names.count(name)}</strong> {escape(word)}</li>"
        for name, word in CLASS_WORDS.items()
        if name in names
    ]
    return f'<div class="tile"><h3>{title} ({len(names)})</h3><ul>{"".join(items)}</ul></div>'


def _checks(data: ReportData) -> str:
    if not data.checks:
        return "<p>No checks were run on these data.</p>"
    order = {"fail": 0, "warn": 1, "pass": 2}
    rows = [_check_row(one) for one in sorted(data.checks, key=lambda c: order[c.status])]
    return (
        '<div class="scroll"><table class="checks"><thead><tr><th scope="col">Result</th>'
        '<th scope="col">Check</th><th scope="col">Found</th><th scope="col">What to do</th></tr>'
        f"</thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _check_row(check: Check) -> str:
    return (
        f'<tr class="{check.status}"><td><span class="badge {check.status}">'
        f'<span aria-hidden="true">{_SIGN[check.status]}</span> {_WORD[check.status]}</span></td>'
        f'<th scope="row">{escape(check.name)}</th><td>{escape(check.finding)}</td>'
        f"<td>{escape(check.advice) or '&ndash;'}</td></tr>"
    )


_COLUMNS = (
    ("Lesion", "num"), ("Location", "text"), ("Volume [mm³]", "num"), ("Diameter [mm]", "num"),
    ("χ+", "text"), ("Δχ+ [ppb] (95 % CI)", "num"), ("|χ−|", "text"),
    ("Δ|χ−| [ppb] (95 % CI)", "num"), ("Rim", "num"), ("Longest arc", "num"), ("Vein", "num"),
)  # fmt: skip


def _lesion_section(report: LesionReport | None) -> str:
    if report is None:
        return "<p>No lesion segmentation was given.</p>"
    notes = "".join(f'<p class="note">{escape(note)}</p>' for note in report.notes)
    if not report.lesions:
        return f"{notes}<p>The segmentation holds no lesion.</p>"
    heads = "".join(
        f'<th scope="col" data-kind="{kind}"><button type="button">{escape(name)}</button></th>'
        for name, kind in _COLUMNS
    )
    rows = "".join(_lesion_row(one) for one in report.lesions)
    nawm, limits = report.nawm, report.thresholds
    caption = (
        f"Δ: core minus normal-appearing white matter (NAWM) around the lesion. NAWM of this "
        f"patient: χ+ {nawm.para_ppb:.1f}, |χ−| {nawm.dia_ppb:.1f} ppb. A lesion is not iso from a "
        f"difference of {nawm.para_limit_ppb(limits):.1f} ppb in χ+ and "
        f"{nawm.dia_limit_ppb(limits):.1f} ppb in |χ−|; a rim stands "
        f"{nawm.rim_limit_ppb(limits):.1f} ppb above core and NAWM over {100 * limits.rim_coverage:.0f} % "
        f"of the edge. Tissue: {report.tissue_source}."
    )
    return (
        f'{notes}<div class="scroll"><table id="lesions"><caption>{escape(caption)}</caption><thead><tr>'
        f"{heads}</tr></thead><tbody>{rows}</tbody></table></div>"
        f'<figure class="wide">{scatter(report)}<figcaption>{legend(report)} '
        "Grey bands: NAWM, within the limits of iso. Select a point to see the lesion.</figcaption></figure>"
    )


def _lesion_row(one: LesionResult) -> str:
    rim = one.rim
    name = "" if one.name == f"lesion {one.id}" else f" {escape(one.name)}"
    cells = (
        f'<th scope="row" data-value="{one.id}"><button type="button" class="jump" '
        f'data-lesion="{one.id}">{one.id}{name}</button></th>',
        f"<td>{escape(one.place.part or one.place.location)}</td>",
        _number(one.volume_mm3, "{:.0f}"),
        _number(one.diameter_mm, "{:.1f}"),
        _call_cell(one.para.name, one.para.confidence),
        _interval(one.contrasts["chi_para"]["core-nawm"]),
        _call_cell(one.dia.name, one.dia.confidence),
        _interval(one.contrasts["chi_dia"]["core-nawm"]),
        _number(100 * rim.coverage, "{:.0f} %"),
        _number(rim.longest_arc_deg, "{:.0f}°"),
        _number(100 * one.vein_share, "{:.0f} %"),
    )
    return f'<tr data-lesion="{one.id}">{"".join(cells)}</tr>'


def _call_cell(name: str, confidence: str) -> str:
    return (
        f'<td data-value="{escape(name)}"><span class="call {escape(name)}">{escape(CLASS_WORDS[name])}'
        f'</span> <small class="{escape(confidence.split()[0])}">{escape(confidence)}</small></td>'
    )


def _number(value: float, form: str) -> str:
    if not np.isfinite(value):
        return '<td class="num" data-value="">&ndash;</td>'
    return f'<td class="num" data-value="{value:.6g}">{form.format(value)}</td>'


def _interval(interval: Interval) -> str:
    if not np.isfinite(interval.value):
        return '<td class="num" data-value="">&ndash;</td>'
    text = f"{interval.value:+.1f}"
    if np.isfinite(interval.low):
        text += f" <small>({interval.low:+.1f} to {interval.high:+.1f})</small>"
    return f'<td class="num" data-value="{interval.value:.6g}">{text.replace("-", "−")}</td>'


def _methods(data: ReportData) -> str:
    groups = {str(name): dict(values) for name, values in data.parameters.items()}
    if data.lesions is not None:
        groups["lesion thresholds"] = dict(vars(data.lesions.thresholds))
    if data.provenance:
        groups["provenance"] = dict(data.provenance)
    return "".join(
        f"<details><summary>{escape(name)}</summary>{_pairs(values)}</details>"
        for name, values in groups.items()
    )


def _pairs(values: Mapping[str, Any]) -> str:
    rows = "".join(
        f'<tr><th scope="row">{escape(str(key))}</th><td>{_value(value)}</td></tr>'
        for key, value in values.items()
    )
    return f'<div class="scroll"><table class="pairs"><tbody>{rows}</tbody></table></div>'


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return _pairs(value)
    if isinstance(value, (list, tuple)):
        return escape(", ".join(str(one) for one in value))
    return escape(str(value))
