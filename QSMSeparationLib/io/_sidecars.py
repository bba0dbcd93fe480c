"""JSON sidecars: read them, and take the facts of an acquisition from them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from QSMSeparationLib.io.field_strength import agreed_tesla, tesla_from
from QSMSeparationLib.io.vendors import known_vendor
from QSMSeparationLib.runtime.errors import InputError

_MAX_BYTES = 16 << 20


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object, or raise InputError with the file's name and what is wrong."""
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise InputError(f"{path.name}: too large for a sidecar; check the file")
        content = json.loads(path.read_bytes().decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise InputError(f"{path.name}: not UTF-8 text; save it as UTF-8") from None
    except OSError as error:
        raise InputError(f"{path.name}: can't be read ({error.strerror})") from None
    except (ValueError, RecursionError):
        raise InputError(f"{path.name}: not valid JSON; correct it") from None
    if not isinstance(content, dict):
        raise InputError(f"{path.name}: a JSON object is needed ({{...}}), not a list or a value")
    return content


def numbers(value: Any) -> tuple[float, ...] | None:
    """Return a JSON number or list of numbers as finite floats; None for anything else."""
    values = value if isinstance(value, list) else [value]
    result = []
    for item in values:
        if isinstance(item, bool) or not isinstance(item, int | float):
            return None
        try:
            number = float(item)
        except OverflowError:
            return None
        if not math.isfinite(number):
            return None
        result.append(number)
    return tuple(result) or None


def echo_times(sidecar: dict[str, Any], count: int, source: str) -> tuple[float, ...]:
    """Return the echo times as the sidecar gives them, one for each of ``count`` echoes in a file."""
    if "EchoTime" not in sidecar:
        raise InputError(f"{source}: no EchoTime in its sidecar; add it in seconds")
    found = numbers(sidecar["EchoTime"])
    if found is None:
        raise InputError(f"{source}: EchoTime in its sidecar is no number; give it in seconds")
    if any(time <= 0 for time in found):
        raise InputError(f"{source}: EchoTime is {min(found):g}; give the true time in seconds")
    if len(found) != count:
        raise InputError(
            f"{source}: {count} echoes in the image but {len(found)} EchoTime in its sidecar; "
            f"give one for each echo"
        )
    return found


def times_in_seconds(times: Iterable[float], source: str) -> tuple[tuple[float, ...], str | None]:
    """Return echo times in seconds, and a note when they were milliseconds.

    Times of 0.5 s or less are seconds; all from 0.5 to 1000 with one above 1 are
    milliseconds. Nothing else is accepted, since it might be either.
    """
    values = tuple(float(t) for t in times)
    if not values or not all(math.isfinite(t) for t in values) or min(values) <= 0:
        raise InputError(f"{source}: echo times must be positive numbers in seconds")
    if max(values) <= 0.5 and min(values) >= 1e-4:
        return values, None
    if max(values) > 1 and min(values) >= 0.5 and max(values) <= 1000:
        return tuple(t / 1000 for t in values), "echo times were given in ms; taken as such"
    listed = ", ".join(f"{t:g}" for t in values)
    raise InputError(f"{source}: echo times of {listed} are neither s nor ms; give seconds")


def field_strength(sidecars: Iterable[tuple[dict[str, Any], str]]) -> float:
    """Return the field strength in tesla on which all sidecars agree."""
    return agreed_tesla((_tesla(sidecar), source) for sidecar, source in sidecars)


def _tesla(sidecar: dict[str, Any]) -> float | None:
    strength = numbers(sidecar.get("MagneticFieldStrength"))
    frequency = numbers(sidecar.get("ImagingFrequency"))
    return tesla_from(strength[0] if strength else None, frequency[0] if frequency else None)


def excitation(sidecar: dict[str, Any]) -> tuple[float | None, float | None]:
    """Return the repetition time in seconds and flip angle in degrees; None where missing or impossible.

    They serve the magnitude at TE 0 alone, so a scan without them is still a scan.
    """
    tr = numbers(sidecar.get("RepetitionTimeExcitation")) or numbers(sidecar.get("RepetitionTime"))
    flip = numbers(sidecar.get("FlipAngle"))
    return plausible_excitation(tr[0] if tr else None, flip[0] if flip else None)


def plausible_excitation(
    tr_s: float | None, flip_deg: float | None
) -> tuple[float | None, float | None]:
    """Keep a repetition time of 1 ms to 20 s and a flip angle of 0.1 to 180 degrees."""
    tr_known = tr_s is not None and 0.001 <= tr_s <= 20
    flip_known = flip_deg is not None and 0.1 <= flip_deg <= 180
    return tr_s if tr_known else None, flip_deg if flip_known else None


def text(sidecar: dict[str, Any], key: str) -> str:
    """Return a short text value, or an empty string."""
    value = sidecar.get(key)
    return value.strip()[:64] if isinstance(value, str) else ""


def vendor(sidecar: dict[str, Any]) -> str:
    """Return the short name of a known manufacturer, or an empty string."""
    return known_vendor(text(sidecar, "Manufacturer"))
