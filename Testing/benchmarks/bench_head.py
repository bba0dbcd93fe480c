"""How true to life simulated heads are: contrast, texture, relaxation and misfit beside what is measured.

Run: python Testing/benchmarks/bench_head.py CASES [--out build/head.png]

CASES: a folder of simulated cases ('qsmsep simulate'). A table on the screen, one row a case:
SD of net chi over the brain and after taking away what varies over 3 mm (a real map at 3 T: 29
and 20 ppb, robust 13.6), the misfit of the field and its SD after Gaussians of 1, 2, 4 and 8 mm
relative to all of it (real: .63, .51, .37, .22), the slope of the field on its isotropic part
(1.08), R2 and R2* of white matter and cortex. The figure shows histograms of the local SD of net chi
in balls of 3 voxels, and sections of the maps.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from QSMSeparationLib.evaluation.cases import find_cases
from QSMSeparationLib.physics.smoothing import gaussian
from QSMSeparationLib.simulation.field_errors import SPECTRUM, spectrum
from QSMSeparationLib.simulation.scanner import Truth
from QSMSeparationLib.simulation.tissues import LABELS, WHITE_MATTER

REAL = {"net_sd": 29.0, "fine_sd": 20.0, "fine_robust": 13.6, "gain": 1.08}
_WIDE_MM = 3.0
_SHOWN = ("net", "chi_para", "chi_dia", "r2", "t1", "water", "misfit")
_WINDOWS = {
    "net": (-0.1, 0.1), "chi_para": (0, 0.15), "chi_dia": (-0.1, 0), "r2": (0, 40), "t1": (0.5, 2),
    "water": (0.6, 1), "misfit": (-0.02, 0.02),
}  # fmt: skip


def within(volume: NDArray, mask: NDArray, sigma_mm: float, spacing: tuple) -> NDArray:
    """Smooth within the mask alone."""
    inside = torch.from_numpy(mask.astype(np.float32))
    values = gaussian(torch.from_numpy(volume.astype(np.float32)) * inside, sigma_mm, spacing)
    return (values / gaussian(inside, sigma_mm, spacing).clamp(min=1e-3)).numpy()


def misfit_of(truth: Truth) -> tuple[NDArray, float]:
    """Return what of the local field its isotropic part does not explain, and the slope on it."""
    mask = truth.mask
    field, own = truth.maps["local_field"], truth.maps["local_field_isotropic"]
    x = own[mask] - own[mask].mean()
    slope = float(((field[mask] - field[mask].mean()) * x).sum() / (x * x).sum())
    rest = (field - slope * own) * mask
    rest[mask] -= rest[mask].mean()
    return rest, slope


def row_of(name: str, truth: Truth) -> dict[str, float | str]:
    """Return the figures of one case."""
    mask, spacing = truth.mask, truth.geometry.spacing_kji
    net = 1000 * truth.maps["net"]
    fine = (net - within(net, mask, _WIDE_MM, spacing))[mask]
    rest, slope = misfit_of(truth)
    scales = 1000 * np.array(
        spectrum(torch.from_numpy(rest), torch.from_numpy(mask).float(), spacing)
    )
    row: dict[str, float | str] = {
        "case": name,
        "net_sd": net[mask].std(),
        "fine_sd": fine.std(),
        "fine_robust": 1.4826 * np.median(np.abs(fine - np.median(fine))),
        "misfit_ppb": scales[0],
        "gain": slope,
    }
    relative = scales / max(scales[0], 1e-9)
    row |= {f"after_{mm}_mm": value for mm, value in zip((1, 2, 4, 8), relative[1:], strict=True)}
    white = [n for n, tissue in LABELS.items() if tissue in WHITE_MATTER]
    for tissue, numbers in (("white", white), ("cortex", [3, 42])):
        own = np.isin(truth.labels, numbers) & (truth.lesions == 0) & mask
        own = ndimage.binary_erosion(own) if tissue == "white" else own
        row |= {f"{tissue}_{r}": np.median(truth.maps[r][own]) for r in ("r2", "r2prime", "r2star")}
    return row


def local_sd(truth: Truth) -> NDArray:
    """SD of net chi over 3 x 3 x 3 voxels, in ppb, within the brain."""
    net = 1000 * truth.maps["net"].astype(np.float64)
    mean, square = (ndimage.uniform_filter(v, 3) for v in (net, net**2))
    return np.sqrt(np.clip(square - mean**2, 0, None))[ndimage.binary_erosion(truth.mask)]


def draw(found: dict[str, Truth], path: Path) -> None:
    """Draw histograms of the local SD, and a section of every map of the first case."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3 * (len(_SHOWN) + 1), 6.5), layout="constrained")
    axes = figure.subplots(2, len(_SHOWN) + 1)
    for name, truth in found.items():
        axes[0, 0].hist(
            local_sd(truth), np.linspace(0, 40, 81), histtype="step", label=name, density=True
        )
    axes[0, 0].set(title="SD of net chi in 3x3x3 voxels", xlabel="ppb")
    axes[0, 0].legend(fontsize=6)
    truth = next(iter(found.values()))
    maps = truth.maps | {"misfit": misfit_of(truth)[0]}
    center = np.argwhere(truth.lesions > 0).mean(axis=0) if truth.lesions.any() else None
    k, j, _ = np.rint(np.argwhere(truth.mask).mean(axis=0) if center is None else center).astype(
        int
    )
    axes[1, 0].plot((0, 1, 2, 4, 8), SPECTRUM, "k--", label="real field")
    rest = torch.from_numpy(maps["misfit"])
    scales = spectrum(rest, torch.from_numpy(truth.mask).float(), truth.geometry.spacing_kji)
    axes[1, 0].plot((0, 1, 2, 4, 8), np.array(scales) / max(scales[0], 1e-9), label="simulated")
    axes[1, 0].set(title="misfit after a Gaussian", xlabel="mm", ylim=(0, 1))
    axes[1, 0].legend(fontsize=7)
    for column, name in enumerate(_SHOWN, start=1):
        low, high = _WINDOWS[name]
        axes[0, column].imshow(maps[name][k], cmap="gray", vmin=low, vmax=high)
        axes[1, column].imshow(maps[name][:, j], cmap="gray", vmin=low, vmax=high, origin="lower")
        axes[0, column].set_title(name)
        axes[0, column].axis("off")
        axes[1, column].axis("off")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=90)


def main() -> None:
    """Measure the cases, print the table, draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", type=Path)
    parser.add_argument("--out", type=Path, default=Path("build/head.png"))
    args = parser.parse_args()
    found = {}
    for case in find_cases(args.cases):
        found[case.name] = case.truth()
        row = row_of(case.name, found[case.name])
        print(
            "  ".join(
                f"{k} {v:.3g}" if isinstance(v, float | np.floating) else str(v)
                for k, v in row.items()
            )
        )
    print("real  " + "  ".join(f"{k} {v:g}" for k, v in REAL.items()))
    draw(found, args.out)


if __name__ == "__main__":
    main()
