"""The suite: heads of many kinds, made once, on which every method is scored from the raw scan.

A gain on one kind of head can be a loss on another. ``OUT/cases`` keeps the scans with their truth,
``OUT/scores`` what was measured on each, whole or not at all: a suite that was interrupted goes on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from QSMSeparationLib import __version__, catalogue
from QSMSeparationLib.data.axes import Triple
from QSMSeparationLib.evaluation.cases import Case, find_cases
from QSMSeparationLib.evaluation.evaluate import scanned_as
from QSMSeparationLib.evaluation.suite_measures import measure
from QSMSeparationLib.io.nifti import read_labels
from QSMSeparationLib.io.outputs import Outputs
from QSMSeparationLib.networks.cards import FOLDER, read_card
from QSMSeparationLib.pipeline.options import Options
from QSMSeparationLib.runtime.errors import InputError
from QSMSeparationLib.runtime.progress import Progress
from QSMSeparationLib.simulation import departures, split
from QSMSeparationLib.simulation.dataset import write_dataset
from QSMSeparationLib.simulation.departures import Departure
from QSMSeparationLib.simulation.protocol import Protocol
from QSMSeparationLib.simulation.realism import Realism
from QSMSeparationLib.simulation.simulate import STANDARD_SPIN_ECHO_S, scan_person

LESION_COUNT = 20
"""Lesions of a head."""


@dataclass(frozen=True)
class Kind:
    """One kind of head.

    Parameters
    ----------
    title : str
        What it is, in a table.
    level : int
        Of realism.
    heads : int
        How many of the six people are scanned so.
    change : callable
        What departs from people as they are drawn.
    moved : float
        Moves the mean of every tissue by up to this share.
    protocol : dict
        What of the protocol differs.
    """

    title: str
    level: int = 1
    heads: int = 2
    change: Departure = departures.as_drawn
    moved: float = 0.0
    protocol: Mapping[str, Any] = field(default_factory=dict)


KINDS: Mapping[str, Kind] = {
    "clean": Kind("clean: what the equations say", level=0, heads=6),
    "real": Kind("real: tissue, field and scan as real ones are", heads=6),
    "hard": Kind("hard: a scan that went badly", level=2),
    "shuffled": Kind("shuffled: chi+ and chi- of tissues change places", change=departures.shuffled),
    "values": Kind("values: the mean of every tissue moved by up to 30 %", moved=0.3),
    "r2-half": Kind("r2-half: lesions lose half the R2", change=departures.lesions_losing(0.5)),
    "r2-more": Kind("r2-more: lesions lose 1.5 times the R2", change=departures.lesions_losing(1.5)),
    "r2-nothing": Kind("r2-nothing: R2 follows nothing", change=departures.with_r2_of_nothing),
    "7t": Kind("7 T", protocol={"b0_tesla": 7.0, "echo_times_s": (0.004, 0.008, 0.012, 0.016, 0.020)}),
    "oblique": Kind("oblique: slices tilted by 20 degrees", protocol={"oblique_deg": 20.0}),
    "gre-only": Kind("gre-only: no spin echo", protocol={"spin_echo_times_s": ()}),
}  # fmt: skip
"""Every kind by name, in the order of the page."""

_PEOPLE: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "figures": (split.FIGURE_LABEL_MAPS, (801, 802, 803, 804)),
    "settings": (split.SETTINGS_LABEL_MAPS, (901, 902, 903, 904)),
}
"""Label maps and seeds of six people: two heads of real anatomy, four drawn ones."""


@dataclass(frozen=True)
class Person:
    """Whose head: a label map by its number, or a drawn one by its seed."""

    seed: int
    label_map: int | None = None

    @property
    def name(self) -> str:
        """What to call it."""
        return f"seed{self.seed}" if self.label_map is None else f"head{self.label_map:02d}"


@dataclass(frozen=True)
class SuiteCase:
    """One person scanned as one kind."""

    kind: str
    person: Person

    @property
    def name(self) -> str:
        """Name of its folder and of its scores."""
        return f"{self.kind}-{self.person.name}"


@dataclass(frozen=True)
class SuitePlan:
    """What of the suite is made and scored.

    Parameters
    ----------
    methods, inversions : tuple of str
        Names from the catalogue. A separation is run on every head that it can be used on, after
        the chosen inversion; inversions are scored by their net chi.
    kinds : tuple of str
        Of :data:`KINDS`.
    people : {"figures", "settings"}
        Figures are reported, settings chosen.
    heads : int
        Most heads of a kind; 0 for as many as the kind has.
    voxel_mm : float
        Voxel size.
    label_maps : Path, optional
        Folder of ``head03.nii.gz`` ...; heads of real anatomy are left out without it.
    """

    methods: tuple[str, ...]
    inversions: tuple[str, ...]
    kinds: tuple[str, ...] = tuple(KINDS)
    people: str = "figures"
    heads: int = 0
    voxel_mm: float = 1.0
    label_maps: Path | None = None

    def __post_init__(self) -> None:
        for stage, names in (("separation", self.methods), ("inversion", self.inversions)):
            for name in names:
                catalogue.find(name, stage)
        for kind in self.kinds:
            if kind not in KINDS:
                raise InputError(f"the suite has no kind '{kind}'; choose of {', '.join(KINDS)}")

    def cases(self) -> list[SuiteCase]:
        """Return the cases, kind by kind; every second of a few heads has real anatomy."""
        maps, seeds = _PEOPLE[self.people]
        real = [Person(number, number) for number in maps] if self.label_maps else []
        drawn = [Person(seed) for seed in seeds]
        people = [one for pair in zip(real, drawn, strict=False) for one in pair]
        people += drawn[len(real) :]
        return [
            SuiteCase(kind, person)
            for kind in self.kinds
            for person in people[: min(self.heads or KINDS[kind].heads, KINDS[kind].heads)]
        ]


def run_suite(
    plan: SuitePlan, options: Options, outputs: Outputs, progress: Progress
) -> list[dict[str, Any]]:
    """Make and score what is missing; returns what was measured on every case.

    Parameters
    ----------
    plan : SuitePlan
        What to make and score.
    options : Options
        Background, inversion before separations, and parameters of methods.
    outputs : Outputs
        The folder of the suite; scores are replaced when it may overwrite.
    progress : Progress
        Receives the stages.
    """
    found = []
    cases = plan.cases()
    for number, case in enumerate(cases, start=1):
        progress.message(f"{case.name} ({number} of {len(cases)})")
        made = _made(case, plan, outputs, progress)
        found.append(_scored(case, made, plan, options, outputs, progress))
    return found


def _made(case: SuiteCase, plan: SuitePlan, outputs: Outputs, progress: Progress) -> Case:
    """Return the case, simulated if it is not there yet."""
    voxel = f"{plan.voxel_mm:g}mm"
    folder = outputs.at(f"cases/{voxel}/{case.name}")
    if not (folder.folder / "dataset_description.json").is_file():
        kind, person = KINDS[case.kind], case.person
        labels = None
        if person.label_map is not None and plan.label_maps is not None:
            labels = read_labels(plan.label_maps / f"{person.name}.nii.gz")
        scan, truth, rows = scan_person(
            person.seed,
            _protocol(kind, person, plan.voxel_mm),
            "sub-01",
            progress.part(),
            LESION_COUNT,
            labels=labels,
            moved=kind.moved,
            realism=Realism.of(kind.level),
            change=kind.change,
        )
        with folder:
            write_dataset(scan, truth, rows, folder)
    return find_cases(folder.folder)[0]


def _protocol(kind: Kind, person: Person, voxel_mm: float) -> Protocol:
    """Return how a person is scanned: slices are thicker where they are tilted."""
    voxel: Triple = (voxel_mm,) * 3
    if kind.protocol.get("oblique_deg"):
        voxel = (0.87 * voxel_mm, 0.87 * voxel_mm, 1.33 * voxel_mm)
    usual: dict[str, Any] = {"spin_echo_times_s": STANDARD_SPIN_ECHO_S}
    return Protocol(voxel_mm=voxel, seed=person.seed, **(usual | dict(kind.protocol)))


def _scored(
    case: SuiteCase,
    made: Case,
    plan: SuitePlan,
    options: Options,
    outputs: Outputs,
    progress: Progress,
) -> dict[str, Any]:
    """Return what was measured on a case; measures what is not written yet, and writes it."""
    file = f"scores/{plan.voxel_mm:g}mm/{case.name}.json"
    key = {"version": __version__, "options": _plain(options)}
    stored = {} if outputs.overwrite else _stored(outputs.folder / file, key)
    truth = made.truth()
    found: dict[str, Any] = {"case": case.name, "kind": case.kind, "key": key}
    found |= {part: dict(stored.get(part, {})) for part in ("separations", "inversions")}
    missing = {
        "separations": [
            name
            for name in plan.methods
            if _usable(name, case, truth.protocol.b0_tesla)
            and _changed(name, "separation", found["separations"])
        ],
        "inversions": [
            name for name in plan.inversions if _changed(name, "inversion", found["inversions"])
        ],
    }
    if any(missing.values()):
        chosen = scanned_as(truth.protocol, options)
        measured = measure(
            made, truth, missing["separations"], missing["inversions"], chosen, progress
        )
        for part, rows in measured.items():
            stage = part.removesuffix("s")
            found[part] |= {n: row | {"weights": _weights(n, stage)} for n, row in rows.items()}
        with Outputs(outputs.folder, True) as writer:
            writer.json(file, found)
    return found


def _plain(options: Options) -> dict[str, Any]:
    """Return the options that may change a score, as JSON gives them back."""
    chosen = {n: v for n, v in asdict(options).items() if n not in ("device", "method")}
    return json.loads(json.dumps(chosen, default=str))


def _changed(name: str, stage: str, rows: Mapping[str, Any]) -> bool:
    """Return whether a method was not measured yet, or with other weights."""
    return name not in rows or rows[name].get("weights") != _weights(name, stage)


def _weights(name: str, stage: str) -> dict[str, str]:
    """Return the SHA-256 of the weights of a method, as their cards have it."""
    networks = catalogue.find(name, stage).networks
    return {network: read_card(FOLDER / f"{network}.pt")["sha256"] for network in networks}


def _usable(name: str, case: SuiteCase, b0_tesla: float) -> bool:
    """Return whether a separation can be used on a case."""
    method = catalogue.find(name, "separation")
    spin_echo = KINDS[case.kind].protocol.get("spin_echo_times_s", STANDARD_SPIN_ECHO_S)
    return method.usable_at(b0_tesla) and ("r2prime" not in method.needs or bool(spin_echo))


def _stored(file: Path, key: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was measured before in the same way; nothing where it was another way."""
    try:
        stored = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return stored if isinstance(stored, dict) and stored.get("key") == key else {}
