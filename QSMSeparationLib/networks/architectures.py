"""Architectures by the name that a model card uses; the card also holds the size."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from QSMSeparationLib.networks.susep import SusepNet
from QSMSeparationLib.networks.unet import UNet
from QSMSeparationLib.runtime.errors import InputError

CLASSES: Mapping[str, Callable[..., nn.Module]] = {"unet": UNet, "susep": SusepNet}


def create(architecture: str, parameters: Mapping[str, Any]) -> nn.Module:
    """Return an untrained network of any size."""
    if architecture not in CLASSES:
        raise InputError(f"there is no architecture '{architecture}'; use {', '.join(CLASSES)}")
    try:
        return CLASSES[architecture](**parameters)
    except TypeError as error:
        raise InputError(f"architecture '{architecture}': {error}") from None
