"""Slice views of the host: layout, linked views, outlines, legends, pictures."""

import numpy as np
import pytest
import slicer

LAYOUT = 571


def view(tag, orientation, group=0):
    return (
        f'<item><view class="vtkMRMLSliceNode" singletontag="{tag}">'
        f'<property name="orientation" action="default">{orientation}</property>'
        f'<property name="viewgroup" action="default">{group}</property></view></item>'
    )


XML = (
    '<layout type="vertical"><item><layout type="horizontal">'
    + view("One", "Axial", 5)
    + view("Two", "Axial", 5)
    + "</layout></item>"
    + view("Three", "Coronal")
    + "</layout>"
)


@pytest.fixture
def layout_manager(pictures):
    manager = slicer.app.layoutManager()
    node = manager.layoutLogic().GetLayoutNode()
    if not node.IsLayoutDescription(LAYOUT):
        node.AddLayoutDescription(LAYOUT, XML)
    manager.setLayout(LAYOUT)
    manager.resizeViews(200, 160)
    return manager


@pytest.fixture
def head():
    """A bright ball with a segment in the middle, 2 mm slices."""
    k, j, i = np.mgrid[0:30, 0:64, 0:64]
    ball = (((k - 15) * 2) ** 2 + (j - 32) ** 2 + (i - 32) ** 2) < 26**2
    inner = (((k - 15) * 2) ** 2 + (j - 32) ** 2 + (i - 32) ** 2) < 8**2
    ijk_to_ras = np.diag([-1.0, -1.0, 2.0, 1.0])
    ijk_to_ras[:3, 3] = [32, 32, -30]
    volume = slicer.util.addVolumeFromArray(100.0 * ball, ijk_to_ras, "ball")
    volume.CreateDefaultDisplayNodes()
    volume.GetDisplayNode().AutoWindowLevelOff()
    volume.GetDisplayNode().SetWindowLevel(200, 100)
    labels = slicer.util.addVolumeFromArray(
        inner.astype(np.uint8), ijk_to_ras, "labels", "vtkMRMLLabelMapVolumeNode"
    )
    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "lesions")
    logic = slicer.modules.segmentations.logic()
    logic.ImportLabelmapToSegmentationNode(labels, segmentation)
    segmentation.CreateDefaultDisplayNodes()
    segmentation.GetSegmentation().GetNthSegment(0).SetColor(1, 1, 0)
    segmentation.GetDisplayNode().SetVisibility2DFill(False)
    slicer.mrmlScene.RemoveNode(labels)
    return volume, segmentation


def yellow(picture):
    r, g, b = (picture[..., c].astype(int) for c in range(3))
    return int(((r > 150) & (g > 150) & (b < 90)).sum())


def show(manager, volume):
    slicer.util.setSliceViewerLayers(background=volume, fit=True)
    for name in manager.sliceViewNames():
        manager.sliceWidget(name).fitSliceToBackground()


def test_layout_makes_the_views(layout_manager):
    assert {"One", "Two", "Three"} <= set(layout_manager.sliceViewNames())
    assert layout_manager.layout == LAYOUT
    nodes = [layout_manager.sliceWidget(n).mrmlSliceNode() for n in ("One", "Three")]
    assert [n.GetOrientation() for n in nodes] == ["Axial", "Coronal"]
    assert nodes[0].GetViewGroup() == 5


def test_view_shows_the_volume_and_the_outline(layout_manager, head):
    volume, segmentation = head
    show(layout_manager, volume)
    view = layout_manager.sliceWidget("One").sliceView()
    with_outline = view.picture()
    assert with_outline.shape == (160, 200, 3)
    share = (with_outline[..., 0] > 60).mean()
    expected = np.pi * 26**2 / 64**2 * (160 / 200)  # the ball fills that part of the view
    assert share == pytest.approx(expected, rel=0.1)
    count = yellow(with_outline)
    segmentation.GetDisplayNode().SetVisibility(False)
    assert yellow(view.picture()) == 0
    assert count > 30  # the circumference is 50 mm at 2.5 pixels a mm
    assert count < 800


def test_linked_views_move_together(layout_manager, head):
    show(layout_manager, head[0])
    for name in ("One", "Two"):
        composite = layout_manager.sliceWidget(name).mrmlSliceCompositeNode()
        composite.SetLinkedControl(True)
        composite.SetHotLinkedControl(True)
    logic = layout_manager.sliceWidget("One").sliceLogic()
    logic.StartSliceOffsetInteraction()
    logic.SetSliceOffset(10.0)
    logic.EndSliceOffsetInteraction()
    assert layout_manager.sliceWidget("Two").sliceLogic().GetSliceOffset() == pytest.approx(10.0)
    assert layout_manager.sliceWidget("Three").sliceLogic().GetSliceOffset() != pytest.approx(10.0)


def test_jump_moves_all_views(layout_manager, head):
    show(layout_manager, head[0])
    slicer.vtkMRMLSliceNode.JumpAllSlices(slicer.mrmlScene, 3.0, -7.0, 6.0)
    offsets = [
        layout_manager.sliceWidget(n).sliceLogic().GetSliceOffset() for n in ("One", "Three")
    ]
    assert offsets == pytest.approx([6.0, -7.0])


def test_color_legend_is_drawn(layout_manager, head):
    show(layout_manager, head[0])
    view = layout_manager.sliceWidget("One").sliceView()
    view.resize(300, 240)
    before = view.picture()
    legend = slicer.modules.colors.logic().AddDefaultColorLegendDisplayNode(head[0])
    legend.SetTitleText("chi [ppm]")
    legend.SetVisibility(True)
    assert (view.picture() != before).any(axis=-1)[:, 200:].sum() > 200  # at the right edge


def test_picture_is_arranged_as_the_layout(layout_manager, head, tmp_path):
    show(layout_manager, head[0])
    picture = layout_manager.picture()
    assert picture.shape == (2 * 160 + 4, 2 * 200 + 4, 3)
    assert picture[:160, :200].max() > 100
    assert picture[-160:, 210:].max() == 0  # below the second view there is none
    layout_manager.savePicture(tmp_path / "views.png")
    assert (tmp_path / "views.png").stat().st_size > 1000


def test_views_survive_a_closed_scene(layout_manager, head):
    show(layout_manager, head[0])
    slicer.mrmlScene.Clear(False)
    layout_manager.setLayout(LAYOUT)
    assert layout_manager.sliceWidget("One").sliceView().picture().max() == 0
