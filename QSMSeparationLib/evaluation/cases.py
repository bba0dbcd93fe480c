"""Simulated datasets with truth, as cases for an evaluation."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from QSMSeparationLib.data.quantities import MAPS
from QSMSeparationLib.data.scan import Scan
from QSMSeparationLib.data.volume import Volume
from QSMSeparationLib.io.bids import read_bids
from QSMSeparationLib.io.derivatives import anat_prefix
from QSMSeparationLib.io.nifti import read_labels, read_map
from QSMSeparationLib.runtime.errors import InputError
from QSMSeparationLib.simulation.dataset import TRUTH_FOLDER
from QSMSeparationLib.simulation.protocol import Protocol
from QSMSeparationLib.simulation.scanner import Truth

_NEEDED = ("chi_para", "chi_dia", "net", "local_field")
"""Maps without which nothing can be scored; datasets of older versions lack some of the others."""


@dataclass(frozen=True)
class Case:
    """One subject of a simulated dataset.

    Parameters
    ----------
    root : Path
        The dataset.
    subject : str
        BIDS name, such as ``sub-01``.
    """

    root: Path
    subject: str

    @property
    def name(self) -> str:
        """What to call it in a table."""
        return f"{self.root.name}/{self.subject}"

    def truth(self) -> Truth:
        """Read the truth."""
        prefix = f"{TRUTH_FOLDER}/{anat_prefix(self.subject)}"
        files = {name: self.root / f"{prefix}_{row.bids}.nii.gz" for name, row in MAPS.items()}
        volumes = {
            name: read_map(file)
            for name, file in files.items()
            if name in _NEEDED or file.is_file()
        }
        labels = {
            kind: read_labels(self.root / f"{prefix}_desc-{kind}.nii.gz")
            for kind in ("brain_mask", "tissue_dseg", "lesions_dseg")
        }
        sidecar = self.root / f"{prefix}_{MAPS['net'].bids}.json"
        first = volumes["net"]
        for volume in (*volumes.values(), *labels.values()):
            first.require_same_grid(volume)
        return Truth(
            first.geometry,
            {name: volume.array for name, volume in volumes.items()},
            labels["brain_mask"].array > 0,
            labels["tissue_dseg"].array.astype(np.int16),
            labels["lesions_dseg"].array.astype(np.int16),
            _read_protocol(sidecar),
            {number: row.get("age", "") for number, row in self.lesion_truth().items()},
            _read_realism(sidecar),
        )

    def lesion_truth(self) -> dict[int, dict[str, str]]:
        """Read the truth rows of the lesions, by number."""
        file = self.root / f"{TRUTH_FOLDER}/{anat_prefix(self.subject)}_lesions.csv"
        try:
            with file.open(newline="", encoding="utf-8") as stream:
                return {int(row["id"]): row for row in csv.DictReader(stream)}
        except (OSError, ValueError, KeyError):
            raise InputError(f"{file} can't be read as the lesions of a simulation") from None

    def scan(self) -> Scan:
        """Read the raw scan."""
        return read_bids(self.root / Path(anat_prefix(self.subject)).parent.parent)[0]

    def volume(self, array: np.ndarray, truth: Truth, what: str) -> Volume:
        """Return an array on the grid of the truth, named for messages."""
        return Volume(array, truth.geometry, f"{self.name} {what}")


def find_cases(path: Path) -> list[Case]:
    """Return the cases in a dataset or in a folder of datasets."""
    roots = [path, *sorted(p for p in path.iterdir() if p.is_dir())] if path.is_dir() else []
    cases = [
        Case(root, mask.name.removesuffix("_desc-brain_mask.nii.gz"))
        for root in roots
        for mask in sorted((root / TRUTH_FOLDER).glob("sub-*/**/anat/*_desc-brain_mask.nii.gz"))
    ]
    if not cases:
        raise InputError(
            f"{path} holds no case with truth; make some with 'qsmsep simulate {path}/case1 --seed 1'"
        )
    return cases


def _read_realism(sidecar: Path) -> dict[str, Any]:
    found = json.loads(sidecar.read_text(encoding="utf-8")).get("Realism")
    return found if isinstance(found, dict) else {}


def _read_protocol(sidecar: Path) -> Protocol:
    try:
        stored = json.loads(sidecar.read_text(encoding="utf-8"))["Simulation"]
        known = {f.name for f in fields(Protocol)}
        values: dict[str, Any] = {
            name: tuple(v) if isinstance(v, list) else v
            for name, v in stored.items()
            if name in known
        }
        return Protocol(**values)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise InputError(f"{sidecar.name} can't be read as the sidecar of a simulation") from None
