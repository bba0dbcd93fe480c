"""What a reader gets beside the maps: lesion table, lesion labels, report page."""

from __future__ import annotations

from typing import Any

import numpy as np

from QSMSeparationLib.data.quantities import MAPS
from QSMSeparationLib.data.result import Result
from QSMSeparationLib.data.volume import Volume
from QSMSeparationLib.io.outputs import Outputs
from QSMSeparationLib.lesions import LesionReport, analyse_lesions, lesion_table
from QSMSeparationLib.lesions.table import lesion_facts
from QSMSeparationLib.report.data import Check, ReportData
from QSMSeparationLib.report.page import render_report
from QSMSeparationLib.runtime.progress import Progress

LESION_MAPS = ("chi_para", "chi_dia", "net", "r2star", "r2prime", "r2")
READING_FILES = ("lesions.csv", "lesions.json", "report.html")
_REPORT_MAPS = ("net", "chi_para", "chi_dia", "r2star", "r2prime")
_PARAMETERS = (
    "Separation", "SeparationParameters", "Inversion", "InversionParameters", "Reference",
    "RelaxivityNote", "R2primeOrigin", "MagneticFieldStrength", "EchoTimes_s",
)  # fmt: skip


def analyse(result: Result, lesions: Volume | None, progress: Progress) -> LesionReport | None:
    """Measure the lesions of a result; None without a segmentation."""
    if lesions is None:
        return None
    maps = {name: result.volume(name) for name in LESION_MAPS if name in result.maps}
    mask = Volume(result.mask.astype(np.uint8), result.geometry, "mask")
    relaxivities = {
        "dr_para": result.facts["RelaxivityPara_HzPerPpm"],
        "dr_dia": result.facts["RelaxivityDia_HzPerPpm"],
    }
    with progress.stage("lesions") as report:
        return analyse_lesions(maps, lesions, mask, report=report, **relaxivities)


def write_reading(
    result: Result,
    lesions: LesionReport | None,
    outputs: Outputs,
    prefix: str,
    name: str,
    inputs: dict[str, str],
) -> None:
    """Write the report, and the lesion table with its labels where there are lesions.

    Parameters
    ----------
    result : Result
        The maps.
    lesions : LesionReport or None
        From :func:`analyse`.
    outputs : Outputs
        Where to.
    prefix : str
        Start of the names of table and report; empty unless scans share a folder.
    name : str
        BIDS name of the subject.
    inputs : dict of str to str
        SHA-256 of every input.
    """
    if lesions is not None:
        outputs.text(f"{prefix}lesions.csv", lesion_table(lesions), what="lesions")
        facts = lesion_facts(lesions, {**_chosen(result), "inputs": inputs})
        outputs.json(f"{prefix}lesions.json", facts)
        labels = lesions.labels.like(lesions.labels.array.astype(np.int16))
        outputs.volume(f"{name}_desc-lesions_dseg", labels, {"Description": "lesions by id"})
    page = render_report(_report_data(result, lesions, name, inputs))
    outputs.text(f"{prefix}report.html", page, what="report")


def _report_data(
    result: Result, lesions: LesionReport | None, name: str, inputs: dict[str, str]
) -> ReportData:
    """Collect what the report shows."""
    rows = [c.as_dict() | {"value": c.value} for c in result.checks]
    order = ("name", "status", "value", "unit", "limits", "advice")
    software = {key: result.facts[key] for key in ("SoftwareVersion", "Device")}
    return ReportData(
        maps={n: result.volume(n) for n in _REPORT_MAPS if n in result.maps},
        mask=Volume(result.mask.astype(np.uint8), result.geometry, "mask"),
        lesions=lesions,
        checks=[Check.of_number(*(row[key] for key in order)) for row in rows],
        parameters={
            "methods": _chosen(result),
            "maps": {n: MAPS[n].description for n in result.maps},
        },
        provenance=software
        | {f"seconds: {k}": v for k, v in result.facts.get("SecondsPerStage", {}).items()}
        | {f"SHA-256 of {file}": value for file, value in inputs.items()},
        notes=result.notes,
        subject=name,
    )


def _chosen(result: Result) -> dict[str, Any]:
    return {key: result.facts[key] for key in _PARAMETERS if key in result.facts}
