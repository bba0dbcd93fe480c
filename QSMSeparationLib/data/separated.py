"""What a separation gives: :class:`Separated`, both sources with how sure each value is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from QSMSeparationLib.data.method import Calibration


@dataclass(frozen=True, eq=False)
class Separated:
    """Both sources and, from methods that know them, their errors.

    It unpacks as chi+ and chi-. A method without errors need not make one: it returns the pair.

    Parameters
    ----------
    chi_para, chi_dia : Tensor
        chi+ >= 0 and chi- <= 0 in ppm, 0 outside the mask.
    chi_para_sd, chi_dia_sd : Tensor, optional
        SD of the error of chi+ and of |chi-| in ppm.
    r2prime, r2prime_sd : Tensor, optional
        R2' in Hz where the method estimated it, and the SD of its error.
    unusual : Tensor, optional
        Voxels (bool) whose inputs lie outside what the method was made for; it makes their SD larger.
    """

    chi_para: Tensor
    chi_dia: Tensor
    chi_para_sd: Tensor | None = None
    chi_dia_sd: Tensor | None = None
    r2prime: Tensor | None = None
    r2prime_sd: Tensor | None = None
    unusual: Tensor | None = None

    def __iter__(self) -> Iterator[Tensor]:
        return iter((self.chi_para, self.chi_dia))

    @classmethod
    def of(cls, given: Separated | tuple[Tensor, Tensor]) -> Separated:
        """Return what a method gave, the pair or all, as one kind."""
        return given if isinstance(given, cls) else cls(*given)

    @property
    def has_sd(self) -> bool:
        """Whether both sources have an SD."""
        return self.chi_para_sd is not None and self.chi_dia_sd is not None

    @property
    def unusual_share(self) -> float:
        """Share of the voxels with a source whose inputs are unusual; 0 where none are told."""
        there = int(((self.chi_para - self.chi_dia) > 0).sum())
        return 0.0 if self.unusual is None or not there else float(self.unusual.sum()) / there

    def with_ends(self, low: Separated, high: Separated) -> Separated:
        """Return it with SDs that hold half of what lies between two ends, beside its own."""
        sds = {}
        for name in ("chi_para", "chi_dia", "r2prime"):
            sd = getattr(self, f"{name}_sd")
            ends = getattr(low, name), getattr(high, name)
            if sd is not None and ends[0] is not None:
                sds[f"{name}_sd"] = torch.hypot(sd, 0.5 * (ends[1] - ends[0]))
        return replace(self, **sds)

    def calibrated(self, calibration: Calibration) -> Separated:
        """Return it with every SD times its factor."""
        factors = {
            "chi_para_sd": calibration.para,
            "chi_dia_sd": calibration.dia,
            "r2prime_sd": calibration.r2prime,
        }
        known = {name: getattr(self, name) for name in factors}
        return replace(self, **{n: factors[n] * sd for n, sd in known.items() if sd is not None})

    def maps(self) -> dict[str, Tensor]:
        """Return the maps that there are, by name."""
        names = (one.name for one in fields(self) if one.name != "unusual")
        return {name: found for name in names if (found := getattr(self, name)) is not None}
