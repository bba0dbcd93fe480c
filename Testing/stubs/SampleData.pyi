"""Types of those parts of Slicer's module Sample Data that this project uses."""

from collections.abc import Callable

class SampleDataLogic:
    @staticmethod
    def registerCustomSampleDataSource(
        category: str = "Custom",
        sampleName: str | None = None,
        uris: str | None = None,
        fileNames: str | None = None,
        nodeNames: str | None = None,
        customDownloader: Callable[..., object] | None = None,
        thumbnailFileName: str | None = None,
    ) -> None: ...
