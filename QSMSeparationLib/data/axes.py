"""Tuples with one entry an axis: their types have one name each.

They hold three entries, which a type checker can't count where they come from a comprehension.
"""

Triple = tuple[float, ...]
"""Numbers along three axes: voxel sizes in mm, a direction."""

Shape = tuple[int, ...]
"""Voxels along three axes."""

Box = tuple[slice, ...]
"""A part of an array, a slice an axis."""
