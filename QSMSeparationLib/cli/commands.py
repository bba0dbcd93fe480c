"""What each command of the command line does: files in, pipeline, files out."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import webbrowser
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from QSMSeparationLib import catalogue
from QSMSeparationLib.data.result import Result
from QSMSeparationLib.data.volume import Volume
from QSMSeparationLib.io.derivatives import anat_prefix, planned_names, write_result
from QSMSeparationLib.io.files import sha256
from QSMSeparationLib.io.nifti import read_labels, read_map
from QSMSeparationLib.io.outputs import Outputs
from QSMSeparationLib.io.results import read_result
from QSMSeparationLib.io.source import read_source
from QSMSeparationLib.lesions import analyse_lesions, lesion_table
from QSMSeparationLib.lesions.compare import (
    compare_results,
    compare_visits,
    comparison_summary,
    comparison_table,
)
from QSMSeparationLib.lesions.table import lesion_facts
from QSMSeparationLib.pipeline import maps as pipeline
from QSMSeparationLib.pipeline.options import Options
from QSMSeparationLib.report.write import READING_FILES, analyse, write_reading
from QSMSeparationLib.runtime.errors import InputError
from QSMSeparationLib.runtime.progress import Progress
from QSMSeparationLib.simulation.dataset import PHASE_UNITS, write_dataset
from QSMSeparationLib.simulation.protocol import Protocol
from QSMSeparationLib.simulation.simulate import STANDARD_SPIN_ECHO_S, scan_person


def methods(args: argparse.Namespace, progress: Progress) -> None:
    """List the catalogue."""
    rows = [m.describe() for m in catalogue.methods()]
    if args.json:
        print(json.dumps(rows, indent=2))
        return
    for row in rows:
        print(
            f"{row['stage']:<11} {row['name']:<22} {row['title']}; needs {', '.join(row['needs'])}"
        )
        for p in row["parameters"]:
            unit = f" {p['unit']}" if p["unit"] else ""
            print(
                f"{'':<34} {p['name']} = {p['default']:g}{unit} ({p['low']:g} to {p['high']:g}): {p['help']}"
            )


def separate(args: argparse.Namespace, progress: Progress) -> dict[str, str]:
    """Maps made elsewhere to chi+, chi- and net chi."""
    options = _options(args)
    given_paths = {
        name: getattr(args, name)
        for name in ("field", "qsm", "r2prime", "r2star", "r2")
        if getattr(args, name) is not None
    }
    if "field" not in given_paths and "qsm" not in given_paths:
        raise InputError("give the local field with --field, or net chi with --qsm")
    if "r2prime" not in given_paths and "r2star" not in given_paths:
        raise InputError("give R2' with --r2prime, or R2* with --r2star (and R2 with --r2)")
    prefix = _name(args.name)
    outputs = Outputs(args.out, args.overwrite)
    planned = planned_names(prefix, ["net", "chi_para", "chi_dia", "mask"])
    outputs.refuse_existing([*planned, *READING_FILES])
    mask = read_labels(args.mask)
    lesions = _lesions(args)
    given = {name: read_map(path) for name, path in given_paths.items()}
    result = pipeline.separate(given, mask, options, progress)
    analysed = analyse(result, lesions, progress)
    inputs = _hashes([*given_paths.values(), args.mask, *([args.lesions] if lesions else [])])
    with outputs, progress.stage("writing"):
        write_result(result, outputs, prefix, inputs, args.keep)
        write_reading(result, analysed, outputs, "", prefix, inputs)
    return outputs.written


def invert(args: argparse.Namespace, progress: Progress) -> dict[str, str]:
    """Local field to net chi."""
    options = _options(args)
    prefix = _name(args.name)
    outputs = Outputs(args.out, args.overwrite)
    outputs.refuse_existing(planned_names(prefix, ["net", "mask"]))
    r2star = None if args.r2star is None else read_map(args.r2star)
    field_map, mask = read_map(args.field), read_labels(args.mask)
    result = pipeline.invert(field_map, mask, options, progress, r2star)
    used = [file for file in (args.field, args.mask, args.r2star) if file is not None]
    with outputs, progress.stage("writing"):
        write_result(result, outputs, prefix, _hashes(used), args.keep)
    return outputs.written


def run(args: argparse.Namespace, progress: Progress) -> dict[str, str]:
    """Raw scans of a BIDS or DICOM folder to maps, under OUT/sub-XX/anat."""
    options = _options(args)
    name = None if args.name is None else _name(args.name)
    outputs = Outputs(args.out, args.overwrite)
    written: dict[str, str] = {}
    with progress.stage("reading") as report:
        scans = read_source(args.source, name, args.mask, report)
    lesions = _lesions(args)
    if lesions is not None and len(scans) > 1:
        raise InputError(
            f"--lesions is for one scan, but {args.source} holds {len(scans)}; run one"
        )
    for scan in scans:
        outputs.refuse_existing([f"{anat_prefix(scan.name)}_Chimap.nii.gz"])
    for scan in scans:
        part = progress.part()
        prefix = anat_prefix(scan.name)
        result = pipeline.reconstruct(scan, options, part)
        analysed = analyse(result, lesions, part)
        inputs = scan.inputs | (_hashes([args.lesions]) if lesions else {})
        with outputs, part.stage("writing"):
            write_result(result, outputs, prefix, inputs, args.keep)
            write_reading(result, analysed, outputs, str(Path(prefix).parent), scan.name, inputs)
        _tell(result, scan.name, progress)
        written |= {f"{scan.name} {what}": path for what, path in outputs.written.items()}
    return written


def _tell(result: Result, name: str, progress: Progress) -> None:
    """Show what was found in a scan, and the checks that did not pass."""
    lines = [f"{name}: {note}" for note in result.notes]
    lines += [
        f"{name}: {check.status.upper()} {check.name} {check.value:.3g} {check.unit} "
        f"({check.limits}): {check.advice}"
        for check in result.checks
        if check.status != "pass"
    ]
    progress.message("\n".join(lines))


def lesions(args: argparse.Namespace, progress: Progress) -> dict[str, str]:
    """Maps and a segmentation to the lesion table."""
    if args.out.suffix.lower() != ".csv":
        raise InputError(f"{args.out}: the table is a CSV file; name it lesions.csv, for example")
    paths = {"chi_para": args.para, "chi_dia": args.dia, "net": args.net}
    maps = {name: read_map(path) for name, path in paths.items() if path is not None}
    first = maps["chi_para"]
    brain = read_labels(args.mask) if args.mask else first.like(first.array != 0, "chi+ map")
    outputs = Outputs(args.out.parent, args.overwrite)
    facts_name = args.out.with_suffix(".json").name
    outputs.refuse_existing([args.out.name, facts_name])
    with progress.stage("lesions") as report:
        found = analyse_lesions(
            maps,
            read_labels(args.lesions),
            brain,
            dr_para=args.dr_para,
            dr_dia=args.dr_dia,
            report=report,
        )
    used = [p for p in (*paths.values(), args.lesions, args.mask) if p is not None]
    with outputs:
        outputs.text(args.out.name, lesion_table(found), what="lesions")
        outputs.json(facts_name, lesion_facts(found, {"inputs": _hashes(used)}))
    for note in found.notes:
        progress.message(note)
    return outputs.written


def compare(args: argparse.Namespace, progress: Progress) -> dict[str, str]:
    """Two results of one patient: agreement per lesion and per voxel."""
    outputs = Outputs(args.out, args.overwrite)
    outputs.refuse_existing(["comparison.csv", "comparison.json"])
    (a, labels_a), (b, labels_b) = read_result(args.first), read_result(args.second)
    given = _lesions(args)
    labels_a = given or labels_a
    labels_b = given or labels_b if args.visits else labels_a
    if labels_a is None or labels_b is None:
        raise InputError(f"{args.first} holds no lesion labels; give them with --lesions")
    reports = [analyse(r, one, progress) for r, one in ((a, labels_a), (b, labels_b))]
    if args.visits:
        found = compare_visits(*reports)
    else:
        mask = Volume((a.mask & _same_grid(a, b)).astype("uint8"), a.geometry, "common mask")
        names = ("chi_para", "chi_dia", "net")
        found = compare_results(*reports, {n: (a.volume(n), b.volume(n)) for n in names}, mask)
    with outputs:
        outputs.text("comparison.csv", comparison_table(found), what="lesions")
        outputs.json("comparison.json", comparison_summary(found))
    return outputs.written


def _same_grid(a: Result, b: Result) -> NDArray[np.bool_]:
    """Mask of the second result, which must lie on the grid of the first."""
    difference = a.geometry.difference(b.geometry)
    if difference:
        raise InputError(f"the two results lie on different grids: {difference}; use --visits")
    return b.mask


def _lesions(args: argparse.Namespace) -> Volume | None:
    return None if args.lesions is None else read_labels(args.lesions)


def simulate(args: argparse.Namespace, progress: Progress) -> dict[str, str]:
    """Write a simulated scan with its truth."""
    protocol = _protocol(args)
    if args.phase not in PHASE_UNITS or not 0 <= args.lesion_count <= 200:
        raise InputError(f"--lesion-count {args.lesion_count}: choose 0 to 200")
    if not 0 <= args.move_values <= 0.9:
        raise InputError(f"--move-values {args.move_values:g}: choose 0 to 0.9")
    labels = None if args.labels is None else read_labels(args.labels)
    masks = [read_labels(path) for path in args.lesion_masks]
    outputs = Outputs(args.out, args.overwrite)
    name = _name(args.name)
    outputs.refuse_existing(["dataset_description.json", name])
    scan, truth, rows = scan_person(
        args.seed,
        protocol,
        name,
        progress,
        args.lesion_count,
        args.age,
        labels,
        masks,
        args.move_values,
    )
    with outputs, progress.stage("writing"):
        write_dataset(scan, truth, rows, outputs, args.phase)
    return {"dataset": str(outputs.folder)}


def demo(args: argparse.Namespace, progress: Progress) -> dict[str, str]:
    """Simulate, reconstruct, separate, measure, draw."""
    from QSMSeparationLib.evaluation.demo import run_demo

    outputs = Outputs(args.out, args.overwrite)
    written = run_demo(args.seed, args.voxel, _options(args), outputs, _name(args.name), progress)
    reports = [file for file in written.values() if file.endswith("report.html")]
    if args.open and reports and has_desktop():
        webbrowser.open(Path(reports[0]).resolve().as_uri())
    return written


def has_desktop() -> bool:
    """Whether a browser window can be shown: always on Windows and macOS, elsewhere with a display."""
    if os.environ.get("CI"):
        return False
    if sys.platform in ("win32", "darwin"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def evaluate(args: argparse.Namespace, progress: Progress) -> dict[str, str]:
    """Score methods over simulated cases."""
    from QSMSeparationLib.evaluation import evaluate as evaluation
    from QSMSeparationLib.evaluation.cases import find_cases

    plan = evaluation.Plan(
        methods=tuple(args.methods or [m.name for m in catalogue.methods("separation")]),
        inversions=tuple(args.inversions or [m.name for m in catalogue.methods("inversion")]),
        inputs=args.inputs,
        r2prime_sd_hz=args.r2prime_sd,
        field_sd_ppm=args.field_sd / 1000,
        seed=args.seed,
    )
    outputs = Outputs(args.out, args.overwrite)
    outputs.refuse_existing(["scores.csv", "lesion_scores.csv", "scores.md", "scores.png"])
    found = evaluation.evaluate(find_cases(args.cases), plan, _options(args), progress)
    with outputs, progress.stage("writing"):
        evaluation.write_scores(found, outputs)
    return outputs.written


def train(args: argparse.Namespace, progress: Progress) -> dict[str, str]:
    """Train a network on simulated heads."""
    from QSMSeparationLib.training.command import Plan, run_training

    plan = Plan(**{name: getattr(args, name) for name in Plan.__dataclass_fields__})
    return run_training(plan, progress)


def _options(args: argparse.Namespace) -> Options:
    """Collect what the user chose."""
    parameters = {}
    for item in args.set:
        name, _, value = item.partition("=")
        try:
            parameters[name.strip()] = float(value)
        except ValueError:
            raise InputError(f"--set {item}: give PARAMETER=VALUE with a number") from None
    defaults = Options()
    return Options(
        method=getattr(args, "method", defaults.method),
        inversion=args.inversion,
        dr_para=args.dr_para,
        dr_dia=args.dr_dia,
        b0_tesla=getattr(args, "b0", defaults.b0_tesla),
        device=args.device,
        parameters=parameters,
        weights=getattr(args, "weights", None),
    )


def _protocol(args: argparse.Namespace) -> Protocol:
    if len(args.voxel) not in (1, 3):
        raise InputError(f"--voxel takes one size or three, got {len(args.voxel)}")
    voxel = tuple(args.voxel * 3 if len(args.voxel) == 1 else args.voxel)
    spin_echo = args.spin_echo
    return Protocol(
        voxel_mm=voxel,
        echo_times_s=tuple(args.te) if args.te else Protocol.echo_times_s,
        spin_echo_times_s=() if spin_echo is None else tuple(spin_echo) or STANDARD_SPIN_ECHO_S,
        b0_tesla=args.b0,
        snr=args.snr,
        oblique_deg=args.oblique,
        dr_para=args.dr_para,
        dr_dia=args.dr_dia,
        seed=args.seed,
    )


def _name(name: str) -> str:
    """Check the BIDS name of a subject, which becomes part of file names."""
    if not re.fullmatch(r"sub-[A-Za-z0-9]{1,64}(_ses-[A-Za-z0-9]{1,64})?", name):
        raise InputError(f"--name {name!r}: write it as sub-01 (letters and digits only)")
    return name


def _hashes(paths: list[Path]) -> dict[str, str]:
    return {path.name: sha256(path) for path in paths}
