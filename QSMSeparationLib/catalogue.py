"""Every method of every stage, one row each: needs, parameters, networks, citation.

This module imports no torch. The command line, the panel in Slicer, the report and the
documentation read it. A new method is one file plus one row here, or one in another package that
lists its rows under the entry point ``qsmsep.methods``.

A method is a function ``method(maps, context, **parameters)`` of
:class:`~QSMSeparationLib.data.maps.Maps` and :class:`~QSMSeparationLib.runtime.context.Context`:

- ``background``: total field to (local field in ppm, mask in which it holds)
- ``inversion``: local field to net chi in ppm
- ``separation``: local field, net chi, R2' or R2* to (chi+ >= 0, chi- <= 0) in ppm, or to a
  :class:`~QSMSeparationLib.data.separated.Separated`, which holds their SDs too

It returns 0 outside the mask, and its defaults stand here alone.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points

from QSMSeparationLib.data.method import Calibration, Method, Parameter
from QSMSeparationLib.physics.constants import R2PRIME_ESTIMATE_B0_T
from QSMSeparationLib.runtime.errors import InputError

STAGES = ("background", "inversion", "separation")

ENTRY_POINT = "qsmsep.methods"
"""Entry point under which other packages list their rows."""

_REFINEMENT = Parameter("refinement", 8, "steps towards the data after the network", 0, 20)
_REGULARISATION = Parameter("regularisation", 1.0, "multiplies the automatic lambda", 0.05, 20.0)
_LIBRARY = "QSMSeparationLib"

_BACKGROUND: tuple[Method, ...] = (
    Method(
        name="resharp",
        stage="background",
        title="RESHARP with sources inside",
        needs=("total_field",),
        function=f"{_LIBRARY}.preprocess.resharp:resharp",
        equation="min sum_r |M_r (1 - S_r)(f - D P m u)|^2 + lambda |u|^2",
        when="The default: the most exact, up to the edge of the brain.",
        parameters=(Parameter("background_iterations", 8, "conjugate gradients", 1, 200),),
        citation="Sun and Wilman, Magn Reson Med 2014;71:1151",
    ),
    Method(
        name="vsharp",
        stage="background",
        title="V-SHARP",
        needs=("total_field",),
        function=f"{_LIBRARY}.preprocess.vsharp:vsharp",
        equation="f_local = (delta - S_r)^-1 m (delta - S_r) f, r the largest ball that fits",
        when="To compare with other software; loses more of the edge.",
        citation="Wu et al., Magn Reson Med 2012;67:137; Li et al., NeuroImage 2011;55:1645",
    ),
    Method(
        name="pdf",
        stage="background",
        title="Projection onto dipole fields",
        needs=("total_field",),
        function=f"{_LIBRARY}.preprocess.pdf:pdf",
        equation="min |w m (f - D (1 - m) c)|^2, f_local = f - D (1 - m) c",
        when="To compare with other software; keeps the edge, leaves more background there.",
        parameters=(Parameter("background_iterations", 60, "conjugate gradients", 1, 1000),),
        citation="Liu et al., NMR Biomed 2011;24:1129",
    ),
)

_INVERSION: tuple[Method, ...] = (
    Method(
        name="tkd",
        stage="inversion",
        title="Truncated k-space division",
        needs=("local_field",),
        function=f"{_LIBRARY}.inversion.tkd:tkd",
        equation="chi(k) = f(k) T(k) / c, T = 1/D where |D| > t, else sign(D)/t",
        when="Quick look; streaks at strong sources.",
        parameters=(
            Parameter("threshold", 0.0, "smallest |D(k)| divided by; 0: by the misfit", 0.0, 0.6),
        ),
        citation="Shmueli et al., Magn Reson Med 2009;62:1510; scaling: Schweser et al. 2013;69:1581",
    ),
    Method(
        name="l2",
        stage="inversion",
        title="Closed form, smooth gradient (L2)",
        needs=("local_field",),
        function=f"{_LIBRARY}.inversion.l2:l2",
        equation="chi(k) = D f / (D^2 + beta^2 L)",
        when="Quick and smooth; what the networks start from.",
        parameters=(
            Parameter(
                "regularisation", 0.0, "weight of the gradient penalty; 0: by the misfit", 0.0, 1.0
            ),
        ),
        citation="Bilgic et al., J Magn Reson Imaging 2014;40:181",
    ),
    Method(
        name="tv",
        stage="inversion",
        title="Weighted total variation",
        needs=("local_field",),
        function=f"{_LIBRARY}.inversion.tv:tv",
        equation="min 1/2 |W (D chi + m - f)|^2 + 1/2 |C m|^2 + lambda sum_a |e_a w_a grad_a chi|_1",
        when="The default.",
        parameters=(
            _REGULARISATION,
            Parameter("iterations", 10, "most iterations of a round", 1, 1000),
            Parameter("rounds", 0, "more give contrast back, and noise; 0: by the misfit", 0, 10),
            Parameter("tolerance", 0.012, "relative change at which it stops", 0.0, 0.5),
            Parameter("edges", True, "do not smooth across the borders that R2* shows"),
        ),
        citation="Bilgic et al., Magn Reson Med 2014;72:1444; weighting: Milovic et al. 2018;80:814",
    ),
    Method(
        name="ndi",
        stage="inversion",
        title="Nonlinear dipole inversion (early stop)",
        needs=("local_field",),
        function=f"{_LIBRARY}.inversion.ndi:ndi",
        equation="min |W (exp(i s D chi) - exp(i s f))|^2, stopped early",
        when="Without any penalty to choose; robust against voxels with a wrong field.",
        parameters=(Parameter("descent_steps", 20, "more give contrast, and noise", 1, 2000),),
        citation="Polak et al., NMR Biomed 2020;33:e4271",
    ),
    Method(
        name="qsmnet",
        stage="inversion",
        title="QSMnet (U-net)",
        needs=("local_field",),
        function=f"{_LIBRARY}.inversion.by_network:invert_by_network",
        equation="chi = TV(f) + U(f, L2(f), TV(f), misfit)",
        when="To compare with the published network.",
        parameters=(replace(_REFINEMENT, default=0),),
        citation="Yoon et al., NeuroImage 2018;179:199 (own network and weights)",
        networks=("qsmnet",),
    ),
    Method(
        name="cycle-qsm",
        stage="inversion",
        title="CycleQSM (U-net trained without pairs)",
        needs=("local_field",),
        function=f"{_LIBRARY}.inversion.by_network:invert_by_network",
        equation="chi = L2(f) + U(f, L2(f)), U trained by cycle consistency and a critic",
        when="To compare with the published network.",
        parameters=(_REFINEMENT,),
        citation="Oh et al., arXiv:2012.03842 (own network and weights)",
        networks=("cycle-qsm",),
    ),
    Method(
        name="inr-qsm",
        stage="inversion",
        title="INR-QSM (network fitted to this scan)",
        needs=("local_field",),
        function=f"{_LIBRARY}.inversion.inr_qsm:inr_qsm",
        equation="min over theta |W (D chi_theta - f)|^2 + lambda |M grad chi_theta|_1",
        when="Without any training data; takes minutes.",
        parameters=(
            Parameter("paper", False, "the network and patches of the paper; hours"),
            Parameter("regularisation", 1.0, "multiplies the total variation", 0.05, 20.0),
            Parameter("iterations", 30, "most steps (paper: rounds)", 1, 1000),
        ),
        citation="Zhang et al., Med Image Anal 2024;95:103173",
    ),
)

_SEPARATION: tuple[Method, ...] = (
    Method(
        name="closed-form",
        stage="separation",
        title="Closed form",
        needs=("net", "r2prime"),
        function=f"{_LIBRARY}.separation.closed_form:closed_form",
        equation="chi+ = (R2' + Dr- chi) / (Dr+ + Dr-), chi- = chi - chi+",
        when="With a spin echo, where nothing learned is wanted.",
        citation="Relaxivity model of Shin et al., NeuroImage 2021;240:118371, solved voxel by voxel",
        calibration=Calibration(1.21, 1.67, floor=0.65, power=0.22, contrast=0.53),
    ),
    Method(
        name="closed-form-guided",
        stage="separation",
        title="Closed form, R2' smoothed along the edges of net chi",
        needs=("net", "r2prime"),
        function=f"{_LIBRARY}.separation.guided:closed_form_guided",
        equation="closed form of G(R2'), G the filter guided by net chi",
        when="With a noisy R2'; what the networks start from.",
        citation="Closed form; guided filter: He et al., IEEE Trans PAMI 2013;35:1397",
        refits_net=True,
        calibration=Calibration(1.58, 1.48, contrast=0.39),
    ),
    Method(
        name="r2star-qsm",
        stage="separation",
        title="R2*-QSM (gradient echo only)",
        needs=("net", "r2star"),
        function=f"{_LIBRARY}.separation.r2star_qsm:r2star_qsm",
        equation="R2* = r (|chi+| + |chi-|), chi+ + chi- = chi",
        when="Without a spin echo; keeps the contrast between lesions, but chi- is far too strong.",
        parameters=(
            Parameter("relaxivity_3t", 274.0, "relaxivity of R2* at 3 T", 50.0, 1000.0, "Hz/ppm"),
        ),
        citation="Dimov et al., J Neuroimaging 2022 (jon.13014)",
        estimates_r2prime=True,
    ),
    Method(
        name="r2star-joint",
        stage="separation",
        title="Joint estimate from net chi and R2* (gradient echo only)",
        needs=("net", "r2star"),
        function=f"{_LIBRARY}.separation.r2star_joint:r2star_joint",
        equation="chi+ + |chi-| = E[sum given chi, R2*], R2 follows the sources; chi+ + chi- = chi",
        when="Without a spin echo: the default at other field strengths; nothing learned.",
        citation="Own; R2 of tissue: van Gelderen and Duyn; lesions: Paling 2012, Chen 2014, Zhang 2016",
        refits_net=True,
        estimates_r2prime=True,
        calibration=Calibration(1.33, 1.22, 1.28, floor=0.9, power=0.1, contrast=0.56),
    ),
    Method(
        name="joint-net",
        stage="separation",
        title="Joint network (gradient echo only)",
        needs=("local_field", "net", "r2star"),
        function=f"{_LIBRARY}.separation.joint_net:joint_net",
        equation="(chi+, |chi-|, R2') = linear start where R2 follows the sources + U(chi, f, R2*, S0)",
        when="The default without a spin echo at 3 T; lesion classes are uncertain.",
        parameters=(replace(_REFINEMENT, default=0),),
        citation="Own network and weights",
        networks=("joint-net",),
        uses=("s0",),
        refits_net=True,
        estimates_r2prime=True,
        b0_tesla=R2PRIME_ESTIMATE_B0_T,
        calibration=Calibration(1.0, 0.78, 0.8, contrast=0.82),
    ),
    Method(
        name="chi-separation",
        stage="separation",
        title="chi-separation (iterative)",
        needs=("local_field", "net", "r2prime"),
        function=f"{_LIBRARY}.separation.chi_separation:chi_separation",
        equation="min |W (D(p - d) - f)|^2 + k^2 |W (p + d - R2'/Dr)|^2 + lambda |M grad (p, d)|_1",
        when="To compare with the published method.",
        parameters=(
            _REGULARISATION,
            Parameter("rate_weight", 0.1, "weight of R2'/Dr against the field", 0.001, 10.0),
            Parameter("edges", 0.1, "share of voxels that are edges", 0.0, 0.9),
            Parameter("iterations", 60, "most iterations", 1, 1000),
            Parameter("tolerance", 0.01, "relative change at which it stops", 0.0, 0.5),
        ),
        citation="Shin et al., NeuroImage 2021;240:118371",
        refits_net=True,
    ),
    Method(
        name="inr-sep",
        stage="separation",
        title="INR separation (network fitted to this scan)",
        needs=("local_field", "net", "r2prime"),
        function=f"{_LIBRARY}.separation.inr_sep:inr_sep",
        equation="min over theta |W (D(p - d) - f)|^2 + Huber(Dr+ p + Dr- d - R2') + lambda TV",
        when="Without any training data; takes minutes.",
        parameters=(
            Parameter("regularisation", 1.0, "multiplies the total variation", 0.05, 20.0),
            Parameter("rate_weight", 1.0, "multiplies the term of R2'", 0.01, 100.0),
            Parameter("iterations", 30, "most steps", 1, 1000),
        ),
        citation="Own extension of INR-QSM (Zhang et al., Med Image Anal 2024;95:103173)",
        refits_net=True,
    ),
    Method(
        name="chi-sepnet-r2prime",
        stage="separation",
        title="chi-sepnet (R2' measured)",
        needs=("local_field", "net", "r2prime"),
        function=f"{_LIBRARY}.separation.by_network:separate_by_network",
        equation="(chi+, |chi-|) = guided closed form + U(chi, f, R2'/Dr, asymmetry of Dr, L2(f), misfit)",
        when="The default with a spin echo.",
        parameters=(_REFINEMENT,),
        citation="Kim et al., Hum Brain Mapp 2025;46:e70136 (own network and weights)",
        networks=("chi-sepnet",),
        refits_net=True,
        calibration=Calibration(1.4, 1.22, floor=0.6, power=0.2, contrast=0.68),
    ),
    Method(
        name="chi-sepnet-r2star",
        stage="separation",
        title="chi-sepnet (gradient echo only, R2' estimated)",
        needs=("local_field", "net", "r2star"),
        function=f"{_LIBRARY}.separation.r2primenet:separate_with_estimated_r2prime",
        equation="R2' = 0.32 R2* + V(R2*), then as chi-sepnet-r2prime",
        when="To compare with the published networks, at 3 T; do not read lesions from it.",
        parameters=(_REFINEMENT,),
        citation="Kim et al., Hum Brain Mapp 2025;46:e70136 (own networks and weights)",
        networks=("chi-sepnet", "r2primenet"),
        refits_net=True,
        estimates_r2prime=True,
        b0_tesla=R2PRIME_ESTIMATE_B0_T,
    ),
    Method(
        name="susep-net",
        stage="separation",
        title="SUSEP-Net",
        needs=("local_field", "net", "r2prime"),
        function=f"{_LIBRARY}.separation.by_network:separate_by_network",
        equation="as chi-sepnet, by a dual-branch network trained with a contrastive term",
        when="To compare with the published network.",
        parameters=(_REFINEMENT,),
        citation="Li et al., arXiv:2506.13293 (own network and weights)",
        networks=("susep-net",),
        refits_net=True,
    ),
)

DEFAULT_BACKGROUND = "resharp"
DEFAULT_INVERSION = "tv"
"""Methods that are used when the user names none."""

_DEFAULT_SEPARATIONS = ("chi-sepnet-r2prime", "closed-form", "joint-net", "r2star-joint")
"""The first one whose needs are met is used when the user names none. Without a spin echo the joint
network had the smaller errors on heads for settings (2 mm, whole chain, chi+ and chi-: 22 and 25 % on
clean ones, 29 and 36 % on real ones, against 28 and 37 %, 30 and 41 % of ``r2star-joint``)."""


def methods(stage: str | None = None) -> tuple[Method, ...]:
    """Return the methods of a stage, or all of them; those of other packages come last."""
    rows = (*_BACKGROUND, *_INVERSION, *_SEPARATION, *_plug_ins()[0])
    return tuple(m for m in rows if stage in (None, m.stage))


def plug_in_problems() -> tuple[str, ...]:
    """Return one line for every plug-in that could not be used."""
    return _plug_ins()[1]


def find(name: str, stage: str) -> Method:
    """Return a method by name, or raise InputError with the names there are."""
    for method in methods(stage):
        if method.name == name:
            return method
    known = ", ".join(m.name for m in methods(stage))
    raise InputError(f"there is no {stage} method '{name}'; choose one of: {known}")


def default_separation(available: frozenset[str], b0_tesla: float | None = None) -> str:
    """Return the separation to use for the maps that there are.

    Parameters
    ----------
    available : frozenset of str
        Maps that there are: ``local_field``, ``net``, ``r2prime``, ``r2star``.
    b0_tesla : float, optional
        Field strength; None where it is not known yet.
    """
    for name in _DEFAULT_SEPARATIONS:
        method = find(name, "separation")
        if method.usable_at(b0_tesla) and available.issuperset(method.needs):
            return name
    return "closed-form" if "r2prime" in available else "r2star-joint"


@lru_cache(maxsize=1)
def _plug_ins() -> tuple[tuple[Method, ...], tuple[str, ...]]:
    """Return the rows of other packages, and a line for each package that has none to give."""
    taken = {(m.stage, m.name) for m in (*_BACKGROUND, *_INVERSION, *_SEPARATION)}
    rows: list[Method] = []
    problems: list[str] = []
    for point in sorted(entry_points(group=ENTRY_POINT), key=lambda point: point.name):
        try:
            found = _rows_of(point, taken)
        except Exception as error:  # code of others: whatever is wrong must not stop the program
            reason = " ".join(str(error).split()) or type(error).__name__
            problems.append(f"plug-in {point.name} ({point.value}) is left out: {reason}")
            continue
        rows += found
        taken |= {(m.stage, m.name) for m in found}
    return tuple(rows), tuple(problems)


def _rows_of(point: EntryPoint, taken: set[tuple[str, str]]) -> tuple[Method, ...]:
    """Load the rows of one package and refuse what is no row."""
    loaded = point.load()
    rows = (loaded,) if isinstance(loaded, Method) else tuple(loaded)
    for row in rows:
        if not isinstance(row, Method) or row.stage not in STAGES:
            raise TypeError(f"it gives {row!r:.80}, which is no row of the catalogue")
        if (row.stage, row.name) in taken:
            raise ValueError(f"there is a {row.stage} method '{row.name}' already")
    return rows
