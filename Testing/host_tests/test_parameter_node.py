"""The parameter node wrapper: kinds, defaults, checks, scene files, mistakes in a module."""

import enum
import pathlib
from typing import Annotated

import pytest
import qt
import slicer
from slicer.parameterNodeWrapper import (
    Choice,
    Default,
    Minimum,
    WithinRange,
    parameterNodeWrapper,
)


class Side(enum.Enum):
    LEFT = "left"
    RIGHT = "right"


@parameterNodeWrapper
class Parameters:
    count: Annotated[int, Minimum(2)] = 2
    share: Annotated[float, WithinRange(0, 1), Default(0.5)]
    side: Side = Side.RIGHT
    folder: pathlib.Path = pathlib.Path("data")
    done: bool
    names: list[str]
    windows: dict[str, float]
    source: slicer.vtkMRMLScalarVolumeNode | slicer.vtkMRMLSegmentationNode | None


def node():
    return slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScriptedModuleNode", "parameters")


def test_defaults():
    parameters = Parameters(node())
    assert (parameters.count, parameters.share, parameters.side) == (2, 0.5, Side.RIGHT)
    assert parameters.folder == pathlib.Path("data")
    assert (parameters.done, parameters.names, parameters.windows) == (False, [], {})
    assert parameters.source is None


def test_two_wrappers_of_one_node_agree():
    shared = node()
    first, second = Parameters(shared), Parameters(shared)
    first.count, first.side, first.names = 7, Side.LEFT, ["a", "b"]
    first.windows = {"net": 0.1}
    assert (second.count, second.side, second.names) == (7, Side.LEFT, ["a", "b"])
    assert second.windows == {"net": 0.1}


def test_values_survive_a_scene_file(tmp_path):
    parameters = Parameters(node())
    volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "volume")
    parameters.source, parameters.share, parameters.done = volume, 0.75, True
    path = str(tmp_path / "scene.mrml")
    slicer.util.saveScene(path)
    slicer.mrmlScene.Clear(False)
    slicer.util.loadScene(path)
    loaded = Parameters(slicer.util.getNode("parameters"))
    assert (loaded.share, loaded.done) == (0.75, True)
    assert loaded.source.GetName() == "volume"


@pytest.mark.parametrize(
    ("name", "value"),
    [("count", 1), ("count", "3"), ("share", 1.5), ("side", "left"), ("folder", "data")],
)
def test_wrong_values_are_refused(name, value):
    parameters = Parameters(node())
    before = getattr(parameters, name)
    with pytest.raises((TypeError, ValueError)):
        setattr(parameters, name, value)
    assert getattr(parameters, name) == before


def test_default_outside_its_own_bounds_is_found():
    @parameterNodeWrapper
    class Forgotten:
        method: Annotated[str, Choice(["a", "b"])]

    with pytest.raises(ValueError, match="must be"):
        Forgotten(node())


def test_nodes_of_several_classes_need_none():
    @parameterNodeWrapper
    class Forgotten:
        source: slicer.vtkMRMLScalarVolumeNode | slicer.vtkMRMLSegmentationNode

    with pytest.raises(TypeError, match="Unable to write value 'None'"):
        Forgotten(node())


def test_reserved_name_is_refused():
    class Reserved:
        connectGui: str = ""

    with pytest.raises(ValueError, match="reserved"):
        parameterNodeWrapper(Reserved)


@pytest.mark.parametrize(
    ("parameter", "widget", "error"),
    [
        ("nothing", qt.QLineEdit, "Cannot find a param"),
        ("count", qt.QLineEdit, "Unable to create GUI connector"),
        ("count", qt.QSlider, "bound"),
        ("side", slicer.qMRMLNodeComboBox, "Unable to create GUI connector"),
    ],
)
def test_widget_that_cannot_show_a_parameter_is_found(parameter, widget, error):
    child = widget()
    child.setProperty("SlicerParameterName", parameter)
    parent = qt.QWidget()
    child.setParent(parent)
    with pytest.raises((RuntimeError, ValueError), match=error):
        Parameters(node()).connectGui(parent)


def test_a_change_is_told():
    parameters = Parameters(node())
    events = []
    parameters.AddObserver("ModifiedEvent", lambda *_: events.append(1))
    volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    events.clear()
    parameters.source = volume
    assert events
