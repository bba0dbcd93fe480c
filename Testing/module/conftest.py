"""The module in the test host; inside Slicer it is loaded by the application."""

from __future__ import annotations

from pathlib import Path

import host
from host.fixtures import *  # noqa: F403

if not host.why_not():
    host.load_module(Path(__file__).parents[2] / "QSMSeparation" / "QSMSeparation.py")
