"""Manufacturers of scanners, by short names."""

from __future__ import annotations

_KNOWN = ("Siemens", "Philips", "GE", "Canon", "United Imaging")


def known_vendor(manufacturer: str) -> str:
    """Return the short name of a known manufacturer, or an empty string."""
    name = manufacturer.strip().lower()
    return next((known for known in _KNOWN if name.startswith(known.lower())), "")
