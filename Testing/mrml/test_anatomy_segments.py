"""The structures of the brain become segments with names and standard terms."""

from __future__ import annotations

import unittest

import numpy as np
import slicer
import vtk
from scene_test_case import SceneTestCase
from small_result import GEOMETRY, ball, write_small_result

from QSMSeparationLib.data.structures import ANATOMY
from QSMSeparationLib.data.volume import Volume
from QSMSeparationLib.io.nifti import write_volume
from QSMSeparationLib.mrml import marks
from QSMSeparationLib.mrml.convert import labels_of, segment_ids
from QSMSeparationLib.mrml.load import find_results, load_result


class AnatomyTest(SceneTestCase):
    def anatomy(self):
        """Write a result with three structures and load it."""
        folder = self.folder / "labeled"
        write_small_result(folder)
        self.labels = np.zeros(GEOMETRY.shape, np.int16)
        for number, center in ((12, (12, 10, 8)), (51, (10, 18, 15)), (16, (14, 12, 18))):
            self.labels[ball(center, 2)] = number
        write_volume(Volume(self.labels, GEOMETRY), folder / f"sub-01_{ANATOMY}.nii.gz")
        return load_result(find_results(folder)[0], self.scene).node(marks.ANATOMY)

    def segments(self, node):
        """Return segments by name."""
        found = [node.GetSegmentation().GetSegment(one) for one in segment_ids(node)]
        return {segment.GetName(): segment for segment in found}

    def test_segments_are_named_with_their_side(self):
        names = set(self.segments(self.anatomy()))
        self.assertEqual(names, {"left putamen", "right putamen", "brain stem"})

    def test_terms_are_standard_and_know_the_side(self):
        segments = self.segments(self.anatomy())
        for name, parts in {
            "left putamen": ("SCT^89278009^Putamen", "SCT^7771000^Left"),
            "right putamen": ("SCT^89278009^Putamen", "SCT^24028007^Right"),
            "brain stem": ("SCT^119238007^Brain stem", "~^^~"),
        }.items():
            value = vtk.reference("")
            segments[name].GetTag(slicer.vtkSegment.GetTerminologyEntryTagName(), value)
            for part in parts:
                self.assertIn(part, str(value))

    def test_voxels_are_those_of_the_file(self):
        merged = labels_of(self.anatomy())
        self.assertEqual(int((merged.array > 0).sum()), int((self.labels > 0).sum()))

    def test_it_is_hidden_until_it_is_wanted(self):
        self.assertFalse(self.anatomy().GetDisplayNode().GetVisibility())


if __name__ == "__main__":
    unittest.main()
