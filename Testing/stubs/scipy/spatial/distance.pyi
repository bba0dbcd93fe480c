"""Type of the function of scipy.spatial.distance that this project calls."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

def pdist(X: ArrayLike) -> NDArray[np.float64]: ...
