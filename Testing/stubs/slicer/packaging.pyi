"""Types of those functions of slicer.packaging that this project calls."""

from collections.abc import Sequence

def pip_ensure(
    requirements: Sequence[str],
    *,
    constraints: str | None = None,
    prompt_install: bool = True,
    requester: str | None = None,
) -> None: ...
