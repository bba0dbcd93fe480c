"""Errors that a user can act on, each with the exit code of the command line."""


class QSMSeparationError(Exception):
    """Something failed; the message is one line that says what and where."""

    exit_code = 1


class InputError(QSMSeparationError):
    """Unusable input or wrong usage: what is wrong, in which file, what to do."""

    exit_code = 2


class Cancelled(QSMSeparationError):
    """The user asked the run to stop."""

    exit_code = 130

    def __init__(self, message: str = "cancelled") -> None:
        super().__init__(message)
