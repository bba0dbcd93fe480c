"""Lets the tests of the module find the small result of the tests of nodes, and DICOM files.

Slicer adds only this folder for its test driver, and pytest's conftest.py is not read there.
"""

import sys
from pathlib import Path

for room in ("mrml", "phantoms"):
    sys.path.append(str(Path(__file__).resolve().parents[1] / room))
