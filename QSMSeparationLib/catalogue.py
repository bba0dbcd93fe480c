"""Every method of the package: what it needs, its parameters, weights and citation.

This module imports no torch. The command line, the panel in Slicer, the report and the
documentation read it, so a new method is one file plus one row here.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from QSMSeparationLib.errors import InputError


@dataclass(frozen=True)
class Parameter:
    """One number that a user may set.

    Parameters
    ----------
    name : str
        Keyword of the method's function.
    default, low, high : float
        Default and allowed range.
    unit : str
        Its unit; empty for none.
    help : str
        One line.
    """

    name: str
    default: float
    low: float
    high: float
    unit: str
    help: str

    def checked(self, value: float) -> float:
        """Return the value, or raise InputError with the allowed range."""
        if not self.low <= value <= self.high:
            raise InputError(
                f"{self.name} = {value:g} is outside {self.low:g} to {self.high:g} {self.unit}".rstrip()
            )
        return value


@dataclass(frozen=True)
class Method:
    """One row of the catalogue.

    Parameters
    ----------
    name : str
        What the user types: ``closed-form``.
    stage : str
        ``inversion`` or ``separation``.
    title : str
        What the user reads.
    needs : tuple of str
        Maps it takes: ``field``, ``qsm``, ``r2prime``, ``r2star``, ``magnitude``.
    function : str
        ``module:function`` below QSMSeparationLib; imported when the method runs.
    parameters : tuple of Parameter
        What the user may set.
    citation : str
        Whom to cite.
    weights : str
        Name of the weight file, or empty.
    any_orientation : bool
        Whether it takes any B0 direction and voxel size as they are.
    """

    name: str
    stage: str
    title: str
    needs: tuple[str, ...]
    function: str
    parameters: tuple[Parameter, ...] = ()
    citation: str = ""
    weights: str = ""
    any_orientation: bool = True

    def load(self) -> Callable[..., Any]:
        """Import and return the method's function."""
        module, _, name = self.function.partition(":")
        return getattr(importlib.import_module(f"QSMSeparationLib.{module}"), name)

    def settings(self, given: dict[str, float] | None = None) -> dict[str, float]:
        """Return all parameters: the defaults, overridden by checked ``given`` ones."""
        given = dict(given or {})
        values = {p.name: p.checked(given.pop(p.name, p.default)) for p in self.parameters}
        if given:
            known = ", ".join(p.name for p in self.parameters) or "none"
            raise InputError(f"{self.name} has no parameter {', '.join(given)}; it has: {known}")
        return values

    def describe(self) -> dict[str, Any]:
        """Return the row as plain data for ``qsmsep methods --json``."""
        row = asdict(self)
        del row["function"]
        return row


METHODS: tuple[Method, ...] = (
    Method(
        name="tkd",
        stage="inversion",
        title="Truncated k-space division",
        needs=("field",),
        function="inversion.tkd:tkd",
        parameters=(
            Parameter("threshold", 0.19, 0.02, 0.6, "", "smallest |D(k)| that is divided by"),
        ),
        citation="Shmueli et al., Magn Reson Med 2009;62:1510; scaling: Schweser et al. 2013;69:1581",
    ),
    Method(
        name="l2",
        stage="inversion",
        title="Closed form, smooth gradient (L2)",
        needs=("field",),
        function="inversion.l2:l2",
        parameters=(
            Parameter("regularisation", 0.05, 0.001, 1.0, "", "weight of the gradient penalty"),
        ),
        citation="Bilgic et al., J Magn Reson Imaging 2014;40:181",
    ),
    Method(
        name="tv",
        stage="inversion",
        title="Weighted total variation",
        needs=("field",),
        function="inversion.tv:tv",
        parameters=(
            Parameter("regularisation", 1.0, 0.05, 20.0, "", "multiplies the automatic lambda"),
            Parameter("iterations", 40, 1, 1000, "", "most iterations"),
            Parameter("tolerance", 0.025, 0.0, 0.5, "", "relative change at which it stops"),
        ),
        citation="Bilgic et al., Magn Reson Med 2014;72:1444; weighting: Milovic et al. 2018;80:814",
    ),
    Method(
        name="closed-form",
        stage="separation",
        title="Closed form",
        needs=("qsm", "r2prime"),
        function="separation.closed_form:closed_form",
        citation="Relaxivity model of Shin et al., NeuroImage 2021;240:118371, solved voxel by voxel",
    ),
    Method(
        name="r2star-qsm",
        stage="separation",
        title="R2*-QSM (gradient echo only)",
        needs=("qsm", "r2star"),
        function="separation.r2star_qsm:r2star_qsm",
        parameters=(
            Parameter("relaxivity_3t", 274.0, 50.0, 1000.0, "Hz/ppm", "relaxivity of R2* at 3 T"),
        ),
        citation="Dimov et al., J Neuroimaging 2022 (jon.13014)",
    ),
)


DEFAULT_INVERSION = "tv"
"""Inversion that is used when the user names none."""


def methods(stage: str | None = None) -> tuple[Method, ...]:
    """Return the methods of a stage, or all of them."""
    return tuple(m for m in METHODS if stage in (None, m.stage))


def find(name: str, stage: str) -> Method:
    """Return a method by name, or raise InputError with the names there are."""
    for method in methods(stage):
        if method.name == name:
            return method
    known = ", ".join(m.name for m in methods(stage))
    raise InputError(f"there is no {stage} method '{name}'; choose one of: {known}")
