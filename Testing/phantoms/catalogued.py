"""Methods as a user gets them: with the defaults of the catalogue."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from QSMSeparationLib.catalogue import methods
from QSMSeparationLib.runtime.context import Context


def method(name: str) -> Callable[..., Any]:
    """Return ``run(maps, *, report, note, weights, **parameters)`` of a method by its name."""
    [row] = [m for m in methods() if m.name == name]

    def run(maps: Any, **given: Any) -> Any:
        context = {key: given.pop(key) for key in ("report", "note", "weights") if key in given}
        if "weights" in context:
            context["weights"] = {row.networks[0]: context["weights"]}
        return row.run(maps, Context(**context), **given)

    return run
