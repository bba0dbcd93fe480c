"""Facts that the sidecars tell of a run: software, methods, parameters, weights, origins."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any

from QSMSeparationLib import __version__
from QSMSeparationLib.data.maps import Maps
from QSMSeparationLib.data.method import Method, Value
from QSMSeparationLib.data.separated import Separated
from QSMSeparationLib.pipeline.options import Options
from QSMSeparationLib.runtime.context import Context
from QSMSeparationLib.runtime.device import describe_device

R2PRIME_MEASURED = "measured (R2* - R2 of the spin echo)"
R2PRIME_SUBTRACTED = "R2* - R2 as given"
R2PRIME_GIVEN = "given"
R2PRIME_NONE = "none (no spin echo)"
R2PRIME_ESTIMATED = "estimated from R2* (not measured)"
"""Origins of an R2' map (``R2primeOrigin``) and of the R2' of a separation (``SeparationR2prime``)."""

TE0_USED = "used"
TE0_UNKNOWN = "not used: the magnitude at TE 0, TR or flip angle is not known"
"""Whether a method that can use the magnitude at TE 0 did (``MagnitudeAtTE0``)."""

REFERENCE_MEAN = "mean over the brain mask"
REFERENCE_ABSOLUTE = "chi+ + chi- of the separation, absolute"


def facts_of_maps(maps: Maps, options: Options) -> dict[str, Any]:
    """Return what holds for every map of a run."""
    return {
        "Software": "QSMSeparation",
        "SoftwareVersion": __version__,
        "Device": describe_device(maps.mask.device),
        "MagneticFieldStrength": options.b0_tesla,
        "RelaxivityPara_HzPerPpm": round(maps.dr_para, 4),
        "RelaxivityDia_HzPerPpm": round(maps.dr_dia, 4),
        "RelaxivityNote": (
            f"{options.dr_para:g} (chi+) and {options.dr_dia:g} (chi-) Hz/ppm at 3 T, "
            f"scaled linearly to {options.b0_tesla:g} T"
        ),
        "B0DirectionKJI": [round(v, 6) for v in maps.b0_kji],
    } | _excitation(maps)


def _excitation(maps: Maps) -> dict[str, Any]:
    """Return what weights the magnitude at TE 0, so that the map can be used elsewhere."""
    known = {"RepetitionTimeExcitation": maps.tr_s, "FlipAngle": maps.flip_deg}
    return {name: value for name, value in known.items() if value is not None}


def facts_of_method(method: Method, parameters: dict[str, Value]) -> dict[str, Any]:
    """Return name, parameters and citation of a method, under its stage."""
    stage = method.stage.capitalize()
    return {
        stage: method.name,
        f"{stage}Parameters": parameters,
        f"{stage}Citation": method.citation,
    }


def facts_of_te0(maps: Maps, method: Method) -> dict[str, Any]:
    """Return whether the magnitude at TE 0 was used, of methods that can use it."""
    if "s0" not in method.uses:
        return {}
    return {"MagnitudeAtTE0": TE0_USED if maps.has_te0 else TE0_UNKNOWN}


def facts_of_errors(separated: Separated, method: Method, options: Options) -> dict[str, Any]:
    """Return what the SDs of a separation rest on; nothing where it gives none."""
    if not separated.has_sd:
        return {}
    facts: dict[str, Any] = {"SDCalibration": asdict(method.calibration)}
    if options.dr_band_percent:
        facts["SDRelaxivityBand_percent"] = options.dr_band_percent
    if separated.unusual is not None:
        facts["UnusualShare"] = round(separated.unusual_share, 4)
    return facts


def facts_of_scale(scale: float | None, maps: Maps, options: Options) -> dict[str, Any]:
    """Return the level of a measured R2', and the relaxivities where they were scaled by it."""
    if scale is None:
        return {}
    facts: dict[str, Any] = {"R2primeScale": round(scale, 3)}
    if options.dr_auto:
        facts |= {
            "RelaxivityPara_HzPerPpm": round(maps.dr_para, 4),
            "RelaxivityDia_HzPerPpm": round(maps.dr_dia, 4),
            "RelaxivityNote": f"scaled by {scale:.2f}, the level of R2' in this scan",
        }
    return facts


def weight_hashes(method: Method, context: Context) -> dict[str, Any]:
    """Return the SHA-256 of every weight file that a method uses; they stay loaded for it."""
    if not method.networks:
        return {}
    from QSMSeparationLib.networks.weights import load_weights

    hashes = {
        name: load_weights(name, context.weights.get(name)).sha256 for name in method.networks
    }
    return {"WeightsSha256": hashes}


def facts_of_time(seconds: dict[str, float]) -> dict[str, Any]:
    """Return when a result was made, by the clock of its place, and the seconds of its stages."""
    now = datetime.now().astimezone().isoformat(timespec="seconds")
    return {"Created": now, "SecondsPerStage": dict(seconds)}


def merged(*facts: dict[str, Any]) -> dict[str, Any]:
    """Return facts joined from several stages; weights of all of them are kept."""
    joined: dict[str, Any] = {}
    for part in facts:
        weights = joined.get("WeightsSha256", {}) | part.get("WeightsSha256", {})
        joined |= part
        if weights:
            joined["WeightsSha256"] = weights
    return joined
