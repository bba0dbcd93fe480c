"""Training of ``cycle-qsm`` on unpaired data: fields of some heads, maps of others.

CycleQSM (Oh et al., arXiv:2012.03842): the dipole D is known, so of the two directions only
G: field -> map is a network, and only the maps need a critic psi:

    min_G max_psi  E_y |y - D G(y)| + E_x |x - G(D x)| + gamma (E_x psi(x) - E_y psi(G(y)))

with psi kept 1-Lipschitz by a gradient penalty (Gulrajani et al., NIPS 2017). G corrects the
closed-form (L2) inversion. A patch does not hold all sources of its field: what the L2
inversion of the *whole* head explains is taken off first, as in the phase compensation of
INR-QSM (Zhang et al., Med Image Anal 2024;95:103173), so D of the correction alone has to
explain what is left. Fields and maps are scaled by random factors: the network must not learn
how strong a source can be.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import reduce
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as functional
from numpy.typing import NDArray
from torch import Tensor, nn

from QSMSeparationLib.data.maps import Maps
from QSMSeparationLib.inversion.by_network import linear_inversion, linear_start
from QSMSeparationLib.networks.inputs import FIELD_PPM, NET_PPM, linear_inputs
from QSMSeparationLib.networks.weights import build
from QSMSeparationLib.physics.dipole import DipoleOperator
from QSMSeparationLib.physics.two_sources import BRAIN_MEAN_PPM
from QSMSeparationLib.runtime.errors import InputError
from QSMSeparationLib.training import losses
from QSMSeparationLib.training.heads import CHANNELS
from QSMSeparationLib.training.pool import CPU, PatchPlan, Pool, turned
from QSMSeparationLib.training.switches import Switches, Terms

WEIGHTS = {
    "l1": 1.0,
    "mean_2": 0.5,
    "mean_4": 0.5,
    "gradient": 0.1,
    "cycle_field": 0.5,
    "tv": 0.02,
    "potential": 0.1,
    "critic": 1.0,
    "penalty": 5.0,
}
"""Weight of each term. ``l1`` to ``gradient`` are those of map -> field -> map, ``cycle_field``
is field -> map -> field, ``potential`` the Wasserstein term of the network; the last two are
the critic's own."""

_SCALES = (0.65, 2.5)
_NOISE_PPM = (0.0005, 0.005)
_MARGIN = 8
_SPACING_MM, _B0 = (1.0, 1.0, 1.0), (1.0, 0.0, 0.0)


class Critic(nn.Sequential):
    """The potential psi: patches of net chi over ``NET_PPM`` to one number a patch.

    Strided convolutions without normalization, as the gradient penalty is one a patch; the
    mean over positions makes it a judge of texture and contrast, not of anatomy.
    """

    def __init__(self, widths: tuple[int, ...] = (12, 24, 48)) -> None:
        layers: list[nn.Module] = []
        for a, b in zip((1, *widths), widths, strict=False):
            layers += [nn.Conv3d(a, b, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        super().__init__(*layers, nn.Conv3d(widths[-1], 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Return the potential, (batch,)."""
        return super().forward(x).mean(dim=(1, 2, 3, 4))


class CycleNetworks(nn.Module):
    """The generator, which is kept, and the critic, which is needed in training only."""

    def __init__(self) -> None:
        super().__init__()
        self.generator = build("cycle-qsm")
        self.critic = Critic()
        self.made: tuple[Tensor, Tensor] | None = None
        """True and made maps of the last step, for the critic."""


@dataclass(frozen=True, eq=False)
class UnpairedBatch:
    """Patches (batch, 1, k, j, i) in ppm: measured fields, and maps of other people.

    Parameters
    ----------
    field_ppm, field_l2_ppm, rest_ppm, field_mask : Tensor
        Measured fields, their L2 inversion, and what of the field that leaves unexplained.
    made_ppm, made_l2_ppm, net_ppm, map_mask : Tensor
        True net chi of others, the field that the dipole gives it, and that one's inversion.
    """

    field_ppm: Tensor
    field_l2_ppm: Tensor
    rest_ppm: Tensor
    field_mask: Tensor
    made_ppm: Tensor
    made_l2_ppm: Tensor
    net_ppm: Tensor
    map_mask: Tensor

    def to(self, device: torch.device) -> UnpairedBatch:
        """Return the batch on a device."""
        return UnpairedBatch(*(getattr(self, n).to(device) for n in self.__dataclass_fields__))


class UnpairedPool(Pool):
    """A pool whose even-numbered heads give fields only, and the odd-numbered maps only.

    Head n is drawn from person n modulo the number of people, so with an even number of people
    no person is in both halves either.
    """

    def __init__(
        self,
        folder: Path,
        least: int = 2,
        wait_s: float = 600.0,
        device: torch.device = CPU,
    ) -> None:
        self._prepared: dict[str, NDArray[np.float16]] = {}
        # Cut and measured on the CPU, whatever the device: what is cut is made from heads first.
        super().__init__(folder, max(2, least), wait_s, CPU)

    def halves(self) -> tuple[list[str], list[str]]:
        """Return the names of the heads that give fields, and of those that give maps."""
        names = sorted(self._open)
        fields = [name for name in names if _number(name) % 2 == 0]
        maps = [name for name in names if _number(name) % 2 == 1]
        if not fields or not maps:
            raise InputError(f"{self.folder}: cycle-qsm needs two training heads or more")
        if {_number(n) for n in fields} & {_number(n) for n in maps}:
            raise InputError(f"{self.folder}: a head would give both its field and its map")
        return fields, maps

    def refresh(self) -> list[str]:
        """Look which heads are there; what was prepared of those that are gone is dropped."""
        names = super().refresh()
        for gone in set(self._prepared) - set(names):
            del self._prepared[gone]
        return names

    def patches(self, count: int, plan: PatchPlan, rng: np.random.Generator) -> Tensor:
        """Cut ``count`` patches of fields and as many of maps, (2 count, 4, s, s, s).

        Channels: measured or made field, its L2 inversion, rest of the field or net chi, mask.
        """
        batch = torch.zeros((2 * count, 4, plan.size, plan.size, plan.size))
        for half, names in enumerate(self.halves()):
            for patch in batch[half * count : (half + 1) * count]:
                name = names[rng.integers(len(names))]
                maps = self._head(name, half == 0)
                center = self._center(name, self._open[name], plan, rng)
                low = [
                    int(np.clip(c - plan.size // 2 + rng.integers(-8, 9), 0, max(0, n - plan.size)))
                    for c, n in zip(center, maps.shape[1:], strict=True)
                ]
                cut = maps[(slice(None), *(slice(a, a + plan.size) for a in low))]
                k, j, i = cut.shape[1:]
                patch[:, :k, :j, :i] = torch.from_numpy(np.asarray(cut, dtype=np.float32))
        return turned(batch, rng)

    def _head(self, name: str, gives_field: bool) -> NDArray[np.float16]:
        """Return the maps of a head that patches are cut from; made when first needed."""
        if name not in self._prepared:
            stored = torch.from_numpy(np.asarray(self._open[name], dtype=np.float32))
            maps: dict[str, Tensor] = dict(zip(CHANNELS, stored, strict=True))
            prepare = _field_head if gives_field else _map_head
            self._prepared[name] = prepare(maps).numpy().astype(np.float16)
        return self._prepared[name]


def _field_head(maps: dict[str, Tensor]) -> Tensor:
    """Return the field, its L2 inversion, and what that leaves of the field. No truth is looked at."""
    mask = (maps["importance"] > 0).float()
    linear = (maps["net_l2"] + BRAIN_MEAN_PPM) * mask
    explained = DipoleOperator(mask.shape, _SPACING_MM, _B0, pad=0.25)(linear)
    return torch.stack([maps["field"], linear, (maps["field"] - explained) * mask, mask])


def _map_head(maps: dict[str, Tensor]) -> Tensor:
    """Return the field that the dipole makes of net chi, its L2 inversion, and net chi. No field is read."""
    inside = maps["importance"] > 0
    mask = inside.float()
    net = maps["para"] - maps["dia"]
    net = (net - net[inside].mean() + BRAIN_MEAN_PPM) * mask
    field = DipoleOperator(mask.shape, _SPACING_MM, _B0, pad=0.25)(net) * mask
    linear = linear_start(Maps(inside, _SPACING_MM, _B0, local_field=field))
    return torch.stack([field, linear, net, mask])


def measure(patches: Tensor, generator: torch.Generator, know_dr: bool = True) -> UnpairedBatch:
    """Scale patches, and add noise to the fields that the dipole made.

    Parameters
    ----------
    patches : Tensor
        Of :meth:`UnpairedPool.patches`.
    generator : torch.Generator
        Source of all draws.
    know_dr : bool
        Not used: no relaxivity takes part.
    """

    def drawn(low: float, high: float) -> Tensor:
        place = torch.rand((len(patches), 1, 1, 1, 1), generator=generator)
        return torch.exp(math.log(low) + (math.log(high) - math.log(low)) * place)

    scaled = patches.clone()
    scaled[:, :3] *= drawn(*_SCALES)
    fields, maps = scaled.chunk(2)
    mask = maps[:, 3:]
    noise = drawn(*_NOISE_PPM)[: len(maps)] * torch.randn(mask.shape, generator=generator) * mask
    everywhere = torch.ones(mask.shape[2:], dtype=torch.bool)
    frames = [Maps(everywhere, _SPACING_MM, _B0, local_field=n[0]) for n in noise]
    inverted = [linear_inversion(frame)[None] for frame in frames]
    return UnpairedBatch(
        *fields.split(1, dim=1),
        made_ppm=maps[:, :1] + noise,
        made_l2_ppm=(maps[:, 1:2] + torch.stack(inverted)) * mask,
        net_ppm=maps[:, 2:3],
        map_mask=mask,
    )


def terms(networks: CycleNetworks, batch: UnpairedBatch, switches: Switches) -> Terms:
    """Return the generator's terms: both cycles, gradient, total variation, potential."""
    seen = [
        linear_inputs(batch.field_ppm, batch.field_l2_ppm),
        linear_inputs(batch.made_ppm, batch.made_l2_ppm),
    ]
    correction, of_made = networks.generator(torch.cat(seen)).float().chunk(2)
    correction = correction * batch.field_mask
    error = (batch.made_l2_ppm + NET_PPM * of_made - batch.net_ppm) * batch.map_mask
    found = losses.error_terms(error, batch.map_mask)
    rest = batch.rest_ppm - NET_PPM * losses.field_of(correction)
    # Near the border of the patch the correction outside it would count.
    inner = functional.pad(batch.field_mask[..., _INNER, _INNER, _INNER], (_MARGIN,) * 6)
    found["cycle_field"] = (rest.abs() * inner).sum() / inner.sum().clamp(min=1) / FIELD_PPM
    made = batch.field_l2_ppm / NET_PPM + correction
    found["tv"] = reduce(torch.add, (made.diff(dim=axis).abs().mean() for axis in (2, 3, 4)))
    if switches.critic:
        networks.made = (batch.net_ppm / NET_PPM, made.detach())
        networks.critic.requires_grad_(False)
        found["potential"] = -networks.critic(made).mean()
        networks.critic.requires_grad_(True)
    return found


def critic_terms(networks: CycleNetworks, batch: UnpairedBatch, switches: Switches) -> Terms:
    """Return the critic's terms on the maps that the generator has just made."""
    if networks.made is None:
        raise RuntimeError("the critic judges the maps of a step: take the generator's terms first")
    true, made = networks.made
    networks.made = None
    found = {"critic": networks.critic(made).mean() - networks.critic(true).mean()}
    share = torch.rand((len(true), 1, 1, 1, 1), device=true.device)
    between = torch.lerp(made, true, share).requires_grad_(True)
    (slope,) = torch.autograd.grad(networks.critic(between).sum(), between, create_graph=True)
    # Lipschitz with respect to the root mean square over the patch, so its size does not count.
    steepness = slope.flatten(1).norm(dim=1) * math.sqrt(slope[0].numel())
    found["penalty"] = (steepness - 1).square().mean()
    return found


_INNER = slice(_MARGIN, -_MARGIN)


def _number(name: str) -> int:
    """Return the number of a head from the name of its file."""
    return int(name.split("-head")[1].split(".")[0])
