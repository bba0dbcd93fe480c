"""The lesion table, ``lesions.csv``, and what its numbers rest on, ``lesions.json``.

The table's first columns are ``id, volume_mm3, class_para, class_dia``; then one row a
lesion. The facts beside it hold every threshold and reference value by key, so that the
table can be made again from the same maps. Numbers use a point, missing values are empty.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

from QSMSeparationLib import __version__
from QSMSeparationLib.data.quantities import MAPS
from QSMSeparationLib.io.tables import csv_text, one_line, rows_to_csv
from QSMSeparationLib.lesions.classify import Thresholds
from QSMSeparationLib.lesions.results import COMPARTMENTS, LesionReport, LesionResult
from QSMSeparationLib.runtime.errors import InputError

FIRST_COLUMNS = ("id", "volume_mm3", "class_para", "class_dia")
_DECIDED = {True: "yes", False: "no", None: ""}
_NUMBERS = ("mean", "sd", "median", "p5", "p95")


def lesion_rows(report: LesionReport) -> list[dict[str, Any]]:
    """Return one flat row a lesion, columns in the order of the table."""
    return [_row(lesion) for lesion in report.lesions]


def lesion_table(report: LesionReport) -> str:
    """Return the text of ``lesions.csv``."""
    rows = lesion_rows(report)
    return rows_to_csv(rows) or csv_text(FIRST_COLUMNS, ())


def lesion_facts(report: LesionReport, about: Mapping[str, Any] | None = None) -> dict[str, str]:
    """Return what the table's numbers rest on, as text by key.

    Parameters
    ----------
    report : LesionReport
        What was measured.
    about : mapping, optional
        More facts: methods, input files and their hashes.
    """
    return {key: one_line(str(value)) for key, value in _header(report, about or {})}


def thresholds_from_facts(facts: Mapping[str, str]) -> Thresholds:
    """Return the thresholds that a table was made with."""
    known = {one.name: type(one.default) for one in fields(Thresholds)}
    values = {}
    for name, kind in known.items():
        text = facts.get(f"threshold.{name}")
        if text is None:
            continue
        try:
            values[name] = kind(text)
        except ValueError:
            raise InputError(f"threshold.{name} beside the table is no number: {text}") from None
    return Thresholds(**values)


def _header(report: LesionReport, about: Mapping[str, Any]) -> list[tuple[str, Any]]:
    geometry = report.labels.geometry
    nawm = {f"nawm.{key}": value for key, value in asdict(report.nawm).items()}
    limits = {
        "limit.para_ppb": report.nawm.para_limit_ppb(report.thresholds),
        "limit.dia_ppb": report.nawm.dia_limit_ppb(report.thresholds),
        "limit.rim_ppb": report.nawm.rim_limit_ppb(report.thresholds),
    }
    thresholds = {f"threshold.{key}": value for key, value in asdict(report.thresholds).items()}
    facts = {
        "QSMSeparation": __version__,
        "use": "research only, not for diagnosis",
        "convention": "chi in ppb; dia columns are |chi-|; contrasts are differences of means "
        "with 95 % intervals: block bootstrap, with the SD of the maps where they have one; SD with n - 1",
        "grid": f"{geometry.shape[::-1]} voxels of {geometry.spacing_mm} mm",
        "tissue": report.tissue_source,
        "dr_para_hz_per_ppm": report.dr_para,
        "dr_dia_hz_per_ppm": report.dr_dia,
    }
    notes = {f"note.{n}": note for n, note in enumerate(report.notes, start=1)}
    return [
        (key, value)
        for part in (facts, about, thresholds, nawm, limits, notes)
        for key, value in part.items()
    ]


def _row(lesion: LesionResult) -> dict[str, Any]:
    row: dict[str, Any] = {
        "id": lesion.id,
        "volume_mm3": lesion.volume_mm3,
        "class_para": lesion.para.name,
        "class_dia": lesion.dia.name,
        "confidence_para": lesion.para.confidence,
        "confidence_dia": lesion.dia.confidence,
        "decided_para": _DECIDED[lesion.para.decided],
        "decided_dia": _DECIDED[lesion.dia.decided],
        "z_para": lesion.para.z,
        "z_dia": lesion.dia.z,
        "distance_to_threshold_para_ppb": lesion.para.distance_ppb,
        "distance_to_threshold_dia_ppb": lesion.dia.distance_ppb,
        "name": lesion.name,
        "location": lesion.place.location,
        "part": lesion.place.part,
        "to_ventricle_mm": lesion.place.to_ventricle_mm,
        "to_cortex_mm": lesion.place.to_cortex_mm,
        "diameter_mm": lesion.diameter_mm,
        "largest_diameter_mm": lesion.largest_mm,
        "n_voxels": lesion.n_voxels,
    }
    for axis, value in zip("xyz", lesion.center_mm, strict=True):
        row[f"centre_{axis}_lps_mm"] = value
    row["reference"] = lesion.reference
    row.update(_rim_columns(lesion))
    for name, by_label in lesion.contrasts.items():
        for label, interval in by_label.items():
            start = f"{MAPS[name].column}_{label.replace('-', '_minus_')}"
            row[f"{start}_ppb"] = interval.value
            row[f"{start}_low"] = interval.low
            row[f"{start}_high"] = interval.high
    for name, by_part in lesion.statistics.items():
        for part in COMPARTMENTS:
            start = f"{MAPS[name].column}_{part}"
            row[f"{start}_n"] = by_part[part].n
            for number in _NUMBERS:
                row[f"{start}_{number}_{MAPS[name].unit_on_screen.lower()}"] = getattr(
                    by_part[part], number
                )
    return row


def _rim_columns(lesion: LesionResult) -> dict[str, Any]:
    rim = lesion.rim
    at = lesion.sectors_mm or (float("nan"),) * 3
    return {
        "rim_coverage": rim.coverage,
        "rim_judged": rim.judged,
        "rim_longest_arc_deg": rim.longest_arc_deg,
        "rim_consecutive_slices": rim.slices,
        "rim_contrast_ppb": rim.contrast_ppb,
        # A letter first: a cell that begins with a sign is a formula to spreadsheets.
        "rim_sectors": f"s{rim.sectors}" if rim.sectors else "",
        **{f"rim_{axis}_lps_mm": value for axis, value in zip("xyz", at, strict=True)},
        "vein_share": lesion.vein_share,
        "infeasible_share": lesion.infeasible_share,
        "clipped_share": lesion.clipped_share,
    }
