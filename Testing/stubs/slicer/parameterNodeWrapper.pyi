"""Types of those parts of slicer.parameterNodeWrapper that this project uses."""

from collections.abc import Sequence
from typing import Any

class WithinRange:
    def __init__(self, minimum: float, maximum: float) -> None: ...

class Choice:
    def __init__(self, choices: Sequence[Any]) -> None: ...

# It adds a constructor and methods to the class, which no type can say.
def parameterNodeWrapper(cls: type) -> Any: ...
