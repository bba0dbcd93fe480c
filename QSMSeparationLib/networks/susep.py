"""SUSEP-Net: image encoder, a guidance encoder per source, cascaded interaction, two decoders.

Li et al., arXiv:2506.13293. The guidance encoders see net chi alone. At the deepest level each
source's image features are updated by its guidance through gates (ConvSRU); the negative
branch starts from the image features joined with the finished positive ones (the cascade).
The forward pass returns both sources, and the latent and guidance features of both branches
for the contrastive loss. It may work on folded voxels, as in ``unet``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from QSMSeparationLib.networks.unet import HEAD_SD, ConvBlock, folded, initialize, unfolded


class SusepOutput(NamedTuple):
    """What a forward pass gives.

    Attributes
    ----------
    sources : Tensor
        chi+ and |chi-|, (batch, 2, k, j, i).
    latent_para, latent_dia, guide_para, guide_dia : Tensor
        Features at the deepest level of interaction, (batch, c, k', j', i').
    """

    sources: Tensor
    latent_para: Tensor
    latent_dia: Tensor
    guide_para: Tensor
    guide_dia: Tensor


class Encoder(nn.Module):
    """One ConvBlock a level with max pooling after it; returns the features before pooling."""

    def __init__(self, inputs: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            ConvBlock(a, b) for a, b in zip([inputs, *widths], widths, strict=False)
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return the features of every level, the first the largest."""
        features = []
        for level, block in enumerate(self.blocks):
            x = block(x if level == 0 else functional.max_pool3d(x, 2))
            features.append(x)
        return features


class Interaction(nn.Module):
    """Two groups of {gate by the guidance, two residual feed-forward blocks}."""

    def __init__(self, width: int, groups: int = 2) -> None:
        super().__init__()
        self.update = nn.ModuleList(ConvBlock(width, width) for _ in range(groups))
        self.content = nn.ModuleList(ConvBlock(width, width) for _ in range(groups))
        self.feed = nn.ModuleList(
            nn.Sequential(
                nn.Conv3d(width, width, 1), nn.ReLU(), nn.Conv3d(width, width, 3, padding=1)
            )
            for _ in range(2 * groups)
        )

    def forward(self, features: Tensor, guide: Tensor) -> Tensor:
        """Return features updated by the guidance: h = f (1 - u) + c u."""
        for group, (update, content) in enumerate(zip(self.update, self.content, strict=True)):
            gate = torch.sigmoid(update(guide))
            features = features * (1 - gate) + torch.tanh(content(guide)) * gate
            for feed in self.feed[2 * group : 2 * group + 2]:
                features = features + feed(features)
        return features


class Decoder(nn.Module):
    """Transposed convolutions with skips, one ConvBlock a level, a linear head."""

    def __init__(self, bottom: int, widths: Sequence[int], outputs: int) -> None:
        super().__init__()
        below = [bottom, *widths[:0:-1]]
        self.up = nn.ModuleList(
            nn.ConvTranspose3d(a, b, 2, stride=2) for a, b in zip(below, widths[::-1], strict=True)
        )
        self.join = nn.ModuleList(ConvBlock(2 * w, w) for w in widths[::-1])
        self.head = nn.Conv3d(widths[0], outputs, 1)

    def forward(self, x: Tensor, skips: list[Tensor]) -> Tensor:
        """Return the decoded map; ``skips`` are the encoder's features, the first the largest."""
        for up, join, skip in zip(self.up, self.join, reversed(skips), strict=True):
            x = join(torch.cat([up(x), skip], dim=1))
        return self.head(x)


class SusepNet(nn.Module):
    """SUSEP-Net.

    Parameters
    ----------
    inputs : int
        Channels of the image; the first is net chi, the guidance.
    widths : sequence of int
        Channels of the levels; the paper's are 64, 128, 256 (bottleneck twice the last).
    fold : int
        Blocks of ``fold``^3 voxels are one position of the network.
    """

    def __init__(
        self, inputs: int = 3, widths: Sequence[int] = (64, 128, 256), fold: int = 1
    ) -> None:
        super().__init__()
        self.fold = fold
        self.multiple = fold * 2 ** len(widths)
        cells, deep = fold**3, widths[-1]
        self.image = Encoder(inputs * cells, widths)
        self.guide_para = Encoder(cells, widths)
        self.guide_dia = Encoder(cells, widths)
        self.interact_para = Interaction(deep)
        self.interact_dia = Interaction(deep)
        self.cascade = nn.Conv3d(2 * deep, deep, 1)
        self.bottom_para = ConvBlock(deep, 2 * deep)
        self.bottom_dia = ConvBlock(deep, 2 * deep)
        self.decode_para = Decoder(2 * deep, widths, cells)
        self.decode_dia = Decoder(2 * deep, widths, cells)
        self.apply(initialize)
        for decoder in (self.decode_para, self.decode_dia):
            nn.init.normal_(decoder.head.weight, std=HEAD_SD)
        for interaction in (self.interact_para, self.interact_dia):
            for name, weight in interaction.feed.named_parameters():
                if name.endswith("2.weight"):  # residual branches start small
                    nn.init.zeros_(weight)

    def forward(self, x: Tensor) -> SusepOutput:
        """Separate (batch, inputs, k, j, i) into both sources."""
        skips = self.image(folded(x, self.fold))
        net = folded(x[:, :1], self.fold)
        guide_para, guide_dia = self.guide_para(net)[-1], self.guide_dia(net)[-1]
        features = skips[-1]
        latent_para = self.interact_para(features, guide_para)
        start = self.cascade(torch.cat([features, latent_para], dim=1))
        latent_dia = self.interact_dia(start, guide_dia)
        para = self.decode_para(self.bottom_para(functional.max_pool3d(latent_para, 2)), skips)
        dia = self.decode_dia(self.bottom_dia(functional.max_pool3d(latent_dia, 2)), skips)
        sources = torch.cat([unfolded(para, self.fold), unfolded(dia, self.fold)], dim=1)
        return SusepOutput(sources, latent_para, latent_dia, guide_para, guide_dia)
