"""The qMRML stand-ins follow the scene as Slicer's do; the .ui loader finds mistakes."""

import ctk
import host
import numpy as np
import pytest
import qt
import slicer
import vtk


def add(kind="vtkMRMLScalarVolumeNode", name="node"):
    return slicer.mrmlScene.AddNewNodeByClass(kind, name)


@pytest.fixture
def selector():
    box = slicer.qMRMLNodeComboBox()
    box.nodeTypes = ["vtkMRMLScalarVolumeNode"]
    box.noneEnabled = True
    box.setMRMLScene(slicer.mrmlScene)
    yield box
    box.setMRMLScene(None)


def test_selector_follows_the_scene(selector):
    add("vtkMRMLModelNode")
    assert selector.nodeCount() == 0
    volume = add()
    assert selector.nodeCount() == 1
    assert selector.currentNode() is None
    selector.setCurrentNode(volume)
    slicer.mrmlScene.RemoveNode(volume)
    assert (selector.currentNode(), selector.currentNodeID) == (None, "")


def test_selector_without_none_takes_the_first_node_and_keeps_one(selector):
    selector.noneEnabled = False
    first, second = add(), add()
    assert selector.currentNode() is first
    selector.setCurrentNode(second)
    selector.setCurrentNode(None)
    assert selector.currentNode() is second


def test_selector_hides_what_it_should(selector):
    label_map = add("vtkMRMLLabelMapVolumeNode")
    hidden = add()
    hidden.SetHideFromEditors(True)
    assert [selector.nodeFromIndex(i) for i in range(selector.nodeCount())] == [label_map]
    selector.showChildNodeTypes = False
    assert selector.nodeCount() == 0


def test_selector_wants_attributes(selector):
    volume = add()
    selector.addAttribute("vtkMRMLScalarVolumeNode", "Map", "R2star")
    assert selector.nodeCount() == 0
    volume.SetAttribute("Map", "R2star")
    add()
    assert selector.nodeCount() == 1


def test_selector_tells_a_change_once(selector):
    seen = []
    selector.connect("currentNodeChanged(vtkMRMLNode*)", seen.append)
    volume = add()
    selector.setCurrentNode(volume)
    selector.setCurrentNode(volume)
    selector.currentNodeID = ""
    assert seen == [volume, None]


def test_selector_makes_a_node(selector):
    selector.baseName = "Output"
    node = selector.addNode()
    assert (node.GetName(), selector.currentNode()) == ("Output", node)


def test_segment_selector_lists_segments():
    segmentation = add("vtkMRMLSegmentationNode")
    segmentation.GetSegmentation().AddEmptySegment("l1", "Lesion 1")
    segmentation.GetSegmentation().AddEmptySegment("l2", "Lesion 2")
    selector = slicer.qMRMLSegmentSelectorWidget()
    selector.setMRMLScene(slicer.mrmlScene)
    selector.setCurrentNode(segmentation)
    selector.setCurrentSegmentID("l2")
    assert selector.currentSegmentID() == "l2"
    selector.setMRMLScene(None)


def test_table_view_shows_the_table():
    node = add("vtkMRMLTableNode")
    names = vtk.vtkStringArray()
    names.SetName("lesion")
    names.InsertNextValue("Lesion 1")
    names.InsertNextValue("Lesion 2")
    node.AddColumn(names)
    view = slicer.qMRMLTableView()
    view.setMRMLScene(slicer.mrmlScene)
    view.setMRMLTableNode(node)
    rows = []
    view.connect("selectionChanged()", lambda: rows.append(view.currentIndex().row()))
    model = view.model()
    assert (model.rowCount(), model.columnCount()) == (2, 1)
    assert model.data(model.index(1, 0)) == "Lesion 2"
    assert model.headerData(0, qt.Qt.Horizontal) == "lesion"
    view.setCurrentIndex(model.index(1, 0))
    assert rows == [1]
    slicer.mrmlScene.RemoveNode(node)
    assert view.mrmlTableNode() is None
    assert model.rowCount() == 0
    view.setMRMLScene(None)


def test_tree_items_follow_the_nodes():
    tree = slicer.mrmlScene.GetSubjectHierarchyNode()
    volume = add()
    item = tree.GetItemByDataNode(volume)
    assert item != 0
    folder = tree.CreateFolderItem(tree.GetSceneItemID(), "run")
    tree.SetItemParent(item, folder)
    tree.RemoveItem(folder, True, True)
    assert volume.GetScene() is None
    other = add()
    item = tree.GetItemByDataNode(other)
    slicer.mrmlScene.RemoveNode(other)
    assert tree.GetItemDataNode(item) is None


UI = """<?xml version="1.0"?><ui version="4.0"><class>A</class>
<widget class="qMRMLWidget" name="A"><layout class="QVBoxLayout"><item>
<widget class="{kind}" name="child"><property name="{prop}"><bool>true</bool></property></widget>
</item></layout></widget><connections><connection><sender>A</sender><signal>{signal}</signal>
<receiver>{receiver}</receiver><slot>setMRMLScene(vtkMRMLScene*)</slot></connection></connections></ui>
"""
GOOD = {
    "kind": "qMRMLNodeComboBox",
    "prop": "noneEnabled",
    "signal": "mrmlSceneChanged(vtkMRMLScene*)",
    "receiver": "child",
}


def load(tmp_path, **changes):
    path = tmp_path / "a.ui"
    path.write_text(UI.format(**{**GOOD, **changes}))
    return slicer.util.loadUI(str(path))


def test_ui_hands_the_scene_over(tmp_path):
    top = load(tmp_path)
    child = slicer.util.childWidgetVariables(top).child
    assert child.mrmlScene() is None
    top.setMRMLScene(slicer.mrmlScene)
    assert child.mrmlScene() is slicer.mrmlScene
    assert child.noneEnabled
    top.setMRMLScene(None)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"kind": "qMRMLNoSuchWidget"}, "no stand-in"),
        ({"prop": "noneEnabeld"}, "no property noneEnabeld"),
        ({"receiver": "other"}, "not in the file"),
        ({"signal": "clicked(bool)"}, "cannot connect"),
        ({"kind": "ctkComboBox", "prop": "enabled"}, "no slot"),
    ],
)
def test_mistakes_in_a_ui_are_found(tmp_path, changes, error):
    with pytest.raises(RuntimeError, match=error):
        load(tmp_path, **changes)


def test_questions_are_answered_by_the_test():
    host.dialogs.answers.append(False)
    assert not slicer.util.confirmOkCancelDisplay("Install?")
    assert slicer.util.confirmYesNoDisplay("Sure?")
    assert host.dialogs.texts("confirmOkCancelDisplay") == ["Install?"]
    host.dialogs.paths.append("/data/a.csv")
    assert qt.QFileDialog.getSaveFileName(None, "Save") == "/data/a.csv"
    assert qt.QFileDialog.getExistingDirectory(None, "Folder") == ""
    with pytest.raises(RuntimeError, match="installs nothing"):
        slicer.util.pip_install("torch")


def test_arrays_of_oblique_volumes_keep_their_geometry():
    angle = np.radians(20)
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    ijk_to_ras = turn @ np.diag([-1.0, -1.0, 2.0, 1.0])
    ijk_to_ras[:3, 3] = [5, 6, 7]
    volume = slicer.util.addVolumeFromArray(np.ones((2, 3, 4)), ijk_to_ras, "oblique")
    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    np.testing.assert_allclose(slicer.util.arrayFromVTKMatrix(matrix), ijk_to_ras, atol=1e-12)


def test_a_closed_section_shows_nothing_and_remembers_what_was_asked_for():
    section = ctk.ctkCollapsibleButton()
    layout = qt.QVBoxLayout(section)
    shown_later, hidden_later = qt.QLabel("shown"), qt.QLabel("hidden")
    for label in (shown_later, hidden_later):
        layout.addWidget(label)
    shown_later.visible = False
    section.show()
    slicer.app.processEvents()
    assert (shown_later.visible, hidden_later.visible) == (False, True)
    section.collapsed = True
    shown_later.visible, hidden_later.visible = True, False
    assert (shown_later.visible, hidden_later.visible) == (False, False)
    section.collapsed = False
    assert (shown_later.visible, hidden_later.visible) == (True, False)
    section.deleteLater()
