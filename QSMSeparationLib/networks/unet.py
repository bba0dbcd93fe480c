"""The U-net of chi-sepnet, QSMnet and R2PRIMEnet, with its widths as parameters.

Kim et al., Hum Brain Mapp 2025;46:e70136: two 3x3x3 convolutions a level, max pooling,
transposed convolutions, skips joined with the up-sampled features first, a linear 1x1x1 head.
Two things differ: the second convolution of a level adds to the first, and the network may work
on folded voxels (``fold`` = 2: blocks of 2^3 voxels become channels), which makes it eight
times cheaper at the same width, so that a laptop without a GPU can run it. Where thin things must
be told apart, a level of single voxels (``fine``) may be laid over the folded ones.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

HEAD_SD = 0.01
"""SD of the initial weights of a head."""


def normalization(channels: int, each_image: bool = False) -> nn.Module:
    """Return the normalization after a convolution.

    Over the batch with slow statistics (batches hold a few patches only), or over each image
    by itself, where images differ in contrast and no statistics fit them all.
    """
    if each_image:
        return nn.InstanceNorm3d(channels, affine=True)
    return nn.BatchNorm3d(channels, momentum=0.03)


class ConvBlock(nn.Sequential):
    """3x3x3 convolution, normalization, rectifier."""

    def __init__(self, inputs: int, outputs: int, each_image: bool = False) -> None:
        super().__init__(
            nn.Conv3d(inputs, outputs, 3, padding=1, bias=False),
            normalization(outputs, each_image),
            nn.ReLU(),
        )


class Block(nn.Module):
    """Two 3x3x3 convolutions, each normalized and rectified; the second adds to the first."""

    def __init__(self, inputs: int, outputs: int, each_image: bool = False) -> None:
        super().__init__()
        self.first = ConvBlock(inputs, outputs, each_image)
        self.second = nn.Sequential(
            nn.Conv3d(outputs, outputs, 3, padding=1, bias=False),
            normalization(outputs, each_image),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the features of a level."""
        x = self.first(x)
        return functional.relu(self.second(x) + x)


class FineLevel(nn.Module):
    """A level of single voxels over a network of folded ones.

    Parameters
    ----------
    inputs, outputs : int
        Channels of image and result.
    below, width : int
        Channels of the features of blocks, and of this level.
    fold : int
        Side of a block.
    each_image : bool
        Normalize over each image by itself.
    """

    def __init__(
        self, inputs: int, outputs: int, below: int, width: int, fold: int, each_image: bool
    ) -> None:
        super().__init__()
        self.fold = fold
        self.up = nn.ConvTranspose3d(below, width, fold, stride=fold)
        self.join = Block(width + inputs, width, each_image)
        self.head = nn.Conv3d(width, outputs, 1)

    def forward(self, features: Tensor, image: Tensor, parts: Sequence[int] | None) -> Tensor:
        """Return what is added to the outputs, as :meth:`UNet.forward` returns them."""
        x = self.join(torch.cat([self.up(features), image], dim=1))
        if parts is None:
            return self.head(x)
        chosen = folded(x, self.fold).unflatten(1, (-1, self.fold**3))[:, :, list(parts)]
        return self.head(chosen.flatten(2, 3)).unflatten(2, (len(parts), -1))


class UNet(nn.Module):
    """A 3D U-net on optionally folded voxels.

    Parameters
    ----------
    inputs, outputs : int
        Channels at the resolution of the image.
    widths : sequence of int
        Channels of every level, the bottleneck last; the paper's are 32, 64, 128, 256, 512.
    fold : int
        Blocks of ``fold``^3 voxels are one position of the network.
    each_image : bool
        Normalize over each image by itself instead of over batches.
    fine : int
        Channels of a last level at the resolution of the image, which sees the image again and
        adds to the outputs; 0 for none. Only of use where voxels are folded.

    Notes
    -----
    Sides of the image must be multiples of :attr:`multiple`.
    """

    def __init__(
        self, inputs: int, outputs: int, widths: Sequence[int] = (32, 64, 128, 256, 512),
        fold: int = 1, each_image: bool = False, fine: int = 0,
    ) -> None:  # fmt: skip
        super().__init__()
        self.fold = fold
        self.multiple = fold * 2 ** (len(widths) - 1)
        widths = list(widths)
        self.down = nn.ModuleList(
            Block(a, b, each_image)
            for a, b in zip([inputs * fold**3, *widths], widths, strict=False)
        )
        above = list(zip(widths[-2::-1], widths[:0:-1], strict=True))
        self.up = nn.ModuleList(nn.ConvTranspose3d(b, a, 2, stride=2) for a, b in above)
        self.join = nn.ModuleList(Block(2 * a, a, each_image) for a, _ in above)
        self.head = nn.Conv3d(widths[0], outputs * fold**3, 1)
        self.fine = FineLevel(inputs, outputs, widths[0], fine, fold, each_image) if fine else None
        self.apply(initialize)
        # Starts near "no correction".
        nn.init.normal_(self.head.weight, std=HEAD_SD)
        if self.fine is not None:
            nn.init.normal_(self.fine.head.weight, std=HEAD_SD)

    def forward(self, x: Tensor, parts: Sequence[int] | None = None) -> Tensor:
        """Map (batch, inputs, k, j, i) to (batch, outputs, k, j, i).

        With ``parts``, only these of the fold^3 voxels of a block are computed, and come as
        (batch, outputs, part, k, j, i) over the blocks: a loss on some voxels of each block
        costs so much less.
        """
        features = self._features(folded(x, self.fold))
        scores = self._scores(features, parts)
        return scores if self.fine is None else scores + self.fine(features, x, parts)

    def _scores(self, features: Tensor, parts: Sequence[int] | None) -> Tensor:
        """Return what the head makes of the features of blocks, or of some voxels of them."""
        if parts is None:
            return unfolded(self.head(features), self.fold)
        rows = torch.arange(len(self.head.weight)).view(-1, self.fold**3)[:, list(parts)].flatten()
        bias = None if self.head.bias is None else self.head.bias[rows]
        found = functional.conv3d(features, self.head.weight[rows], bias)
        return found.unflatten(1, (-1, len(parts)))

    def _features(self, x: Tensor) -> Tensor:
        """Return what the head works on."""
        skips = []
        for level, block in enumerate(self.down):
            x = block(x if level == 0 else functional.max_pool3d(x, 2))
            skips.append(x)
        skips.pop()
        for up, join in zip(self.up, self.join, strict=True):
            x = join(torch.cat([up(x), skips.pop()], dim=1))
        return x


def initialize(module: nn.Module) -> None:
    """Initialize convolutions for rectified units (He et al. 2015), biases at 0."""
    if isinstance(module, nn.Conv3d | nn.ConvTranspose3d):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def folded(x: Tensor, fold: int) -> Tensor:
    """Turn blocks of fold^3 voxels into channels."""
    if fold == 1:
        return x
    b, c, k, j, i = x.shape
    x = x.view(b, c, k // fold, fold, j // fold, fold, i // fold, fold)
    x = x.permute(0, 1, 3, 5, 7, 2, 4, 6).reshape(b, c * fold**3, k // fold, j // fold, i // fold)
    return x.contiguous(memory_format=torch.channels_last_3d)


def unfolded(x: Tensor, fold: int) -> Tensor:
    """Undo :func:`folded`."""
    if fold == 1:
        return x
    b, c, k, j, i = x.shape
    x = x.reshape(b, c // fold**3, fold, fold, fold, k, j, i)
    return x.permute(0, 1, 5, 2, 6, 3, 7, 4).reshape(b, c // fold**3, k * fold, j * fold, i * fold)
