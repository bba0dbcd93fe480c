"""What the user chose for a run."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from QSMSeparationLib import catalogue
from QSMSeparationLib.physics.constants import DR_HZ_PER_PPM
from QSMSeparationLib.runtime.errors import InputError


@dataclass(frozen=True)
class Options:
    """What the user chose.

    Parameters
    ----------
    method : str
        Separation method; empty for chi-sepnet where its inputs and weights are there (from
        R2' if it is known, else from R2* at 3 T), and for ``closed-form`` or ``r2star-qsm``
        where they are not.
    inversion : str
        Inversion method.
    dr_para, dr_dia : float
        Relaxivities of R2' in Hz/ppm at 3 T; scaled linearly to the field of the scan.
    b0_tesla : float
        Field strength of maps that do not carry it.
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``mps``.
    parameters : dict of str to float
        Parameters of the methods by name.
    weights : Path, optional
        Weights to use in place of those that come with the chosen separation network.
    """

    method: str = ""
    inversion: str = catalogue.DEFAULT_INVERSION
    dr_para: float = DR_HZ_PER_PPM
    dr_dia: float = DR_HZ_PER_PPM
    b0_tesla: float = 3.0
    device: str = "auto"
    parameters: dict[str, float] = field(default_factory=dict)
    weights: Path | None = None

    def __post_init__(self) -> None:
        for name in ("dr_para", "dr_dia"):
            if not 1.0 <= getattr(self, name) <= 2000.0:
                raise InputError(
                    f"--{name.replace('_', '-')} {getattr(self, name):g} is outside 1 to 2000 Hz/ppm"
                )
        if not 0.1 <= self.b0_tesla <= 25:
            raise InputError(f"--b0 {self.b0_tesla:g} is outside 0.1 to 25 T")

    def only(self, *chosen: catalogue.Method) -> Options:
        """Return the options with those parameters only that the methods have."""
        known = {p.name for method in chosen for p in method.parameters}
        kept = {name: value for name, value in self.parameters.items() if name in known}
        return replace(self, parameters=kept)

    def settings(self, *chosen: catalogue.Method) -> list[dict[str, float]]:
        """Return the parameters of each method; refuse a name that none of them has."""
        known = {p.name for method in chosen for p in method.parameters}
        unknown = set(self.parameters) - known
        if unknown:
            raise InputError(
                f"no chosen method has a parameter '{min(unknown)}'; there are: "
                f"{', '.join(sorted(known)) or 'none'}"
            )
        return [method.settings(self.only(method).parameters) for method in chosen]
