"""Methods in the panel: which can be chosen, what they lack, their parameters."""

from __future__ import annotations

import argparse
import unittest
from dataclasses import replace

import qt
from module_test_case import ModuleTestCase
from QSMSeparationPanel.checks import Inputs, method_problem
from QSMSeparationPanel.methods import chosen_methods
from small_result import small_result

from QSMSeparationLib import catalogue
from QSMSeparationLib.cli import arguments


class MethodsTest(ModuleTestCase):
    def enabled(self, combo, name: str) -> bool:
        return combo.model().item(combo.findData(name)).isEnabled()

    def test_all_methods_of_the_catalogue_can_be_chosen(self):
        combos = {"separation": self.ui.methodComboBox, "inversion": self.ui.inversionComboBox}
        for stage, combo in combos.items():
            data = [combo.itemData(n) for n in range(combo.count)]
            names = [method.name for method in catalogue.methods(stage)]
            self.assertEqual([name for name in data if name], names)

    def test_a_method_is_grey_exactly_when_it_lacks_something(self):
        self.choose_maps()
        available = self.logic.inputs(self.parameters).available
        self.assertEqual(available, {"net", "r2prime"})
        combo = self.ui.methodComboBox
        for method in catalogue.methods("separation"):
            lacks = set(method.needs) - available
            if not method.networks:
                self.assertEqual(self.enabled(combo, method.name), not lacks, method.name)
            if lacks:
                self.assertIn("needs", combo.itemText(combo.findData(method.name)))

    def test_a_method_that_became_unsuitable_stops_the_run_and_says_why(self):
        self.choose_maps()
        method = next(m for m in catalogue.methods("separation") if "r2star" in m.needs)
        self.parameters.method = method.name
        self.assertFalse(self.ui.applyButton.enabled)
        self.assertIn(f"{method.title} needs", self.ui.reasonLabel.text)

    def test_a_method_of_another_version_is_named(self):
        self.choose_maps()
        self.parameters.method = "from-the-future"
        self.assertIn("there is no method 'from-the-future'", self.ui.reasonLabel.text)

    def test_r2star_and_r2_together_give_r2prime(self):
        self.choose_maps()
        maps = small_result().maps
        self.ui.r2primeSelector.setCurrentNode(None)
        self.ui.r2starSelector.setCurrentNode(self.add_map("r2star", maps["r2star"]))
        self.assertNotIn("r2prime", self.logic.inputs(self.parameters).available)
        self.ui.r2Selector.setCurrentNode(self.add_map("r2", maps["r2star"] - maps["r2prime"]))
        self.assertIn("r2prime", self.logic.inputs(self.parameters).available)

    def test_automatic_choice_is_that_of_the_command_line(self):
        self.choose_maps()
        self.assertIn("Closed form: needs", self.ui.methodLabel.text)
        field = self.add_map("field", small_result().maps["net"] * 0.1)
        self.ui.fieldSelector.setCurrentNode(field)
        inputs = self.logic.inputs(self.parameters)
        names = [m.name for m in chosen_methods("", "tv", inputs)]
        self.assertEqual(names, ["tv", "chi-sepnet-r2prime"])

    def test_a_method_is_used_at_its_field_strengths_only(self):
        method = replace(catalogue.methods("separation")[0], needs=(), b0_tesla=(2.8, 3.2))
        for b0_tesla in (None, 3.0):
            self.assertEqual(method_problem(method, Inputs(frozenset(), (), b0_tesla)), "")
        problem = method_problem(method, Inputs(frozenset(), (), 7.0))
        self.assertIn("7 T", problem)

    def test_citation_and_needs_are_shown(self):
        self.choose_maps()
        self.assertIn("Shin et al.", self.ui.methodLabel.text)

    def test_relaxivities_are_scaled_by_the_level_of_r2prime_only_where_it_is_measured(self):
        self.choose_maps()
        box = self.ui.drAutoCheckBox
        options = lambda: self.logic.request(self.parameters).options  # noqa: E731
        self.assertTrue(box.enabled)
        self.assertNotIn("--dr-auto", options())
        box.checked = True
        self.assertIn("--dr-auto", options())
        self.ui.r2primeSelector.setCurrentNode(None)
        self.ui.r2starSelector.setCurrentNode(self.add_map("r2star", small_result().maps["r2star"]))
        self.assertFalse(box.enabled, "R2' of a gradient echo is estimated, not measured")
        self.assertNotIn("--dr-auto", options())

    def test_the_check_box_says_what_the_option_of_the_command_line_says(self):
        parser = argparse.ArgumentParser()
        arguments.add_method_options(parser)
        said, option, _rest = self.ui.drAutoCheckBox.toolTip.partition(" (--dr-auto)")
        self.assertTrue(option)
        self.assertIn(said[0].lower() + said[1:], " ".join(parser.format_help().split()))

    def test_parameters_of_a_method_go_to_the_node_and_back(self):
        self.ui.inputKindComboBox.currentIndex = 0  # a scan has a field: the inversion is used
        self.ui.inversionComboBox.setCurrentIndex(self.ui.inversionComboBox.findData("tkd"))
        box = self.ui.parametersFrame.findChild(qt.QDoubleSpinBox, "parameter_threshold")
        [row] = [m for m in catalogue.methods("inversion") if m.name == "tkd"]
        default = row.parameters_for()["threshold"]
        self.assertAlmostEqual(box.value, default)
        box.value = 0.25
        self.assertEqual(self.parameters.settings, '{"threshold": 0.25}')
        self.parameters.settings = '{"threshold": 0.3}'
        self.assertAlmostEqual(box.value, 0.3)
        box.value = default
        self.assertEqual(self.parameters.settings, "")


if __name__ == "__main__":
    unittest.main()
