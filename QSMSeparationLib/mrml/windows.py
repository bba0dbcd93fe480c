"""Fixed display windows, so that two scans can be compared by eye.

The limits are those of :mod:`QSMSeparationLib.data.quantities`, the same as in report and
figures: susceptibility in ppb, rates in Hz at 3 T, where they scale with the field.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import slicer

from QSMSeparationLib.data.quantities import MAPS, Window
from QSMSeparationLib.data.quantities import PRESETS as TITLES

HIGH_FIELD_T = 5.0
"""From this field strength on, the wide windows are the first choice: half way from 3 to 7 T."""


@dataclass(frozen=True)
class Preset:
    """A set of windows, one a map."""

    name: str
    title: str


PRESETS = tuple(Preset(name, title) for name, title in TITLES.items())


def preset(name: str) -> Preset:
    """Return a preset by its name."""
    return next(p for p in PRESETS if p.name == name)


def first_preset(b0_tesla: float) -> Preset:
    """Return the preset to begin with at a field strength."""
    return preset("wide" if b0_tesla >= HIGH_FIELD_T else "standard")


def window(role: str, chosen: Preset, b0_tesla: float = 3.0) -> Window | None:
    """Return lowest and highest value shown for a kind of map, or None where none is fixed."""
    return MAPS[role].window_at(b0_tesla, chosen.name) if role in MAPS else None


def apply(node: slicer.vtkMRMLScalarVolumeNode, limits: Window) -> None:
    """Show a volume between two values."""
    low, high = limits
    display = node.GetDisplayNode()
    display.AutoWindowLevelOff()
    display.SetWindowLevelMinMax(low, high)


def apply_preset(nodes: dict[str, Any], chosen: Preset, b0_tesla: float) -> None:
    """Show all maps of a run in the windows of a preset."""
    for role, node in nodes.items():
        if limits := window(role, chosen, b0_tesla):
            apply(node, limits)


def preset_of(nodes: dict[str, Any]) -> Preset | None:
    """Return the preset in which net chi is shown, or None when the user chose a window."""
    if "net" not in nodes:
        return None
    display = nodes["net"].GetDisplayNode()
    shown = (display.GetWindowLevelMin(), display.GetWindowLevelMax())
    for one in PRESETS:
        limits = MAPS["net"].window_at(preset=one.name)
        if limits and all(abs(a - b) < 1e-3 for a, b in zip(limits, shown, strict=True)):
            return one
    return None
