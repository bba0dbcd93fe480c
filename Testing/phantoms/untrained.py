"""Weight files of networks that learned nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from QSMSeparationLib.networks.architectures import create
from QSMSeparationLib.networks.weights import save_weights


def untrained(folder: Path, name: str, size: tuple[str, dict[str, Any]], gain: float) -> Path:
    """Save weights as they were drawn, what the network says times a gain: 0 changes nothing."""
    torch.manual_seed(3)
    network = create(*size)
    last = [p for n, p in network.named_parameters() if n.startswith("head")]
    assert last
    with torch.no_grad():
        for parameter in last:
            parameter.mul_(gain)
    architecture, parameters = size
    card = {"name": name, "architecture": architecture, "parameters": parameters}
    save_weights(network, folder / f"{name}.pt", card)
    return folder / f"{name}.pt"
