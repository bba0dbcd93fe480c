"""pytest hooks and fixtures: ``from host.fixtures import *`` in the conftest.py of a folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import host

__all__ = ["clean_scene", "pictures", "pytest_pycollect_makemodule"]

_REASON = host.why_not()
if not _REASON:
    host.start()


class _Skipped(pytest.Module):
    def collect(self) -> list:
        pytest.skip(_REASON, allow_module_level=True)


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> object | None:
    """Skip the test files of the folder, unread, where the host cannot start."""
    return _Skipped.from_parent(parent, path=module_path) if _REASON else None


@pytest.fixture(autouse=True)
def clean_scene() -> Iterator[None]:
    """Start every test with an empty scene; fail it if a slot or an observer raised."""
    import slicer

    slicer.mrmlScene.Clear(False)
    host.dialogs.clear()
    yield
    uncaught = list(host.dialogs.uncaught)
    slicer.mrmlScene.Clear(False)
    slicer.app.processEvents()
    host.dialogs.clear()
    assert not uncaught, f"raised in a slot or an observer: {uncaught}"


@pytest.fixture
def pictures() -> None:
    """Skip the test where slice views cannot be rendered."""
    from .views import why_no_pictures

    if reason := why_no_pictures():
        pytest.skip(reason)
