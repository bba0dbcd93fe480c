"""Maps made elsewhere in, a Result out."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from QSMSeparationLib import catalogue
from QSMSeparationLib.data.maps import Maps
from QSMSeparationLib.data.result import Result
from QSMSeparationLib.data.volume import Geometry, Volume
from QSMSeparationLib.physics.constants import relaxivity
from QSMSeparationLib.pipeline import provenance
from QSMSeparationLib.pipeline.checked_inputs import checked_map, checked_mask, trust_of_magnitude
from QSMSeparationLib.pipeline.options import Options
from QSMSeparationLib.pipeline.run_method import invert_maps, separate_maps
from QSMSeparationLib.runtime.device import choose_device
from QSMSeparationLib.runtime.progress import Progress

Array = NDArray[np.float32]

_RATES = ("r2star", "r2", "r2prime")


def invert(
    local_field: Volume,
    mask: Volume,
    options: Options | None = None,
    progress: Progress | None = None,
    r2star: Volume | None = None,
    magnitude: Volume | None = None,
) -> Result:
    """Turn a local field into net chi.

    Parameters
    ----------
    local_field : Volume
        Local field in ppm.
    mask : Volume
        Brain mask on the same grid.
    options : Options, optional
        ``inversion`` and its parameters.
    progress : Progress, optional
        Receives the stages.
    r2star : Volume, optional
        R2* in Hz, whose borders ``tv`` does not smooth.
    magnitude : Volume, optional
        Says how far each voxel of the field is trusted, and shows borders without R2*.
    """
    options, progress = options or Options(), progress or Progress()
    options.refuse_unknown(catalogue.find(options.inversion, "inversion"))
    inside = checked_mask(mask)
    arrays = {"local_field": checked_map(local_field, "local_field", mask, options.b0_tesla)}
    for name, volume in (("r2star", r2star), ("magnitude", magnitude)):
        if volume is not None:
            arrays[name] = checked_map(volume, name, mask, options.b0_tesla)
    if magnitude is not None:
        arrays["trust"] = trust_of_magnitude(arrays["magnitude"], inside, magnitude.source)
    maps = maps_on_device(mask.geometry, inside, options, arrays)
    inverted = invert_maps(maps, options, progress)
    facts = provenance.merged(provenance.facts_of_maps(maps, options), inverted.facts)
    return Result(
        mask.geometry,
        inside,
        maps={"net": inverted.net.cpu().numpy()},
        facts=facts | provenance.facts_of_time(progress.seconds),
        notes=list(inverted.notes),
    )


def separate(
    given: dict[str, Volume],
    mask: Volume,
    options: Options | None = None,
    progress: Progress | None = None,
) -> Result:
    """Separate maps made elsewhere into chi+ and chi-.

    Parameters
    ----------
    given : dict of str to Volume
        ``local_field`` (ppm) and ``r2prime`` or ``r2star`` (Hz); optionally ``net`` (ppm), which
        replaces the inversion, ``r2`` (Hz), from which R2' = R2* - R2 is made,
        ``magnitude``, which says how far each voxel of the field is trusted, and ``s0``, the
        magnitude at TE 0, which tells water and T1 where the options have TR and flip angle.
    mask : Volume
        Brain mask on the same grid.
    options : Options, optional
        Choices of the user.
    progress : Progress, optional
        Receives the stages.
    """
    options, progress = options or Options(), progress or Progress()
    inside = checked_mask(mask)
    arrays = {name: checked_map(v, name, mask, options.b0_tesla) for name, v in given.items()}
    if "magnitude" in arrays:
        source = given["magnitude"].source
        arrays["trust"] = trust_of_magnitude(arrays["magnitude"], inside, source)
    notes: list[str] = []
    origin = provenance.R2PRIME_GIVEN if "r2prime" in arrays else provenance.R2PRIME_NONE
    if "r2prime" not in arrays and {"r2star", "r2"} <= set(arrays):
        origin = provenance.R2PRIME_SUBTRACTED
        arrays["r2prime"], clipped = _subtracted(arrays["r2star"], arrays["r2"], inside)
        notes.append(f"R2' = R2* - R2, negative and set to 0 in {100 * clipped:.1f} % of the mask")
    maps = maps_on_device(mask.geometry, inside, options, arrays)
    sources = separate_maps(maps, options, progress)
    if "s0" in arrays and "MagnitudeAtTE0" not in sources.facts:
        notes.append(f"{sources.facts['Separation']} makes no use of the magnitude at TE 0")
    facts = provenance.merged(
        provenance.facts_of_maps(maps, options),
        {"R2primeOrigin": origin, "SeparationR2prime": origin},
        sources.facts,
        provenance.facts_of_time(progress.seconds),
    )
    kept = {name: arrays[name] for name in (*_RATES, "local_field") if name in arrays}
    return Result(
        mask.geometry,
        inside,
        maps=kept | sources.maps(),
        intermediate=sources.intermediate(),
        facts=facts,
        notes=[*notes, *sources.notes],
    )


def maps_on_device(
    geometry: Geometry, inside: NDArray[np.bool_], options: Options, arrays: dict[str, Array]
) -> Maps:
    """Return arrays as :class:`Maps` on the chosen device; R2 takes no part."""
    device = choose_device(options.device)
    tensors = {
        name: torch.from_numpy(np.ascontiguousarray(array)).to(device)
        for name, array in arrays.items()
        if name != "r2"
    }
    return Maps(
        mask=torch.from_numpy(inside).to(device),
        spacing_kji=geometry.spacing_kji,
        b0_kji=geometry.b0_kji,
        b0_tesla=options.b0_tesla,
        tr_s=options.tr_s,
        flip_deg=options.flip_deg,
        dr_para=relaxivity(options.dr_para, options.b0_tesla),
        dr_dia=relaxivity(options.dr_dia, options.b0_tesla),
        **tensors,
    )


def _subtracted(r2star: Array, r2: Array, inside: NDArray[np.bool_]) -> tuple[Array, float]:
    """Return R2* - R2, at least 0, and the share of the mask in which it was negative."""
    difference = r2star - r2
    return difference.clip(min=0), float((difference[inside] < 0).mean())
