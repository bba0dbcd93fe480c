"""Types of those functions of vtk.util.numpy_support that this project calls."""

from typing import Any

from numpy.typing import NDArray

def vtk_to_numpy(vtk_array: Any) -> NDArray[Any]: ...
