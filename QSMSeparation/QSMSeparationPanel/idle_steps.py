"""Long work of the panel in small steps, each when the application is idle."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

from QSMSeparationPanel.later import later


class IdleSteps:
    """Takes the steps of one generator at a time, so that the window stays alive."""

    def __init__(self) -> None:
        self._steps: Generator[str, None, Any] | None = None

    @property
    def active(self) -> bool:
        """Whether steps are left."""
        return self._steps is not None

    def start(
        self,
        steps: Generator[str, None, Any],
        then: Callable[[Any], None],
        failed: Callable[[Exception], None],
    ) -> None:
        """Take the steps; then give what they return, or what they raise.

        Steps that were on their way are stopped.
        """
        self.stop()
        self._steps = steps

        def advance() -> None:
            if self._steps is not steps:
                return  # stopped
            try:
                next(steps)
            except StopIteration as end:
                self._steps = None
                then(end.value)
            except Exception as error:
                self._steps = None
                failed(error)
            else:
                later(advance)

        later(advance)

    def stop(self) -> None:
        """Take no further step; what is half done is undone by the steps themselves."""
        steps, self._steps = self._steps, None
        if steps is not None:
            steps.close()
