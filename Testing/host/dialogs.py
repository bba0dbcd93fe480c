"""Messages and questions of ``slicer.util``: recorded instead of shown, answered by the test.

Code under test calls ``slicer.util.errorDisplay``, ``confirmOkCancelDisplay`` and so on. Each call
is kept in ``Dialogs.shown``; a question is answered with the next of ``Dialogs.answers``, or with
True. ``qt.QFileDialog`` gives the next of ``Dialogs.paths``, or "" as when the user cancels;
``qt.QDesktopServices.openUrl`` only records the address.

Exceptions that nobody caught (in slots and observers they cannot reach the test) are kept in
``Dialogs.uncaught``, except those that were displayed as an error already.
"""

from __future__ import annotations

import logging
import sys
import traceback
from collections import deque
from dataclasses import dataclass

import qt
import slicer.util

_MESSAGES = {"infoDisplay": logging.INFO, "warningDisplay": logging.WARNING}
_QUESTIONS = ("confirmOkCancelDisplay", "confirmYesNoDisplay", "confirmRetryCloseDisplay")
_FILE_DIALOGS = ("getOpenFileName", "getSaveFileName", "getExistingDirectory")


@dataclass(frozen=True)
class Shown:
    """One message or question: the function that was called, its text and its details."""

    kind: str
    text: str
    detail: str = ""


class Dialogs:
    """What the user would have seen, and what he would have answered."""

    def __init__(self) -> None:
        self.shown: list[Shown] = []
        self.answers: deque[object] = deque()
        self.paths: deque[str] = deque()
        self.uncaught: list[BaseException] = []
        self._displayed: list[BaseException] = []

    def texts(self, kind: str = "") -> list[str]:
        """Return the texts shown so far, of one `kind` (such as ``errorDisplay``) or of all."""
        return [s.text for s in self.shown if kind in ("", s.kind)]

    def clear(self) -> None:
        """Forget everything that was shown, the answers and the exceptions."""
        for kept in (self.shown, self.answers, self.paths, self.uncaught, self._displayed):
            kept.clear()

    def install(self) -> None:
        """Replace the functions of ``slicer.util`` that open a window, and the exception hook."""
        util = slicer.util
        for name, level in _MESSAGES.items():
            setattr(util, name, self._message(name, level))
        util.errorDisplay = self._error
        for name in _QUESTIONS:
            setattr(util, name, self._question(name))
        util.messageBox = self._question("messageBox", yes=qt.QMessageBox.Ok)
        util.delayDisplay = self._message("delayDisplay", logging.INFO)
        util.showStatusMessage = self._message("showStatusMessage", logging.INFO)
        util.pip_install = self._refuse_pip
        util.pip_uninstall = self._refuse_pip
        for name in _FILE_DIALOGS:
            setattr(qt.QFileDialog, name, staticmethod(self._file_dialog(name)))
        qt.QDesktopServices.openUrl = staticmethod(self._open_url)
        sys.excepthook = self._uncaught

    def _show(self, kind: str, text: str, level: int, detail: str = "") -> None:
        logging.log(level, text)
        self.shown.append(Shown(kind, str(text), detail))

    def _message(self, kind: str, level: int):
        def show(text: str, *args: object, **options: object) -> None:
            self._show(kind, text, level, str(options.get("detailedText", "")))

        return show

    def _error(self, text: str, *args: object, **options: object) -> None:
        error = sys.exc_info()[1]
        if error is not None:
            self._displayed.append(error)
        self._show("errorDisplay", text, logging.ERROR, str(options.get("detailedText", "")))

    def _question(self, kind: str, yes: object = True):
        def ask(text: str, *args: object, **options: object) -> object:
            self._show(kind, text, logging.INFO)
            return self.answers.popleft() if self.answers else yes

        return ask

    def _file_dialog(self, kind: str):
        # As in PythonQt these return the path alone, where PySide6 returns a pair.
        def choose(parent: object = None, title: str = "", *args: object) -> str:
            self._show(kind, title, logging.INFO)
            return str(self.paths.popleft()) if self.paths else ""

        return choose

    def _open_url(self, url: qt.QUrl) -> bool:
        self._show("openUrl", qt.QUrl(url).toString(), logging.INFO)
        return True

    def _refuse_pip(self, requirements: object) -> None:
        self._show("pip", f"{requirements}", logging.INFO)
        raise RuntimeError(f"the test host installs nothing: {requirements}")

    def _uncaught(self, kind: type, error: BaseException, trace: object) -> None:
        if not any(error is shown for shown in self._displayed):
            self.uncaught.append(error)
            traceback.print_exception(kind, error, trace)
