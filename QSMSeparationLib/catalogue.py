"""Every method of the package: what it needs, its parameters, weights and citation.

This module imports no torch. The command line, the panel in Slicer, the report and the
documentation read it, so a new method is one file plus one row here.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from QSMSeparationLib.physics.constants import R2PRIME_ESTIMATE_B0_T
from QSMSeparationLib.runtime.errors import InputError


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
    more_weights : str
        Name of a second weight file that it uses, or empty.
    any_orientation : bool
        Whether it takes any B0 direction and voxel size as they are; maps are resampled for
        those that don't.
    refits_net : bool
        Whether a separation gives its own net chi (chi+ + chi-) in place of the inversion's.
    estimates_r2prime : bool
        Whether it works with an estimate of R2' in place of a measured one.
    """

    name: str
    stage: str
    title: str
    needs: tuple[str, ...]
    function: str
    parameters: tuple[Parameter, ...] = ()
    citation: str = ""
    weights: str = ""
    more_weights: str = ""
    any_orientation: bool = True
    refits_net: bool = False
    estimates_r2prime: bool = False

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


_REFINEMENT = Parameter("refinement", 8, 0, 20, "", "steps towards the data after the network")

_KNOWN: tuple[Method, ...] = (
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
            Parameter("iterations", 10, 1, 1000, "", "most iterations of a round"),
            Parameter("rounds", 3, 1, 10, "", "more give contrast back, and noise"),
            Parameter("tolerance", 0.012, 0.0, 0.5, "", "relative change at which it stops"),
            Parameter("edges", 1, 0, 1, "", "1: borders that R2* shows are not smoothed"),
        ),
        citation="Bilgic et al., Magn Reson Med 2014;72:1444; weighting: Milovic et al. 2018;80:814",
    ),
    Method(
        name="qsmnet",
        stage="inversion",
        title="QSMnet (U-net)",
        needs=("field",),
        function="inversion.qsmnet:qsmnet",
        citation="Yoon et al., NeuroImage 2018;179:199 (own network and weights)",
        parameters=(_REFINEMENT,),
        weights="qsmnet",
        any_orientation=False,
    ),
    Method(
        name="cycle-qsm",
        stage="inversion",
        title="CycleQSM (U-net trained without pairs)",
        needs=("field",),
        function="inversion.cycle_qsm:cycle_qsm",
        citation="Oh et al., arXiv:2012.03842 (own network and weights)",
        parameters=(_REFINEMENT,),
        weights="cycle-qsm",
        any_orientation=False,
    ),
    Method(
        name="inr-qsm",
        stage="inversion",
        title="INR-QSM (network fitted to this scan)",
        needs=("field",),
        function="inversion.inr_qsm:inr_qsm",
        parameters=(
            Parameter("paper", 0, 0, 1, "", "1: the network and patches of the paper; hours"),
            Parameter("regularisation", 1.0, 0.05, 20.0, "", "multiplies the total variation"),
            Parameter("iterations", 30, 1, 1000, "", "most steps (paper: rounds)"),
        ),
        citation="Zhang et al., Med Image Anal 2024;95:103173",
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
        name="closed-form-guided",
        stage="separation",
        title="Closed form, R2' smoothed along the edges of net chi",
        needs=("qsm", "r2prime"),
        function="separation.guided:closed_form_guided",
        citation="Closed form; guided filter: He et al., IEEE Trans PAMI 2013;35:1397",
        refits_net=True,
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
        estimates_r2prime=True,
    ),
    Method(
        name="chi-separation",
        stage="separation",
        title="chi-separation (iterative)",
        needs=("field", "qsm", "r2prime"),
        function="separation.chi_separation:chi_separation",
        parameters=(
            Parameter("regularisation", 1.0, 0.05, 20.0, "", "multiplies the automatic lambda"),
            Parameter("rate_weight", 0.1, 0.001, 10.0, "", "weight of R2'/Dr against the field"),
            Parameter("edges", 0.1, 0.0, 0.9, "", "share of voxels that are edges"),
            Parameter("iterations", 60, 1, 1000, "", "most iterations"),
            Parameter("tolerance", 0.01, 0.0, 0.5, "", "relative change at which it stops"),
        ),
        citation="Shin et al., NeuroImage 2021;240:118371",
        refits_net=True,
    ),
    Method(
        name="inr-sep",
        stage="separation",
        title="INR separation (network fitted to this scan)",
        needs=("field", "qsm", "r2prime"),
        function="separation.inr_sep:inr_sep",
        parameters=(
            Parameter("regularisation", 1.0, 0.05, 20.0, "", "multiplies the total variation"),
            Parameter("rate_weight", 1.0, 0.01, 100.0, "", "multiplies the term of R2'"),
            Parameter("iterations", 30, 1, 1000, "", "most steps"),
        ),
        citation="Own extension of INR-QSM (Zhang et al., Med Image Anal 2024;95:103173)",
        refits_net=True,
    ),
    Method(
        name="chi-sepnet-r2prime",
        stage="separation",
        title="chi-sepnet (R2' measured)",
        needs=("field", "qsm", "r2prime"),
        function="separation.chi_sepnet:chi_sepnet_r2prime",
        parameters=(_REFINEMENT,),
        citation="Kim et al., Hum Brain Mapp 2025;46:e70136 (own network and weights)",
        weights="chi-sepnet",
        any_orientation=False,
        refits_net=True,
    ),
    Method(
        name="chi-sepnet-r2star",
        stage="separation",
        title="chi-sepnet (gradient echo only, R2' estimated)",
        needs=("field", "qsm", "r2star"),
        function="separation.chi_sepnet:chi_sepnet_r2star",
        parameters=(_REFINEMENT,),
        citation="Kim et al., Hum Brain Mapp 2025;46:e70136 (own networks and weights)",
        weights="chi-sepnet",
        more_weights="r2primenet",
        any_orientation=False,
        refits_net=True,
        estimates_r2prime=True,
    ),
    Method(
        name="susep-net",
        stage="separation",
        title="SUSEP-Net",
        needs=("field", "qsm", "r2prime"),
        function="separation.susep_net:susep_net",
        parameters=(_REFINEMENT,),
        citation="Li et al., arXiv:2506.13293 (own network and weights)",
        weights="susep-net",
        any_orientation=False,
        refits_net=True,
    ),
)


def _has_weights(name: str) -> bool:
    """Whether a weight file and its card lie in the package."""
    folder = Path(__file__).parent / "weights"
    return all((folder / f"{name}.{kind}").is_file() for kind in ("pt", "json"))


METHODS: tuple[Method, ...] = tuple(
    method
    for method in _KNOWN
    if all(_has_weights(name) for name in filter(None, (method.weights, method.more_weights)))
)
"""The methods that can run: those whose weights are in the package."""


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


def can_estimate_r2prime(b0_tesla: float | None) -> bool:
    """Whether R2' may be estimated from R2* at a field strength, or None where it is not known."""
    lowest, highest = R2PRIME_ESTIMATE_B0_T
    return b0_tesla is None or lowest <= b0_tesla <= highest


def default_separation(available: frozenset[str], b0_tesla: float | None = None) -> str:
    """Return the separation for what is known: a network where its weights and inputs are there.

    Parameters
    ----------
    available : frozenset of str
        Inputs that there are: ``field``, ``qsm``, ``r2prime``, ``r2star``.
    b0_tesla : float, optional
        Field strength; None where it is not known yet.
    """
    measured = "r2prime" in available
    network = "chi-sepnet-r2prime" if measured else "chi-sepnet-r2star"
    usable = measured or can_estimate_r2prime(b0_tesla)
    for method in methods("separation"):
        if method.name == network and usable and available.issuperset(method.needs):
            return network
    return "closed-form" if measured else "r2star-qsm"
