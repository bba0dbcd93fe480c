"""How true to life a simulated scan is: a level, and the parts it is made of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from QSMSeparationLib.runtime.errors import InputError

PARTS: Mapping[str, tuple[int, str]] = {
    "ages": (1, "lesions are drawn by their age, and their class follows"),
    "contrast": (1, "people differ in the contrast of net chi; cortex as atlases have it"),
    "texture": (1, "chi varies within tissues, nuclei and cortex; vessels down to a voxel"),
    "relaxivity": (1, "relaxivities scatter between regions; R2' has the scale of a protocol"),
    "fibers": (1, "white matter is not isotropic: chi-, frequency offset, R2' and R2*"),
    "misfit": (1, "the field holds 2 to 8 ppb that no isotropic source explains"),
    "gain": (1, "the measured field is 0.95 to 1.1 times that of the sources"),
    "bias": (1, "the transmit field and the receive sensitivity are uneven"),
    "motion": (1, "the head turns by a few degrees between gradient and spin echo"),
    "flow": (1, "blood in large veins and arteries moves"),
    "pools": (1, "white matter decays in two pools"),
    "strong-misfit": (2, "the misfit is 5 to 12 ppb"),
    "poles": (2, "the receive phase has poles"),
    "bipolar": (2, "even echoes are read backwards"),
    "zero-filling": (2, "a smaller matrix is interpolated with zeros in k-space"),
    "partial-fourier": (2, "a quarter of k-space was not measured"),
    "dropout": (2, "a metal filling spoils field and signal near the teeth"),
}
"""Every part: the level from which it is on, and what it does."""

LEVELS = (0, 1, 2)


@dataclass(frozen=True)
class Realism:
    """Which parts of reality a simulated scan has.

    Parameters
    ----------
    level : int
        0 to 2; what it was made from, for the sidecar.
    parts : frozenset of str
        Names of :data:`PARTS`.
    """

    level: int = 0
    parts: frozenset[str] = frozenset()

    @classmethod
    def of(cls, level: int, more: Iterable[str] = (), less: Iterable[str] = ()) -> Realism:
        """Return a level, with some parts more and some less.

        Raises
        ------
        InputError
            For a level or a part that does not exist.
        """
        if level not in LEVELS:
            raise InputError(f"realism {level}: choose 0, 1 or 2")
        unknown = sorted({*more, *less} - set(PARTS))
        if unknown:
            raise InputError(
                f"no part of realism is named '{unknown[0]}'; one of {', '.join(PARTS)}"
            )
        own = {name for name, (from_level, _) in PARTS.items() if from_level <= level}
        return cls(level, frozenset((own | set(more)) - set(less)))

    def __contains__(self, part: str) -> bool:
        """Whether a part is on."""
        return part in self.parts
