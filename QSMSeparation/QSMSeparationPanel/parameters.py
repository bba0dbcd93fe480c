"""What the user chooses: one parameter node, saved with the scene. Imports nothing heavy."""

import enum
from typing import Annotated, Union

from slicer import (
    vtkMRMLLabelMapVolumeNode,
    vtkMRMLScalarVolumeNode,
    vtkMRMLSegmentationNode,
)
from slicer.i18n import tr as _
from slicer.parameterNodeWrapper import Choice, WithinRange, parameterNodeWrapper

LabelsNode = Union[  # noqa: UP007
    vtkMRMLSegmentationNode, vtkMRMLLabelMapVolumeNode, vtkMRMLScalarVolumeNode, None
]
"""What may hold a mask or lesions; without ``None`` the wrapper of parameter nodes raises."""


class InputKind(enum.Enum):
    """Where a run starts from."""

    SCAN = "scan"
    MAPS = "maps"
    DATABASE = "database"

    def label(self) -> str:
        """Return what the panel shows."""
        return {
            "scan": _("Scan (BIDS or DICOM folder)"),
            "maps": _("Loaded volumes"),
            "database": _("Scan in the DICOM database"),
        }[self.value]


@parameterNodeWrapper
class QSMSeparationParameterNode:
    """Everything that the user chooses; saved with the scene."""

    inputKind: InputKind = InputKind.SCAN
    scanFolder: str = ""
    dicomSeries: str = ""
    subject: str = ""
    field: vtkMRMLScalarVolumeNode
    qsm: vtkMRMLScalarVolumeNode
    r2prime: vtkMRMLScalarVolumeNode
    r2star: vtkMRMLScalarVolumeNode
    r2: vtkMRMLScalarVolumeNode
    s0: vtkMRMLScalarVolumeNode
    trMs: Annotated[float, WithinRange(0.0, 20000.0)] = 0.0  # 0: not known
    flipDeg: Annotated[float, WithinRange(0.0, 180.0)] = 0.0
    mask: LabelsNode
    b0Tesla: Annotated[float, WithinRange(0.1, 25.0)] = 3.0
    lesions: LabelsNode
    method: str = ""
    inversion: str = "tv"
    settings: str = ""
    device: Annotated[str, Choice(["auto", "cpu", "cuda", "mps"])] = "auto"
    drPara: Annotated[float, WithinRange(1.0, 2000.0)] = 114.0
    drDia: Annotated[float, WithinRange(1.0, 2000.0)] = 114.0
    drAuto: bool = False
    weightsFile: str = ""
    keepIntermediate: bool = False
    fourthVolume: vtkMRMLScalarVolumeNode
