"""Maps measured in regions: numbers, sides, edges, published ranges, label tables."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from QSMSeparationLib.anatomy.compare import compare_regions, region_agreement
from QSMSeparationLib.anatomy.published import RANGES, range_of
from QSMSeparationLib.anatomy.regions import measure_regions, region_table
from QSMSeparationLib.cli.parser import main
from QSMSeparationLib.data.structures import label_table
from QSMSeparationLib.data.volume import Geometry, Volume
from QSMSeparationLib.io.label_maps import label_table_text, parse_label_table, read_label_map
from QSMSeparationLib.io.nifti import write_volume
from QSMSeparationLib.runtime.errors import InputError

GRID = Geometry((20, 20, 20), (1.0, 1.0, 1.0))


def two_putamina(left_ppm: float = 0.09, right_ppm: float = 0.07) -> tuple[dict, Volume]:
    """Return maps and labels of two cubes of 8 mm."""
    labels = np.zeros(GRID.shape, np.int16)
    labels[6:14, 6:14, 11:19], labels[6:14, 6:14, 1:9] = 12, 51
    para = np.where(labels == 12, left_ppm, np.where(labels == 51, right_ppm, 0.5))
    dia = np.where(labels > 0, -0.0103, -0.3)
    maps = {
        "chi_para": Volume(para.astype(np.float32), GRID),
        "chi_dia": Volume(dia.astype(np.float32), GRID),
    }
    return maps, Volume(labels, GRID)


def test_means_are_in_ppb_with_chi_minus_positive() -> None:
    maps, labels = two_putamina()
    left, right = measure_regions(maps, labels)
    assert (left.name, right.name) == ("left putamen", "right putamen")
    assert left.values["chi_para"].mean == pytest.approx(90.0, abs=1e-3)
    assert right.values["chi_dia"].median == pytest.approx(10.3, abs=1e-3)
    assert left.volume_mm3 == 512.0


def test_left_right_difference_has_a_sign() -> None:
    regions = measure_regions(*two_putamina())
    assert [r.difference["chi_para"] for r in regions] == pytest.approx([20.0, 20.0], abs=1e-3)


def test_voxels_at_the_edge_do_not_count() -> None:
    maps, labels = two_putamina()
    spoilt = maps["chi_para"].array.copy()
    spoilt[6, 6:14, 11:19] = 5.0  # partial volume
    left, _ = measure_regions({"chi_para": maps["chi_para"].like(spoilt)}, labels)
    assert left.edge_left_out
    assert left.measured == 6**3
    assert left.values["chi_para"].p95 == pytest.approx(90.0, abs=1e-3)


def test_small_region_is_measured_whole() -> None:
    labels = np.zeros(GRID.shape, np.int16)
    labels[5:7, 5:7, 5:7] = 902
    [region] = measure_regions(
        {"net": Volume(np.full(GRID.shape, 0.1, np.float32), GRID)}, Volume(labels, GRID)
    )
    assert region.measured == 8
    assert not region.edge_left_out


def test_lesions_are_left_out() -> None:
    maps, labels = two_putamina()
    lesion = np.zeros(GRID.shape, bool)
    lesion[8:12, 8:12, 13:17] = True
    spoilt = maps["chi_para"].like(np.where(lesion, 0.0, maps["chi_para"].array))
    left, _ = measure_regions({"chi_para": spoilt}, labels, without=lesion)
    assert left.values["chi_para"].mean == pytest.approx(90.0, abs=1e-3)


def test_z_score_is_zero_at_the_published_mean() -> None:
    published = RANGES["putamen"]
    left, right = measure_regions(
        *two_putamina(published.para / 1000, (published.para + published.para_sd) / 1000)
    )
    assert left.z["chi_para"] == pytest.approx(0.0, abs=1e-3)
    assert right.z["chi_para"] == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize("name", ["left putamen", "Right-Putamen", "putamen", "LEFT_PUTAMEN"])
def test_range_is_found_by_any_spelling(name: str) -> None:
    assert range_of(name) is RANGES["putamen"]


def test_no_range_for_what_was_not_published() -> None:
    assert range_of("left cortex") is None


def test_table_has_a_row_a_region_and_empty_cells_for_what_is_not_known() -> None:
    maps, labels = two_putamina()
    labels.array[0, 0, :] = 24
    rows = list(csv.DictReader(region_table(measure_regions(maps, labels)).splitlines()))
    assert [row["region"] for row in rows] == ["left putamen", "sulcal fluid", "right putamen"]
    assert rows[1]["para_z"] == ""
    assert rows[1]["para_left_minus_right_ppb"] == ""
    assert float(rows[0]["para_left_minus_right_ppb"]) == pytest.approx(20.0, abs=1e-3)


def test_label_table_reads_back() -> None:
    assert parse_label_table(label_table_text(), "dseg.tsv") == label_table()


@pytest.mark.parametrize("text", ["", "a\tb\n1\t2\n", "index\tname\nx\tputamen\n"])
def test_bad_label_table_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"dseg\.tsv"):
        parse_label_table(text, "dseg.tsv")


def test_names_of_a_users_labels_come_from_the_table_beside_them(tmp_path) -> None:
    labels = np.zeros(GRID.shape, np.int16)
    labels[3:9, 3:9, 3:9], labels[12:18, 12:18, 12:18] = 7, 300
    write_volume(Volume(labels, GRID), tmp_path / "seg.nii.gz")
    _, names = read_label_map(tmp_path / "seg.nii.gz")
    assert names == [(7, "left cerebellar white matter"), (300, "label 300")]
    (tmp_path / "seg.tsv").write_text("index\tname\n7\tpons\n300\tmedulla\n")
    _, names = read_label_map(tmp_path / "seg.nii.gz")
    assert names == [(7, "pons"), (300, "medulla")]


def test_command_measures_maps_made_elsewhere(tmp_path) -> None:
    maps, labels = two_putamina()
    for name, volume in (*maps.items(), ("labels", labels)):
        write_volume(volume, tmp_path / f"{name}.nii.gz")
    out = tmp_path / "regions.csv"
    code = main(
        ["regions", str(out), "--para", str(tmp_path / "chi_para.nii.gz"),
         "--dia", str(tmp_path / "chi_dia.nii.gz"), "--labels", str(tmp_path / "labels.nii.gz"),
         "--progress", "none"]
    )  # fmt: skip
    assert code == 0
    rows = list(csv.DictReader(out.read_text().splitlines()))
    assert float(rows[0]["net_mean_ppb"]) == pytest.approx(90 - 10.3, abs=1e-2)
    assert (tmp_path / "regions.json").is_file()


def test_command_says_what_is_missing(tmp_path, capsys) -> None:
    assert main(["regions", str(tmp_path / "r.csv"), "--progress", "none"]) == 2
    maps, _ = two_putamina()
    write_volume(maps["chi_para"], tmp_path / "p.nii.gz")
    arguments = ["regions", str(tmp_path / "r.csv"), "--para", str(tmp_path / "p.nii.gz")]
    assert main([*arguments, "--progress", "json"]) == 2
    assert "--labels" in capsys.readouterr().out
    assert list(tmp_path.glob("r.*")) == []


def test_regions_of_two_results_are_compared() -> None:
    first = measure_regions(*two_putamina(0.09, 0.07))
    second = measure_regions(*two_putamina(0.10, 0.08))
    rows = compare_regions(first, second)
    changed = {(r["region"], r["map"]): r["difference"] for r in rows}
    assert changed["left putamen", "chi_para"] == pytest.approx(10.0, abs=1e-2)
    assert changed["right putamen", "chi_dia"] == pytest.approx(0.0, abs=1e-2)
    assert compare_regions(first, []) == []


def test_agreement_of_regions_has_a_bias_and_limits() -> None:
    rows = [
        {"map": "net", "first": a, "second": a + 2 + e}
        for a, e in ((0.0, 0.5), (50.0, -0.5), (100.0, 0.0))
    ]
    net = region_agreement(rows)["net"]
    assert net["bias"] == pytest.approx(2.0)
    assert net["limits_low"] < 2.0 < net["limits_high"]
    assert net["correlation"] > 0.99
    assert region_agreement(rows[:2]) == {}
