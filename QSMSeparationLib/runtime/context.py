"""What a method gets beside its maps and its parameters: progress, notes, weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from QSMSeparationLib.runtime.progress import Report, silent

Note = Callable[[str], None]


def ignore(text: str) -> None:
    """Drop a note."""


@dataclass(frozen=True)
class Context:
    """The surroundings in which a method runs.

    Parameters
    ----------
    report : callable
        Takes ``report(done, of)`` and raises when the run was cancelled.
    note : callable
        Takes a sentence that the user should read.
    networks : tuple of str
        Names of the networks that the method's row of the catalogue lists.
    weights : mapping of str to Path
        Weight files of the user by network; the shipped file serves where there is none.
    """

    report: Report = silent
    note: Note = ignore
    networks: tuple[str, ...] = ()
    weights: Mapping[str, Path] = field(default_factory=dict)
