"""Failures that a user is told of in one line, without a trace."""

from __future__ import annotations

import os

from QSMSeparationLib.runtime.errors import QSMSeparationError

FAILURES = (QSMSeparationError, MemoryError, OSError, RuntimeError, ValueError)
# A line of a log or of a panel; what is longer is a dump, not a reason.
_LONGEST = 400


def one_line_reason(error: BaseException) -> str:
    """Return why something failed; raise the error itself when QSMSEP_DEBUG asks for the trace."""
    if isinstance(error, QSMSeparationError):
        return _one_line(str(error))
    if os.environ.get("QSMSEP_DEBUG"):
        raise error
    reason = "out of memory; use a smaller scan" if isinstance(error, MemoryError) else str(error)
    return f"failed: {_one_line(reason)} (set QSMSEP_DEBUG=1 for the full trace)"


def _one_line(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."
