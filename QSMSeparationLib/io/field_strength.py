"""The field strength of a scan, from what its files say."""

from __future__ import annotations

from collections.abc import Iterable

from QSMSeparationLib.physics.constants import GYROMAGNETIC_MHZ_PER_T
from QSMSeparationLib.runtime.errors import InputError

_GAUSS = (1_000.0, 250_000.0)  # 0.1 to 25 T
_PLAUSIBLE_T = (0.1, 25.0)


def tesla_from(strength: float | None, frequency_mhz: float | None) -> float | None:
    """Return tesla from a header's field strength, else from its proton frequency.

    Old files give gauss.
    """
    if strength is not None and _GAUSS[0] <= strength <= _GAUSS[1]:
        return strength / 1e4
    if strength:
        return strength
    return round(frequency_mhz / GYROMAGNETIC_MHZ_PER_T, 2) if frequency_mhz else None


def agreed_tesla(found: Iterable[tuple[float | None, str]]) -> float:
    """Return the field strength on which all files agree.

    Parameters
    ----------
    found : iterable of (float or None, str)
        Tesla, or None where a file does not tell it, and what to call the file.

    Raises
    ------
    InputError
        When none tells it, two differ, or it is none of a scanner.
    """
    by_value: dict[float, str] = {}
    source = "the scan"
    for tesla, source in found:
        if tesla:
            by_value.setdefault(round(tesla, 2), source)
    if not by_value:
        raise InputError(
            f"{source}: MagneticFieldStrength is missing; export the scan again or add it in tesla"
        )
    if len(by_value) > 1:
        listed = " and ".join(f"{t:g} T ({name})" for t, name in list(by_value.items())[:2])
        raise InputError(f"MagneticFieldStrength differs: {listed}; give the files of one scan")
    tesla, source = next(iter(by_value.items()))
    if not _PLAUSIBLE_T[0] <= tesla <= _PLAUSIBLE_T[1]:
        raise InputError(f"{source}: MagneticFieldStrength of {tesla:g} T is implausible")
    return tesla
