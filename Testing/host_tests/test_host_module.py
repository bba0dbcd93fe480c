"""A module's panel in the host: binding both ways, scene close, errors, a child process."""

import pathlib
import shutil
import sys

import host
import numpy as np
import pytest
import qt
import shiboken6
import slicer

HERE = pathlib.Path(__file__).parent


@pytest.fixture
def demo():
    module = host.load_module(HERE / "HostDemo" / "HostDemo.py")
    yield module, host.open_module("HostDemo")
    host.close_module("HostDemo")


def add_volume(name="volume"):
    ijk_to_ras = np.diag([-1.0, -1.0, 2.0, 1.0])
    values = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    return slicer.util.addVolumeFromArray(values, ijk_to_ras, name)


def test_parameters_fill_the_widgets(demo):
    module, widget = demo
    ui = widget.ui
    assert (ui.methodComboBox.currentText, ui.colorComboBox.currentText) == ("quick", "Blue")
    assert (ui.weightSlider.value, ui.weightSlider.maximum) == (0.25, 1.0)
    assert (ui.roundsSpinBox.value, ui.roundsSpinBox.minimum) == (3, 1)
    assert ui.keepCheckBox.checked
    assert ui.folderEdit.filters == ui.folderEdit.Dirs | ui.folderEdit.Readable
    assert widget.parameters.color is module.Color.BLUE


def test_widgets_fill_the_parameters(demo):
    module, widget = demo
    ui, parameters = widget.ui, widget.parameters
    volume = add_volume()
    ui.volumeSelector.setCurrentNode(volume)
    ui.methodComboBox.currentIndex = 1
    ui.colorComboBox.currentIndex = 0
    ui.weightSlider.value = 0.5
    ui.roundsSpinBox.value = 7
    ui.folderEdit.currentPath = "/data/scan"
    ui.nameEdit.text = "sub-01"
    ui.keepCheckBox.checked = False
    assert parameters.volume is volume
    assert (parameters.method, parameters.color) == ("slow", module.Color.RED)
    assert (parameters.weight, parameters.rounds) == (0.5, 7)
    assert parameters.folder == pathlib.Path("/data/scan")
    assert (parameters.name, parameters.keep) == ("sub-01", False)


def test_parameters_set_by_code_show_and_are_checked(demo):
    _, widget = demo
    parameters, ui = widget.parameters, widget.ui
    parameters.weight = 0.75
    parameters.volume = add_volume()
    assert ui.weightSlider.value == 0.75
    assert ui.volumeSelector.currentNode().GetName() == "volume"
    for name, wrong, error in (
        ("weight", 2.0, ValueError),
        ("method", "other", ValueError),
        ("rounds", 1.5, TypeError),
        ("volume", slicer.mrmlScene.AddNewNodeByClass("vtkMRMLModelNode"), TypeError),
    ):
        with pytest.raises(error, match="must be"):
            setattr(parameters, name, wrong)
    assert parameters.weight == 0.75


def test_disconnected_widgets_leave_the_parameters_alone(demo):
    _, widget = demo
    parameters = widget.parameters
    widget.setParameterNode(None)
    widget.ui.roundsSpinBox.value = 9
    assert parameters.rounds == 3


def test_apply_needs_a_volume_and_works_on_it(demo):
    _, widget = demo
    assert not widget.ui.applyButton.enabled
    volume = add_volume()
    before = slicer.util.arrayFromVolume(volume).copy()
    widget.ui.volumeSelector.setCurrentNode(volume)
    assert widget.ui.applyButton.enabled
    widget.ui.applyButton.click()
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(volume), before * 0.25)


def test_error_is_displayed_and_kept(demo):
    _, widget = demo
    widget.ui.volumeSelector.setCurrentNode(add_volume())
    widget.parameters.weight = 0.0
    widget.ui.applyButton.click()
    assert host.dialogs.texts("errorDisplay") == ["Failed to compute.\n\nthe weight is zero"]
    assert host.dialogs.uncaught == []


def test_uncaught_error_of_a_slot_is_kept(demo):
    _, widget = demo
    widget.ui.applyButton.enabled = True
    widget.ui.applyButton.connect("clicked(bool)", lambda checked: 1 / 0)
    widget.ui.volumeSelector.setCurrentNode(add_volume())
    widget.ui.applyButton.click()
    assert [type(error) for error in host.dialogs.uncaught] == [ZeroDivisionError]
    host.dialogs.clear()


def test_closing_the_scene_gives_a_new_parameter_node(demo):
    _, widget = demo
    widget.ui.volumeSelector.setCurrentNode(add_volume())
    widget.ui.nameEdit.text = "sub-01"
    slicer.mrmlScene.Clear(False)
    assert widget.parameters.volume is None
    assert widget.ui.nameEdit.text == ""
    assert widget.ui.volumeSelector.currentNode() is None
    assert not widget.ui.applyButton.enabled


def test_reload_makes_the_widget_anew(demo):
    _, widget = demo
    slicer.util.reloadScriptedModule("HostDemo")
    again = slicer.modules.HostDemoWidget
    assert again is not widget
    assert again.parent is widget.parent
    add_volume()
    again.ui.volumeSelector.setCurrentNodeID("vtkMRMLScalarVolumeNode1")
    assert again.ui.applyButton.enabled
    assert not widget.ui.applyButton.enabled


def test_closed_panel_leaves_nothing_behind(demo):
    _, widget = demo
    selector = widget.ui.volumeSelector
    seen = []
    selector.currentNodeChanged.connect(seen.append)
    host.close_module("HostDemo")
    assert not shiboken6.isValid(selector)
    add_volume()
    assert seen == []
    host.open_module("HostDemo")  # the fixture closes it


def test_sections_hide_their_contents(demo):
    _, widget = demo
    ui = widget.ui
    assert ui.nameEdit.visible
    assert not ui.advancedLabel.visible
    ui.advancedButton.collapsed = False
    ui.inputsButton.setCollapsed(True)
    assert ui.advancedLabel.visible
    assert not ui.nameEdit.visible


def test_python_slicer_is_a_launcher(demo):
    _, widget = demo
    program = shutil.which("PythonSlicer")
    widget.logic.start(program, ["-c", "import sys; print(sys.executable); sys.exit(3)"])
    process = widget.logic.process_object
    assert host.wait_for(lambda: process.state() == qt.QProcess.NotRunning)
    assert widget.logic.lines == [sys.executable]
    assert process.exitCode() == 3


def test_child_process_is_read_while_the_application_runs(demo):
    _, widget = demo
    ticks = []
    timer = qt.QTimer()
    timer.timeout.connect(lambda: ticks.append(1))
    timer.start(10)
    code = "import time\nfor i in range(3): print(i, flush=True); time.sleep(0.05)"
    widget.logic.start(sys.executable, ["-c", code])
    assert host.wait_for(lambda: widget.logic.lines == ["0", "1", "2"])
    timer.stop()
    assert len(ticks) > 3
    assert widget.logic.process_object.waitForFinished(2000)
