"""Fixed display windows, so that two scans can be compared by eye.

Susceptibility in ppm (0.1 ppm = 100 ppb), rates in Hz at 3 T, where they scale with the field.
"""

from __future__ import annotations

from dataclasses import dataclass

import slicer

_RATES = {"r2star": (0.0, 60.0), "r2prime": (0.0, 30.0), "r2": (0.0, 40.0)}
_OTHERS = {"local_field": (-0.05, 0.05), "local_field_in_mask": (-0.05, 0.05), "total_field": (-1.0, 1.0),
           "residual": (-0.02, 0.02), "trust": (0.0, 1.0)}  # fmt: skip
HIGH_FIELD_T = 5.0
"""From this field strength on, the wide windows are the first choice."""


@dataclass(frozen=True)
class Preset:
    """Windows of the three susceptibility maps, lowest and highest value shown, in ppm."""

    name: str
    title: str
    net: tuple[float, float]
    chi_para: tuple[float, float]
    chi_dia: tuple[float, float]


PRESETS = (
    Preset("standard", "Standard", (-0.1, 0.1), (0.0, 0.15), (-0.1, 0.0)),
    Preset("wide", "Wide (7 T, iron)", (-0.15, 0.15), (0.0, 0.25), (-0.15, 0.0)),
    Preset("narrow", "Narrow (white matter)", (-0.05, 0.05), (0.0, 0.06), (-0.06, 0.0)),
)


def preset(name: str) -> Preset:
    """Return a preset by its name."""
    return next(p for p in PRESETS if p.name == name)


def first_preset(b0_tesla: float) -> Preset:
    """Return the preset to begin with at a field strength."""
    return preset("wide" if b0_tesla >= HIGH_FIELD_T else "standard")


def window(role: str, chosen: Preset, b0_tesla: float = 3.0) -> tuple[float, float] | None:
    """Return lowest and highest value shown for a kind of map, or None where none is fixed."""
    if role in ("net", "chi_para", "chi_dia"):
        return getattr(chosen, role)
    if role in _RATES:
        low, high = _RATES[role]
        return low, high * max(1.0, b0_tesla / 3.0)
    return _OTHERS.get(role)


def apply(node: slicer.vtkMRMLScalarVolumeNode, limits: tuple[float, float]) -> None:
    """Show a volume between two values."""
    low, high = limits
    display = node.GetDisplayNode()
    display.AutoWindowLevelOff()
    display.SetWindowLevelMinMax(low, high)
