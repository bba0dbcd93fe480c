"""Real MRML nodes without the application: the scene of the test host."""

from __future__ import annotations

from host.fixtures import *  # noqa: F403
