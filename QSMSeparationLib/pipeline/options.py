"""What the user chose for a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from QSMSeparationLib import catalogue
from QSMSeparationLib.data.method import Method, Value
from QSMSeparationLib.physics.constants import DR_HZ_PER_PPM
from QSMSeparationLib.runtime.errors import InputError

DEFAULT_MASK_METHOD = "threshold"


@dataclass(frozen=True)
class Options:
    """What the user chose.

    Parameters
    ----------
    method : str
        Separation method; empty for the one that fits the maps that there are
        (:func:`QSMSeparationLib.catalogue.default_separation`).
    inversion : str
        Inversion method.
    background : str
        Background removal of a raw scan.
    dr_para, dr_dia : float
        Relaxivities of R2' in Hz/ppm at 3 T; scaled linearly to the field of the scan.
    dr_auto : bool
        Scale both relaxivities by the level of a measured R2' in the scan
        (:mod:`QSMSeparationLib.physics.r2prime_level`).
    dr_band_percent : float
        How far both relaxivities may be off, as an SD: what that does to the sources is added to
        their SDs, for two more separations. 0 leaves it out.
    b0_tesla : float
        Field strength of maps that do not carry it; a scan has its own.
    tr_s, flip_deg : float, optional
        Repetition time and flip angle of a magnitude at TE 0 that is given; a scan has its own.
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``mps``.
    mask_method : str
        How the brain of a raw scan is found: ``anatomy`` or ``threshold``.
    parameters : mapping of str to value
        Parameters of the methods by name; a text is read as the parameter's kind.
    weights : Path, optional
        Weights to use in place of those that come with the chosen separation network.
    """

    method: str = ""
    inversion: str = catalogue.DEFAULT_INVERSION
    background: str = catalogue.DEFAULT_BACKGROUND
    dr_para: float = DR_HZ_PER_PPM
    dr_dia: float = DR_HZ_PER_PPM
    dr_auto: bool = False
    dr_band_percent: float = 0.0
    b0_tesla: float = 3.0
    tr_s: float | None = None
    flip_deg: float | None = None
    device: str = "auto"
    mask_method: str = DEFAULT_MASK_METHOD
    parameters: Mapping[str, Value] = field(default_factory=dict)
    weights: Path | None = None

    def __post_init__(self) -> None:
        for name in ("dr_para", "dr_dia"):
            if not 1.0 <= getattr(self, name) <= 2000.0:
                raise InputError(
                    f"--{name.replace('_', '-')} {getattr(self, name):g} is outside 1 to 2000 Hz/ppm"
                )
        if not 0.0 <= self.dr_band_percent <= 50.0:
            raise InputError(f"--dr-band {self.dr_band_percent:g} is outside 0 to 50 %")
        for name, value, low, high, unit in (
            ("--tr", self.tr_s, 0.001, 20.0, "s"),
            ("--flip-angle", self.flip_deg, 0.1, 180.0, "degrees"),
        ):
            if value is not None and not low <= value <= high:
                raise InputError(f"{name} {value:g} is outside {low:g} to {high:g} {unit}")
        if not 0.1 <= self.b0_tesla <= 25:
            raise InputError(f"--b0 {self.b0_tesla:g} is outside 0.1 to 25 T")

    def restricted_to(self, *chosen: Method) -> Options:
        """Return the options with those parameters only that the methods have."""
        known = {p.name for method in chosen for p in method.parameters}
        kept = {name: value for name, value in self.parameters.items() if name in known}
        return replace(self, parameters=kept)

    def without(self, method: Method) -> Options:
        """Return the options without the parameters of a method that has run."""
        names = {p.name for p in method.parameters}
        kept = {name: value for name, value in self.parameters.items() if name not in names}
        return replace(self, parameters=kept)

    def parameters_for(self, method: Method) -> dict[str, Value]:
        """Return all parameters of a method: its defaults, overridden by what the user gave."""
        return method.parameters_for(self.restricted_to(method).parameters)

    def refuse_unknown(self, *chosen: Method) -> None:
        """Refuse a parameter that none of the methods has, or a value that is not allowed."""
        known = {p.name for method in chosen for p in method.parameters}
        unknown = set(self.parameters) - known
        if unknown:
            raise InputError(
                f"no chosen method has a parameter '{min(unknown)}'; there are: "
                f"{', '.join(sorted(known)) or 'none'}"
            )
        for method in chosen:
            self.parameters_for(method)
