"""What ``anatomy-net`` is worth on people that it was not trained on.

Label maps and drawn heads get contrasts as in the training, but at 1 mm, with their whole neck
and undeformed; one of the contrasts is the hard one of real scans: muscle as bright as white
matter, and no marrow in the skull.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from QSMSeparationLib.anatomy.mask import anatomy_mask
from QSMSeparationLib.anatomy.segment import labels_on, segment
from QSMSeparationLib.data.structures import FIRST_OF_BRAIN, INDEX, STRUCTURES
from QSMSeparationLib.data.volume import Volume
from QSMSeparationLib.physics.smoothing import gaussian
from QSMSeparationLib.runtime.errors import InputError
from QSMSeparationLib.simulation.anatomy import Anatomy
from QSMSeparationLib.training.anatomy_images import brightness
from QSMSeparationLib.training.anatomy_shapes import CLASS_OF_INDEX, TISSUE_NAMES, tissue_indices

CONTRASTS = ("a sequence", "any brightness", "bright muscle, no marrow")
_FAR_MM = 3.0
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Drawn:
    """A held-out person with a drawn contrast.

    Parameters
    ----------
    name : str
        Person and contrast.
    image : Volume
        At 1 mm.
    classes : ndarray of uint8
        True class of every voxel (:data:`~QSMSeparationLib.data.structures.STRUCTURES`).
    """

    name: str
    image: Volume
    classes: NDArray[np.uint8]

    @property
    def brain(self) -> Mask:
        """The true brain."""
        return self.classes >= FIRST_OF_BRAIN


def drawn_contrasts(anatomy: Anatomy, name: str, seed: int) -> list[Drawn]:
    """Draw the three contrasts of a person."""
    index, _ = tissue_indices(anatomy)
    classes = CLASS_OF_INDEX[index]
    return [
        Drawn(f"{name}: {contrast}", _image(anatomy, index, number, seed), classes)
        for number, contrast in enumerate(CONTRASTS)
    ]


def _image(anatomy: Anatomy, index: NDArray[np.uint8], contrast: int, seed: int) -> Volume:
    """Return the image of a contrast: brightness, coil, noise."""
    rng = np.random.default_rng([seed, contrast, 77])
    values = brightness(rng, sequence=contrast != 1)
    if contrast == 2:
        _make_hard(values)
    image = torch.from_numpy(values[index])
    spacing = anatomy.labels.geometry.spacing_kji
    image = gaussian(image, 0.4, spacing)
    coarse = torch.tensor(rng.normal(0, 0.25, (1, 1, 4, 4, 4)), dtype=torch.float32)
    coil = torch.nn.functional.interpolate(coarse, size=image.shape, mode="trilinear")[0, 0]
    sd = 0.03 * float(values.max())
    noise = rng.normal(0, sd, (2, *image.shape)).astype(np.float32)
    magnitude = np.hypot((image * coil.exp()).numpy() + noise[0], noise[1])
    return Volume(magnitude, anatomy.labels.geometry, "drawn image")


def _make_hard(values: NDArray[np.float32]) -> None:
    """Give muscle the brightness of white matter, and marrow that of bone."""
    white = values[TISSUE_NAMES.index("white matter")]
    dark = 0.05 * values.max()
    for number, name in enumerate(TISSUE_NAMES):
        tissue = name.split("/")[0]
        if tissue in ("muscle", "soft tissue"):
            values[number] = white
        elif tissue in ("bone marrow", "cortical bone"):
            values[number] = dark


def score(drawn: Drawn) -> dict[str, float | str]:
    """Label an image and compare with the truth."""
    row: dict[str, float | str] = {"head": drawn.name}
    try:
        found = segment(drawn.image)
        mask = anatomy_mask(found, drawn.image)
    except InputError as error:
        return row | {"refused": str(error)}
    row |= mask_scores(mask, drawn.brain, drawn.image.geometry.spacing_kji)
    labels = labels_on(found, drawn.image.like(mask.astype(np.uint8)))
    row |= structure_scores(labels.array, drawn.classes)
    return row


def mask_scores(mask: Mask, true: Mask, spacing: tuple[float, ...]) -> dict[str, float]:
    """Return overlap, surface distance, shares beside and kept, and what lies far off."""
    box = ndimage.find_objects((mask | true).astype(np.uint8))[0]
    mask, true = np.pad(mask[box], 1), np.pad(true[box], 1)
    to_true = ndimage.distance_transform_edt(~true, sampling=spacing)
    far, _ = ndimage.label(mask & (to_true > _FAR_MM))
    largest = np.bincount(far.ravel())[1:].max(initial=0) * np.prod(spacing) / 1000
    return {
        "brain_dice": _dice(mask, true),
        "surface_95_mm": _surface_95(mask, true, spacing),
        "beside_percent": 100 * float((mask & ~true).sum() / true.sum()),
        "kept_percent": 100 * float((mask & true).sum() / true.sum()),
        "farthest_part_ml": float(largest),
    }


def structure_scores(labels: NDArray[np.int16], classes: NDArray[np.uint8]) -> dict[str, float]:
    """Return the Dice overlap of every structure, both sides together."""
    scores = {}
    for structure in STRUCTURES[FIRST_OF_BRAIN:]:
        found = np.isin(labels, (structure.left, structure.right))
        scores[structure.name] = _dice(found, classes == INDEX[structure.name])
    return scores


def _dice(a: Mask, b: Mask) -> float:
    both = float(a.sum() + b.sum())
    return 2 * float((a & b).sum()) / both if both else float("nan")


def _surface_95(a: Mask, b: Mask, spacing: tuple[float, ...]) -> float:
    """Return the 95th percentile of the distances between two surfaces, both ways."""
    surfaces = [m & ~ndimage.binary_erosion(m) for m in (a, b)]
    distances = [
        ndimage.distance_transform_edt(~other, sampling=spacing)[one]
        for one, other in (surfaces, surfaces[::-1])
    ]
    return float(np.percentile(np.concatenate(distances), 95))
