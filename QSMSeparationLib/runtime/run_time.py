"""How far a whole run is: its stages, weighted by the seconds that they were measured to take."""

from __future__ import annotations

from typing import NamedTuple

SECONDS = {
    # Measured on one core with a head of 1.5 mm, five echoes and a spin echo; only their
    # proportions count.
    "finding scans": 0.5,
    "reading": 3.0,
    "brain mask": 4.0,
    "field map": 9.0,
    "R2*": 2.0,
    "registering spin echo": 3.0,
    "R2": 3.5,
    "background field": 8.0,
    "inversion": 10.0,
    "inversion: tkd": 0.2,
    "inversion: l2": 0.2,
    "inversion: tv": 5.0,
    "inversion: qsmnet": 5.0,
    "inversion: cycle-qsm": 34.0,
    "inversion: inr-qsm": 38.0,
    "separation": 12.0,
    "separation: closed-form": 0.2,
    "separation: closed-form-guided": 0.4,
    "separation: r2star-qsm": 0.2,
    "separation: chi-separation": 10.0,
    "separation: chi-sepnet-r2prime": 11.0,
    "separation: chi-sepnet-r2star": 15.0,
    "separation: inr-sep": 48.0,
    "separation: susep-net": 100.0,
    "data checks": 0.5,
    "check of the mask": 0.5,
    "regions": 1.0,
    "lesions": 3.0,
    "writing": 2.0,
    "reading the series": 1.0,
    "DICOM objects": 15.0,
    "anatomy and lesions": 5.0,
    "tissue maps": 4.0,
    "field and signal": 12.0,
}
OTHER_S = 3.0
"""Taken for a stage that is not listed."""
STAGES = {
    "run": (
        "finding scans", "reading", "brain mask", "field map", "R2*", "background field",
        "inversion", "separation", "data checks", "lesions", "writing",
    ),
    "separate": ("inversion", "separation", "lesions", "writing"),
    "invert": ("inversion", "writing"),
    "dicom": ("reading the series", "DICOM objects"),
    "simulate": ("anatomy and lesions", "tissue maps", "field and signal", "writing"),
}  # fmt: skip
"""What is expected of a command; stages that come beside are added when they begin."""
_PRIOR = 0.05  # of the whole: how much the first seconds count little for the speed of a computer
_SURE = 0.1  # of a stage: from here on its own time left is better than the table


class RunShare(NamedTuple):
    """How far a whole run is.

    Attributes
    ----------
    done : float
        The share of it that is done, 0 to 1; it never falls.
    eta_s : float, optional
        Seconds left; None while it is too early to tell.
    """

    done: float
    eta_s: float | None


class RunTime:
    """Knows the share of a run that is done and the seconds that are left.

    Parameters
    ----------
    command : str
        What is run; nothing is known of a command that is not in ``STAGES``.
    """

    def __init__(self, command: str = "") -> None:
        self._left = list(STAGES.get(command, ()))
        self._finished_s = self._reached = 0.0
        self._stage = ""

    def repeat(self, scans: int) -> None:
        """Take that the stages to come will be gone through for so many scans."""
        self._left *= scans

    def update(
        self, stage: str, share: float, elapsed_s: float, stage_eta_s: float | None
    ) -> RunShare | None:
        """Take how far a stage is.

        Parameters
        ----------
        stage : str
            Its name.
        share : float
            0 at its begin, 1 at its end.
        elapsed_s : float
            Seconds since the run began.
        stage_eta_s : float, optional
            Seconds left of the stage as it sees them.

        Returns
        -------
        RunShare or None
            None of a run of unknown stages.
        """
        if not self._left and not self._stage:
            return None
        if stage != self._stage:
            self._begin(stage)
        now_s, later_s = _seconds(stage), sum(map(_seconds, self._left))
        done_s = self._finished_s + share * now_s
        whole_s = self._finished_s + now_s + later_s
        self._reached = max(self._reached, min(1.0, done_s / whole_s))
        prior_s = _PRIOR * whole_s
        slowness = (elapsed_s + prior_s) / (done_s + prior_s)
        here_s = slowness * (1 - share) * now_s
        if stage_eta_s is not None and share >= _SURE:
            here_s = stage_eta_s
        left_s = None if done_s < prior_s else here_s + slowness * later_s
        return RunShare(self._reached, left_s)

    def _begin(self, stage: str) -> None:
        """Count the stage before as finished, and those that were skipped as not coming."""
        if self._stage:
            self._finished_s += _seconds(self._stage)
        kind = stage.split(":")[0]
        if kind in self._left:
            del self._left[: self._left.index(kind) + 1]
        self._stage = stage


def seconds_of(stage: str, method: str) -> float:
    """Return the seconds that a method was measured to take, or what its stage usually takes."""
    return _seconds(f"{stage}: {method}")


def _seconds(stage: str) -> float:
    return SECONDS.get(stage, SECONDS.get(stage.split(":")[0], OTHER_S))
