"""A small result on disk with the DICOM series that it was made from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from dicom_fixtures import classic, oblique_geometry, phantom, save

from QSMSeparationLib.data.result import Result
from QSMSeparationLib.data.volume import Geometry, Volume, reorient
from QSMSeparationLib.io.derivatives import write_result
from QSMSeparationLib.io.outputs import Outputs
from QSMSeparationLib.io.tables import rows_to_csv

STUDY = "1.2.840.99999.7.1"
PATIENT = ("Müller^Zoë", "ID-77421-SECRET")
FACTS = {
    "Separation": "closed-form", "Inversion": "tv", "MagneticFieldStrength": 3.0,
    "RelaxivityPara_HzPerPpm": 114.0, "RelaxivityDia_HzPerPpm": 114.0,
    "R2primeOrigin": "measured (R2* - R2 of the spin echo)", "SoftwareVersion": "0.1",
    "Created": "2024-01-03T17:45:06+05:00",
}  # fmt: skip
HEADER = {
    "SpecificCharacterSet": "ISO_IR 100", "PatientBirthDate": "19700101", "PatientSex": "F",
    "StudyDate": "20240102", "StudyTime": "101112", "AccessionNumber": "ACC-1", "StudyID": "S1",
    "FrameOfReferenceUID": f"{STUDY}.99", "PatientPosition": "HFS", "MRAcquisitionType": "3D",
    "SequenceVariant": ["SP", "OSP"], "ReferringPhysicianName": "House^G",
}  # fmt: skip


def straight_geometry(shape=(6, 10, 8)) -> Geometry:
    """A grid along the axes of the scanner."""
    return Geometry(shape, (0.9, 1.1, 1.5), (-3.5, -40.25, 12.0))


GRIDS = {
    "straight": straight_geometry(),
    "oblique": oblique_geometry(),
    "coronal": Geometry(
        (6, 10, 8), (0.9, 1.1, 1.5), (-3.5, 10.0, 12.0), (1, 0, 0, 0, 0, 1, 0, -1, 0)
    ),
}


def lesion_labels(grid: Geometry) -> Volume:
    """Lesions 2 and 5, the second of one voxel."""
    labels = np.zeros(grid.shape, np.int16)
    labels[2:4, 3:6, 2:5] = 2
    labels[4, 6, 5] = 5
    return Volume(labels, grid, "lesions")


def small_result(grid: Geometry) -> Result:
    """Maps with a value of its own at every voxel."""
    rng = np.random.default_rng(3)
    k, j, i = np.meshgrid(*[np.linspace(-1, 1, n) for n in grid.shape], indexing="ij")
    mask = k**2 + j**2 + i**2 < 1.6
    para = (rng.uniform(0.0, 0.15, grid.shape) * mask).astype(np.float32)
    dia = (-rng.uniform(0.0, 0.1, grid.shape) * mask).astype(np.float32)
    r2star = (rng.uniform(10, 50, grid.shape) * mask).astype(np.float32)
    maps = {"net": para + dia, "chi_para": para, "chi_dia": dia, "r2star": r2star,
            "r2prime": 0.3 * r2star, "chi_para_sd": 0.1 * para}  # fmt: skip
    return Result(grid, mask, maps, facts=dict(FACTS))


def lesion_csv(result: Result, labels) -> str:
    """The lesion table of a result, with the columns that objects hold."""
    rows = []
    for number, classes in ((2, ("hyper", "hypo", "clear", "borderline")), (5, ("small",) * 2)):
        lesion = labels == number
        words = classes[2:] or ("not classified",) * 2
        rows.append({
            "id": number, "volume_mm3": lesion.sum() * result.geometry.voxel_volume_mm3,
            "class_para": classes[0], "class_dia": classes[1],
            "confidence_para": words[0], "confidence_dia": words[1], "name": f"lesion {number}",
            "location": "periventricular", "diameter_mm": 3.5,
            "para_core_minus_nawm_ppb": 12.5, "dia_core_minus_nawm_ppb": float("nan"),
            "para_lesion_mean_ppb": 1000 * result.maps["chi_para"][lesion].mean(),
            "dia_lesion_mean_ppb": -1000 * result.maps["chi_dia"][lesion].mean(),
            "net_lesion_mean_ppb": 1000 * result.maps["net"][lesion].mean(),
            "r2prime_lesion_mean_hz": result.maps["r2prime"][lesion].mean(),
        })  # fmt: skip
    return rows_to_csv(rows)


def write_small_result(folder: Path, grid: Geometry, flipped: bool = False, **facts) -> Result:
    """Write maps, labels and lesion table, on request in another order of axes, as dcm2niix does."""
    result = small_result(grid)
    result.facts |= facts
    labels = lesion_labels(grid)
    mask = Volume(result.mask.astype(np.uint8), grid, "mask")
    stored = result
    if flipped:
        turned = {n: reorient(result.volume(n)) for n in result.maps}
        mask, labels = reorient(mask), reorient(labels)
        stored = replace(
            result,
            geometry=mask.geometry,
            mask=mask.array > 0,
            maps={n: v.array for n, v in turned.items()},
        )
    with Outputs(folder) as outputs:
        write_result(stored, outputs, "sub-01", {})
        outputs.text("lesions.csv", lesion_csv(result, lesion_labels(grid).array))
        outputs.volume("sub-01_desc-lesions_dseg", labels, {})
    return result


def write_series(folder: Path, grid: Geometry, number: int = 7, **tags) -> None:
    """Write the magnitude of the scan, two echoes, with the identity of a patient."""
    magnitude, _ = phantom()
    tags = {"patient": PATIENT, "study": STUDY, **HEADER, **tags}
    images = classic(magnitude[:2], ["M", "ND"], (0.004, 0.01), grid, number, **tags)
    for n, image in enumerate(images):
        image.SOPInstanceUID = f"{image.SeriesInstanceUID}.{n + 1}"
        image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
    save(images, folder)
