"""Types of those parts of Slicer's PyTorch extension that this project uses."""

from typing import Any

class PyTorchUtilsLogic:
    def installTorch(
        self, askConfirmation: bool = False, torchVersionRequirement: str | None = None
    ) -> Any: ...
