"""Measure and classify every lesion: :func:`analyze_lesions`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from QSMSeparationLib.data.method import Calibration
from QSMSeparationLib.data.quantities import IN_LESIONS, MAPS, SD_OF, SOURCES
from QSMSeparationLib.data.volume import Geometry, Volume
from QSMSeparationLib.lesions import instances
from QSMSeparationLib.lesions.classify import (
    Classification,
    Thresholds,
    classify,
    classify_rim,
    is_rim,
    not_classified,
)
from QSMSeparationLib.lesions.compartments import Compartments, compartments
from QSMSeparationLib.lesions.errors import SourceErrors, widened
from QSMSeparationLib.lesions.exam import ExamContext, measure_references
from QSMSeparationLib.lesions.results import COMPARTMENTS, LesionReport, LesionResult
from QSMSeparationLib.lesions.rim import RimCoverage, RimReference, rim_coverage, slice_axis
from QSMSeparationLib.lesions.statistics import (
    Interval,
    Statistics,
    blocks,
    bootstrap_means,
    contrast,
    equivalent_diameter_mm,
    largest_diameter_mm,
    statistics,
)
from QSMSeparationLib.runtime.errors import InputError
from QSMSeparationLib.runtime.progress import Report, silent


def analyze_lesions(
    maps: Mapping[str, Volume],
    lesions: Volume | Sequence[Volume],
    mask: Volume,
    tissue: Volume | None = None,
    thresholds: Thresholds | None = None,
    veins: Volume | None = None,
    dr_para: float = 114.0,
    dr_dia: float = 114.0,
    sds: Mapping[str, Volume] | None = None,
    calibration: Calibration | None = None,
    report: Report = silent,
) -> LesionReport:
    """Measure and classify every lesion of one examination.

    Parameters
    ----------
    maps : mapping of str to Volume
        ``chi_para`` (>= 0) and ``chi_dia`` (<= 0) in ppm, needed; ``net`` in ppm (their
        sum without it); ``r2star``, ``r2prime``, ``r2`` in Hz. All on one grid.
    lesions : Volume or sequence of Volume
        A binary segmentation, a label map, or one mask a lesion (these may overlap).
        On another grid they are resampled, and a note says so.
    mask : Volume
        The brain.
    tissue : Volume, optional
        Tissue map with the codes of :class:`~QSMSeparationLib.lesions.location.Tissue`;
        estimated from the maps without it.
    thresholds : Thresholds, optional
        What decides the classes.
    veins : Volume, optional
        Vein mask; found from chi+ without it.
    dr_para, dr_dia : float
        Relaxivities in Hz/ppm.
    sds : mapping of str to Volume, optional
        SDs of ``chi_para`` and ``chi_dia`` in ppm: how sure the values are, and whether they decide.
    calibration : Calibration, optional
        How the SD of a mean follows from them; as if all voxels erred alike without it.
    report : callable
        ``report(done, of)``.
    """
    thresholds = thresholds or Thresholds()
    given = [lesions] if isinstance(lesions, Volume) else list(lesions)
    arrays, geometry = _arrays(maps, mask)
    placed, notes = _placed(given, geometry)
    found = instances.split_segments(placed) if placed else ()
    inside = (mask.array > 0) & np.isfinite(arrays["chi_para"] + arrays["chi_dia"])
    kept, more = _within_mask(found, inside)
    box = _bounding_box(inside)
    small = _cropped(geometry, box)
    shifted = [one.shifted([-s.start for s in box]) for one in kept]
    exam, tissue_source = measure_references(
        {name: array[box] for name, array in arrays.items()},
        small,
        inside[box],
        instances.union(shifted, small.shape),
        tissue,
        veins,
        thresholds,
        (dr_para, dr_dia),
    )
    if sds:
        errors = _errors(sds, maps["chi_para"], calibration or Calibration())
        exam = replace(exam, errors=errors.cropped(box))
    results = []
    for done, one in enumerate(shifted):
        report(done, len(kept))
        results.append(_measure(one, exam))
    labels = Volume(instances.label_map(kept, geometry.shape), geometry, "lesions")
    return LesionReport(
        tuple(results), labels, exam.nawm, thresholds, dr_para, dr_dia, tissue_source, notes + more
    )


def _errors(sds: Mapping[str, Volume], like: Volume, calibration: Calibration) -> SourceErrors:
    """Return the SDs of both sources in ppb; maps on another grid are refused."""
    for name in SD_OF:
        if name not in sds:
            raise InputError(f"the SD of '{name}' is missing; give those of chi+ and chi-, or none")
        like.require_same_grid(sds[name])
    to_ppb = np.float32(MAPS["chi_para_sd"].scale)
    arrays = {n: np.nan_to_num(sds[n].array.astype(np.float32)) * to_ppb for n in SD_OF}
    return SourceErrors(arrays, calibration)


def _bounding_box(inside: NDArray[np.bool_]) -> tuple[slice, slice, slice]:
    """Return the box around the brain; everything outside it costs time and says nothing."""
    if not inside.any():
        raise InputError("the mask is empty; give a brain mask on the grid of the maps")
    box = []
    for axis in range(3):
        used = np.flatnonzero(inside.any(axis=tuple(a for a in range(3) if a != axis)))
        box.append(slice(int(used[0]), int(used[-1]) + 1))
    return tuple(box)


def _cropped(geometry: Geometry, box: tuple[slice, ...]) -> Geometry:
    corner = geometry.world(np.array([s.start for s in box]))
    shape = tuple(s.stop - s.start for s in box)
    return Geometry(shape, geometry.spacing_mm, tuple(corner), geometry.direction)


def _arrays(
    maps: Mapping[str, Volume], mask: Volume
) -> tuple[dict[str, NDArray[np.float32]], Geometry]:
    """Check grids and signs; chi in ppb with |chi-|, relaxation in Hz."""
    for name in ("chi_para", "chi_dia"):
        if name not in maps:
            raise InputError(f"the map '{name}' is needed to classify lesions")
    if unknown := set(maps) - set(IN_LESIONS):
        raise InputError(f"unknown map {sorted(unknown)[0]}; known: {', '.join(IN_LESIONS)}")
    first = maps["chi_para"]
    for other in (*maps.values(), mask):
        first.require_same_grid(other)
    inside = mask.array > 0
    dia = maps["chi_dia"].array
    if inside.any() and np.nanmedian(dia[inside]) > 0:
        raise InputError(
            f"{maps['chi_dia'].source}: chi- must be negative or 0; multiply the map by -1"
        )
    arrays = {
        name: maps[name].array.astype(np.float32) * np.float32(MAPS[name].scale)
        for name in IN_LESIONS
        if name in maps
    }
    arrays.setdefault("net", arrays["chi_para"] - arrays["chi_dia"])
    return arrays, first.geometry


def _placed(given: list[Volume], grid: Geometry) -> tuple[list[Volume], tuple[str, ...]]:
    placed, notes = [], []
    for one in given:
        volume, said = instances.resample_to(one, grid)
        placed.append(volume)
        notes += said
    return placed, tuple(notes)


def _within_mask(
    found: Sequence[instances.Instance], inside: NDArray[np.bool_]
) -> tuple[list[instances.Instance], tuple[str, ...]]:
    """Cut lesions to the mask; leave out and name those that lie outside it."""
    kept, lost, cut = [], [], []
    for one in found:
        mask = one.mask & inside[one.box]
        if not mask.any():
            lost.append(one.name)
            continue
        if mask.sum() < 0.8 * one.n_voxels:
            cut.append(one.name)
        kept.append(instances.Instance(one.id, one.name, one.box, mask).trimmed())
    if found and not kept:
        raise InputError(
            "no lesion lies within the mask; check that segmentation and maps are of one patient"
        )
    notes = []
    if lost:
        notes.append(f"outside the mask and left out: {', '.join(lost)}")
    if cut:
        notes.append(f"more than a fifth outside the mask, cut: {', '.join(cut)}")
    return kept, tuple(notes)


def _measure(lesion: instances.Instance, exam: ExamContext) -> LesionResult:
    """Measure one lesion."""
    thresholds, spacing = exam.thresholds, exam.geometry.spacing_kji
    margin = [int(np.ceil(thresholds.shell_far_mm / s)) + 1 for s in spacing]
    one = lesion.grown(margin, exam.mask.shape)
    veins = exam.veins[one.box]
    allowed = exam.mask[one.box] & ~exam.lesions[one.box] & ~veins
    parts = compartments(
        one.mask, spacing, exam.white[one.box], allowed, thresholds.rim_mm,
        (thresholds.shell_near_mm, thresholds.shell_far_mm),
    )  # fmt: skip
    maps = {name: array[one.box] for name, array in exam.maps.items()}
    contrasts, use_shell = _contrasts(maps, parts, exam, lesion.id)
    if exam.errors is not None:
        contrasts = _with_errors(contrasts, parts, exam.errors.cropped(one.box), use_shell)
    edge_clear = exam.mask[one.box] & ~veins
    rim = _rim(maps["chi_para"], parts, edge_clear, exam, use_shell)
    para, dia = _classify(one, exam, contrasts, rim)
    volume = lesion.n_voxels * exam.geometry.voxel_volume_mm3
    center = np.argwhere(one.mask).mean(axis=0) + [s.start for s in one.box]
    infeasible = None if exam.infeasible is None else exam.infeasible[one.box]
    return LesionResult(
        id=lesion.id,
        name=lesion.name,
        center_mm=tuple(float(v) for v in exam.geometry.world(center)),
        n_voxels=lesion.n_voxels,
        volume_mm3=volume,
        diameter_mm=equivalent_diameter_mm(volume),
        largest_mm=largest_diameter_mm(lesion.mask, spacing),
        place=exam.places.of(lesion, thresholds),
        para=para,
        dia=dia,
        reference="shell" if use_shell else "patient",
        statistics=_statistics(maps, parts),
        contrasts=contrasts,
        rim=rim,
        vein_share=float(veins[one.mask].mean()),
        infeasible_share=float("nan") if infeasible is None else float(infeasible[one.mask].mean()),
        clipped_share=float(
            ((maps["chi_para"] <= 0) | (maps["chi_dia"] <= 0))[one.mask].mean()
        ),
        sectors_mm=_world(rim.sectors_at, one, exam.geometry),
    )  # fmt: skip


def _world(
    index: tuple[float, float, float] | None, lesion: instances.Instance, grid: Geometry
) -> tuple[float, float, float] | None:
    """Return where an index in the box of a lesion lies in the world."""
    if index is None:
        return None
    x, y, z = grid.world(np.asarray(index) + [s.start for s in lesion.box])
    return float(x), float(y), float(z)


def _statistics(
    maps: dict[str, NDArray[np.float32]], parts: Compartments
) -> dict[str, dict[str, Statistics]]:
    return {
        name: {part: statistics(values[getattr(parts, part)]) for part in COMPARTMENTS}
        for name, values in maps.items()
    }


def _contrasts(
    maps: dict[str, NDArray[np.float32]], parts: Compartments, exam: ExamContext, number: int
) -> tuple[dict[str, dict[str, Interval]], bool]:
    """Return the contrasts of core, rim and reference; and whether the shell serves as reference."""
    thresholds = exam.thresholds
    rng = np.random.default_rng([thresholds.seed, number])
    edge = tuple(max(1, round(thresholds.block_mm / s)) for s in exam.geometry.spacing_kji)
    stack = np.stack([maps[name] for name in SOURCES])
    drawn = {
        part: bootstrap_means(
            blocks(stack, getattr(parts, part), edge), int(thresholds.bootstrap_draws), rng
        )
        for part in ("core", "rim", "shell")
    }
    use_shell = bool(parts.shell.sum() >= thresholds.shell_voxels)
    patient = np.array([exam.nawm.para_ppb, exam.nawm.dia_ppb, exam.nawm.net_ppb])
    nawm = drawn["shell"] if use_shell else (patient, np.zeros((1, 3)) + patient)
    pairs = {
        "core-nawm": (drawn["core"], nawm),
        "core-shell": (drawn["core"], drawn["shell"]),
        "rim-core": (drawn["rim"], drawn["core"]),
    }
    contrasts = {
        name: {
            label: contrast(a[0][m] - b[0][m], a[1][:, m] - b[1][:, m])
            for label, (a, b) in pairs.items()
        }
        for m, name in enumerate(SOURCES)
    }
    return contrasts, use_shell


def _with_errors(
    contrasts: dict[str, dict[str, Interval]],
    parts: Compartments,
    errors: SourceErrors,
    use_shell: bool,
) -> dict[str, dict[str, Interval]]:
    """Return contrasts whose intervals hold the errors of the maps, too; net chi has no SD."""
    nowhere = np.zeros_like(parts.core)
    pairs = {
        "core-nawm": (parts.core, parts.shell if use_shell else nowhere),
        "core-shell": (parts.core, parts.shell),
        "rim-core": (parts.rim, parts.core),
    }
    wider = {
        name: {
            label: widened(interval, errors.of_difference(name, *pairs[label]))
            for label, interval in contrasts[name].items()
        }
        for name in SD_OF
    }
    return contrasts | wider


def _rim(
    para_ppb: NDArray[np.float32],
    parts: Compartments,
    usable: NDArray[np.bool_],
    exam: ExamContext,
    use_shell: bool,
) -> RimCoverage:
    white = float(para_ppb[parts.shell].mean()) if use_shell else exam.nawm.para_ppb
    reference = RimReference(
        core_ppb=float(para_ppb[parts.core].mean()),
        white_ppb=white,
        step_ppb=exam.nawm.rim_limit_ppb(exam.thresholds),
    )
    return rim_coverage(
        para_ppb, parts, usable, exam.geometry.spacing_kji,
        slice_axis(exam.geometry.b0_kji), reference, exam.thresholds.rim_arc_deg,
    )  # fmt: skip


def _classify(
    lesion: instances.Instance,
    exam: ExamContext,
    contrasts: dict[str, dict[str, Interval]],
    rim: RimCoverage,
) -> tuple[Classification, Classification]:
    """Return the classes in chi+ and |chi-|."""
    nawm, thresholds = exam.nawm, exam.thresholds
    para, dia = contrasts["chi_para"]["core-nawm"], contrasts["chi_dia"]["core-nawm"]
    volume = lesion.n_voxels * exam.geometry.voxel_volume_mm3
    if equivalent_diameter_mm(volume) < thresholds.small_mm:
        return not_classified(para, nawm.para_sd_ppb), not_classified(dia, nawm.dia_sd_ppb)
    known = exam.errors is not None
    if is_rim(rim, thresholds):
        step = contrasts["chi_para"]["rim-core"] if known else None
        para_class = classify_rim(
            rim, para, nawm.rim_limit_ppb(thresholds), nawm.para_sd_ppb, step, thresholds.decided
        )
    else:
        limit = nawm.para_limit_ppb(thresholds)
        para_class = classify(para, limit, nawm.para_sd_ppb, known, thresholds.decided)
    limit = nawm.dia_limit_ppb(thresholds)
    return para_class, classify(dia, limit, nawm.dia_sd_ppb, known, thresholds.decided)
