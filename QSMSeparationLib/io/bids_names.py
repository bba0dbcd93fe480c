"""BIDS names of subjects and sessions: the one rule that all rooms ask."""

from __future__ import annotations

import re

from QSMSeparationLib.runtime.errors import InputError

# 64: far beyond any study's numbering, and short enough for the path limits of Windows.
_NAME = re.compile(r"sub-[A-Za-z0-9]{1,64}(_ses-[A-Za-z0-9]{1,64})?")


def is_bids_name(name: str) -> bool:
    """Return True for ``sub-01`` and ``sub-01_ses-02``."""
    return _NAME.fullmatch(name) is not None


def entities_of(name: str) -> dict[str, str]:
    """Return the entities of a name in their order: ``sub-01_ses-02`` to sub: 01, ses: 02."""
    parts = (part.partition("-") for part in name.split("_"))
    return {entity: value for entity, _, value in parts}


def require_bids_name(name: str) -> str:
    """Return a name that becomes part of file names, or raise InputError."""
    if not is_bids_name(name):
        raise InputError(
            f"the name {name!r} can't be used; write it as sub-01 or sub-01_ses-02 "
            f"(letters and digits only)"
        )
    return name


def table_prefix(name: str) -> str:
    """Return how table and report begin: with the scan's name if others share its folder."""
    shares_folder = any(not part.startswith(("sub-", "ses-")) for part in name.split("_"))
    return f"{name}_" if shares_folder else ""
