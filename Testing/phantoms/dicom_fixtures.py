"""Small DICOM scans as the vendors write them, from one phantom."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from QSMSeparationLib.data.volume import Geometry

MR_IMAGE = "1.2.840.10008.5.1.4.1.1.4"
ENHANCED_MR = "1.2.840.10008.5.1.4.1.1.4.1"
TIMES_S = (0.004, 0.010, 0.016)
PATIENT = ("Quackenbush^Zelda", "ID-77421-SECRET")
STEP = 2 * np.pi / 4096


def phantom(times_s=TIMES_S, shape=(6, 10, 8)):
    """Magnitude (whole numbers) and wrapped phase; an ellipsoid in noise that fills the circle."""
    rng = np.random.default_rng(4)
    k, j, i = np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij")
    inside = k**2 + j**2 + i**2 < 1.2
    field_hz = 30 * i + 25 * j**2 + 12 * k + 8
    magnitude, phase = [], []
    for time in times_s:
        noise = rng.uniform(-np.pi, np.pi, shape)
        magnitude.append(
            np.where(inside, np.rint(900 * np.exp(-25 * time)), rng.integers(1, 5, shape))
        )
        phase.append(np.where(inside, np.angle(np.exp(2j * np.pi * field_hz * time)), noise))
    return np.array(magnitude), np.array(phase)


def oblique_geometry(shape=(6, 10, 8)) -> Geometry:
    """A grid turned about two axes, with anisotropic voxels."""
    a, b = np.radians(20), np.radians(-12)
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    return Geometry(
        shape, (0.9, 1.1, 1.5), (-31.5, -40.25, 12.0), tuple((about_x @ about_y).ravel())
    )


def new_dataset(storage: str = MR_IMAGE, study: str = "1.2.3.1", patient=PATIENT) -> Dataset:
    """An MR dataset with an identity, without an image."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = storage
    dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[study])
    dataset.SOPClassUID = storage
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID
    dataset.Modality = "MR"
    dataset.PatientName, dataset.PatientID = patient
    dataset.StudyInstanceUID = study
    dataset.MagneticFieldStrength = 3
    dataset.RepetitionTime, dataset.FlipAngle = 40, 15
    dataset.ScanningSequence = "GR"
    return dataset


def set_pixels(dataset: Dataset, values: np.ndarray, bits: int = 16) -> None:
    """Store integers, signed when any is negative."""
    signed = bool(values.min() < 0)
    dataset.Rows, dataset.Columns = values.shape[-2:]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, bits, bits - 1
    dataset.PixelRepresentation = int(signed)
    dataset.add_new("PixelData", "OW", values.astype("<i2" if signed else "<u2").tobytes())


def set_plane(dataset: Dataset, grid: Geometry, k: int) -> None:
    """Place slice ``k`` of a grid."""
    matrix = grid.direction_matrix
    dataset.PixelSpacing = [grid.spacing_mm[1], grid.spacing_mm[0]]
    dataset.SliceThickness = grid.spacing_mm[2]
    dataset.ImageOrientationPatient = [round(float(v), 9) for v in [*matrix[:, 0], *matrix[:, 1]]]
    dataset.ImagePositionPatient = [round(float(v), 6) for v in grid.world(np.array([k, 0, 0]))]


def classic(values, kind_words, times_s, grid, series, **tags) -> list[Dataset]:
    """One dataset an echo and slice. ``bits`` and keywords of tags in ``tags``."""
    bits = tags.pop("bits", 16)
    study = tags.pop("study", "1.2.3.1")
    patient = tags.pop("patient", PATIENT)
    datasets = []
    for e, time in enumerate(times_s):
        for k in range(values.shape[1]):
            dataset = new_dataset(study=study, patient=patient)
            dataset.SeriesInstanceUID, dataset.SeriesNumber = f"{study}.{series}", series
            dataset.ImageType = ["ORIGINAL", "PRIMARY", *kind_words]
            dataset.EchoTime = round(time * 1000, 4)
            set_plane(dataset, grid, k)
            set_pixels(dataset, values[e, k], bits)
            for keyword, value in tags.items():
                setattr(dataset, keyword, value)
            datasets.append(dataset)
    return datasets


def quantize(phase_rad) -> np.ndarray:
    """The 12-bit integers of a phase: -pi is 0, pi is 4096."""
    return np.clip(np.rint((phase_rad + np.pi) / STEP), 0, 4095)


def siemens(magnitude, phase, times_s, grid, rescaled=True, first=2, **tags) -> list[Dataset]:
    """Two series; phase with slope 2 and intercept -4096, or plain 0 to 4095."""
    tags = {"Manufacturer": "SIEMENS", **tags}
    scale = {"RescaleSlope": 2, "RescaleIntercept": -4096} if rescaled else {}
    return [
        *classic(magnitude, ["M", "ND"], times_s, grid, first, **tags),
        *classic(quantize(phase), ["P", "ND"], times_s, grid, first + 1, bits=12, **scale, **tags),
    ]


def ge(magnitude, phase, times_s, grid, alternating=True) -> list[Dataset]:
    """Real and imaginary parts told apart by the private tag; slices alternate in sign."""
    signal = 20 * magnitude * np.exp(1j * phase)
    if alternating:
        signal[:, 1::2] *= -1
    datasets = []
    for code, values in ((2, signal.real), (3, signal.imag)):
        part = classic(
            np.rint(values), ["OTHER"], times_s, grid, 5, Manufacturer="GE MEDICAL SYSTEMS"
        )
        for dataset in part:
            dataset.private_block(0x0043, "GEMS_PARM_01", create=True).add_new(0x2F, "SS", code)
        datasets += part
    return datasets


def philips(magnitude, phase, times_s, grid, unit=1000.0) -> list[Dataset]:
    """One series; phase rescaled to milliradians (or radians), magnitude scaled anew each echo."""
    slope, intercept = unit * 2 * np.pi / 4095, -unit * np.pi
    stored = np.rint((phase * unit - intercept) / slope)
    tags = {"Manufacturer": "Philips Healthcare"}
    datasets = classic(
        stored, ["PHASE MAP", "P", "FFE"], times_s, grid, 3, bits=12,
        RescaleSlope=f"{slope:.10g}", RescaleIntercept=f"{intercept:.10g}", **tags,
    )  # fmt: skip
    for e, time in enumerate(times_s):
        scale = 1.0 + e  # stored = true * scale
        part = classic(magnitude[e : e + 1] * scale, ["M_FFE", "M", "FFE"], [time], grid, 3, **tags)
        for dataset in part:
            block = dataset.private_block(0x2005, "Philips MR Imaging DD 001", create=True)
            block.add_new(0x0E, "FL", scale)
        datasets += part
    return datasets


def enhanced(magnitude, phase, times_s, grid) -> list[Dataset]:
    """One multi-frame file with both components of all echoes."""
    dataset = new_dataset(ENHANCED_MR)
    dataset.SeriesInstanceUID, dataset.SeriesNumber = "1.2.3.1.9", 9
    dataset.Manufacturer = "Siemens Healthineers"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "M", "NONE"]
    frames, planes = [], []
    for component, values in (("PHASE", quantize(phase)), ("MAGNITUDE", magnitude)):
        for e, time in enumerate(times_s):
            for k in range(values.shape[1]):
                frames.append(_frame_groups(component, time, grid, k))
                planes.append(values[e, k])
    order = np.random.default_rng(0).permutation(len(frames))
    dataset.PerFrameFunctionalGroupsSequence = Sequence([frames[n] for n in order])
    dataset.SharedFunctionalGroupsSequence = Sequence([Dataset()])
    set_pixels(dataset, np.array([planes[n] for n in order]))
    dataset.NumberOfFrames = len(frames)
    return [dataset]


def _frame_groups(component: str, time: float, grid: Geometry, k: int) -> Dataset:
    plane = Dataset()
    set_plane(plane, grid, k)
    frame, phase = Dataset(), component == "PHASE"
    for name, pairs in {
        "MRImageFrameTypeSequence": {
            "FrameType": ["ORIGINAL", "PRIMARY", "P" if phase else "M", "NONE"],
            "ComplexImageComponent": component,
        },
        "MREchoSequence": {"EffectiveEchoTime": time * 1000},
        "PlaneOrientationSequence": {"ImageOrientationPatient": plane.ImageOrientationPatient},
        "PlanePositionSequence": {"ImagePositionPatient": plane.ImagePositionPatient},
        "PixelMeasuresSequence": {"PixelSpacing": plane.PixelSpacing},
        "PixelValueTransformationSequence": {
            "RescaleSlope": 2 if phase else 1,
            "RescaleIntercept": -4096 if phase else 0,
        },
    }.items():
        item = Dataset()
        for keyword, value in pairs.items():
            setattr(item, keyword, value)
        setattr(frame, name, Sequence([item]))
    return frame


def save(datasets: list[Dataset], folder: Path, nested: bool = False) -> None:
    """Write datasets in a random order, on request in several folders."""
    order = np.random.default_rng(1).permutation(len(datasets))
    for position, n in enumerate(order):
        below = folder / f"d{position % 3}" / "x" if nested else folder
        below.mkdir(parents=True, exist_ok=True)
        datasets[n].save_as(below / f"IM{position:04d}", enforce_file_format=True)


def link_in_a_circle(folder: Path) -> None:
    """Put a link to a folder into it, where the system lets us."""
    with suppress(OSError):
        (folder / "again").symlink_to(folder, target_is_directory=True)
