"""What the views draw: lesion outlines in each, legends, bright sources."""

from __future__ import annotations

import numpy as np
import pytest
import slicer
from small_result import write_small_result

from QSMSeparationLib.lesions.classes import class_rgb
from QSMSeparationLib.mrml import layouts
from QSMSeparationLib.mrml.lesions import show_outlines
from QSMSeparationLib.mrml.load import find_results, load_result
from QSMSeparationLib.mrml.table import rows_of


@pytest.fixture
def run(tmp_path, pictures):
    write_small_result(tmp_path)
    return load_result(find_results(tmp_path)[0], slicer.mrmlScene)


@pytest.fixture
def manager():
    manager = slicer.app.layoutManager()
    manager.resizeViews(220, 200)
    return manager


def drawn(manager, tags):
    return {tag: manager.sliceWidget(tag).sliceView().picture().astype(int) for tag in tags}


TAGS = ("QSMNet", "QSMPara", "QSMDia", "QSMFourth")


def test_lesion_outlines_are_drawn_in_every_view(run, manager):
    layouts.show(manager, run, "four")
    drawn(manager, TAGS)  # the views are made when first drawn
    layouts.show(manager, run, "four")
    layouts.go_to(slicer.mrmlScene, layouts.center_of(rows_of(run.node("lesion_table"))[0]))
    pictures = drawn(manager, TAGS)
    show_outlines(run.node("lesions"), False)
    without = drawn(manager, TAGS)
    for tag in TAGS:
        changed = (pictures[tag] != without[tag]).any(axis=-1)
        assert 20 < changed.sum() < 2000, tag
        off = np.abs(pictures[tag][changed] - 255 * np.array(class_rgb("rim"))).max(axis=-1)
        assert (off < 40).sum() > 5, "the rim lesion is drawn in its color"


def test_legends_are_drawn_at_the_right_edge(run, manager):
    layouts.show(manager, run, "row")
    drawn(manager, TAGS[:3])
    layouts.show(manager, run, "row")
    with_legends = drawn(manager, TAGS[:3])
    for legend in slicer.util.getNodesByClass("vtkMRMLColorLegendDisplayNode"):
        legend.SetVisibility(False)
    without = drawn(manager, TAGS[:3])
    for tag in TAGS[:3]:
        changed = (with_legends[tag] != without[tag]).any(axis=-1)
        assert changed[:, 130:].sum() > 100, tag
        assert changed[:, :90].sum() == 0, tag


def test_views_hold_letters_and_say_that_it_is_research(run, manager):
    layouts.show(manager, run, "row")
    pictures = drawn(manager, TAGS[:3])
    height, width = pictures["QSMNet"].shape[:2]
    for picture in pictures.values():
        corner = picture[-height // 12 :, : width // 3]
        left = picture[height * 4 // 10 : height * 6 // 10, : width // 12]
        for part in (corner, left):
            assert (part.min(axis=-1) > 140).sum() > 8, "white letters"
