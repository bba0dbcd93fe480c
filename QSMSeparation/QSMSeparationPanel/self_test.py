"""What a user can run to see whether the module works where it is installed: half a minute."""

from __future__ import annotations

import unittest

import slicer

from QSMSeparation import QSMSeparationLogic
from QSMSeparationPanel import ball
from QSMSeparationPanel.computer import version_lines
from QSMSeparationPanel.packages import missing_packages, unsupported
from QSMSeparationPanel.parameters import InputKind


def run(case: unittest.TestCase) -> list[str]:
    """Run all tests; returns the versions of what was tested, and how each test went.

    Parameters
    ----------
    case : unittest.TestCase
        Has ``setUp``, which empties the scene, and the assertions.
    """
    lines = version_lines()
    for test in (missing_inputs_are_named, the_panel_opens, a_small_ball_is_separated):
        case.setUp()
        skipped = test(case)
        lines.append(f"{test.__name__.replace('_', ' ')}: {skipped or 'passed'}")
    case.setUp()
    return lines


def missing_inputs_are_named(case: unittest.TestCase) -> None:
    """Without inputs a run is refused, and the reasons say what to choose."""
    logic = QSMSeparationLogic()
    parameters = logic.getParameterNode()
    parameters.inputKind = InputKind.MAPS
    problems = logic.problems(parameters)
    logic.close()
    case.assertTrue(problems)


def the_panel_opens(case: unittest.TestCase) -> None:
    """A new panel follows its parameters in both directions."""
    panel = slicer.modules.qsmseparation.createNewWidgetRepresentation()
    panel.setMRMLScene(slicer.mrmlScene)
    widget = panel.self()
    try:
        parameters = widget.logic.getParameterNode()
        widget.ui.subjectEdit.text = "sub-test"
        case.assertEqual(parameters.subject, "sub-test")
        parameters.subject = "sub-again"
        case.assertEqual(widget.ui.subjectEdit.text, "sub-again")
    finally:
        widget.cleanup()
        panel.deleteLater()


def a_small_ball_is_separated(case: unittest.TestCase) -> str:
    """A run in a process of its own separates a ball; returns why none is possible."""
    if missing := missing_packages():
        return f"skipped, {', '.join(missing)} not installed"
    if reason := unsupported():
        return f"skipped, {reason}"
    logic = QSMSeparationLogic()
    try:
        parameters = logic.getParameterNode()
        parameters.inputKind = InputKind.MAPS
        ball.choose(parameters)
        [found] = logic.separate(parameters)
        case.assertLess(ball.error_of(found), ball.ALLOWED_ERROR)
    finally:
        logic.close()
    return ""
