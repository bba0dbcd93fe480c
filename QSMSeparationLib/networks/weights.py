"""Weight files: saved in half precision with a model card, loaded with a checksum.

``NAME.pt`` holds a state dict and nothing else; ``NAME.json`` beside it is the model card
(:mod:`QSMSeparationLib.networks.cards`).
"""

from __future__ import annotations

import json
import pickle
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import nn

from QSMSeparationLib.io.files import sha256, written_whole
from QSMSeparationLib.networks.architectures import create
from QSMSeparationLib.networks.cards import FOLDER, read_card
from QSMSeparationLib.runtime.errors import InputError


@dataclass(frozen=True, eq=False)
class Weights:
    """A network ready to use, and what its card says.

    Parameters
    ----------
    network : nn.Module
        In float32 on the CPU, in evaluation mode.
    card : dict
        The model card.
    sha256 : str
        Of the weight file.
    """

    network: nn.Module
    card: dict[str, Any]
    sha256: str


def load_weights(name: str, path: Path | None = None) -> Weights:
    """Load the weights that come with the package, or those of a file of the user.

    Parameters
    ----------
    name : str
        ``chi-sepnet``, ``susep-net``, ...
    path : Path, optional
        A ``.pt`` file with its card (``.json``) beside it.

    Raises
    ------
    InputError
        When the file is missing, damaged, or of another network.
    """
    file = FOLDER / f"{name}.pt" if path is None else Path(path)
    return _load(name, file.resolve())


def build(name: str) -> nn.Module:
    """Return an untrained network in the size that is shipped, as its model card says."""
    card = read_card(FOLDER / f"{name}.pt")
    return create(card["architecture"], card["parameters"])


def save_weights(network: nn.Module, file: Path, card: dict[str, Any]) -> None:
    """Write weights in half precision and their card, which gets the checksum.

    The statistics of normalizations keep their precision: a variance can exceed its range.
    """
    learned = {name for name, _ in network.named_parameters()}
    state = {
        key: value.detach().cpu().half() if key in learned else value.detach().cpu()
        for key, value in network.state_dict().items()
    }
    bad = [key for key, value in state.items() if not value.isfinite().all()]
    if bad:
        raise InputError(f"{file}: {bad[0]} is not finite; the training has diverged")
    with written_whole(file) as partial:
        torch.save(state, partial)
    text = json.dumps(card | {"sha256": sha256(file)}, indent=2, ensure_ascii=False)
    file.with_suffix(".json").write_text(text + "\n", encoding="utf-8")


def start_with(network: nn.Module, state: dict[str, torch.Tensor]) -> None:
    """Give a network the weights of one that has fewer inputs or outputs, or no fine level.

    What is new of an input counts nothing at first; what is new of an output, and a fine level
    that is new, stay as they were drawn.
    """
    own = network.state_dict()
    needed = {name for name in own if not name.startswith("fine.")}
    if not needed <= state.keys() <= own.keys():
        raise InputError("these weights are of a network of another depth; start without them")
    for name, given in state.items():
        mine = own[name]
        if given.shape == mine.shape:
            mine.copy_(given)
            continue
        if given.dim() != mine.dim() or any(
            g > m for g, m in zip(given.shape, mine.shape, strict=True)
        ):
            raise InputError(f"these weights are of a wider network ({name}); start without them")
        box = tuple(slice(0, n) for n in given.shape)
        if mine.dim() > 1:
            mine[: len(given)] = 0
        mine[box] = given
    network.load_state_dict(own)


@lru_cache(maxsize=4)
def _load(name: str, file: Path) -> Weights:
    loaded = read_weights(name, file)
    _fuse(loaded.network)
    channels_last(loaded.network)
    return loaded


def channels_last(network: nn.Module) -> nn.Module:
    """Lay the weights of convolutions out with the channels last, in place, as they are fastest."""
    for weight in network.parameters():
        if weight.dim() == 5:
            weight.data = weight.data.contiguous(memory_format=torch.channels_last_3d)
    return network


def read_weights(name: str, file: Path) -> Weights:
    """Load a weight file as it was trained: to go on with the training."""
    card = read_card(file)
    if card["name"] != name:
        raise InputError(f"{file}: these are weights of '{card['name']}', not of '{name}'")
    found = sha256(file)
    if found != card["sha256"]:
        raise InputError(
            f"{file}: damaged or changed, its checksum is not that of its model card; "
            "get the file again"
        )
    network = create(card["architecture"], card["parameters"])
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
        network.load_state_dict({key: value.float() for key, value in state.items()})
        if not all(value.isfinite().all() for value in network.state_dict().values()):
            raise RuntimeError("they are not all finite")
    except (RuntimeError, pickle.UnpicklingError, EOFError, AttributeError, TypeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{file}: the weights don't fit their model card ({reason})") from None
    return Weights(network.eval().requires_grad_(False), card, found)


def _fuse(network: nn.Module) -> None:
    """Work every batch normalization into the convolution before it: same result, less memory."""
    for module in network.modules():
        if not isinstance(module, nn.Sequential):
            continue
        for n in range(len(module) - 1):
            convolution, norm = module[n], module[n + 1]
            if isinstance(convolution, nn.Conv3d) and isinstance(norm, nn.BatchNorm3d):
                module[n] = nn.utils.fusion.fuse_conv_bn_eval(convolution, norm)
                module[n + 1] = nn.Identity()
