"""Lesions as objects hold them: plain values and words by coded concepts."""

from __future__ import annotations

from dataclasses import dataclass

from QSMSeparationLib.data.quantities import Code

SCHEME = "99QSMSEP"
"""Private scheme of concepts that have no standard code."""

LESION = Code("52988006", "SCT", "Lesion")


@dataclass(frozen=True)
class Value:
    """A measured number."""

    concept: Code
    value: float
    unit: Code
    derivation: Code | None = None


@dataclass(frozen=True)
class Answer:
    """A class, a confidence: one of a few words."""

    concept: Code
    answer: Code


@dataclass(frozen=True)
class Remark:
    """Free text."""

    concept: Code
    text: str


@dataclass(frozen=True)
class Lesion:
    """One lesion.

    Parameters
    ----------
    number : int
        In the label map and in the lesion table.
    tracking_uid : str
        Which lesion it is, through all objects and edits.
    values, answers, remarks : tuple
        What is known of it.
    """

    number: int
    tracking_uid: str
    values: tuple[Value, ...] = ()
    answers: tuple[Answer, ...] = ()
    remarks: tuple[Remark, ...] = ()

    @property
    def title(self) -> str:
        """What readers see."""
        return f"Lesion {self.number}"
