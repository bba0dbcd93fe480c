"""The command line as a script calls it, and the files that it is given."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch

from QSMSeparationLib.cli.parser import main
from QSMSeparationLib.data.volume import Geometry, Volume
from QSMSeparationLib.io.nifti import write_volume
from QSMSeparationLib.physics.dipole import DipoleOperator

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
    """Write maps of a ball of tissue with an iron and a myelin inclusion, on a tilted grid."""
    k, j, i = np.meshgrid(*[np.arange(n) for n in GEOMETRY.shape], indexing="ij")

    def ball(center, radius):
        return sum((a - c) ** 2 for a, c in zip((k, j, i), center, strict=True)) <= radius**2

    mask = ball((12, 14, 13), 10)
    para = 0.02 * mask + 0.10 * ball((12, 12, 10), 3)
    dia = -0.02 * mask - 0.05 * ball((12, 17, 16), 3)
    chi = torch.from_numpy((para + dia).astype(np.float32))
    field = DipoleOperator(GEOMETRY.shape, GEOMETRY.spacing_kji, GEOMETRY.b0_kji, pad=1.0)(
        chi
    ).numpy()
    maps = {
        "mask": mask.astype(np.uint8),
        "field": field * mask,
        "qsm": chi.numpy() * mask,
        "r2prime": 114.0 * (para - dia),
        "r2star": (114.0 * (para - dia) + 14.0) * mask,
        "r2": 14.0 * mask,
        "para": para,
        "dia": dia,
    }
    for name, array in maps.items():
        array = array if name == "mask" else array.astype(np.float32)
        write_volume(Volume(array, GEOMETRY), folder / f"{name}.nii.gz")
    return folder
