"""One scan from its files to maps, tables and report: what ``run`` and every worker do."""

from __future__ import annotations

from dataclasses import dataclass

from QSMSeparationLib.cohort.labels import Labels
from QSMSeparationLib.data.result import Result
from QSMSeparationLib.io.bids_names import table_prefix
from QSMSeparationLib.io.derivatives import planned_names, write_result
from QSMSeparationLib.io.files import input_hashes
from QSMSeparationLib.io.found import FoundScan
from QSMSeparationLib.io.label_maps import read_label_map
from QSMSeparationLib.io.nifti import read_labels
from QSMSeparationLib.io.outputs import Outputs
from QSMSeparationLib.lesions.location import from_freesurfer
from QSMSeparationLib.pipeline.options import Options
from QSMSeparationLib.pipeline.reconstruct import reconstruct
from QSMSeparationLib.report.write import REPORT_FILES, Reading, read, write_report
from QSMSeparationLib.runtime.progress import Progress


@dataclass(frozen=True, eq=False)
class Written:
    """What came of a scan: its maps and tables."""

    result: Result
    reading: Reading


def process_scan(
    found: FoundScan,
    options: Options,
    labels: Labels,
    outputs: Outputs,
    keep: bool,
    progress: Progress,
) -> Written:
    """Read, reconstruct, separate and write one scan; its files appear together at the end.

    Parameters
    ----------
    found : FoundScan
        Which scan.
    options : Options
        Methods and their parameters.
    labels : Labels
        Lesions and other labels.
    outputs : Outputs
        The folder of its maps.
    keep : bool
        Whether intermediate maps are written, too.
    progress : Progress
        Receives the stages.
    """
    with progress.stage("reading") as report:
        scan = found.read(report)
    result = reconstruct(scan, options, progress)
    lesions = None if labels.lesions is None else read_labels(labels.lesions)
    tissue = None if labels.tissue is None else from_freesurfer(read_labels(labels.tissue))
    regions = None if labels.regions is None else read_label_map(labels.regions)
    reading = read(result, lesions, progress, tissue, regions)
    inputs = scan.inputs | input_hashes(vars(labels), beside=scan.inputs)
    with outputs, progress.stage("writing"):
        write_result(result, outputs, scan.name, inputs, keep)
        write_report(result, reading, outputs, table_prefix(scan.name), scan.name, inputs)
    return Written(result, reading)


def planned_files(name: str) -> list[str]:
    """Return the files of a scan that must not exist yet."""
    prefix = table_prefix(name)
    maps = planned_names(name, ["net", "chi_para", "chi_dia", "mask"])
    return [*maps, *(f"{prefix}{file}" for file in REPORT_FILES)]


def findings(result: Result, name: str) -> str:
    """Return the notes on a scan, and the checks that did not pass, a line each."""
    lines = [f"{name}: {note}" for note in result.notes]
    lines += [
        f"{name}: {check.status.upper()} {check.name} {check.value:.3g} {check.unit} "
        f"({check.limits}): {check.advice}"
        for check in result.checks
        if check.status != "pass"
    ]
    return "\n".join(lines)
