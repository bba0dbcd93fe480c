"""A simulated scan as a BIDS dataset with its truth under ``derivatives/truth``."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from QSMSeparationLib.data.quantities import MAPS
from QSMSeparationLib.data.scan import Scan
from QSMSeparationLib.data.volume import Volume
from QSMSeparationLib.io.derivatives import SIGN_CONVENTION, anat_prefix
from QSMSeparationLib.io.description import DESCRIPTION, describe_dataset
from QSMSeparationLib.io.outputs import Outputs
from QSMSeparationLib.io.tables import rows_to_csv
from QSMSeparationLib.simulation.scanner import Truth
from QSMSeparationLib.simulation.tissues import LABELS

TRUTH_FOLDER = "derivatives/truth"
PHASE_UNITS = ("rad", "integer")


def write_dataset(
    scan: Scan,
    truth: Truth,
    lesion_rows: list[dict[str, Any]],
    outputs: Outputs,
    phase_unit: str = "rad",
) -> dict[str, str]:
    """Write scan and truth; return the SHA-256 of the scan's files by their names.

    Parameters
    ----------
    scan, truth : Scan, Truth
        From :func:`QSMSeparationLib.simulation.scanner.simulate_scan`.
    lesion_rows : list of dict
        Truth of every lesion.
    outputs : Outputs
        The folder of the dataset.
    phase_unit : {"rad", "integer"}
        Radians as float32, or integers 0 to 4095 for -pi to pi as Siemens scanners store.
    """
    anat = anat_prefix(scan.name)
    _write_echoes(scan, truth, anat, outputs, phase_unit)
    if scan.spin_echo is not None:
        for n, te in enumerate(scan.spin_echo.echo_times_s):
            volume = Volume(scan.spin_echo.magnitude[n], scan.spin_echo.geometry)
            facts = _sequence(scan, te) | {"RefocusingFlipAngle": 180}
            outputs.volume(f"{anat}_echo-{n + 1}_MESE", volume, facts)
    hashes = outputs.hashes()
    raw = describe_dataset("QSMSeparation digital head with MS lesions", "raw")
    outputs.json(DESCRIPTION, raw)
    of_truth = describe_dataset("truth of the digital head", "derivative")
    outputs.json(f"{TRUTH_FOLDER}/{DESCRIPTION}", of_truth)
    _write_truth(truth, lesion_rows, f"{TRUTH_FOLDER}/{anat}", outputs)
    return hashes


def phase_integers(phase_rad: NDArray[np.float32]) -> NDArray[np.int16]:
    """Store phase in radians as integers 0 to 4095 that span -pi to pi."""
    steps = np.rint((phase_rad + math.pi) * (4096 / (2 * math.pi))).astype(np.int16)
    return np.mod(steps, 4096).astype(np.int16)


def _write_echoes(scan: Scan, truth: Truth, anat: str, outputs: Outputs, phase_unit: str) -> None:
    facts = {
        "RepetitionTime": truth.protocol.tr_s,
        "RepetitionTimeExcitation": truth.protocol.tr_s,
        "FlipAngle": truth.protocol.flip_deg,
    }
    for n, te in enumerate(scan.echo_times_s):
        stem = f"{anat}_echo-{n + 1}_part"
        magnitude = Volume(scan.magnitude[n], scan.geometry)
        outputs.volume(f"{stem}-mag_MEGRE", magnitude, _sequence(scan, te) | facts)
        phase = scan.phase_rad[n]
        extra: dict[str, Any] = {"Units": "rad"}
        if phase_unit == "integer":
            phase = phase_integers(phase)
            extra = {"Units": "arbitrary", "Manufacturer": "Siemens"}
        sidecar = _sequence(scan, te) | facts | extra
        outputs.volume(f"{stem}-phase_MEGRE", Volume(phase, scan.geometry), sidecar)


def _write_truth(
    truth: Truth, lesion_rows: list[dict[str, Any]], prefix: str, outputs: Outputs
) -> None:
    common = {
        "SignConvention": SIGN_CONVENTION,
        "Simulation": asdict(truth.protocol),
        "Realism": truth.realism,
    }
    for name, array in truth.maps.items():
        row = MAPS[name]
        content = common | {"Units": row.unit, "Description": f"true {row.description}"}
        outputs.volume(f"{prefix}_{row.bids}", Volume(array, truth.geometry), content)
    mask = Volume(truth.mask.astype(np.uint8), truth.geometry)
    outputs.volume(f"{prefix}_desc-brain_mask", mask, common)
    labels = {str(number): name for number, name in LABELS.items()}
    tissue = Volume(truth.labels, truth.geometry)
    outputs.volume(f"{prefix}_desc-tissue_dseg", tissue, common | {"Labels": labels})
    lesions = Volume(truth.lesions, truth.geometry)
    ages = {str(number): age for number, age in truth.ages.items()}
    outputs.volume(f"{prefix}_desc-lesions_dseg", lesions, common | {"Ages": ages})
    outputs.text(f"{prefix}_lesions.csv", rows_to_csv(lesion_rows))


def _sequence(scan: Scan, echo_time_s: float) -> dict[str, Any]:
    return {"EchoTime": echo_time_s, "MagneticFieldStrength": scan.b0_tesla, "Modality": "MR"}
