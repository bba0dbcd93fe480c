"""Types of those functions of scipy.fft that this project calls; SciPy itself has none."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

# The inverse has the precision of the spectrum, which the types of complex numbers do not carry.
def rfftn(x: NDArray[np.floating]) -> NDArray[np.complexfloating]: ...
def irfftn(
    x: NDArray[np.complexfloating], s: Sequence[int] | None = None
) -> NDArray[np.floating]: ...
