"""Training of ``anatomy-net``: classes and sides of heads of any contrast."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from QSMSeparationLib.data.structures import FIRST_OF_BRAIN, INDEX, OUTPUTS
from QSMSeparationLib.networks.unet import folded
from QSMSeparationLib.training.switches import Switches, Terms

SIZE = (
    "unet",
    {
        "inputs": 1, "outputs": OUTPUTS, "widths": [32, 64, 64, 96], "fold": 2, "each_image": True,
        "fine": 16,
    },
)  # fmt: skip
"""Architecture and size: 1.7 million weights, 3.4 MB in half precision. Voxels are folded, so that
most of the layers work at 4 mm; the fine level works at 2 mm, that of the images."""

WEIGHTS = {"cross_entropy": 1.0, "overlap": 1.0, "brain": 1.0, "side": 0.3}
"""Weight of each term; the scores of the side are easy, so they need little."""

_CLASSES = len(INDEX)
_SMALL = 20.0
"""Voxels added to numerator and denominator of an overlap: a class of a few voxels at the
border of a cut head must not rule the step."""
_RARE_POWER = 0.35
_BLOCK = 2
_PARTS = 2
_TYPICAL_VOXELS = {
    "air": 600e3, "bone": 60e3, "soft tissue": 150e3, "outer fluid": 20e3, "ventricles": 5e3,
    "sulcal fluid": 20e3, "white matter": 48e3, "cortex": 45e3, "caudate": 700, "putamen": 1000,
    "pallidum": 350, "accumbens": 120, "thalamus": 1300, "hippocampus and amygdala": 900,
    "red nucleus": 80, "substantia nigra and subthalamic nucleus": 150, "dentate nucleus": 190,
    "ventral diencephalon": 700, "brain stem": 2400, "cerebellar white matter": 3000,
    "cerebellar cortex": 13e3,
}  # fmt: skip
"""Voxels of 2 mm of each class in a usual shape: rare ones weigh more in the cross entropy."""


@dataclass(frozen=True, eq=False)
class HeadBatch:
    """Whole heads of any contrast.

    Parameters
    ----------
    image : Tensor
        (batch, 1, k, j, i), scaled.
    target, side : Tensor
        (batch, k, j, i): class, and 0 (none), 1 (left) or 2 (right).
    parts : list of int
        Voxels of every block of eight that the loss is computed on.
    """

    image: Tensor
    target: Tensor
    side: Tensor
    parts: list[int]

    def to(self, device: torch.device) -> HeadBatch:
        """Return the batch on a device."""
        image, target, side = (t.to(device) for t in (self.image, self.target, self.side))
        return HeadBatch(image, target, side, self.parts)


def measure(heads: Tensor, generator: torch.Generator, know_dr: bool) -> HeadBatch:
    """Take image, classes and sides apart; contrasts and noise are drawn with the image."""
    parts = torch.randperm(_BLOCK**3, generator=generator, device=generator.device)[
        :_PARTS
    ].tolist()
    return HeadBatch(heads[:, :1].contiguous(), heads[:, 1].long(), heads[:, 2].long(), parts)


def terms(network: nn.Module, batch: HeadBatch, switches: Switches) -> Terms:
    """Return cross entropy, overlap (Dice) of the classes and of the brain, and the side's.

    They are computed on two of the eight voxels of every block, others each time: neighbors
    say the same, and memory is what the losses of many classes cost.
    """
    target, side = (_of_parts(values, batch.parts) for values in (batch.target, batch.side))
    scores = network(batch.image, batch.parts).float()
    chances = torch.log_softmax(scores[:, :_CLASSES], dim=1)
    cross = functional.nll_loss(chances, target, weight=_class_weights().to(chances))
    found = chances.exp()
    brain = target >= FIRST_OF_BRAIN
    in_brain = found[:, FIRST_OF_BRAIN:].sum(dim=1)
    both = (in_brain * brain).sum()
    overlap_brain = (2 * both + _SMALL) / (in_brain.sum() + brain.sum() + _SMALL)
    sided = brain & (side > 0)
    left = scores[:, _CLASSES][sided]
    side_error = functional.binary_cross_entropy_with_logits(left, (side[sided] == 1).float())
    return {
        "cross_entropy": cross,
        "overlap": 1 - _overlap(found, target),
        "brain": 1 - overlap_brain,
        "side": side_error if bool(sided.any()) else scores.new_zeros(()),
    }


def _of_parts(values: Tensor, parts: list[int]) -> Tensor:
    """Return the values of some voxels of every block: (batch, part, k, j, i) over blocks."""
    return folded(values[:, None], _BLOCK)[:, parts]


def _overlap(found: Tensor, target: Tensor) -> Tensor:
    """Return the mean Dice overlap of the classes that are there."""
    of_target = found.gather(1, target[:, None])[:, 0].flatten()
    where = target.flatten()
    both = found.new_zeros(_CLASSES).index_add(0, where, of_target)
    true = torch.bincount(where, minlength=_CLASSES).to(found)
    dice = (2 * both + _SMALL) / (found.sum(dim=(0, 2, 3, 4, 5)) + true + _SMALL)
    return dice[true > 0].mean()


def _class_weights() -> Tensor:
    """Return weights of the classes: rarer ones more, about 1 for white matter."""
    voxels = torch.tensor([_TYPICAL_VOXELS[name] for name in INDEX])
    return (_TYPICAL_VOXELS["white matter"] / voxels) ** _RARE_POWER
