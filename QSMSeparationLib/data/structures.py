"""Structures that ``anatomy-net`` tells apart, and the label numbers they are written with."""

from __future__ import annotations

from dataclasses import dataclass

from QSMSeparationLib.data.quantities import Code

ANATOMY = "desc-anatomy_dseg"
"""Name of a segmentation's file, as BIDS has it."""


@dataclass(frozen=True)
class Structure:
    """A class of the network.

    Parameters
    ----------
    name : str
        In English, without a side.
    left, right : int
        Label numbers in written segmentations: FreeSurfer's, and those of the digital head
        (901 and above) for nuclei that FreeSurfer does not name. Equal for what has no side;
        0 beside the brain.
    code : Code
        Standard term (DICOM CID 7140 and 7153); of a nucleus that these lists lack, the part of
        the brain that it lies in.
    """

    name: str
    left: int
    right: int
    code: Code | None = None


STRUCTURES: tuple[Structure, ...] = (
    Structure("air", 0, 0),
    Structure("bone", 0, 0),
    Structure("soft tissue", 0, 0),
    Structure("outer fluid", 0, 0),
    Structure("ventricles", 4, 43, Code("35764002", "SCT", "Brain ventricle")),
    Structure("sulcal fluid", 24, 24, Code("35951006", "SCT", "Subarachnoid space")),
    Structure("white matter", 2, 41, Code("68523003", "SCT", "Cerebral White Matter")),
    Structure("cortex", 3, 42, Code("40146001", "SCT", "Cerebral cortex")),
    Structure("caudate", 11, 50, Code("11000004", "SCT", "Caudate nucleus")),
    Structure("putamen", 12, 51, Code("89278009", "SCT", "Putamen")),
    Structure("pallidum", 13, 52, Code("14738005", "SCT", "Globus pallidus")),
    Structure("accumbens", 26, 58, Code("427667007", "SCT", "Nucleus accumbens")),
    Structure("thalamus", 10, 49, Code("42695009", "SCT", "Thalamus")),
    Structure("hippocampus and amygdala", 17, 53, Code("5366008", "SCT", "Hippocampus")),
    Structure("red nucleus", 902, 952, Code("61962009", "SCT", "Midbrain")),
    Structure(
        "substantia nigra and subthalamic nucleus",
        901,
        951,
        Code("70007007", "SCT", "Substantia nigra"),
    ),
    Structure("dentate nucleus", 904, 954, Code("113305005", "SCT", "Cerebellum")),
    Structure("ventral diencephalon", 28, 60, Code("110700", "DCM", "Ventral Diencephalon")),
    Structure("brain stem", 16, 16, Code("119238007", "SCT", "Brain stem")),
    Structure("cerebellar white matter", 7, 46, Code("33060004", "SCT", "Cerebellar white matter")),
    Structure("cerebellar cortex", 8, 47, Code("25991003", "SCT", "Cerebellar Cortex")),
)
"""Classes in the order of the network's outputs; one more output tells left from right."""

FIRST_OF_BRAIN = 4
"""Classes from this one on are the brain, fluid in ventricles and sulci included."""

INDEX: dict[str, int] = {structure.name: n for n, structure in enumerate(STRUCTURES)}
"""Class number of a structure."""

OUTPUTS = len(STRUCTURES) + 1
"""Channels of the network: a score a class, and one that is positive on the left."""


def label_table() -> list[tuple[int, str]]:
    """Return number and name ("left putamen") of every label of a written segmentation."""
    rows = []
    for structure in STRUCTURES[FIRST_OF_BRAIN:]:
        if structure.left == structure.right:
            rows.append((structure.left, structure.name))
        else:
            rows.append((structure.left, f"left {structure.name}"))
            rows.append((structure.right, f"right {structure.name}"))
    return sorted(rows)


_FREESURFER = {
    "white matter": (2, 41), "cortex": (3, 42), "lateral ventricle": (4, 43),
    "inferior lateral ventricle": (5, 44), "cerebellar white matter": (7, 46),
    "cerebellar cortex": (8, 47), "thalamus": (10, 49), "caudate": (11, 50), "putamen": (12, 51),
    "pallidum": (13, 52), "hippocampus": (17, 53), "amygdala": (18, 54), "accumbens": (26, 58),
    "ventral diencephalon": (28, 60),
}  # fmt: skip
_FREESURFER_MIDDLE = {
    14: "third ventricle", 15: "fourth ventricle", 16: "brain stem", 24: "fluid",
    77: "white matter hypointensities", 251: "corpus callosum, posterior",
    252: "corpus callosum, mid-posterior", 253: "corpus callosum, central",
    254: "corpus callosum, mid-anterior", 255: "corpus callosum, anterior",
}  # fmt: skip


def freesurfer_table() -> list[tuple[int, str]]:
    """Return number and name of the labels that FreeSurfer and SynthSeg write."""
    rows = [
        (number, f"{side} {name}")
        for name, pair in _FREESURFER.items()
        for side, number in zip(("left", "right"), pair, strict=True)
    ]
    return sorted(rows + list(_FREESURFER_MIDDLE.items()))
