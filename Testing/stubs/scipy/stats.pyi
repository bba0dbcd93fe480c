"""Types of those functions of scipy.stats that this project calls; SciPy itself has none."""

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

class _Line(NamedTuple):
    slope: float
    intercept: float
    rvalue: float
    pvalue: float
    stderr: float

class _Interval(NamedTuple):
    low: float
    high: float

class _BinomTest:
    pvalue: float
    def proportion_ci(
        self,
        confidence_level: float = 0.95,
        method: Literal["exact", "wilson", "wilsoncc"] = "exact",
    ) -> _Interval: ...

class _StudentT:
    def ppf(self, q: float, df: float) -> np.float64: ...

t: _StudentT

def linregress(x: NDArray[np.floating], y: NDArray[np.floating]) -> _Line: ...
def binomtest(k: int, n: int, p: float = 0.5) -> _BinomTest: ...
