"""What is known of the chosen inputs: which there are, whether they fit, what a method lacks."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from QSMSeparationLib.data.method import Method
from QSMSeparationLib.data.quantities import MAPS as MAP_ROWS
from QSMSeparationLib.data.volume import Geometry, Volume
from QSMSeparationLib.mrml.convert import labels_of, segment_ids, volume_of
from QSMSeparationLib.pipeline.checked_inputs import checked_map, checked_mask
from QSMSeparationLib.runtime.errors import QSMSeparationError

MAPS = {
    "local_field": "field", "net": "qsm", "r2prime": "r2prime", "r2star": "r2star", "r2": "r2",
    "s0": "s0",
}  # fmt: skip
"""Maps that can be chosen, with the names of their parameters and options."""


def _name(need: str) -> str:
    return {
        "local_field": _("a local field"),
        "net": _("a local field or QSM"),
        "r2prime": _("R2' (or R2* and R2)"),
        "r2star": _("R2*"),
    }.get(need, need)


_MANY_VOXELS = 2_000_000
_MANY_FILES = 4000
_MANY_ENTRIES = 20_000
"""So many files of any kind are looked at in a folder: a home folder is no scan."""
_LONGEST_LOOK_S = 0.3
"""And so long, while the window waits: a folder may be on the network."""
_LOOK_AGAIN_S = 5.0


@dataclass(frozen=True)
class Finding:
    """One line about an input; not ``ok`` when it stands in the way of a run."""

    text: str
    ok: bool = True


@dataclass(frozen=True)
class Inputs:
    """What a run would have.

    Parameters
    ----------
    available : frozenset of str
        Maps that a method can get: ``local_field``, ``net``, ``r2prime``, ``r2star``.
    findings : tuple of Finding
        To show below the inputs.
    b0_tesla : float, optional
        Field strength; None for a scan, whose files say it.
    """

    available: frozenset[str]
    findings: tuple[Finding, ...]
    b0_tesla: float | None = None

    @property
    def problems(self) -> list[str]:
        """Return what stands in the way."""
        return [finding.text for finding in self.findings if not finding.ok]


class Inspector:
    """Inspects inputs; what has not changed since is not read again."""

    def __init__(self) -> None:
        self._known: dict[tuple, Any] = {}
        self._folder: tuple[Path, float, Inputs] | None = None

    def inspect_maps(
        self,
        maps: dict[str, slicer.vtkMRMLScalarVolumeNode],
        mask: slicer.vtkMRMLNode | None,
        b0_tesla: float,
        excitation_known: bool = True,
    ) -> Inputs:
        """Inspect loaded volumes: geometry, units, mask; whether TR and flip angle were given."""
        findings = []
        if "local_field" not in maps and "net" not in maps:
            findings.append(Finding(_("choose a local field or a QSM"), ok=False))
        if "r2prime" not in maps and "r2star" not in maps:
            findings.append(Finding(_("choose R2' or R2*"), ok=False))
        if "s0" in maps and not excitation_known:
            text = _("give TR and flip angle of the magnitude at TE 0")
            findings.append(Finding(text, ok=False))
        if mask is None:
            findings.append(Finding(_("choose a brain mask"), ok=False))
        elif maps:
            findings += self._fitting(maps, mask, b0_tesla)
        available = set(maps)
        if "local_field" in available:
            available.add("net")
        if {"r2star", "r2"} <= available:
            available.add("r2prime")
        return Inputs(frozenset(available), tuple(findings), b0_tesla)

    def inspect_folder(self, path: Path) -> Inputs:
        """Look into the folder of a scan; again only after some seconds, it may be far away."""
        now = time.monotonic()
        if self._folder is None or self._folder[0] != path or now - self._folder[1] > _LOOK_AGAIN_S:
            self._folder = (path, now, inspect_folder(path))
        return self._folder[2]

    def inspect_mask(
        self, mask: slicer.vtkMRMLNode, reference: slicer.vtkMRMLVolumeNode | None
    ) -> list[Finding]:
        """Inspect a brain mask; a segmentation is put on the grid of a reference."""
        return self._once("mask", (mask, reference), lambda: _mask_findings(mask, reference))

    def inspect_lesions(self, node: slicer.vtkMRMLNode | None) -> list[Finding]:
        """Inspect the lesions; none are fine."""
        if node is None:
            return [Finding(_("no lesions: maps only"))]
        return self._once("lesions", (node,), lambda: _lesion_findings(node))

    def _fitting(
        self,
        maps: dict[str, slicer.vtkMRMLScalarVolumeNode],
        mask: slicer.vtkMRMLNode,
        b0_tesla: float,
    ) -> list[Finding]:
        first = next(iter(maps.values()))
        findings = list(self.inspect_mask(mask, first))
        if not all(finding.ok for finding in findings):
            return findings
        labels = self._once("labels", (mask, first), lambda: labels_of(mask, first))
        for kind, node in maps.items():
            findings += self._once(
                f"{kind} {b0_tesla}", (node, mask, first),
                lambda kind=kind, node=node: _map_findings(node, kind, labels, b0_tesla),
            )  # fmt: skip
        return findings

    def _once(self, what: str, nodes: tuple, look: Callable[[], Any]) -> Any:
        """Look at nodes unless they are as they were; a refusal becomes a finding."""
        key = (what, *((n.GetID(), _changed(n)) for n in nodes if n is not None))
        if key not in self._known:
            if len(self._known) > 50:
                self._known.clear()
            try:
                self._known[key] = look()
            except QSMSeparationError as error:
                self._known[key] = [Finding(str(error), ok=False)]
        return self._known[key]


def inspect_folder(path: Path) -> Inputs:
    """Look into the folder of a scan, without reading its files."""
    scan = {"local_field", "net", "r2star"}
    if str(path) in ("", "."):
        unknown = frozenset(scan | {"r2prime"})
        return Inputs(unknown, (Finding(_("choose the folder of a scan"), ok=False),))
    if not path.is_dir():
        text = _("there is no folder {path}").format(path=path)
        return Inputs(frozenset(scan), (Finding(text, ok=False),))
    found = _look_into(path)
    if found.nifti:
        text = _("NIfTI: {number} files").format(number=found.shown(found.nifti))
        if found.spin_echoes:
            scan.add("r2prime")
            text += _(", {number} of a spin echo").format(number=found.spin_echoes)
        else:
            text += _("; without a spin echo R2' is not measured")
        return Inputs(frozenset(scan), (Finding(text),))
    if found.others:
        scan.add("r2prime")  # what is inside is known when it is read
        text = _("DICOM: {number} files; R2' needs a multi-echo spin echo among them")
        text = text.format(number=found.shown(found.others))
        return Inputs(frozenset(scan), (Finding(text),))
    if not found.all_seen:
        text = _("{path} holds too much to look through; choose the folder of the scan itself")
    else:
        text = _("{path} holds neither NIfTI nor DICOM")
    return Inputs(frozenset(scan), (Finding(text.format(path=path), ok=False),))


def method_problem(method: Method, inputs: Inputs) -> str:
    """Return why a method cannot run with these inputs; empty when it can."""
    missing = [_name(need) for need in method.needs if need not in inputs.available]
    if missing:
        return _("needs {inputs}").format(inputs=", ".join(missing))
    if not method.usable_at(inputs.b0_tesla):
        return _("can't be used at {b0} T").format(b0=f"{inputs.b0_tesla:g}")
    return ""


@dataclass
class _Found:
    """Numbers of files: NIfTI, those of a spin echo among them, and what may be DICOM."""

    nifti: int = 0
    spin_echoes: int = 0
    others: int = 0
    all_seen: bool = True

    def take(self, name: str) -> None:
        """Count a file."""
        if name.endswith((".nii", ".nii.gz")):
            self.nifti += 1
            self.spin_echoes += "_MESE" in name
        elif name.lower().endswith((".dcm", ".ima")) or "." not in name:
            self.others += name not in ("README", "CHANGES", "LICENSE", "DICOMDIR")

    def shown(self, number: int) -> str:
        """Return a number in words, where not all was seen."""
        return str(number) if self.all_seen else _("{number} or more").format(number=number)


def _look_into(path: Path) -> _Found:
    """Count what lies in a folder, not longer than the window may wait."""
    found, seen, start = _Found(), 0, time.monotonic()
    for _folder, folders, files in os.walk(path):
        folders[:] = [name for name in folders if name != "derivatives" and name[:1] != "."]
        for name in files:
            found.take(name)
        seen += len(files) + len(folders)
        too_long = time.monotonic() - start > _LONGEST_LOOK_S
        if too_long or seen > _MANY_ENTRIES or found.nifti + found.others > _MANY_FILES:
            found.all_seen = False
            break
    return found


def _changed(node: Any) -> int:
    times = [node.GetMTime()]
    if node.IsA("vtkMRMLSegmentationNode"):
        times.append(node.GetSegmentation().GetMTime())
    elif node.GetImageData() is not None:
        times.append(node.GetImageData().GetMTime())
    return max(times)


def _mask_findings(
    mask: slicer.vtkMRMLNode, reference: slicer.vtkMRMLVolumeNode | None
) -> list[Finding]:
    labels = labels_of(mask, reference)
    named = Volume(labels.array, labels.geometry, f"mask {labels.source}")
    inside = checked_mask(named if labels.array.size <= _MANY_VOXELS else _thinned(named))
    liters = inside.mean() * labels.array.size * labels.geometry.voxel_volume_mm3 / 1e6
    return [Finding(f"{named.source}: {liters:.2f} l")]


def _map_findings(
    node: slicer.vtkMRMLScalarVolumeNode, kind: str, mask: Volume, b0_tesla: float
) -> list[Finding]:
    volume = volume_of(node)
    difference = mask.geometry.difference(volume.geometry)
    if difference:
        text = _("{volume} and the mask lie on different grids: {difference}; resample one")
        text = text.format(volume=volume.source, difference=difference)
        return [Finding(text, ok=False)]
    inside = mask.like((mask.array > 0).astype(np.uint8))
    if volume.array.size > _MANY_VOXELS:
        checked_map(_thinned(volume), kind, _thinned(inside), b0_tesla)
    else:
        checked_map(volume, kind, inside, b0_tesla)
    geometry = volume.geometry
    size = " x ".join(f"{v:g}" for v in np.round(geometry.spacing_mm, 3))
    tilt = ""
    if geometry.b0_angle_deg > 1:
        tilt = _(", tilted by {angle}°").format(angle=f"{geometry.b0_angle_deg:.0f}")
    unit = "" if kind == "s0" else f"{MAP_ROWS[kind].unit}, "
    return [Finding(f"{volume.source}: {unit}{size} mm{tilt}")]


def _thinned(volume: Volume) -> Volume:
    """Return every n-th voxel of a large image: enough to tell its unit, without a pause."""
    step = 1 + int((volume.array.size / _MANY_VOXELS) ** (1 / 3))
    array = np.ascontiguousarray(volume.array[::step, ::step, ::step])
    return Volume(array, Geometry(array.shape), volume.source)


def _lesion_findings(node: Any) -> list[Finding]:
    name = f"'{node.GetName()}'"
    if node.IsA("vtkMRMLSegmentationNode"):
        if node.GetParentTransformNode() is not None:
            text = _("{name} is moved by a transform; harden the transform first")
            return [Finding(text.format(name=name), ok=False)]
        number = len(segment_ids(node))
        if number == 0:
            return [Finding(_("{name} holds no segment").format(name=name), ok=False)]
        split = _("one segment, split into its connected lesions")
        several = _("{number} segments").format(number=number)
        return [Finding(f"{name}: {split if number == 1 else several}")]
    volume = volume_of(node)
    numbers = np.unique(volume.array[volume.array != 0])
    if not np.all(numbers == np.round(numbers)):
        text = _("{name} holds fractions; give a label map")
        return [Finding(text.format(name=name), ok=False)]
    number = int((numbers > 0).sum())
    if number == 0:
        return [Finding(_("{name} is empty").format(name=name), ok=False)]
    split = _("one label, split into its connected lesions")
    several = _("{number} labels").format(number=number)
    return [Finding(f"{name}: {split if number == 1 else several}")]
