"""The module in the test host; inside Slicer it is loaded by the application."""

from __future__ import annotations

import sys
from pathlib import Path

import host
from host.fixtures import *  # noqa: F403

# Pictures and files of results are those of the tests of nodes.
sys.path.insert(0, str(Path(__file__).parents[1] / "mrml"))
if not host.why_not():
    host.load_module(Path(__file__).parents[2] / "QSMSeparation" / "QSMSeparation.py")
