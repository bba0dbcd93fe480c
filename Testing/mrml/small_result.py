"""A small result as a run writes it: a ball of tissue with three lesions on a tilted grid."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from QSMSeparationLib.data.result import Result
from QSMSeparationLib.data.volume import Geometry, Volume
from QSMSeparationLib.io.derivatives import write_result
from QSMSeparationLib.io.outputs import Outputs

_TILT = (1, 0, 0, 0, 0.8, -0.6, 0, 0.6, 0.8)
GEOMETRY = Geometry((24, 28, 26), (1.5, 1.3, 2.0), (4.25, -5.5, 6.125), _TILT)
CENTERS = {1: (12, 10, 8), 2: (10, 18, 15), 5: (14, 12, 18)}  # k, j, i
CLASSES = {1: ("rim", "hypo"), 2: ("hyper", "iso"), 5: ("iso", "hypo")}
REPORT = '<html><body>a report with "quotes" &amp; χ</body></html>\n'


def ball(center: tuple[int, ...], radius: float) -> np.ndarray:
    """Return voxels within a radius."""
    grid = np.meshgrid(*[np.arange(n) for n in GEOMETRY.shape], indexing="ij")
    return sum((a - c) ** 2 for a, c in zip(grid, center, strict=True)) <= radius**2


def small_result(b0_tesla: float = 3.0, **facts: str) -> Result:
    """Return maps with all that a sidecar says."""
    mask = ball((12, 14, 13), 10)
    noise = np.random.default_rng(3).normal(0, 0.002, GEOMETRY.shape)
    para = (0.02 * mask + 0.06 * ball(CENTERS[1], 2) + np.abs(noise) * mask).astype(np.float32)
    dia = (-0.03 * mask + 0.02 * ball(CENTERS[2], 2)).astype(np.float32)
    result = Result(GEOMETRY, mask)
    result.maps = {"net": para + dia, "chi_para": para, "chi_dia": dia}
    result.maps["r2star"] = (114 * (para - dia) + 14 * mask).astype(np.float32)
    result.maps["r2prime"] = (114 * (para - dia)).astype(np.float32)
    result.maps |= {f"chi_{source}_sd": np.float32(0.004) * mask for source in ("para", "dia")}
    result.notes = ['a note with "quotes" and χ']
    result.facts = {
        "Separation": "closed-form",
        "SoftwareVersion": "0.1.0",
        "MagneticFieldStrength": b0_tesla,
        "RelaxivityPara_HzPerPpm": 114.0,
        "R2primeOrigin": "measured (R2* - R2 of the spin echo)",
        "SeparationR2prime": "measured",
    } | facts
    return result


def lesion_labels() -> np.ndarray:
    """Return three balls with the labels 1, 2 and 5."""
    labels = np.zeros(GEOMETRY.shape, np.int16)
    for number, center in CENTERS.items():
        labels[ball(center, 2)] = number
    return labels


def lesion_csv() -> str:
    """Return a table as it is written for the lesions."""
    header = (
        "id,volume_mm3,class_para,class_dia,confidence_para,name,centre_x_lps_mm,centre_y_lps_mm,"
    )
    header += "centre_z_lps_mm,n_voxels,para_core_mean_ppb"
    lines = [header]
    for number, center in CENTERS.items():
        x, y, z = GEOMETRY.world(np.array(center, dtype=float))
        para, dia = CLASSES[number]
        value = "" if number == 5 else "36.25"
        lines.append(
            f"{number},128.7,{para},{dia},clear,lesion {number},{x:.6g},{y:.6g},{z:.6g},33,{value}"
        )
    return "\n".join(lines) + "\n"


def write_small_result(
    folder: Path, b0_tesla: float = 3.0, lesions: bool = True, **facts: str
) -> Result:
    """Write all files of a run into a folder."""
    result = small_result(b0_tesla, **facts)
    outputs = Outputs(folder)
    with outputs:
        write_result(result, outputs, "sub-01", {"field.nii.gz": "0" * 64})
        outputs.text("report.html", REPORT)
        if lesions:
            outputs.text("lesions.csv", lesion_csv())
            labels = Volume(lesion_labels(), GEOMETRY)
            outputs.volume("sub-01_desc-lesions_dseg", labels, {"Description": "lesions"})
    return result
