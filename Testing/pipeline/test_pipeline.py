"""The whole chain on a small head: raw scan in, maps, lesion table and report out."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage
from small_head import small_head

from QSMSeparationLib.cli.parser import main
from QSMSeparationLib.data.volume import Volume
from QSMSeparationLib.evaluation.metrics import correlation
from QSMSeparationLib.io.nifti import read_map, write_volume
from QSMSeparationLib.io.outputs import Outputs
from QSMSeparationLib.pipeline.options import Options
from QSMSeparationLib.pipeline.reconstruct import reconstruct
from QSMSeparationLib.runtime.errors import InputError
from QSMSeparationLib.runtime.progress import Progress
from QSMSeparationLib.simulation.dataset import write_dataset
from QSMSeparationLib.simulation.protocol import Protocol
from QSMSeparationLib.simulation.rasterize import rasterize
from QSMSeparationLib.simulation.scanner import simulate_scan

PROTOCOL = Protocol(voxel_mm=(2.0,) * 3, spin_echo_times_s=tuple(0.015 * n for n in range(1, 7)))
NAMES = ("chi_para", "chi_dia", "net")
CLOSED = Options(method="closed-form")


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    """A scan with truth as a dataset in scanner integers, and two lesions to measure."""
    folder = tmp_path_factory.mktemp("scan")
    scan, truth = simulate_scan(rasterize(small_head(), 1.0), PROTOCOL)
    with Outputs(folder / "bids") as outputs:
        write_dataset(scan, truth, [], outputs, phase_unit="integer")
    k, j, i = np.indices(truth.mask.shape)
    centers = np.argwhere(truth.labels == 2)[[2000, -3000]]
    lesions = np.zeros(truth.mask.shape, np.uint8)
    for number, c in enumerate(centers, start=1):
        lesions[(k - c[0]) ** 2 + (j - c[1]) ** 2 + (i - c[2]) ** 2 <= 9] = number
    write_volume(Volume(lesions, truth.geometry), folder / "lesions.nii.gz")
    mask = Volume(truth.mask.astype(np.uint8), truth.geometry, "true mask")
    return folder, replace(scan, mask=mask), truth


@pytest.fixture(scope="module")
def result(case):
    return reconstruct(case[1], CLOSED, Progress())


def scale(found, truth, inside):
    """Slope of a map against its truth through 0, which a wrong relaxivity changes."""
    return float((found[inside] * truth[inside]).sum() / (truth[inside] ** 2).sum())


def test_the_chain_recovers_the_sources(case, result):
    truth = case[2]
    assert result.mask.sum() > 0.8 * truth.mask.sum()
    # 8 mm from the edge: a head as small as this one is mostly edge, where the background
    # field is not told well from the local one.
    inner = ndimage.binary_erosion(result.mask & truth.mask, iterations=4)
    for name, least in (("net", 0.7), ("chi_para", 0.8), ("chi_dia", 0.5)):
        assert correlation(result.maps[name], truth.maps[name], inner) > least, name
    for name in ("chi_para", "chi_dia"):
        assert scale(result.maps[name], truth.maps[name], inner) == pytest.approx(1, abs=0.1), name
    para, dia, net = (result.maps[name] for name in NAMES)
    assert para.min() >= 0 >= dia.max()
    assert para + dia == pytest.approx(net, abs=1e-6)
    assert abs(net[result.mask].mean()) < 1e-6
    assert not any(result.maps[name][~result.mask].any() for name in result.maps)


def test_the_network_is_used_unless_another_method_is_asked_for(case, result):
    found = reconstruct(case[1], Options(), Progress())
    assert found.facts["Separation"] == "chi-sepnet-r2prime"
    para, dia, net = (found.maps[name] for name in NAMES)
    assert para.min() >= 0 >= dia.max()
    assert para + dia == pytest.approx(net, abs=1e-6)
    truth = case[2]
    inner = ndimage.binary_erosion(result.mask & truth.mask, iterations=4)
    for name, least in (("chi_para", 0.8), ("chi_dia", 0.5)):
        assert correlation(found.maps[name], truth.maps[name], inner) > least, name
        assert scale(found.maps[name], truth.maps[name], inner) == pytest.approx(1, abs=0.25), name


def test_relaxation_rates_are_those_of_the_tissue(case, result):
    truth = case[2]
    white = (truth.labels == 2) & result.mask
    for name in ("r2star", "r2"):
        ratio = np.median(result.maps[name][white]) / np.median(truth.maps[name][white])
        assert ratio == pytest.approx(1, abs=0.03), name
    bias = np.median((result.maps["r2prime"] - truth.maps["r2prime"])[white])
    assert abs(bias) < 1.0


def test_every_check_has_a_verdict_and_a_number(result):
    checks = {check.name: check for check in result.checks}
    assert {"phase sign", "R2* of the brain", "infeasible voxels", "residual field"} <= set(checks)
    assert all(math.isfinite(check.value) and check.limits for check in result.checks)
    assert all(bool(check.advice) == (check.status != "pass") for check in result.checks)
    median = np.median(result.maps["r2star"][result.mask])
    assert checks["R2* of the brain"].value == pytest.approx(median, rel=0.01)


def test_a_check_that_fails_says_its_number_and_what_to_do(case):
    scan = case[1]
    small = ndimage.binary_erosion(scan.mask.array, iterations=4)
    found = reconstruct(
        replace(scan, mask=scan.mask.like(small.astype(np.uint8))), CLOSED, Progress()
    )
    [check] = [check for check in found.checks if check.name == "brain mask volume"]
    assert check.status == "fail"
    assert check.value == pytest.approx(small.sum() * 8e-6, rel=0.01)  # liters in 2 mm voxels
    assert "look at the brain mask" in check.advice


def test_a_scan_without_spin_echo_is_separated_from_r2star(case, result):
    scan = replace(case[1], spin_echo=None)
    alone = reconstruct(scan, Options(method="r2star-qsm"), Progress())
    assert alone.facts["Separation"] == "r2star-qsm"
    assert "r2prime" not in alone.maps
    # White matter and cortex have the same R2*, so R2* can't show background removal the sources as
    # R2' does: net chi is still that of the head, but worse.
    assert np.array_equal(alone.mask, result.mask)
    truth = case[2].maps["net"]
    found, better = (correlation(r.maps["net"], truth, r.mask) for r in (alone, result))
    assert 0.5 < found < better
    # All of R2* is taken as caused by sources: it can't find less than R2' does in white matter.
    white = (case[2].labels == 2) & alone.mask
    assert alone.maps["chi_dia"][white].mean() < result.maps["chi_dia"][white].mean()


def test_opposite_phase_gives_the_same_maps(case, result):
    scan = case[1]
    turned = reconstruct(replace(scan, phase_rad=-scan.phase_rad), CLOSED, Progress())
    wording = "phase was stored with the opposite sign and has been turned round"
    assert [any(wording in note for note in r.notes) for r in (turned, result)] == [True, False]
    assert correlation(turned.maps["net"], result.maps["net"], result.mask) > 0.99


def test_sagittal_storage_gives_the_same_maps(case, result):
    """The same voxels stored with other axes first: B0 then lies along another array axis."""
    scan = case[1]
    order = (2, 0, 1)  # (k, j, i) of the new array are (i, k, j) of the old one

    def turned(array):
        return np.ascontiguousarray(
            array.transpose([*range(array.ndim - 3), *(array.ndim - 3 + a for a in order)])
        )

    g = scan.geometry
    matrix = g.direction_matrix[:, [1, 2, 0]]  # new (i, j, k) axes are old (j, k, i)
    spacing = tuple(np.array(g.spacing_mm)[[1, 2, 0]])
    grid = type(g)(turned(scan.magnitude[0]).shape, spacing, g.origin_mm, tuple(matrix.ravel()))
    other = replace(
        scan,
        magnitude=turned(scan.magnitude),
        phase_rad=turned(scan.phase_rad),
        geometry=grid,
        mask=Volume(turned(scan.mask.array), grid, "mask"),
        spin_echo=replace(
            scan.spin_echo, magnitude=turned(scan.spin_echo.magnitude), geometry=grid
        ),
    )
    found = reconstruct(other, CLOSED, Progress())
    for name in NAMES:
        assert correlation(found.maps[name], turned(result.maps[name]), turned(result.mask)) > 0.98


def test_unusable_scans_are_refused(case):
    scan = case[1]
    one = replace(
        scan, magnitude=scan.magnitude[:1], phase_rad=scan.phase_rad[:1], echo_times_s=(0.005,)
    )
    with pytest.raises(InputError, match="one echo"):
        reconstruct(one, Options(), Progress())


def test_run_lesions_and_compare_from_the_command_line(case, tmp_path, result):
    folder, scan, truth = case
    write_volume(scan.mask, tmp_path / "mask.nii.gz")
    common = ["--mask", str(tmp_path / "mask.nii.gz"), "--lesions", str(folder / "lesions.nii.gz")]
    source = str(folder / "bids" / "sub-01")
    for out in ("a", "b"):
        extra = ["--dr-dia", "137"] if out == "b" else []
        arguments = ["run", source, str(tmp_path / out), *common, *extra]
        arguments += ["--method", "closed-form", "--progress", "none"]
        assert main(arguments) == 0
    anat = tmp_path / "a" / "sub-01" / "anat"
    # Phase as 12-bit integers: the same maps within their step.
    net = read_map(anat / "sub-01_Chimap.nii.gz")
    assert truth.geometry.difference(net.geometry, 1e-3) is None
    assert correlation(net.array, result.maps["net"], result.mask) > 0.99
    rows = list(csv.DictReader((anat / "lesions.csv").open()))
    assert list(rows[0])[:4] == ["id", "volume_mm3", "class_para", "class_dia"]
    assert {row["id"] for row in rows} == {"1", "2"}
    facts = json.loads((anat / "lesions.json").read_text())
    assert float(facts["threshold.z"]) > 0
    page = (anat / "report.html").read_text()
    assert "research" in page.lower()
    assert "http://" not in page.replace("http://www.w3.org", "")

    assert (
        main(["compare", *(str(tmp_path / n) for n in ("a", "b", "c")), "--progress", "none"]) == 0
    )
    summary = json.loads((tmp_path / "c" / "comparison.json").read_text())
    assert summary["lesions_in_both"] == 2
    assert summary["voxels"]["net"]["correlation"] == pytest.approx(1, abs=1e-6)

    name = "sub-01_desc-{}_Chimap.nii.gz"
    maps = [
        "--para",
        str(anat / name.format("paramagnetic")),
        "--dia",
        str(anat / name.format("diamagnetic")),
    ]
    table = tmp_path / "table.csv"
    assert main(["lesions", str(table), *maps, *common, "--progress", "none"]) == 0
    again = list(csv.DictReader(table.open()))
    assert [r["class_dia"] for r in again] == [r["class_dia"] for r in rows]

    # The same table from the maps alone, through 'separate'.
    given = {
        "field": "desc-local_fieldmap",
        "qsm": "Chimap",
        "r2prime": "R2primemap",
        "mask": "desc-brain_mask",
    }
    files = [
        item
        for n, suffix in given.items()
        for item in (f"--{n}", str(anat / f"sub-01_{suffix}.nii.gz"))
    ]
    arguments = [
        "separate",
        str(tmp_path / "s"),
        *files,
        "--lesions",
        str(folder / "lesions.nii.gz"),
    ]
    assert main([*arguments, "--progress", "none"]) == 0
    separated = list(csv.DictReader((tmp_path / "s" / "lesions.csv").open()))
    assert [r["class_para"] for r in separated] == [r["class_para"] for r in rows]
    assert "<html" in (tmp_path / "s" / "report.html").read_text()


def test_evaluate_scores_and_draws(case, tmp_path):
    arguments = ["evaluate", str(case[0] / "bids"), str(tmp_path), "--inversions", "tkd", "tv"]
    assert main([*arguments, "--methods", "closed-form", "--progress", "none"]) == 0
    rows = {row["inversion"]: row for row in csv.DictReader((tmp_path / "scores.csv").open())}
    assert float(rows["tv"]["net_demeaned_nrmse_percent"]) < float(
        rows["tkd"]["net_demeaned_nrmse_percent"]
    )
    assert float(rows["tv"]["para_nrmse_percent"]) < 100
    assert "| closed-form | tv |" in (tmp_path / "scores.md").read_text()
    assert (tmp_path / "scores.png").read_bytes().startswith(b"\x89PNG")


def test_evaluate_gives_a_parameter_to_the_methods_that_have_it(case, tmp_path):
    def scores(name: str, *extra: str) -> dict[str, str]:
        arguments = ["evaluate", str(case[0] / "bids"), str(tmp_path / name), *extra]
        arguments += ["--inversions", "tkd", "l2", "--methods", "closed-form", "--progress", "none"]
        assert main(arguments) == 0
        rows = csv.DictReader((tmp_path / name / "scores.csv").open())
        return {row["inversion"]: row["net_demeaned_nrmse_percent"] for row in rows}

    usual, other = scores("a"), scores("b", "--set", "threshold=0.4")
    assert usual["l2"] == other["l2"]
    assert usual["tkd"] != other["tkd"]
