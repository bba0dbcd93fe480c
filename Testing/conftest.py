"""Shared by all tests: helpers in Testing/phantoms can be imported, quick hypothesis profile."""

from __future__ import annotations

import sys
from pathlib import Path

from hypothesis import HealthCheck, settings

sys.path.insert(0, str(Path(__file__).parent / "phantoms"))
settings.register_profile("quick", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("quick")
