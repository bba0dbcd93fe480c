"""Label maps that belong to a scan, and how they are found in a folder of derivatives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from QSMSeparationLib.io.bids import parse_name
from QSMSeparationLib.io.bids_names import entities_of
from QSMSeparationLib.runtime.errors import InputError

_SUFFIXES = ("mask", "dseg")


@dataclass(frozen=True)
class Labels:
    """Label maps that belong to a scan; None where there is none.

    Parameters
    ----------
    lesions, tissue, regions : Path, optional
        Lesion segmentation, labels that tell where lesions lie, and labels to measure in.
    """

    lesions: Path | None = None
    tissue: Path | None = None
    regions: Path | None = None


class FoundLabels:
    """Label maps of a folder of derivatives, by subject and session."""

    def __init__(self, folder: Path | None, meanings: tuple[str, ...]) -> None:
        self._files: dict[tuple[str, str], list[Path]] = {}
        if folder is None:
            return
        if not folder.is_dir():
            raise InputError(f"{folder} is no folder of derivatives; check the path")
        for path in sorted(folder.glob("**/sub-*.nii*")):
            own = parse_name(path)
            if own is None or own.suffix not in _SUFFIXES:
                continue
            if {own.entities.get("desc", ""), own.entities.get("label", "")} & set(meanings):
                key = own.entities.get("sub", ""), own.entities.get("ses", "")
                self._files.setdefault(key, []).append(path)
        if not self._files:
            raise InputError(
                f"{folder} holds no label maps named sub-XX_..._desc-{meanings[0]}_dseg.nii.gz "
                "(or label-, or _mask); check the names"
            )

    def of(self, name: str) -> Path | None:
        """Return the label map of a scan; None where it has none."""
        entities = entities_of(name)
        files = self._files.get((entities["sub"], entities.get("ses", "")), [])
        if len(files) > 1:
            others = {k: v for k, v in entities.items() if k not in ("sub", "ses")}
            files = [f for f in files if _agrees(f, others)] or files
        if len(files) > 1:
            raise InputError(
                f"{name}: several label maps fit ({files[0].name}, {files[1].name}); keep one"
            )
        return files[0] if files else None


def _agrees(file: Path, entities: Mapping[str, str]) -> bool:
    own = parse_name(file)
    return own is not None and all(own.entities.get(k, v) == v for k, v in entities.items())
