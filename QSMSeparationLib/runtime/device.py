"""Where the computing is done."""

from __future__ import annotations

import torch

from QSMSeparationLib.runtime.errors import InputError

DEVICES = ("auto", "cpu", "cuda", "mps")


def choose_device(name: str = "auto") -> torch.device:
    """Return the device asked for, or the fastest one there is for ``auto``.

    Raises
    ------
    InputError
        When the device asked for is not there.
    """
    if name not in DEVICES:
        raise InputError(f"there is no device '{name}'; choose one of: {', '.join(DEVICES)}")
    present = {
        "cpu": True,
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }
    if name == "auto":
        # MPS lacks some complex FFT and sorting kernels; it is used only when asked for.
        return torch.device("cuda" if present["cuda"] else "cpu")
    if not present[name]:
        raise InputError(
            f"this computer has no '{name}' device that torch can use; use --device cpu"
        )
    return torch.device(name)


def has_bfloat16_units(device: torch.device) -> bool:
    """Return whether networks run faster in bfloat16 there: on GPUs, and processors with AMX.

    On a processor of which torch can't tell, they compute in float32.
    """
    if device.type == "cpu":
        return bool(getattr(torch.cpu, "get_capabilities", dict)().get("amx_bf16", False))
    return device.type == "cuda"


def describe_device(device: torch.device) -> str:
    """Return the device's name for the provenance."""
    if device.type == "cuda":
        return f"cuda ({torch.cuda.get_device_name(device)})"
    return (
        f"{device.type} ({torch.get_num_threads()} threads)"
        if device.type == "cpu"
        else device.type
    )
