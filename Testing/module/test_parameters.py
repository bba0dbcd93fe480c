"""Parameters of the panel: in both directions, in a saved scene, and in the next session."""

from __future__ import annotations

import unittest
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import qt
import slicer
from module_test_case import ModuleTestCase
from small_result import GEOMETRY

from QSMSeparationLib import catalogue

_BY_CODE = {"method", "inversion", "settings", "scanFolder", "dicomSeries", "weightsFile"}
"""Parameters whose widgets are filled by code and so are not bound in the .ui file."""


class BindingTest(ModuleTestCase):
    def test_every_parameter_has_a_widget(self):
        path = Path(slicer.modules.qsmseparation.path).parent / "Resources/UI/QSMSeparation.ui"
        properties = ElementTree.parse(path).getroot().iter("property")
        bound = {p.findtext("string") for p in properties if p.get("name") == "SlicerParameterName"}
        self.assertEqual(bound | _BY_CODE, set(self.parameters.allParameters))
        self.assertFalse(bound & _BY_CODE)

    def pairs(self):
        """Return (parameter, value, how the widget is read, how the user sets it)."""
        ui = self.ui
        rows = [
            ("subject", "sub-12", lambda: ui.subjectEdit.text, lambda v: setattr(ui.subjectEdit, "text", v)),
            ("scanFolder", "/data/x", lambda: ui.scanFolderEdit.currentPath,
             lambda v: self.choose_path(ui.scanFolderEdit, v)),
            ("weightsFile", "/w.pt", lambda: ui.weightsEdit.currentPath,
             lambda v: self.choose_path(ui.weightsEdit, v)),
            ("keepIntermediate", True, lambda: ui.keepCheckBox.checked,
             lambda v: setattr(ui.keepCheckBox, "checked", v)),
            ("drAuto", True, lambda: ui.drAutoCheckBox.checked,
             lambda v: setattr(ui.drAutoCheckBox, "checked", v)),
        ]  # fmt: skip
        for name, box in (
            ("b0Tesla", ui.b0SpinBox),
            ("drPara", ui.drParaSpinBox),
            ("drDia", ui.drDiaSpinBox),
            ("trMs", ui.trSpinBox),
            ("flipDeg", ui.flipSpinBox),
        ):
            rows.append((name, 7.0, lambda b=box: b.value, lambda v, b=box: setattr(b, "value", v)))
        rows.append(
            (
                "device",
                "cpu",
                lambda: ui.deviceComboBox.currentText,
                lambda v: self.pick(ui.deviceComboBox, v),
            )
        )
        for name, combo in (("method", ui.methodComboBox), ("inversion", ui.inversionComboBox)):
            stage = "separation" if name == "method" else "inversion"
            value = catalogue.methods(stage)[0].name
            rows.append((name, value, lambda c=combo: c.itemData(c.currentIndex),
                         lambda v, c=combo: c.setCurrentIndex(c.findData(v))))  # fmt: skip
        selectors = {"field": ui.fieldSelector, "qsm": ui.qsmSelector, "r2prime": ui.r2primeSelector,
                     "r2star": ui.r2starSelector, "r2": ui.r2Selector, "s0": ui.s0Selector,
                     "mask": ui.maskSelector, "lesions": ui.lesionsSelector,
                     "fourthVolume": ui.fourthSelector}  # fmt: skip
        for name, selector in selectors.items():
            node = self.add_map(f"a {name}", np.ones(GEOMETRY.shape, np.float32))
            rows.append((name, node, selector.currentNode, selector.setCurrentNode))
        return rows

    def pick(self, combo, text):
        combo.setCurrentIndex(combo.findText(text))

    def test_what_the_user_sets_reaches_the_parameter(self):
        for name, value, _, set_widget in self.pairs():
            with self.subTest(name):
                self.assertNotEqual(getattr(self.parameters, name), value)
                set_widget(value)
                self.assertEqual(getattr(self.parameters, name), value)

    def test_what_a_script_sets_reaches_the_widget(self):
        for name, value, read, _ in self.pairs():
            with self.subTest(name):
                parameters = self.parameters
                setattr(parameters, name, value)
                self.assertEqual(read(), value)

    def test_parameters_survive_leaving_the_module_and_a_saved_scene(self):
        self.ui.subjectEdit.text = "sub-77"
        self.panel.exit()
        self.parameters.subject = "sub-78"
        self.panel.enter()
        self.assertEqual(self.ui.subjectEdit.text, "sub-78")
        path = str(self.folder / "scene.mrml")
        slicer.util.saveScene(path)
        slicer.mrmlScene.Clear(False)
        slicer.util.loadScene(path)
        self.assertEqual(self.parameters.subject, "sub-78")


class SessionTest(ModuleTestCase):
    def test_choices_of_a_run_are_there_in_the_next_session(self):
        self.choose_maps()
        self.use_worker("slow")
        parameters = self.parameters
        parameters.device, parameters.drPara, parameters.keepIntermediate = "cpu", 137.0, True
        parameters.method, parameters.subject, parameters.drAuto = "closed-form", "sub-09", True
        self.press_separate()
        self.ui.cancelButton.click()
        self.wait_for_end()
        slicer.mrmlScene.Clear(False)  # as when the application begins
        parameters = self.parameters
        self.assertEqual((parameters.device, parameters.drPara), ("cpu", 137.0))
        self.assertTrue(parameters.drAuto)
        self.assertEqual((parameters.method, parameters.keepIntermediate), ("closed-form", True))
        self.assertEqual((parameters.subject, parameters.weightsFile), ("", ""))

    def test_choices_of_an_opened_scene_are_not_replaced(self):
        qt.QSettings().setValue("QSMSeparationTest/drPara", "137.0")
        self.parameters.drPara = 120.0
        path = str(self.folder / "scene.mrml")
        slicer.util.saveScene(path)
        slicer.mrmlScene.Clear(False)
        self.assertEqual(self.parameters.drPara, 137.0)
        slicer.util.loadScene(path)
        self.assertEqual(self.parameters.drPara, 120.0)

    def test_a_kept_choice_that_is_not_allowed_any_more_is_left_out(self):
        qt.QSettings().setValue("QSMSeparationTest/device", "abacus")
        qt.QSettings().setValue("QSMSeparationTest/drPara", "much")
        slicer.mrmlScene.Clear(False)
        self.assertEqual((self.parameters.device, self.parameters.drPara), ("auto", 114.0))


if __name__ == "__main__":
    unittest.main()
