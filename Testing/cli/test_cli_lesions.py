"""``qsmsep lesions``: what a reader may choose changes the table, and no option is idle."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from command_line import facts_of, last_line, run
from lesion_phantom import phantom

from QSMSeparationLib.io.nifti import read_labels, read_map, write_volume

GIVEN = ("para", "dia", "lesions", "mask")


@pytest.fixture(scope="module")
def exam(tmp_path_factory):
    """White matter with lesions of every class, and the R2' that it causes at 114 Hz/ppm."""
    folder = tmp_path_factory.mktemp("exam")
    maps, lesions, mask = phantom(repeat=1)[:3]
    para, dia = maps["chi_para"], maps["chi_dia"]
    rate = (114 * (para.array - dia.array)).clip(min=0)
    files = {"para": para, "dia": dia, "lesions": lesions, "mask": mask,
             "r2prime": para.like(rate.astype(np.float32))}  # fmt: skip
    for name, volume in files.items():
        array = volume.array.astype(np.uint8 if name in ("lesions", "mask") else np.float32)
        write_volume(volume.like(array), folder / f"{name}.nii.gz")
    white = np.full(mask.array.shape, 2, np.int16)  # numbers of FreeSurfer
    stem = white.copy()
    # The middle column of lesions, with a margin in which a lesion's surroundings are counted.
    stem[:, 18:36] = 16
    for name, labels in (("white", white), ("stem", stem)):
        write_volume(mask.like(labels), folder / f"{name}.nii.gz")
    return folder


def arguments_of(exam, *names):
    return [item for name in names for item in (f"--{name}", exam / f"{name}.nii.gz")]


def table(exam, out, *extra, tissue="white"):
    """Run the command; return the rows by number, and the facts."""
    maps = [*arguments_of(exam, *GIVEN), "--tissue", exam / f"{tissue}.nii.gz"]
    assert run("lesions", out / "t.csv", *maps, *extra, "--overwrite", "--progress", "none") == 0
    rows = {int(row["id"]): row for row in csv.DictReader((out / "t.csv").open())}
    return rows, facts_of(out / "t.json")


def test_relaxivities_decide_what_r2prime_can_be(exam, tmp_path):
    def shares(*extra):
        rows, facts = table(exam, tmp_path, *arguments_of(exam, "r2prime"), *extra)
        assert "r2prime.nii.gz" in facts["inputs"]
        return [float(row["infeasible_share"]) for row in rows.values()], facts

    assert max(shares()[0]) < 0.05
    assert max(shares("--dr-para", 400, "--dr-dia", 400)[0]) > 0.9
    # 228 Hz/ppm at 3 T are 114 at 1.5 T.
    scaled, facts = shares("--dr-para", 228, "--dr-dia", 228, "--b0", 1.5)
    assert max(scaled) < 0.05
    assert float(facts["dr_para_hz_per_ppm"]) == 114
    rows, _ = table(exam, tmp_path)
    assert {row["infeasible_share"] for row in rows.values()} == {""}


def test_a_threshold_decides_the_class(exam, tmp_path):
    rows, facts = table(exam, tmp_path)
    assert rows[2]["class_dia"] == "hypo"
    assert float(facts["threshold.dia_floor_ppb"]) == 5
    rows, facts = table(exam, tmp_path, "--threshold", "dia_floor_ppb=500")
    assert rows[2]["class_dia"] == "iso"
    assert float(facts["threshold.dia_floor_ppb"]) == 500


def test_labels_tell_where_a_lesion_lies(exam, tmp_path):
    for tissue, location in (("white", "deep white matter"), ("stem", "infratentorial")):
        rows, facts = table(exam, tmp_path, tissue=tissue)
        assert rows[2]["location"] == location
        assert rows[1]["location"] == "deep white matter"
        assert f"{tissue}.nii.gz" in facts["inputs"]


def test_a_vein_mask_is_taken(exam, tmp_path):
    mask = read_labels(exam / "lesions.nii.gz")
    vein = mask.like((mask.array == 2).astype(np.uint8))
    write_volume(vein, tmp_path / "vein.nii.gz")
    rows, _ = table(exam, tmp_path, "--veins", tmp_path / "vein.nii.gz")
    assert {n: float(row["vein_share"]) for n, row in rows.items()} == {
        n: float(n == 2) for n in rows
    }


@pytest.mark.parametrize(
    ("extra", "says"),
    [
        (["--threshold", "zz=2"], "there are z, para_floor_ppb"),
        (["--threshold", "z=much"], "with a number"),
        (["--threshold", "z=-1"], "0 or more"),
        (["--dr-para", "-3"], "--dr-para"),
        (["--b0", "-3"], "--b0"),
    ],
)
def test_impossible_choices_are_refused(exam, tmp_path, capsys, extra, says):
    maps = arguments_of(exam, *GIVEN)
    assert run("lesions", tmp_path / "t.csv", *maps, *extra, "--progress", "none") == 2
    assert says in last_line(capsys)
    assert not (tmp_path / "t.csv").exists()


def test_maps_in_ppb_are_refused(exam, tmp_path, capsys):
    para = read_map(exam / "para.nii.gz")
    write_volume(para.like(para.array * 1000), tmp_path / "ppb.nii.gz")
    arguments = [
        "--para",
        tmp_path / "ppb.nii.gz",
        *arguments_of(exam, *GIVEN[1:]),
        "--progress",
        "none",
    ]
    assert run("lesions", tmp_path / "t.csv", *arguments) == 2
    assert "divide ppb by 1000" in last_line(capsys)
