"""The command line as a script calls it, and the files that it is given."""

from __future__ import annotations

import json
from pathlib import Path

from ball import EVERYWHERE, ball_with_boxes

from QSMSeparationLib.cli.parser import main
from QSMSeparationLib.data.volume import Geometry, Volume
from QSMSeparationLib.io.nifti import write_volume

GEOMETRY = Geometry((24, 28, 26), (1.5, 1.5, 2.0), (4, 5, 6), (1, 0, 0, 0, 0.8, -0.6, 0, 0.6, 0.8))


def run(*arguments) -> int:
    """Run a command and return its exit code."""
    return main([str(a) for a in arguments])


def given(case, *names) -> list:
    """Return the arguments that give maps of a case by name."""
    return [item for name in names for item in (f"--{name}", case / f"{name}.nii.gz")]


def last_line(capsys) -> str:
    """Return the one line that a refused command says."""
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1, lines
    return lines[0]


def facts_of(path: Path) -> dict:
    """Return a sidecar."""
    return json.loads(path.read_text())


def write_ball(folder: Path) -> Path:
    """Write maps of a ball of tissue with a box of iron and one of myelin, on a tilted grid."""
    ball, para, dia = ball_with_boxes(
        18.0,
        [(0.02, 0, EVERYWHERE), (0.10, 5, 3.5)],
        [(0.02, 0, EVERYWHERE), (0.05, -5, 3.5)],
        GEOMETRY.shape,
        GEOMETRY.spacing_kji,
        GEOMETRY.b0_kji,
    )
    mask = ball.mask.float()
    maps = {
        "mask": ball.mask.byte(),
        "field": ball.local_field,
        "qsm": para - dia,
        "r2prime": ball.r2prime,
        "r2star": ball.r2prime + 14.0 * mask,
        "r2": 14.0 * mask,
        "para": para,
        "dia": -dia,
    }
    for name, values in maps.items():
        write_volume(Volume(values.numpy(), GEOMETRY), folder / f"{name}.nii.gz")
    return folder
