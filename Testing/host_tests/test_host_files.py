"""Loading and saving through slicer.util: volumes, segmentations, tables, whole scenes."""

import numpy as np
import pytest
import slicer
import vtk

IJK_TO_RAS = np.array(
    [[-0.8, 0.3, 0.0, 10.0], [-0.3, -0.8, 0.0, -20.0], [0.0, 0.0, 2.0, 5.0], [0.0, 0.0, 0.0, 1.0]]
)


def add_volume(name="chi"):
    values = np.random.default_rng(0).normal(size=(4, 5, 6)).astype(np.float32)
    volume = slicer.util.addVolumeFromArray(values, IJK_TO_RAS, name)
    volume.CreateDefaultDisplayNodes()
    return volume, values


def geometry(volume):
    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    return slicer.util.arrayFromVTKMatrix(matrix)


@pytest.mark.parametrize("extension", [".nrrd", ".nii.gz", ".mha"])
def test_volume_round_trip(tmp_path, extension):
    volume, values = add_volume()
    path = str(tmp_path / f"chi{extension}")
    assert slicer.util.saveNode(volume, path)
    slicer.mrmlScene.RemoveNode(volume)
    loaded = slicer.util.loadVolume(path)
    assert loaded.GetName() == "chi"
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(loaded), values)
    np.testing.assert_allclose(geometry(loaded), IJK_TO_RAS, atol=1e-5)


def test_export_leaves_the_node_as_it_is(tmp_path):
    volume, _ = add_volume()
    path = tmp_path / "out.nii.gz"
    assert slicer.util.exportNode(volume, str(path))
    assert path.stat().st_size > 100
    assert volume.GetStorageNode() is None


def test_segmentation_round_trip(tmp_path):
    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "lesions")
    volume, values = add_volume()
    segmentation.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    identifier = segmentation.GetSegmentation().AddEmptySegment("", "Lesion 1")
    mask = (values > 1).astype(np.uint8)
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, segmentation, identifier, volume)
    path = str(tmp_path / "lesions.seg.nrrd")
    assert slicer.util.saveNode(segmentation, path)
    slicer.mrmlScene.RemoveNode(segmentation)
    loaded = slicer.util.loadSegmentation(path)
    segments = loaded.GetSegmentation()
    assert segments.GetNthSegment(0).GetName() == "Lesion 1"
    found = slicer.util.arrayFromSegmentBinaryLabelmap(loaded, segments.GetNthSegmentID(0), volume)
    np.testing.assert_array_equal(found > 0, mask > 0)


def test_table_round_trip(tmp_path):
    table = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode", "statistics")
    column = vtk.vtkDoubleArray()
    column.SetName("mean")
    column.InsertNextValue(0.25)
    table.AddColumn(column)
    path = str(tmp_path / "statistics.csv")
    assert slicer.util.saveNode(table, path)
    assert (tmp_path / "statistics.csv").read_text().split() == ['"mean"', "0.25"] or "0.25" in (
        tmp_path / "statistics.csv"
    ).read_text()
    slicer.mrmlScene.RemoveNode(table)
    assert slicer.util.loadTable(path).GetNumberOfRows() == 1


def test_missing_file_is_an_error():
    with pytest.raises(RuntimeError, match="Failed to load"):
        slicer.util.loadVolume("/nonexistent/volume.nii.gz")


@pytest.mark.parametrize("name", ["scene.mrb", "folder"])
def test_scene_round_trip(tmp_path, name):
    volume, values = add_volume()
    volume.SetVoxelValueUnits(_coded("ppm"))
    volume.SetAttribute("Made.By", "test")
    volume.GetDisplayNode().AutoWindowLevelOff()
    volume.GetDisplayNode().SetWindowLevel(0.2, 0.1)
    tree = slicer.mrmlScene.GetSubjectHierarchyNode()
    folder = tree.CreateFolderItem(tree.GetSceneItemID(), "run 1")
    tree.SetItemParent(tree.GetItemByDataNode(volume), folder)
    path = tmp_path / name
    assert slicer.util.saveScene(str(path))
    slicer.mrmlScene.Clear(False)
    scene = str(path if path.is_file() else next(path.rglob("*.mrml")))
    slicer.util.loadScene(scene)
    loaded = slicer.util.getNode("chi")
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(loaded), values)
    np.testing.assert_allclose(geometry(loaded), IJK_TO_RAS, atol=1e-5)
    assert loaded.GetVoxelValueUnits().GetCodeValue() == "ppm"
    assert loaded.GetAttribute("Made.By") == "test"
    assert loaded.GetDisplayNode().GetWindow() == pytest.approx(0.2)
    tree = slicer.mrmlScene.GetSubjectHierarchyNode()
    assert tree.GetItemName(tree.GetItemParent(tree.GetItemByDataNode(loaded))) == "run 1"


def _coded(value):
    entry = slicer.vtkCodedEntry()
    entry.SetValueSchemeMeaning(value, "UCUM", value)
    return entry
