"""Take a raw scan through the whole chain: wrapped phase to chi+, chi-, net chi and a report.

    python examples/run_pipeline.py SOURCE OUT    a BIDS or DICOM folder
    python examples/run_pipeline.py OUT           a small simulated head

The command line does the same: qsmsep run SOURCE OUT
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from example_head import scan_small_head

from QSMSeparationLib.data.scan import Scan
from QSMSeparationLib.io.derivatives import write_result
from QSMSeparationLib.io.outputs import Outputs
from QSMSeparationLib.io.source import find_scans
from QSMSeparationLib.pipeline.options import Options
from QSMSeparationLib.pipeline.reconstruct import reconstruct
from QSMSeparationLib.report.write import Reading, write_report
from QSMSeparationLib.runtime.progress import Progress, TextSink, silent


def scans_of(source: str | None) -> Iterator[Scan]:
    """Read the scans of a folder one at a time, or simulate one."""
    if source is None:
        yield scan_small_head()[0]
    else:
        yield from (found.read(silent) for found in find_scans(source))


def main(*arguments: str) -> None:
    """Reconstruct every scan; write maps with sidecars, and the report."""
    *source, out = arguments
    for scan in scans_of(*(source or [None])):
        result = reconstruct(scan, Options(method="closed-form"), Progress(TextSink()))
        for check in result.checks:
            print(f"{check.status:5} {check.name}: {check.value:.3g} {check.unit}")
        with Outputs(Path(out) / scan.name, overwrite=True) as outputs:
            write_result(result, outputs, scan.name, scan.inputs)
            write_report(result, Reading(), outputs, "", scan.name, scan.inputs)
        print(f"{Path(out) / scan.name / 'report.html'}")


if __name__ == "__main__":
    main(*sys.argv[1:])
