"""A row of the catalogue of methods: :class:`Method` and its :class:`Parameter`."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from QSMSeparationLib.runtime.context import Context
from QSMSeparationLib.runtime.errors import InputError

Value = float | int | bool | str
Kind = Literal["float", "int", "bool", "choice"]

_YES_NO = {"1": True, "true": True, "yes": True, "on": True,
           "0": False, "false": False, "no": False, "off": False}  # fmt: skip


@dataclass(frozen=True)
class Parameter:
    """One value that a user may set.

    Parameters
    ----------
    name : str
        Keyword of the method's function.
    default : float, int, bool or str
        Default; its type is the kind of the parameter (str: one of ``choices``).
    help : str
        One line.
    low, high : float
        Allowed range of a number.
    unit : str
        Its unit; empty for none.
    choices : tuple of str
        Allowed values of a choice.
    """

    name: str
    default: Value
    help: str
    low: float = 0.0
    high: float = 0.0
    unit: str = ""
    choices: tuple[str, ...] = ()

    @property
    def kind(self) -> Kind:
        """``float``, ``int``, ``bool`` or ``choice``."""
        if isinstance(self.default, bool):
            return "bool"
        if isinstance(self.default, int):
            return "int"
        return "choice" if isinstance(self.default, str) else "float"

    def shown(self, value: Value) -> str:
        """Return a value as a user would type it, with its unit."""
        if self.kind == "bool":
            return "yes" if value else "no"
        return str(value) if self.kind == "choice" else f"{value:g} {self.unit}".rstrip()

    @property
    def allowed(self) -> str:
        """Allowed values in words."""
        if self.kind == "bool":
            return "yes or no"
        if self.kind == "choice":
            return ", ".join(self.choices)
        return f"{self.low:g} to {self.high:g} {self.unit}".rstrip()

    def checked(self, value: Value) -> Value:
        """Return a value, or the value that a text says, in the parameter's kind.

        Raises
        ------
        InputError
            When it is of another kind or outside the allowed values.
        """
        refusal = InputError(f"{self.name} = {value} is not allowed; give {self.allowed}")
        if self.kind == "choice":
            if value not in self.choices:
                raise refusal
            return value
        if self.kind == "bool":
            if str(value).lower() not in _YES_NO:
                raise refusal
            return _YES_NO[str(value).lower()]
        try:
            number = float(value)
        except ValueError:
            raise refusal from None
        whole = self.kind == "int"
        if not self.low <= number <= self.high or (whole and number != int(number)):
            raise refusal
        return int(number) if whole else number


@dataclass(frozen=True)
class Calibration:
    """How the errors of a method relate to the SDs that it gives, as held-out heads have it.

    Errors of neighbors are alike, so the error of a mean over n voxels is not that of a voxel over
    the root of n. The SD of a mean is the mean of the SDs times ``max(floor, n ** -power)``.

    Parameters
    ----------
    para, dia, r2prime : float
        Factors on the SDs of voxels: of chi+, |chi-| and R2'.
    floor : float
        Least share of a voxel's SD that is left in the mean over a large region.
    power : float
        How fast the SD of a mean falls with the number of its voxels: 0.5 for white noise.
    contrast : float
        Share of the SDs of two neighboring means that is left in their difference, as what is wrong
        in both alike cancels.
    """

    para: float = 1.0
    dia: float = 1.0
    r2prime: float = 1.0
    floor: float = 1.0
    power: float = 0.0
    contrast: float = 1.0

    def share_of_mean(self, voxels: float) -> float:
        """Return the SD of the mean over so many voxels, over the mean of their SDs."""
        return max(self.floor, max(voxels, 1.0) ** -self.power)


@dataclass(frozen=True)
class Method:
    """One row of the catalogue.

    Parameters
    ----------
    name : str
        What the user types: ``closed-form``.
    stage : str
        ``background``, ``inversion`` or ``separation``.
    title : str
        What the user reads.
    needs : tuple of str
        Maps that it takes, by their names in :mod:`QSMSeparationLib.data.quantities`.
    function : str
        ``package.module:function``, imported when the method runs.
    equation : str
        What it solves, in one line.
    when : str
        When to choose it, in one sentence.
    parameters : tuple of Parameter
        What the user may set.
    citation : str
        Whom to cite.
    networks : tuple of str
        Names of the weight files that it uses; a user's weights replace the first.
    uses : tuple of str
        Maps that it uses where they are known, and works without.
    refits_net : bool
        Whether a separation gives its own net chi (chi+ + chi-) in place of the inversion's.
    estimates_r2prime : bool
        Whether it works with an estimate of R2' in place of a measured one.
    b0_tesla : tuple of float, optional
        Lowest and highest field strength at which it may be used; None for any.
    calibration : Calibration
        Of the SDs that a separation gives; measured by ``Testing/benchmarks/bench_uncertainty.py``.
    """

    name: str
    stage: str
    title: str
    needs: tuple[str, ...]
    function: str
    equation: str = ""
    when: str = ""
    parameters: tuple[Parameter, ...] = ()
    citation: str = ""
    networks: tuple[str, ...] = ()
    uses: tuple[str, ...] = ()
    refits_net: bool = False
    estimates_r2prime: bool = False
    b0_tesla: tuple[float, float] | None = None
    calibration: Calibration = Calibration()

    def load(self) -> Callable[..., Any]:
        """Import and return the method's function."""
        module, _, name = self.function.partition(":")
        return getattr(importlib.import_module(module), name)

    def run(self, maps: Any, context: Context | None = None, **given: Value) -> Any:
        """Run the method with its defaults, overridden by checked ``given`` parameters."""
        context = replace(context or Context(), networks=self.networks)
        return self.load()(maps, context, **self.parameters_for(given))

    def parameters_for(self, given: Mapping[str, Value] | None = None) -> dict[str, Value]:
        """Return all parameters: the defaults, overridden by checked ``given`` ones."""
        given = dict(given or {})
        values = {p.name: p.checked(given.pop(p.name, p.default)) for p in self.parameters}
        if given:
            known = ", ".join(p.name for p in self.parameters) or "none"
            raise InputError(f"{self.name} has no parameter {', '.join(given)}; it has: {known}")
        return values

    def usable_at(self, b0_tesla: float | None) -> bool:
        """Return True if it may be used at a field strength, or if that is not known."""
        if b0_tesla is None or self.b0_tesla is None:
            return True
        lowest, highest = self.b0_tesla
        return lowest <= b0_tesla <= highest

    def describe(self) -> dict[str, Any]:
        """Return the row as plain data for ``qsmsep methods --json``."""
        row = asdict(self)
        del row["function"]
        for parameter, values in zip(self.parameters, row["parameters"], strict=True):
            values["kind"] = parameter.kind
        return row
