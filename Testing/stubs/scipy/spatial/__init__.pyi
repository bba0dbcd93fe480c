"""Types of those parts of scipy.spatial that this project uses; SciPy itself has none."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

class QhullError(RuntimeError): ...

class ConvexHull:
    vertices: NDArray[np.int32]
    def __init__(self, points: NDArray[np.floating | np.integer]) -> None: ...

class KDTree:
    def __init__(
        self, data: ArrayLike, leafsize: int = 16, *, balanced_tree: bool = True
    ) -> None: ...
    def query(
        self, x: ArrayLike, k: int = 1, *, distance_upper_bound: float = ...
    ) -> tuple[NDArray[np.float64], NDArray[np.intp]]: ...
