"""Values of DICOM tags, when nothing about them can be trusted."""

from __future__ import annotations

import numpy as np
from pydicom.dataset import Dataset


def number(groups: Dataset | list[Dataset], *keywords: str | int) -> float | None:
    """Return the first finite number under one of the keywords in one of the datasets."""
    for keyword in keywords:
        values = numbers(groups, keyword, 1)
        if values is not None:
            return values[0]
    return None


def numbers(
    groups: Dataset | list[Dataset], keyword: str | int, count: int
) -> tuple[float, ...] | None:
    """Return the first value with so many finite numbers, or None."""
    for group in [groups] if isinstance(groups, Dataset) else groups:
        try:
            value = group[keyword].value if keyword in group else None
            if isinstance(value, bytes):
                value = np.frombuffer(value[:4], "<f4")
            numbers = np.atleast_1d(np.asarray([] if value is None else value, dtype=np.float64))
        except Exception:  # any broken value counts as absent
            continue
        if len(numbers) >= count and np.isfinite(numbers).all():
            return tuple(float(n) for n in numbers[:count])
    return None


def text(header: Dataset, keyword: str) -> str:
    return str(header.get(keyword, "") or "").strip()
