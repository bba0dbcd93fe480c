"""Volumes of labeled structures."""

from __future__ import annotations

import numpy as np

from QSMSeparationLib.data.structures import label_table
from QSMSeparationLib.data.volume import Volume


def volume_table(labels: Volume) -> str:
    """Return the text of ``volumes.csv``: a structure and its volume in mm3 a row, brain last."""
    counts = np.bincount(labels.array.ravel(), minlength=1)
    size = labels.geometry.voxel_volume_mm3
    lines = ["label,structure,volume_mm3"]
    for number, name in label_table():
        count = int(counts[number]) if number < len(counts) else 0
        lines.append(f"{number},{name},{count * size:.6g}")
    lines.append(f",brain with ventricles and sulci,{int(counts[1:].sum()) * size:.6g}")
    return "\n".join(lines) + "\n"
