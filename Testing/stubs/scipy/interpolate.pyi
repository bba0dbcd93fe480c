"""Type of the class of scipy.interpolate that this project uses; SciPy itself has none."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

class CubicSpline:
    def __init__(self, x: ArrayLike, y: ArrayLike, axis: int = 0) -> None: ...
    def __call__(self, x: ArrayLike) -> NDArray[np.float64]: ...
