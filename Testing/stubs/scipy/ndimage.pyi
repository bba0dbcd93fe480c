"""Types of those functions of scipy.ndimage that this project calls; SciPy itself has none."""

from collections.abc import Sequence
from typing import Any, Literal, TypeVar, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

_T = TypeVar("_T", bound=np.generic)
_Mode = Literal["reflect", "constant", "nearest", "mirror", "wrap", "grid-constant", "grid-wrap"]

# Filters and interpolation: the result has the type of the input.

def gaussian_filter(
    input: NDArray[_T],
    sigma: float | Sequence[float],
    order: int | Sequence[int] = 0,
    *,
    mode: _Mode = "reflect",
    cval: float = 0.0,
    truncate: float = 4.0,
) -> NDArray[_T]: ...
def gaussian_filter1d(
    input: NDArray[_T],
    sigma: float,
    axis: int = -1,
    order: int = 0,
    *,
    mode: _Mode = "reflect",
    cval: float = 0.0,
    truncate: float = 4.0,
) -> NDArray[_T]: ...
def gaussian_laplace(
    input: NDArray[_T],
    sigma: float | Sequence[float],
    *,
    mode: _Mode = "reflect",
    cval: float = 0.0,
    truncate: float = 4.0,
) -> NDArray[_T]: ...
def uniform_filter(
    input: NDArray[_T],
    size: int | Sequence[int] = 3,
    *,
    mode: _Mode = "reflect",
    cval: float = 0.0,
) -> NDArray[_T]: ...
def minimum_filter(
    input: NDArray[_T],
    size: int | Sequence[int],
    *,
    mode: _Mode = "reflect",
    cval: float = 0.0,
) -> NDArray[_T]: ...
def grey_dilation(
    input: NDArray[_T],
    size: int | Sequence[int] | None = None,
    footprint: NDArray[np.bool_] | None = None,
) -> NDArray[_T]: ...
def grey_opening(
    input: NDArray[_T],
    size: int | Sequence[int] | None = None,
    footprint: NDArray[np.bool_] | None = None,
) -> NDArray[_T]: ...
def map_coordinates(
    input: NDArray[_T],
    coordinates: ArrayLike,
    *,
    order: int = 3,
    mode: _Mode = "constant",
    cval: float = 0.0,
) -> NDArray[_T]: ...
def affine_transform(
    input: NDArray[_T],
    matrix: ArrayLike,
    offset: float | Sequence[float] | NDArray[np.floating] = 0.0,
    output_shape: Sequence[int] | None = None,
    *,
    order: int = 3,
    mode: _Mode = "constant",
    cval: float = 0.0,
) -> NDArray[_T]: ...
def zoom(
    input: NDArray[_T],
    zoom: float | Sequence[float],
    *,
    order: int = 3,
    mode: _Mode = "constant",
    cval: float = 0.0,
) -> NDArray[_T]: ...

# Shapes.

def generate_binary_structure(rank: int, connectivity: int) -> NDArray[np.bool_]: ...
def binary_erosion(
    input: NDArray[np.bool_],
    structure: ArrayLike | None = None,
    iterations: int = 1,
    mask: NDArray[np.bool_] | None = None,
    *,
    border_value: int = 0,
) -> NDArray[np.bool_]: ...
def binary_dilation(
    input: NDArray[np.bool_],
    structure: ArrayLike | None = None,
    iterations: int = 1,
    mask: NDArray[np.bool_] | None = None,
    *,
    border_value: int = 0,
) -> NDArray[np.bool_]: ...
def binary_opening(
    input: NDArray[np.bool_], structure: ArrayLike | None = None, iterations: int = 1
) -> NDArray[np.bool_]: ...
def binary_closing(
    input: NDArray[np.bool_], structure: ArrayLike | None = None, iterations: int = 1
) -> NDArray[np.bool_]: ...
def binary_fill_holes(
    input: NDArray[np.bool_], structure: ArrayLike | None = None
) -> NDArray[np.bool_]: ...
def label(
    input: NDArray[Any], structure: ArrayLike | None = None
) -> tuple[NDArray[np.int32], int]: ...

# None stands for a number without a voxel; callers know which numbers there are.
def find_objects(
    input: NDArray[np.integer], max_label: int = 0
) -> list[tuple[slice[int, int, None], ...] | Any]: ...
@overload
def distance_transform_edt(
    input: NDArray[Any], sampling: float | Sequence[float] | None = None
) -> NDArray[np.float64]: ...
@overload
def distance_transform_edt(
    input: NDArray[Any],
    sampling: float | Sequence[float] | None = None,
    *,
    return_distances: Literal[False],
    return_indices: Literal[True],
) -> NDArray[np.int32]: ...
@overload
def distance_transform_edt(
    input: NDArray[Any],
    sampling: float | Sequence[float] | None = None,
    *,
    return_indices: Literal[True],
) -> tuple[NDArray[np.float64], NDArray[np.int32]]: ...
