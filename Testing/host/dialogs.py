"""Messages and questions of ``slicer.util``: recorded instead of shown, answered by the test.

Code under test calls ``slicer.util.errorDisplay``, ``confirmOkCancelDisplay`` and so on. Each call
is kept in ``Dialogs.shown``; a question is answered with the next of ``Dialogs.answers``, or with
True; in testing mode (``host.testing_mode()``) it is answered as Slicer's ``--testing`` does.
``qt.QFileDialog`` gives the next of ``Dialogs.paths``, or "" as when the user cancels;
``qt.QDesktopServices.openUrl`` only records the address.

Exceptions that nobody caught (in slots and observers they cannot reach the test) are kept in
``Dialogs.uncaught``, except those that were displayed as an error already.
"""

from __future__ import annotations

import logging
import sys
import traceback
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import qt
import slicer.util

_DISPLAYS = (
    "infoDisplay", "warningDisplay", "errorDisplay",
    "confirmOkCancelDisplay", "confirmYesNoDisplay", "confirmRetryCloseDisplay",
)  # fmt: skip
_FILE_DIALOGS = ("getOpenFileName", "getSaveFileName", "getExistingDirectory")
_YES = ("Ok", "Yes", "Retry", "Save")
_NO = ("Cancel", "No", "Close")


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
        self._inside = False

    def texts(self, kind: str = "") -> list[str]:
        """Return the texts shown so far, of one `kind` (such as ``errorDisplay``) or of all."""
        return [s.text for s in self.shown if kind in ("", s.kind)]

    def clear(self) -> None:
        """Forget everything that was shown, the answers and the exceptions."""
        for kept in (self.shown, self.answers, self.paths, self.uncaught, self._displayed):
            kept.clear()

    def install(self) -> None:
        """Note what the functions of ``slicer.util`` show, and answer in place of the user.

        The functions themselves stay Slicer's own, so that they do in testing mode what they do
        there; only the message box that they end in is never opened.
        """
        util = slicer.util
        for name in _DISPLAYS:
            setattr(util, name, self._noted(name, getattr(util, name)))
        util.messageBox = self._answer
        util.delayDisplay = self._message("delayDisplay")
        util.showStatusMessage = self._message("showStatusMessage")
        for owner in (util, slicer.packaging):
            owner.pip_install = owner.pip_uninstall = self._refuse_pip
        for name in _FILE_DIALOGS:
            setattr(qt.QFileDialog, name, staticmethod(self._file_dialog(name)))
        qt.QDesktopServices.openUrl = staticmethod(self._open_url)
        sys.excepthook = self._uncaught

    def _show(self, kind: str, text: str, detail: str = "") -> None:
        self.shown.append(Shown(kind, str(text), detail))

    def _message(self, kind: str):
        def show(text: str, *args: object, **options: object) -> None:
            logging.info(text)
            self._show(kind, text)

        return show

    def _noted(self, kind: str, original: Callable):
        def show(text: str, *args: object, **options: object) -> object:
            error = sys.exc_info()[1]
            if error is not None and kind == "errorDisplay":
                self._displayed.append(error)
            self._show(kind, text, str(options.get("detailedText", "")))
            self._inside = True
            try:
                return original(text, *args, **options)
            finally:
                self._inside = False

        return show

    def _answer(self, text: str, parent: object = None, **options: object) -> object:
        """Return the button that the next of ``answers`` means."""
        if not self._inside:
            self._show("messageBox", text)
        if slicer.app.testingEnabled():
            return qt.QMessageBox.Ok
        answer = self.answers.popleft() if self.answers else True
        if not isinstance(answer, bool):
            return answer
        offered = options.get("standardButtons", qt.QMessageBox.Ok)
        buttons = [getattr(qt.QMessageBox, name) for name in (_YES if answer else _NO)]
        return next((b for b in buttons if offered & b), qt.QMessageBox.NoButton)

    def _file_dialog(self, kind: str):
        # As in PythonQt these return the path alone, where PySide6 returns a pair.
        def choose(parent: object = None, title: str = "", *args: object) -> str:
            self._show(kind, title)
            return str(self.paths.popleft()) if self.paths else ""

        return choose

    def _open_url(self, url: qt.QUrl) -> bool:
        self._show("openUrl", qt.QUrl(url).toString())
        return True

    def _refuse_pip(self, requirements: object, **_options: object) -> None:
        self._show("pip", f"{requirements}")
        raise RuntimeError(f"the test host installs nothing: {requirements}")

    def _uncaught(self, kind: type, error: BaseException, trace: object) -> None:
        if not any(error is shown for shown in self._displayed):
            self.uncaught.append(error)
            traceback.print_exception(kind, error, trace)
