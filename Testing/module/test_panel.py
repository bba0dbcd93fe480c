"""The panel: parameters in both directions, what is ready and why not, methods and their needs."""

from __future__ import annotations

import getpass
import platform
import unittest
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
import qt
import slicer
from module_test_case import ModuleTestCase, wait_for
from QSMSeparationPanel import checks, computer, job, worker
from QSMSeparationPanel.checks import Inputs, method_problem
from QSMSeparationPanel.methods import chosen_methods
from small_result import GEOMETRY, small_result

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

    def test_input_kind_shows_the_widgets_that_belong_to_it(self):
        ui = self.ui
        self.panel.show()
        for index, kind in ((1, "maps"), (2, "database"), (0, "scan")):
            ui.inputKindComboBox.currentIndex = index
            self.assertEqual(self.parameters.inputKind.value, kind)
            self.assertEqual(ui.mapsFrame.visible, kind == "maps")
            self.assertEqual(ui.folderFrame.visible, kind == "scan")
            self.assertEqual(ui.databaseFrame.visible, kind == "database")

    def test_the_panel_is_not_wider_than_the_column_of_modules(self):
        self.panel.show()
        self.ui.visitsButton.collapsed = False
        for index in (1, 2, 0):
            self.ui.inputKindComboBox.currentIndex = index
            slicer.app.processEvents()
            self.assertLessEqual(self.widget.parent.minimumSizeHint().width(), 480)

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


class PathsTest(ModuleTestCase):
    def options(self) -> str:
        return " ".join(self.logic.request(self.parameters).options)

    def own_weights(self) -> Path:
        path = self.folder / "own.pt"
        path.write_bytes(b"weights")
        self.choose_maps()
        self.choose_path(self.ui.weightsEdit, path)
        self.assertIn(f"--weights {path}", self.options())
        return path

    def test_emptied_weights_go_back_to_ours(self):
        self.own_weights()
        self.assertEqual(self.ui.weightsLabel.text, "Own weights: own.pt")
        self.panel.show()
        self.assertTrue(self.ui.weightsLabel.visible)
        self.choose_path(self.ui.weightsEdit, "")
        self.assertEqual(self.parameters.weightsFile, "")
        self.assertNotIn("--weights", self.options())
        self.assertFalse(self.ui.weightsLabel.visible)
        self.parameters.drPara = 120.0  # the old path does not come back with another change
        self.assertEqual(self.ui.weightsEdit.currentPath, "")

    def test_half_typed_weights_stay_and_are_refused_not_ignored(self):
        self.own_weights()
        self.choose_path(self.ui.weightsEdit, "/data/own")
        self.parameters.drPara = 120.0
        self.assertEqual(self.ui.weightsEdit.currentPath, "/data/own")
        self.ui.applyButton.click()
        self.assertFalse(self.logic.running)
        self.assertIn("there is no weights file /data/own", self.ui.stageLabel.text)

    def test_an_emptied_folder_is_forgotten(self):
        self.choose_path(self.ui.scanFolderEdit, self.folder)
        self.assertEqual(self.parameters.scanFolder, str(self.folder))
        self.choose_path(self.ui.scanFolderEdit, "")
        self.assertEqual(self.parameters.scanFolder, "")
        self.assertIn("choose the folder of a scan", self.ui.reasonLabel.text)

    def test_paths_of_runs_can_be_chosen_again_but_are_not_chosen_by_themselves(self):
        self.own_weights()
        scan = self.folder / "scan"
        (scan / "sub-01").mkdir(parents=True)
        (scan / "sub-01" / "sub-01_echo-1_part-mag_MEGRE.nii.gz").write_bytes(b"")
        self.parameters.inputKind = type(self.parameters.inputKind).SCAN
        self.choose_path(self.ui.scanFolderEdit, scan)
        self.use_worker("slow")
        self.press_separate()
        self.ui.cancelButton.click()
        self.wait_for_end()
        for key, path in (("ScanFolder", scan), ("Weights", self.folder / "own.pt")):
            kept = qt.QSettings().value(f"ctkPathLineEdit/QSMSeparation/{key}")
            self.assertEqual(kept if isinstance(kept, str) else kept[0], str(path))
        slicer.mrmlScene.Clear(False)
        panel = slicer.modules.qsmseparation.createNewWidgetRepresentation()
        ui = panel.self().ui
        self.assertEqual((ui.scanFolderEdit.currentPath, ui.weightsEdit.currentPath), ("", ""))
        wait_for(lambda: False, 0.5)
        self.assertEqual((self.parameters.scanFolder, self.parameters.weightsFile), ("", ""))
        panel.self().cleanup()
        panel.deleteLater()

    def test_a_folder_is_looked_into_once_after_the_last_key(self):
        looked = []
        patch = mock.patch.object(
            checks, "_look_into", side_effect=lambda p: looked.append(p) or checks._Found()
        )
        self.start_patch(patch)
        folders = [self.folder / ("a" * n) for n in range(1, 6)]
        for folder in folders:
            folder.mkdir()
            self.ui.scanFolderEdit.currentPath = str(folder)
        self.take_paths()
        self.assertEqual(looked, [folders[-1]])

    def test_a_folder_that_is_no_scan_is_not_looked_through_to_its_end(self):
        for number in range(40):
            (self.folder / f"{number}.txt").write_bytes(b"")
            (self.folder / f"folder {number}").mkdir()
        self.start_patch(mock.patch.object(checks, "_MANY_ENTRIES", 20))
        found = checks.inspect_folder(self.folder)
        self.assertIn("holds too much to look through", found.problems[0])


class SessionTest(ModuleTestCase):
    def test_choices_of_a_run_are_there_in_the_next_session(self):
        self.choose_maps()
        self.use_worker("slow")
        parameters = self.parameters
        parameters.device, parameters.drPara, parameters.keepIntermediate = "cpu", 137.0, True
        parameters.method, parameters.subject = "closed-form", "sub-09"
        self.press_separate()
        self.ui.cancelButton.click()
        self.wait_for_end()
        slicer.mrmlScene.Clear(False)  # as when the application begins
        parameters = self.parameters
        self.assertEqual((parameters.device, parameters.drPara), ("cpu", 137.0))
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


class ComputerTest(ModuleTestCase):
    def show(self, gib: float | None, card: bool) -> str:
        self.start_patch(mock.patch.object(computer, "available_gib", return_value=gib))
        self.start_patch(mock.patch.object(computer, "uses_graphics_card", return_value=card))
        self.panel.show()
        self.widget._controls.update()
        return self.ui.warningLabel.text if self.ui.warningLabel.visible else ""

    def choose_field(self) -> None:
        self.choose_maps()
        field = self.add_map("field", small_result().maps["net"] * 0.1)
        self.ui.fieldSelector.setCurrentNode(field)
        self.ui.qsmSelector.setCurrentNode(None)

    def test_without_a_graphics_card_slow_methods_are_named_and_faster_ones_offered(self):
        self.choose_field()
        self.parameters.inversion = "inr-qsm"
        self.assertIn("Without a graphics card", self.show(16.0, card=False))
        self.ui.fasterButton.click()
        self.assertEqual(self.parameters.inversion, "tkd")
        self.assertTrue(self.ui.applyButton.enabled, self.ui.reasonLabel.text)
        self.assertEqual(self.show(16.0, card=False), "")

    def test_with_a_graphics_card_and_memory_there_is_no_warning(self):
        self.choose_field()
        self.assertEqual(self.show(16.0, card=True), "")

    def test_little_memory_is_told_and_an_unknown_one_is_not(self):
        self.choose_maps()
        self.assertIn("Only 1.5 GB of memory are free", self.show(1.5, card=True))
        self.assertEqual(self.show(None, card=True), "")

    def test_bug_report_says_versions_and_log_and_nobody(self):
        self.ui.logTextEdit.appendPlainText(
            f"sub-4711 in /home/{getpass.getuser()}/Patients/Doe^Jane/IM1: 'Doe MS lesions' failed: "
            f"echo 3 of 5 on {platform.node()}; C:\\Users\\doe\\scan.nii"
        )
        self.choose_path(self.ui.scanFolderEdit, "/data/Roe Richard/scan 1")
        self.ui.logTextEdit.appendPlainText(
            "/data/Roe Richard/scan 1/IM 7 of MS lesions is cut off"
        )
        self.ui.bugReportButton.click()
        text = slicer.app.clipboard().text()
        for part in ("QSMSeparation 0.", "Slicer 5.", "numpy 2", "echo 3 of 5", "sub-XX in PATH"):
            self.assertIn(part, text)
        for private in (
            "4711",
            "Doe",
            "doe",
            "Jane",
            "Roe",
            "Richard",
            "Patients",
            str(self.folder),
        ):
            self.assertNotIn(private, text)


class WordsTest(ModuleTestCase):
    def test_what_the_panel_says_goes_through_the_translation_of_the_application(self):
        if not hasattr(slicer.app, "translator"):
            self.skipTest("needs the test host, whose translator can be chosen")
        self.start_patch(mock.patch.object(type(slicer.app), "translator", lambda app, t: f"<{t}>"))
        ui = self.ui
        self.widget._controls.update()
        self.assertTrue(ui.reasonLabel.text.startswith("<Not ready: "), ui.reasonLabel.text)
        ui.inputKindComboBox.currentIndex = 1
        for text in (ui.inputsLabel.text, ui.lesionsLabel.text, ui.methodLabel.text):
            self.assertRegex(text, "^(<|&lt;|<span[^>]*>&lt;)")
        self.widget._controls.on_state(job.PREPARING)
        self.assertEqual(ui.stageLabel.text, "<writing the inputs>")
        self.widget._controls.on_end(worker.End("cancelled", ""), [])
        self.assertEqual(ui.stageLabel.text, "<cancelled; nothing was kept>")


class ReadyTest(ModuleTestCase):
    def reason(self) -> str:
        self.assertFalse(self.ui.applyButton.enabled)
        self.assertEqual(self.ui.applyButton.toolTip, self.ui.reasonLabel.text)
        return self.ui.reasonLabel.text

    def test_maps_are_asked_for_one_after_the_other(self):
        ui, maps = self.ui, small_result().maps
        ui.inputKindComboBox.currentIndex = 1
        self.assertIn("choose a local field or a QSM", self.reason())
        ui.qsmSelector.setCurrentNode(self.add_map("qsm", maps["net"]))
        self.assertIn("choose R2' or R2*", self.reason())
        ui.r2primeSelector.setCurrentNode(self.add_map("r2prime", maps["r2prime"]))
        self.assertIn("choose a brain mask", self.reason())
        ui.maskSelector.setCurrentNode(self.add_mask())
        self.assertTrue(ui.applyButton.enabled)
        self.assertEqual(ui.reasonLabel.text, "")
        ui.maskSelector.setCurrentNode(None)
        self.assertIn("choose a brain mask", self.reason())

    def test_the_magnitude_at_te0_goes_with_tr_and_flip_angle(self):
        self.choose_maps()
        node = self.add_map("s0", 400 * small_result().maps["r2prime"])
        self.ui.s0Selector.setCurrentNode(node)
        self.assertIn("give TR and flip angle", self.reason())
        self.ui.trSpinBox.value, self.ui.flipSpinBox.value = 33, 15
        self.assertTrue(self.ui.applyButton.enabled)
        request = self.logic.request(self.parameters)
        self.assertIs(request.maps["--s0"], node)
        self.assertIn("--tr 0.033 --flip-angle 15", " ".join(request.options))
        self.ui.s0Selector.setCurrentNode(None)
        self.assertNotIn("--tr", self.logic.request(self.parameters).options)

    def test_geometry_is_checked_as_soon_as_a_map_is_chosen(self):
        self.choose_maps()
        node = self.ui.r2primeSelector.currentNode()
        x, y, z = node.GetOrigin()
        node.SetOrigin(x + 3, y, z)
        self.parameters.parameterNode.Modified()
        self.assertIn("different grids: position differs by 3.00 mm", self.reason())

    def test_units_are_checked_as_soon_as_a_map_is_chosen(self):
        self.choose_maps()
        maps = small_result().maps
        for selector, name, array, text in (
            (self.ui.qsmSelector, "ppb", maps["net"] * 1000, "divide ppb by 1000"),
            (self.ui.r2primeSelector, "per ms", maps["r2prime"] / 1000, "multiply 1/ms by 1000"),
        ):
            good = selector.currentNode()
            selector.setCurrentNode(self.add_map(name, array.astype(np.float32)))
            self.assertIn(text, self.reason())
            self.assertIn(f"'{name}'", self.reason())
            selector.setCurrentNode(good)
            self.assertTrue(self.ui.applyButton.enabled)

    def test_a_mask_that_is_none_is_refused(self):
        self.choose_maps()
        self.ui.maskSelector.setCurrentNode(self.ui.lesionsSelector.currentNode())
        self.assertIn("is no mask: it holds 4 labels", self.reason())

    def test_a_mask_may_be_a_segmentation(self):
        self.choose_maps()
        labels = self.ui.maskSelector.currentNode()
        segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "drawn mask")
        logic = slicer.modules.segmentations.logic()
        logic.ImportLabelmapToSegmentationNode(labels, segmentation)
        self.ui.maskSelector.setCurrentNode(segmentation)
        self.assertTrue(self.ui.applyButton.enabled, self.ui.reasonLabel.text)
        self.assertIn("mask 'drawn mask'", self.ui.inputsLabel.text)

    def test_moved_inputs_are_refused(self):
        self.choose_maps()
        transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
        self.ui.qsmSelector.currentNode().SetAndObserveTransformNodeID(transform.GetID())
        self.parameters.parameterNode.Modified()
        self.assertIn("harden the transform", self.reason())

    def test_lesions_are_optional_but_must_be_labels(self):
        self.choose_maps(lesions=False)
        self.assertTrue(self.ui.applyButton.enabled)
        self.assertIn("no lesions", self.ui.lesionsLabel.text)
        self.ui.lesionsSelector.setCurrentNode(self.add_lesions())
        self.assertIn("3 labels", self.ui.lesionsLabel.text)
        soft = self.add_map("soft", small_result().maps["net"] * 0.5)
        self.ui.lesionsSelector.setCurrentNode(soft)
        self.assertIn("holds fractions", self.reason())

    def test_folders_are_looked_into(self):
        bids, dicom = self.folder / "bids", self.folder / "dicom"
        for path in (bids / "sub-01/anat/sub-01_echo-1_part-mag_MEGRE.nii.gz", dicom / "IM0001"):
            path.parent.mkdir(parents=True)
            path.write_bytes(b"")
        self.assertIn("choose the folder", self.reason())
        self.choose_path(self.ui.scanFolderEdit, self.folder / "nowhere")
        self.assertIn("there is no folder", self.reason())
        self.choose_path(self.ui.scanFolderEdit, bids)
        self.assertTrue(self.ui.applyButton.enabled)
        self.assertIn("without a spin echo R2' is not measured", self.ui.inputsLabel.text)
        self.choose_path(self.ui.scanFolderEdit, dicom)
        self.assertTrue(self.ui.applyButton.enabled)
        self.assertIn("DICOM: 1 files", self.ui.inputsLabel.text)

    def test_names_that_are_no_subjects_are_refused(self):
        self.choose_maps()
        self.ui.subjectEdit.text = "../other"
        self.assertIn("write the subject as sub-01", self.reason())

    def test_names_of_nodes_are_no_markup(self):
        self.choose_maps()
        self.ui.qsmSelector.currentNode().SetName("<img src=x>")
        self.parameters.parameterNode.Modified()
        self.assertIn("&lt;img", self.ui.inputsLabel.text)
        self.assertNotIn("<img", self.ui.inputsLabel.text)


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


if __name__ == "__main__":
    unittest.main()
