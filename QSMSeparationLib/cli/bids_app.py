"""``qsmsep-bids BIDS OUT participant|group``: ``qsmsep cohort`` under the name of a BIDS App."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from QSMSeparationLib.cli import parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``qsmsep cohort`` with the arguments of a BIDS App; returns its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    return parser.main(given if given == ["--version"] else ["cohort", *given])
