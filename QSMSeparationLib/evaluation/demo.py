"""The demonstration: a digital head with MS lesions through the whole chain, against truth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from QSMSeparationLib.data.result import Result
from QSMSeparationLib.data.volume import Volume
from QSMSeparationLib.evaluation.evaluate import markdown_table, score, score_field
from QSMSeparationLib.io.derivatives import anat_folder, write_result
from QSMSeparationLib.io.description import describe_results
from QSMSeparationLib.io.outputs import Outputs
from QSMSeparationLib.io.tables import rows_to_csv
from QSMSeparationLib.pipeline.options import Options
from QSMSeparationLib.pipeline.reconstruct import reconstruct
from QSMSeparationLib.report.figures import comparison_figure, save_figure
from QSMSeparationLib.report.write import read, write_report
from QSMSeparationLib.runtime.progress import Progress
from QSMSeparationLib.simulation.dataset import write_dataset
from QSMSeparationLib.simulation.protocol import Protocol
from QSMSeparationLib.simulation.realism import Realism
from QSMSeparationLib.simulation.scanner import Truth
from QSMSeparationLib.simulation.simulate import STANDARD_SPIN_ECHO_S, scan_person

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DATASET = "dataset"
PICTURE = "demo.png"


def run_demo(
    seed: int,
    voxel_mm: float,
    options: Options,
    outputs: Outputs,
    name: str,
    progress: Progress,
    keep: bool = False,
) -> dict[str, str]:
    """Simulate, reconstruct, separate, measure and draw; returns what was written.

    Parameters
    ----------
    seed : int
        Which person.
    voxel_mm : float
        Voxel size of the scan.
    options : Options
        Methods and their parameters.
    outputs : Outputs
        The folder: ``dataset/`` is the raw scan with its truth, the rest is what
        ``qsmsep run`` writes, with ``scores.csv`` and a picture beside the truth.
    name : str
        BIDS name of the subject.
    progress : Progress
        Receives the stages.
    keep : bool
        Write intermediate maps, too.
    """
    outputs.refuse_existing([PICTURE, DATASET, name.split("_")[0]])
    protocol = Protocol(voxel_mm=(voxel_mm,) * 3, spin_echo_times_s=STANDARD_SPIN_ECHO_S, seed=seed)
    # Level 0: its maps stay comparable from version to version, and what is wrong in a result is
    # the method's fault. 'qsmsep simulate' makes heads as real ones are.
    scan, truth, lesions = scan_person(seed, protocol, name, progress, realism=Realism.of(0))
    result = reconstruct(scan, options, progress.part())
    row: dict[str, Any] = {"case": name, "inputs": "pipeline", "method": result.facts["Separation"]}
    row |= {"inversion": options.inversion} | score(result, truth)
    row |= score_field(result, truth)
    segmentation = Volume(truth.lesions, truth.geometry, "true lesions")
    reading = read(result, segmentation, progress)
    data, maps = outputs.at(DATASET), outputs.at(anat_folder(name))
    with data, maps, outputs, progress.stage("writing"):
        inputs = write_dataset(scan, truth, lesions, data)
        write_result(result, maps, name, inputs, keep)
        write_report(result, reading, maps, "", name, inputs)
        outputs.text("scores.csv", rows_to_csv([row]), what="scores")
        save_figure(_picture(result, truth), outputs.path(PICTURE, "picture"))
    describe_results(outputs.folder)
    progress.message(markdown_table([row]))
    return maps.written | outputs.written


def _picture(result: Result, truth: Truth) -> Figure:
    maps = {"result": result.maps, "truth": truth.maps}
    return comparison_figure(maps, truth.geometry, truth.mask, truth.lesions)
