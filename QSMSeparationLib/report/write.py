"""Write what a reader gets beside the maps: tables of lesions and regions, labels, report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from QSMSeparationLib.anatomy.regions import Region, measure_regions, region_table
from QSMSeparationLib.data.method import Calibration
from QSMSeparationLib.data.quantities import IN_LESIONS, IN_REPORT, MAPS, SD_OF
from QSMSeparationLib.data.result import Result
from QSMSeparationLib.data.volume import Volume, resample
from QSMSeparationLib.io.outputs import Outputs
from QSMSeparationLib.lesions import LesionReport, analyze_lesions, lesion_table
from QSMSeparationLib.lesions.location import from_freesurfer
from QSMSeparationLib.lesions.table import lesion_facts
from QSMSeparationLib.report.data import ReportData
from QSMSeparationLib.report.page import render_report
from QSMSeparationLib.runtime.progress import Progress

REPORT_FILES = ("lesions.csv", "lesions.json", "regions.csv", "report.html")
_PARAMETERS = (
    "Separation", "SeparationParameters", "Inversion", "InversionParameters", "Reference",
    "RelaxivityNote", "R2primeOrigin", "SeparationR2prime",
    "MagneticFieldStrength", "EchoTimes_s",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Reading:
    """Tables of one result.

    Parameters
    ----------
    lesions : LesionReport, optional
        Of the lesions, where a segmentation was given.
    regions : tuple of Region
        Of the labeled regions; empty where nothing was labeled.
    """

    lesions: LesionReport | None = None
    regions: tuple[Region, ...] = ()


def read(
    result: Result,
    lesions: Volume | None,
    progress: Progress,
    tissue: Volume | None = None,
    regions: tuple[Volume, list[tuple[int, str]]] | None = None,
) -> Reading:
    """Measure lesions and regions of a result.

    Parameters
    ----------
    result : Result
        The maps.
    lesions : Volume, optional
        Their segmentation.
    progress : Progress
        Receives the stages.
    tissue : Volume, optional
        Tissue map of the user in place of that of the result.
    regions : tuple, optional
        Label map of the user and its names, in place of the structures of the result.
    """
    analyzed = analyze(result, lesions, progress, tissue)
    return Reading(analyzed, measure(result, analyzed, progress, regions))


def analyze(
    result: Result, lesions: Volume | None, progress: Progress, tissue: Volume | None = None
) -> LesionReport | None:
    """Measure the lesions of a result; None without a segmentation."""
    if lesions is None:
        return None
    maps = result.measured(IN_LESIONS)
    mask = Volume(result.mask.astype(np.uint8), result.geometry, "mask")
    if tissue is None and result.anatomy is not None:
        tissue = from_freesurfer(Volume(result.anatomy, result.geometry, "anatomy-net"))
    relaxivities = {
        "dr_para": result.facts["RelaxivityPara_HzPerPpm"],
        "dr_dia": result.facts["RelaxivityDia_HzPerPpm"],
    }
    sds = {of: result.volume(sd) for of, sd in SD_OF.items() if sd in result.maps}
    calibration = Calibration(**result.facts.get("SDCalibration", {}))
    with progress.stage("lesions") as report:
        return analyze_lesions(
            maps,
            lesions,
            mask,
            tissue,
            sds=sds,
            calibration=calibration,
            report=report,
            **relaxivities,
        )


def measure(
    result: Result,
    lesions: LesionReport | None,
    progress: Progress,
    given: tuple[Volume, list[tuple[int, str]]] | None = None,
) -> tuple[Region, ...]:
    """Measure the maps of a result in labeled regions, without lesions; empty without labels."""
    if given is None and result.anatomy is None:
        return ()
    without = ~result.mask
    if lesions is not None:
        without = without | (lesions.labels.array > 0)
    maps = result.measured(IN_LESIONS)
    with progress.stage("regions"):
        if given is not None:
            labels, names = given
            labels = resample(labels, result.geometry, order=0)
            return measure_regions(maps, labels, names, without)
        assert result.anatomy is not None
        labels = Volume(result.anatomy, result.geometry, "anatomy")
        return measure_regions(maps, labels, without=without)


def write_report(
    result: Result,
    reading: Reading,
    outputs: Outputs,
    prefix: str,
    name: str,
    inputs: dict[str, str],
) -> None:
    """Write the report, and the tables of lesions (with labels) and regions where there are some.

    Parameters
    ----------
    result : Result
        The maps.
    reading : Reading
        From :func:`read`.
    outputs : Outputs
        Where to.
    prefix : str
        Start of the names of table and report; empty unless scans share a folder.
    name : str
        BIDS name of the subject.
    inputs : dict of str to str
        SHA-256 of every input.
    """
    lesions = reading.lesions
    if lesions is not None:
        outputs.text(f"{prefix}lesions.csv", lesion_table(lesions), what="lesions")
        facts = lesion_facts(lesions, {**_chosen(result), "inputs": inputs})
        outputs.json(f"{prefix}lesions.json", facts)
        labels = lesions.labels.like(lesions.labels.array.astype(np.int16))
        outputs.volume(f"{name}_desc-lesions_dseg", labels, {"Description": "lesions by id"})
    if reading.regions:
        outputs.text(f"{prefix}regions.csv", region_table(reading.regions), what="regions")
    page = render_report(_report_data(result, reading, name, inputs))
    outputs.text(f"{prefix}report.html", page, what="report")


def _report_data(result: Result, reading: Reading, name: str, inputs: dict[str, str]) -> ReportData:
    """Collect what the report shows."""
    software = {key: result.facts[key] for key in ("SoftwareVersion", "Device")}
    return ReportData(
        maps={n: result.volume(n) for n in IN_REPORT if n in result.maps},
        mask=Volume(result.mask.astype(np.uint8), result.geometry, "mask"),
        lesions=reading.lesions,
        regions=reading.regions,
        checks=result.checks,
        parameters={
            "methods": _chosen(result),
            "maps": {n: MAPS[n].description for n in result.maps},
        },
        provenance=software
        | {f"seconds: {k}": v for k, v in result.facts.get("SecondsPerStage", {}).items()}
        | {f"SHA-256 of {file}": value for file, value in inputs.items()},
        notes=result.notes,
        r2prime_estimated=result.r2prime_estimated,
        estimated_maps=("r2prime",) if result.r2prime_map_estimated else (),
        b0_tesla=float(result.facts.get("MagneticFieldStrength", 3.0)),
        subject=name,
    )


def _chosen(result: Result) -> dict[str, Any]:
    return {key: result.facts[key] for key in _PARAMETERS if key in result.facts}
