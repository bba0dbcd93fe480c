"""What the tables over all scans need of one: kept in its record, so that they open no image."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from QSMSeparationLib.io._sidecars import text
from QSMSeparationLib.io.bids import parse_name, sidecar_of
from QSMSeparationLib.io.found import FoundScan

if TYPE_CHECKING:
    from QSMSeparationLib.cohort.one_scan import Written

_ACQUISITION = {
    "Manufacturer": "manufacturer", "ManufacturersModelName": "scanner", "DeviceSerialNumber": "device",
    "InstitutionName": "site", "SoftwareVersions": "scanner_software",
}  # fmt: skip
"""What BIDS sidecars say of scanner and site; none of it names the patient."""


def summary_of(written: Written, found: FoundScan) -> dict[str, Any]:
    """Return checks, volumes, NAWM and what is known of the scanner, as plain data."""
    result, lesions = written.result, written.reading.lesions
    summary: dict[str, Any] = {
        "checks": [check.as_dict() for check in result.checks],
        "brain_ml": round(float(result.mask.sum()) * result.geometry.voxel_volume_mm3 / 1000, 2),
        "separation": result.facts.get("Separation", ""),
        "inversion": result.facts.get("Inversion", ""),
        "field_strength_t": result.facts.get("MagneticFieldStrength"),
        "r2prime": result.facts.get("SeparationR2prime", ""),
        "seconds": dict(result.facts.get("SecondsPerStage", {})),
        "acquisition": _acquisition(found),
    }
    if lesions is not None:
        summary["lesions"] = len(lesions.lesions)
        summary["lesion_ml"] = round(sum(one.volume_mm3 for one in lesions.lesions) / 1000, 3)
        summary["nawm"] = {name: value for name, value in asdict(lesions.nawm).items()
                         if isinstance(value, int | float)}  # fmt: skip
    return summary


def _acquisition(found: FoundScan) -> dict[str, str]:
    """Return scanner and site by the sidecar of the first image."""
    image = parse_name(found.files[0])
    assert image is not None  # it was found by its name
    sidecar, _ = sidecar_of(image)
    return {name: value for key, name in _ACQUISITION.items() if (value := text(sidecar, key))}
