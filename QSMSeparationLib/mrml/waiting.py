"""Reading and writing of files while the window stays alive."""

from __future__ import annotations

from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TypeVar

_TICK_S = 0.01
Found = TypeVar("Found")


def in_a_thread(name: str, work: Callable[[], Found]) -> Generator[str, None, Found]:
    """Do work that may take longer than a window should wait, in a thread of its own.

    Yields ``name`` until it is done, and returns what the work returns.
    """
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(work)
        # In the application a thread runs only while this one waits.
        while not wait([future], _TICK_S).done:
            yield name
        return future.result()
