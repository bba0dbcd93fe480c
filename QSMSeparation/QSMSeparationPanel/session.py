"""What the user chose in the last session: kept in the application's settings, not in the scene.

Paths of patients are not among it, nor own weights: those must be chosen each time.
"""

from __future__ import annotations

import logging
from typing import Any

import qt

GROUP = "QSMSeparation"
"""Where they lie in the settings."""
KEPT = (
    "method", "inversion", "settings", "device", "drPara", "drDia", "drAuto", "keepIntermediate",
)  # fmt: skip
"""Names of the parameters that are kept."""


def keep(parameters: Any) -> None:
    """Keep the choices of a run that has begun."""
    settings = qt.QSettings()
    for name in KEPT:
        settings.setValue(f"{GROUP}/{name}", str(getattr(parameters, name)))


def restore(parameters: Any) -> None:
    """Set the choices of the last run; what is not allowed any more keeps its default."""
    settings = qt.QSettings()
    for name in KEPT:
        text = settings.value(f"{GROUP}/{name}")
        if text is None:
            continue
        kind = type(getattr(parameters, name))
        try:
            setattr(parameters, name, text == "True" if kind is bool else kind(text))
        except (ValueError, TypeError) as error:
            logging.info("QSMSeparation: %s is not restored: %s", name, error)


def forget() -> None:
    """Go back to the defaults in the next session."""
    qt.QSettings().remove(GROUP)
