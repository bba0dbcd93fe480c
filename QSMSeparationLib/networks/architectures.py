"""Which architecture each weight file holds: the shipped sizes, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from QSMSeparationLib.networks.susep import SusepNet
from QSMSeparationLib.networks.unet import UNet
from QSMSeparationLib.runtime.errors import InputError

CLASSES: Mapping[str, Callable[..., nn.Module]] = {"unet": UNet, "susep": SusepNet}
"""Architectures by the name that a model card uses."""

SHIPPED: Mapping[str, tuple[str, dict[str, Any]]] = {
    "chi-sepnet": ("unet", {"inputs": 5, "outputs": 2, "widths": [16, 32, 64, 96], "fold": 1}),
    "cycle-qsm": ("unet", {"inputs": 2, "outputs": 1, "widths": [16, 32, 64, 96], "fold": 1}),
    "qsmnet": ("unet", {"inputs": 2, "outputs": 1, "widths": [16, 32, 64, 96], "fold": 1}),
    "r2primenet": ("unet", {"inputs": 1, "outputs": 1, "widths": [16, 32, 64, 96], "fold": 1}),
    "susep-net": ("susep", {"inputs": 5, "widths": [16, 32, 48], "fold": 1}),
}
"""Architecture and its parameters of every weight file that comes with the package."""


def build(name: str) -> nn.Module:
    """Return an untrained network in the size that is shipped."""
    architecture, parameters = SHIPPED[name]
    return create(architecture, parameters)


def create(architecture: str, parameters: Mapping[str, Any]) -> nn.Module:
    """Return an untrained network of any size."""
    if architecture not in CLASSES:
        raise InputError(f"there is no architecture '{architecture}'; use {', '.join(CLASSES)}")
    try:
        return CLASSES[architecture](**parameters)
    except TypeError as error:
        raise InputError(f"architecture '{architecture}': {error}") from None
