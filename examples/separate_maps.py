"""Separate maps that were made elsewhere: local field, R2' and brain mask to chi+ and chi-.

    python examples/separate_maps.py field.nii.gz r2prime.nii.gz mask.nii.gz OUT
    python examples/separate_maps.py OUT                  the same with maps of a small simulated head

The command line does the same: qsmsep separate OUT --field F --r2prime R --mask M
"""

from __future__ import annotations

import sys
from pathlib import Path

from example_head import scan_small_head

from QSMSeparationLib.data.volume import Volume
from QSMSeparationLib.io.derivatives import write_result
from QSMSeparationLib.io.nifti import read_labels, read_map, write_volume
from QSMSeparationLib.io.outputs import Outputs
from QSMSeparationLib.pipeline.maps import separate
from QSMSeparationLib.pipeline.options import Options
from QSMSeparationLib.runtime.progress import Progress, TextSink


def simulated_maps(folder: Path) -> tuple[Path, Path, Path]:
    """Write the true maps of a small head; return local field (ppm), R2' (Hz) and mask."""
    folder.mkdir(parents=True, exist_ok=True)
    _, truth = scan_small_head()
    arrays = {name: truth.maps[name] for name in ("local_field", "r2prime")}
    arrays["mask"] = truth.mask.astype("uint8")
    paths = [folder / f"{name}.nii.gz" for name in arrays]
    for path, array in zip(paths, arrays.values(), strict=True):
        write_volume(Volume(array, truth.geometry), path)
    return tuple(paths)


def main(*arguments: str) -> None:
    """Separate the maps and write chi+, chi- and net chi."""
    *given, out = map(Path, arguments)
    field, r2prime, mask = given or simulated_maps(out / "inputs")
    maps = {"local_field": read_map(field), "r2prime": read_map(r2prime)}
    result = separate(maps, read_labels(mask), Options(), Progress(TextSink()))
    for name in ("chi_para", "chi_dia", "net"):
        mean_ppb = 1000 * result.maps[name][result.mask].mean()
        print(f"{name}: mean {mean_ppb:.1f} ppb")
    print("\n".join(result.notes))
    with Outputs(out, overwrite=True) as outputs:
        write_result(result, outputs, "sub-01", inputs={})


if __name__ == "__main__":
    main(*sys.argv[1:])
