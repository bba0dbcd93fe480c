"""Lesion analysis: compartments, statistics, rims, classes, and how a table is written."""

import csv
import io
import tracemalloc

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from lesion_phantom import VALUES, WHITE_DIA, phantom
from scipy import ndimage

from QSMSeparationLib.data.volume import Geometry, Volume, to_sitk
from QSMSeparationLib.lesions import Thresholds, analyze_lesions, lesion_table
from QSMSeparationLib.lesions import table as tables
from QSMSeparationLib.lesions.classify import classify
from QSMSeparationLib.lesions.compartments import compartments, depth_mm
from QSMSeparationLib.lesions.instances import resample_to, split, split_segments
from QSMSeparationLib.lesions.location import Tissue, from_freesurfer
from QSMSeparationLib.lesions.statistics import Interval, largest_diameter_mm, statistics
from QSMSeparationLib.runtime.errors import InputError


@pytest.fixture(scope="module")
def analyzed():
    maps, seg, mask, white, truth = phantom()
    r2prime = maps["chi_para"].like(
        (114 * (maps["chi_para"].array - maps["chi_dia"].array)).astype(np.float32)
    )
    maps = {**maps, "r2prime": r2prime}
    return maps, seg, mask, truth, analyze_lesions(maps, seg, mask, white)


@pytest.mark.parametrize(
    ("spacing", "radius"),
    [
        ((1.0, 1.0, 1.0), 4.0),
        ((2.0, 0.8, 0.8), 5.0),
        ((0.7, 0.7, 0.7), 3.0),
        ((1.0, 1.2, 2.0), 5.0),
    ],
)
def test_balls_of_known_class_are_recognized_on_any_grid(spacing, radius):
    maps, seg, mask, white, truth = phantom(spacing, radius, repeat=2)
    report = analyze_lesions(maps, seg, mask, white)
    assert {one.id: (one.para.name, one.dia.name) for one in report.lesions} == truth


def test_rims_do_not_depend_on_how_the_scan_was_stored():
    tilt = np.radians(25)
    c, s = np.cos(tilt), np.sin(tilt)
    sagittal = (0, 0, 1, 1, 0, 0, 0, 1, 0)
    for direction in (sagittal, (1, 0, 0, 0, c, -s, 0, s, c)):
        maps, seg, mask, white, truth = phantom(direction=direction, repeat=1)
        report = analyze_lesions(maps, seg, mask, white)
        assert {one.id: one.para.name for one in report.lesions} == {
            number: key[0] for number, key in truth.items()
        }


def test_an_open_rim_is_measured_as_open():
    """A rim over half of the sphere covers half of the sectors and half of a turn."""
    shape, radius = (24, 24, 24), 7.0
    k, j, i = np.indices(shape) - 11.5
    r = np.sqrt(k**2 + j**2 + i**2)
    lesion = r <= radius
    para = np.full(shape, 16.0, np.float32)
    para[lesion] = 12.0
    para[lesion & (r > radius - 2) & (j > 0)] = 45.0
    geometry = Geometry(shape)
    maps = {
        "chi_para": Volume(para / 1000, geometry),
        "chi_dia": Volume(np.full(shape, -0.03, np.float32), geometry),
    }
    white = Volume(np.full(shape, Tissue.WHITE, np.uint8), geometry)
    mask = Volume(np.ones(shape, np.uint8), geometry)
    one = analyze_lesions(maps, Volume(lesion.astype(np.uint8), geometry), mask, white).lesions[0]
    assert one.rim.coverage == pytest.approx(0.5, abs=0.08)
    assert one.rim.longest_arc_deg == pytest.approx(180, abs=31)
    assert one.para.name != "rim"


def test_a_vein_beside_a_lesion_makes_no_rim():
    maps, seg, mask, white, truth = phantom(repeat=1, noise=0.5)
    iso = next(n for n, key in truth.items() if key == ("hypo", "hypo"))
    para = maps["chi_para"].array.copy()
    center = np.argwhere(seg.array == iso).mean(axis=0).round().astype(int)
    para[:, center[1] - 4 : center[1] - 2, center[2]] = 0.19
    maps["chi_para"] = maps["chi_para"].like(para)
    one = analyze_lesions(maps, seg, mask, white).lesions[iso - 1]
    assert one.para.name == "hypo"
    assert one.vein_share > 0


def test_statistics_equal_simpleitk(analyzed):
    maps, seg, _, _, report = analyzed
    oracle = sitk.LabelIntensityStatisticsImageFilter()
    oracle.SetComputeFeretDiameter(True)
    oracle.Execute(to_sitk(seg), to_sitk(maps["chi_para"].like(maps["chi_para"].array * 1000)))
    for one in report.lesions:
        mine = one.statistics["chi_para"]["lesion"]
        label = one.id
        for value, wanted in (
            (mine.mean, oracle.GetMean(label)),
            (mine.sd, oracle.GetStandardDeviation(label)),
            (mine.minimum, oracle.GetMinimum(label)),
            (mine.maximum, oracle.GetMaximum(label)),
            (one.volume_mm3, oracle.GetPhysicalSize(label)),
            (one.diameter_mm / 2, oracle.GetEquivalentSphericalRadius(label)),
            (one.largest_mm, oracle.GetFeretDiameter(label)),
        ):
            assert value == pytest.approx(wanted, rel=1e-5, abs=1e-5)
        assert np.allclose(one.center_mm, oracle.GetCentroid(label), atol=1e-5)


def test_compartments_keep_their_distances():
    shape, spacing = (40, 40, 20), (1.0, 1.0, 2.0)
    k, j, i = np.indices(shape)
    r = np.sqrt((k - 20) ** 2 + (j - 20) ** 2 + ((i - 10) * 2) ** 2)
    lesion = r <= 8
    everywhere = np.ones(shape, bool)
    parts = compartments(lesion, spacing, everywhere & ~lesion, everywhere & ~lesion)
    assert not (parts.core & parts.rim).any()
    assert ((parts.core | parts.rim) == lesion).all()
    assert r[parts.core].max() <= 8 - 2 + 1
    assert r[parts.rim].min() >= 8 - 2 - 1.5
    assert r[parts.shell].min() >= 8 + 2 - 1
    assert r[parts.shell].max() <= 8 + 4 + 1.5


def test_depth_is_in_millimeters_and_signed():
    mask = np.zeros((3, 3, 9), bool)
    mask[:, :, 3:] = True
    depth = depth_mm(np.pad(mask, 20, mode="edge"), (1.0, 1.0, 0.5))[21, 21, 20:29]
    assert np.allclose(depth, (np.arange(9) - 2.5) * 0.5)


def test_confidence_intervals_hold_the_truth_about_as_often_as_they_say():
    maps, seg, mask, white, truth = phantom(noise=6.0, repeat=8, seed=3)
    report = analyze_lesions(maps, seg, mask, white)
    hits = []
    for one in report.lesions:
        core = VALUES[truth[one.id]][1]
        interval = one.contrasts["chi_dia"]["core-nawm"]
        hits.append(interval.low <= core - WHITE_DIA <= interval.high)
    assert 0.8 <= np.mean(hits) <= 1.0


def test_same_seed_same_table_and_facts_rebuild_the_thresholds(analyzed):
    maps, seg, mask, _, _ = analyzed
    chosen = Thresholds(z=2.5, rim_coverage=0.7, seed=5)
    white = Volume(np.full(seg.array.shape, Tissue.WHITE, np.uint8), seg.geometry)
    first = analyze_lesions(maps, seg, mask, white, chosen)
    facts = tables.lesion_facts(first, {"method": "closed-form"})
    assert facts["method"] == "closed-form"
    assert tables.thresholds_from_facts(facts) == chosen
    again = analyze_lesions(maps, seg, mask, white, tables.thresholds_from_facts(facts))
    assert lesion_table(again) == lesion_table(first)
    columns = lesion_table(first).splitlines()[0].split(",")
    assert tuple(columns[:4]) == ("id", "volume_mm3", "class_para", "class_dia")
    assert len(set(columns)) == len(columns)


def test_every_threshold_moves_the_call_it_belongs_to(analyzed):
    maps, seg, mask, _, _ = analyzed
    white = Volume(np.full(seg.array.shape, Tissue.WHITE, np.uint8), seg.geometry)

    def classes(**changed):
        lesions = analyze_lesions(maps, seg, mask, white, Thresholds(**changed)).lesions
        return [(one.para.name, one.dia.name) for one in lesions]

    assert {p for p, _ in classes(para_floor_ppb=500, rim_floor_ppb=500)} == {"iso"}
    assert {d for _, d in classes(dia_floor_ppb=500)} == {"iso"}
    assert set(classes(small_mm=50)) == {("small", "small")}
    assert "rim" not in {p for p, _ in classes(rim_arc_deg=361)}


@pytest.mark.parametrize(
    ("value", "half", "wanted", "word"),
    [
        (0.0, 1.0, "iso", "clear"),
        (4.5, 1.0, "iso", "borderline"),
        (-5.5, 1.0, "hypo", "borderline"),
        (-7.0, 1.0, "hypo", "probable"),
        (20.0, 1.0, "hyper", "clear"),
        (20.0, 18.0, "hyper", "borderline"),
    ],
)
def test_a_call_knows_how_far_it_is_from_its_threshold(value, half, wanted, word):
    made = classify(Interval(value, value - half, value + half), 5.0, 2.0)
    assert (made.name, made.confidence) == (wanted, word)
    assert made.distance_ppb == pytest.approx(abs(abs(value) - 5.0))
    assert made.z == pytest.approx(value / 2)


def test_infeasible_voxels_are_those_that_no_sources_explain(analyzed):
    maps, seg, mask, _, report = analyzed
    assert all(one.infeasible_share == 0 for one in report.lesions)
    low = {**maps, "r2prime": maps["r2prime"].like(np.zeros_like(maps["r2prime"].array))}
    white = Volume(np.full(seg.array.shape, Tissue.WHITE, np.uint8), seg.geometry)
    assert all(o.infeasible_share > 0.9 for o in analyze_lesions(low, seg, mask, white).lesions)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(*[st.integers(0, 4)] * 3), min_size=1, max_size=6, unique=True))
def test_split_gives_every_voxel_to_one_connected_lesion(corners):
    array = np.zeros((15, 15, 15), np.uint8)
    for k, j, i in corners:
        array[3 * k : 3 * k + 2, 3 * j : 3 * j + 2, 3 * i : 3 * i + 2] = 1
    lesions = split(Volume(array, Geometry(array.shape)))
    assert len(lesions) == len(corners)
    assert sum(one.n_voxels for one in lesions) == array.sum()
    for one in lesions:
        assert ndimage.label(one.mask, np.ones((3, 3, 3)))[1] == 1


def test_labels_are_kept_and_segments_may_overlap():
    array = np.zeros((8, 8, 8), np.int16)
    array[:2, :2, :2], array[6:, 6:, 6:], array[:2, 6:, :2] = 7, 7, 42
    geometry = Geometry(array.shape)
    assert [one.id for one in split(Volume(array, geometry))] == [7, 42]
    a, b = np.zeros(array.shape, np.uint8), np.zeros(array.shape, np.uint8)
    a[:4], b[2:6] = 1, 1
    both = split_segments([Volume(a, geometry, "A"), Volume(b, geometry, "B")])
    assert [(one.name, one.n_voxels) for one in both] == [("A", a.sum()), ("B", b.sum())]


def test_another_grid_is_resampled_with_a_note_or_refused(analyzed):
    maps, seg, mask, _, report = analyzed
    white = Volume(np.full(seg.array.shape, Tissue.WHITE, np.uint8), seg.geometry)
    flipped = Volume(
        np.ascontiguousarray(seg.array[:, :, ::-1]),
        Geometry(
            seg.geometry.shape, seg.geometry.spacing_mm,
            tuple(seg.geometry.world(np.array([0, 0, seg.array.shape[2] - 1]))),
            (-1, 0, 0, 0, 1, 0, 0, 0, 1),
        ),
        "flipped.nii.gz",
    )  # fmt: skip
    same = analyze_lesions(maps, flipped, mask, white)
    assert [o.volume_mm3 for o in same.lesions] == [o.volume_mm3 for o in report.lesions]
    assert any("flipped.nii.gz" in note and "resampled" in note for note in same.notes)
    away = Volume(seg.array, Geometry(seg.array.shape, origin_mm=(900, 0, 0)), "away.nii.gz")
    with pytest.raises(InputError, match=r"away\.nii\.gz does not overlap"):
        resample_to(away, seg.geometry)


@pytest.mark.parametrize("bad", [0.5, np.nan, -1.0])
def test_what_is_no_segmentation_is_refused(bad):
    array = np.zeros((4, 4, 4), np.float32)
    array[1, 1, 1] = bad
    with pytest.raises(InputError, match="seg"):
        split(Volume(array, Geometry(array.shape), "seg"))


def test_a_chi_minus_map_of_the_wrong_sign_is_refused(analyzed):
    maps, seg, mask, _, _ = analyzed
    wrong = {**maps, "chi_dia": maps["chi_dia"].like(-maps["chi_dia"].array)}
    with pytest.raises(InputError, match="chi- must be negative"):
        analyze_lesions(wrong, seg, mask)


def test_hostile_names_stay_text_in_the_table(analyzed):
    maps, seg, mask, _, _ = analyzed
    white = Volume(np.full(seg.array.shape, Tissue.WHITE, np.uint8), seg.geometry)
    names = ['=HYPERLINK("http://x")', 'a,"b"\nid = 9']
    segments = [Volume(seg.array == n, seg.geometry, name) for n, name in enumerate(names, 1)]
    report = analyze_lesions(maps, segments, mask, white)
    facts = tables.lesion_facts(report, {"input": "x\n# threshold.z = 0"})
    assert facts["threshold.z"] == "1.65"
    assert "\n" not in facts["input"]
    rows = list(csv.DictReader(io.StringIO(lesion_table(report))))
    assert [row["name"] for row in rows] == ["'" + names[0], 'a,"b" id = 9']


def test_places_are_told_from_a_tissue_map():
    shape = (60, 60, 60)
    labels = np.full(shape, 2, np.int16)
    labels[:, :, :6], labels[25:35, 25:35, 25:35], labels[:15] = 3, 4, 16
    geometry = Geometry(shape)
    seg = np.zeros(shape, np.uint8)
    corners = {"juxtacortical": (40, 40, 6), "periventricular": (28, 28, 35),
               "infratentorial": (5, 40, 40), "deep white matter": (50, 50, 50)}  # fmt: skip
    for k, j, i in corners.values():
        seg[k : k + 5, j : j + 5, i : i + 5] = 1
    para = np.full(shape, 0.016, np.float32)
    maps = {"chi_para": Volume(para, geometry), "chi_dia": Volume(-2 * para, geometry)}
    mask = Volume(np.ones(shape, np.uint8), geometry)
    tissue = from_freesurfer(Volume(labels, geometry))
    report = analyze_lesions(maps, Volume(seg, geometry), mask, tissue)
    found = {one.place.location: one for one in report.lesions}
    assert set(found) == set(corners)
    assert found["periventricular"].place.to_ventricle_mm == 0
    assert found["juxtacortical"].place.to_cortex_mm == 0
    assert [found[name].place.part for name in corners] == ["", "", "brain stem", ""]


@pytest.mark.parametrize(
    ("number", "part"), [(7, "cerebellum"), (8, "cerebellum"), (16, "brain stem")]
)
def test_infratentorial_lesions_name_the_part_they_lie_in(number: int, part: str):
    shape = (40, 40, 40)
    labels = np.full(shape, 2, np.int16)
    labels[:15] = number
    geometry = Geometry(shape)
    seg = np.zeros(shape, np.uint8)
    seg[4:9, 20:25, 20:25] = 1
    para = np.full(shape, 0.016, np.float32)
    maps = {"chi_para": Volume(para, geometry), "chi_dia": Volume(-2 * para, geometry)}
    mask = Volume(np.ones(shape, np.uint8), geometry)
    tissue = from_freesurfer(Volume(labels, geometry))
    [lesion] = analyze_lesions(maps, Volume(seg, geometry), mask, tissue).lesions
    assert lesion.place.location == "infratentorial"
    assert lesion.place.part == part


def test_reference_is_cerebral_white_matter_alone():
    shape = (60, 60, 60)
    labels = np.full(shape, 2, np.int16)
    labels[:30] = 16
    geometry = Geometry(shape)
    seg = np.zeros(shape, np.uint8)
    seg[45:50, 30:35, 30:35] = 1
    para = np.where(labels == 16, 0.05, 0.016).astype(np.float32)
    maps = {"chi_para": Volume(para, geometry), "chi_dia": Volume(-para, geometry)}
    mask = Volume(np.ones(shape, np.uint8), geometry)
    tissue = from_freesurfer(Volume(labels, geometry))
    report = analyze_lesions(maps, Volume(seg, geometry), mask, tissue)
    assert report.nawm.para_ppb == pytest.approx(16.0, abs=0.1)


def test_flat_and_single_voxel_lesions_are_measured():
    plane = np.zeros((1, 30, 30), bool)
    plane[:, 2:28, 5] = True
    assert largest_diameter_mm(plane, (1, 1, 1)) == pytest.approx(25)
    assert largest_diameter_mm(np.ones((1, 40, 40), bool), (1, 1, 1)) == pytest.approx(
        39 * np.sqrt(2)
    )
    assert largest_diameter_mm(np.ones((1, 1, 1), bool), (1, 1, 1)) == 0
    assert np.isnan(statistics(np.zeros(0)).mean)
    assert statistics(np.ones(1)).n == 1


def test_a_lesion_costs_the_same_among_two_hundred():
    """No step of a lesion works on the whole volume: that would need more memory in a larger one."""

    def memory(repeat: int) -> int:
        maps, seg, mask, white, _ = phantom(repeat=repeat, radius=3.0)
        bytes_more: list[int] = []

        def look(done: int, of: int) -> None:
            before, peak = tracemalloc.get_traced_memory()
            bytes_more.append(peak - start[0])
            tracemalloc.reset_peak()
            start[0] = before

        tracemalloc.start()
        start = [0]
        report = analyze_lesions(maps, seg, mask, white, report=look)
        tracemalloc.stop()
        assert len(report.lesions) == len(bytes_more) == 6 * repeat
        return max(bytes_more[1:])  # the first is that of what all lesions share

    few, many = memory(2), memory(34)
    assert many < 1.2 * few
