"""Parts of a loss by name, and which of them a run leaves out."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from QSMSeparationLib.training import losses

Terms = dict[str, Tensor]


@dataclass(frozen=True)
class Switches:
    """Parts of the training that an ablation turns off.

    Parameters
    ----------
    contrast : bool
        The contrastive term (SUSEP-Net).
    know_dr : bool
        Whether the network is told Dr.
    lesion_weight : float
        Extra weight of lesions and blobs in the loss.
    critic : bool
        The adversarial term (CycleQSM).
    """

    contrast: bool = True
    know_dr: bool = True
    lesion_weight: float = losses.LESION_WEIGHT
    critic: bool = True
