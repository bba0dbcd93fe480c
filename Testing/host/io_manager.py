"""``slicer.app.coreIOManager()``: what ``slicer.util.loadVolume``, ``saveNode`` and so on call.

Files are read and written by MRML's own storage nodes, as in Slicer; only the choice of reader and
writer is made here.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import slicer
import vtk

# File type: class of the node, class of its storage node, extensions (first: default).
_TYPES = {
    "VolumeFile": (
        "vtkMRMLScalarVolumeNode",
        "vtkMRMLVolumeArchetypeStorageNode",
        (".nrrd", ".nii.gz", ".nii", ".mha", ".nhdr", ".mhd"),
    ),
    "SegmentationFile": (
        "vtkMRMLSegmentationNode",
        "vtkMRMLSegmentationStorageNode",
        (".seg.nrrd", ".nrrd", ".nii.gz"),
    ),
    "TableFile": ("vtkMRMLTableNode", "vtkMRMLTableStorageNode", (".csv", ".tsv", ".txt")),
    "ModelFile": ("vtkMRMLModelNode", "vtkMRMLModelStorageNode", (".vtk", ".stl", ".ply")),
    "TransformFile": ("vtkMRMLTransformNode", "vtkMRMLTransformStorageNode", (".h5", ".tfm")),
    "ColorTableFile": ("vtkMRMLColorTableNode", "vtkMRMLColorTableStorageNode", (".ctbl", ".txt")),
    "TextFile": ("vtkMRMLTextNode", "vtkMRMLTextStorageNode", (".txt", ".json")),
}


class IOManager:
    """Load and save files of the kinds above, scenes (.mrml, .mrb) included."""

    def __init__(self, scene: slicer.vtkMRMLScene):
        self._scene = scene

    def fileType(self, filename: str) -> str:
        name = str(filename).lower()
        if name.endswith((".mrml", ".mrb")):
            return "SceneFile"
        if name.endswith((".seg.nrrd", ".seg.nii.gz")):
            return "SegmentationFile"
        for file_type, (_, _, extensions) in _TYPES.items():
            if name.endswith(extensions):
                return file_type
        return "NoFile"

    def fileWriterFileType(self, node: slicer.vtkMRMLNode) -> str:
        for file_type, (node_class, _, _) in _TYPES.items():
            if node.IsA(node_class):
                return file_type
        return "NoFile"

    def fileWriterExtensions(self, node: slicer.vtkMRMLNode) -> tuple[str, ...]:
        extensions = _TYPES[self.fileWriterFileType(node)][2]
        return tuple(f"{e[1:].upper()} (*{e})" for e in extensions)

    def extractKnownExtension(self, filename: str, node: slicer.vtkMRMLNode) -> str:
        known = [e for e in _TYPES[self.fileWriterFileType(node)][2] if filename.endswith(e)]
        return max(known, key=len, default="")

    def loadNodes(
        self, file_type: str, properties: dict, loaded: vtk.vtkCollection, messages: object = None
    ) -> bool:
        """Load ``properties["fileName"]`` into the scene; return whether it could be read."""
        filename = properties["fileName"]
        if not Path(filename).exists():
            return False
        if file_type == "SceneFile":
            return self._load_scene(filename, properties.get("clear", False))
        name = properties.get("name") or _stem(filename)
        if file_type == "VolumeFile":
            options = 1 if properties.get("labelmap") else 0
            node = slicer.modules.volumes.logic().AddArchetypeVolume(filename, name, options)
        elif file_type in _TYPES:
            node = self._read(file_type, filename, name)
        else:
            node = None
        if node is None:
            return False
        loaded.AddItem(node)
        return True

    def _read(self, file_type: str, filename: str, name: str) -> slicer.vtkMRMLNode | None:
        node_class, storage_class, _ = _TYPES[file_type]
        node = self._scene.AddNewNodeByClass(node_class, name)
        storage = self._scene.AddNewNodeByClass(storage_class)
        storage.SetFileName(filename)
        if not storage.ReadData(node):
            self._scene.RemoveNode(storage)
            self._scene.RemoveNode(node)
            return None
        node.SetAndObserveStorageNodeID(storage.GetID())
        if hasattr(node, "CreateDefaultDisplayNodes"):
            node.CreateDefaultDisplayNodes()
        return node

    def _load_scene(self, filename: str, clear: bool) -> bool:
        if clear:
            self._scene.Clear(False)
        if filename.endswith(".mrb"):
            return bool(self._scene.ReadFromMRB(filename, False))
        self._scene.SetURL(filename)
        self._scene.SetRootDirectory(str(Path(filename).parent))
        return bool(self._scene.Import())

    def saveNodes(self, file_type: str, properties: dict, messages: object = None) -> bool:
        """Write a node or, as "SceneFile", the scene, to ``properties["fileName"]``."""
        filename = str(properties["fileName"])
        if file_type == "SceneFile":
            return self._save_scene(filename)
        node = self._scene.GetNodeByID(properties["nodeID"])
        storage = node.GetStorageNode()
        if storage is None:
            node.AddDefaultStorageNode()
            storage = node.GetStorageNode()
        storage.SetFileName(filename)
        return bool(storage.WriteData(node))

    def _save_scene(self, filename: str) -> bool:
        if filename.endswith(".mrb"):
            return bool(self._scene.WriteToMRB(filename))
        if filename.endswith(".mrml"):
            self._scene.SetURL(filename)
            return bool(self._scene.Commit(filename))
        shutil.rmtree(filename, ignore_errors=True)
        Path(filename).mkdir(parents=True)
        return bool(self._scene.SaveSceneToSlicerDataBundleDirectory(filename))

    def exportNodes(
        self,
        node_ids: list[str],
        filenames: list[str],
        properties: dict,
        world: bool,
        messages: object = None,
    ) -> bool:
        """Write nodes without touching the storage nodes that they have."""
        for node_id, filename in zip(node_ids, filenames, strict=True):
            node = self._scene.GetNodeByID(node_id)
            storage = node.CreateDefaultStorageNode()
            storage.UnRegister(None)
            storage.SetFileName(str(filename))
            storage.SetUseCompression(properties.get("useCompression", True))
            if not storage.WriteData(node):
                return False
        return True


def _stem(filename: str) -> str:
    return Path(filename).name.split(".")[0]
