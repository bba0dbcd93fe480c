"""Stands in for the command line: does what FAKE_WORKER says, without torch.

Run as ``python -m fake_worker ... --progress json``, in the place of QSMSeparationLib.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np
import SimpleITK as sitk


def say(**record: object) -> None:
    print(json.dumps(record), flush=True)


def steps(number: int, pause_s: float) -> None:
    for n in range(number):
        say(stage="inversion: fake", done=n, of=number, eta_s=round((number - n) * pause_s, 1))
        time.sleep(pause_s)


def stop_when_stdin_closes() -> None:
    def watch() -> None:
        while sys.stdin.read(4096):
            pass
        say(stage="error", message="cancelled")
        os._exit(130)

    threading.Thread(target=watch, daemon=True).start()


def outlast() -> None:
    """Go on for longer than any test waits: a run that ends was ended."""
    time.sleep(600)


def output_folder() -> Path:
    """Return OUT: after the command, and after what it reads: SOURCE, RESULT, or A and B."""
    return Path(sys.argv[{"run": 3, "dicom": 3, "compare": 4}.get(sys.argv[1], 2)])


def result() -> None:
    stop_when_stdin_closes()
    steps(20, 0.01)
    say(stage="message", message="a note of the worker")
    shutil.copytree(os.environ["FAKE_RESULT"], output_folder())
    say(stage="done", outputs={"net": "somewhere"})


def slow() -> None:
    stop_when_stdin_closes()
    output_folder().mkdir()
    (output_folder() / "half a file").write_text("x")
    steps(600, 0.1)
    outlast()


def deaf() -> None:
    """Goes on when stdin closes; only being killed ends it."""
    output_folder().mkdir()
    steps(600, 0.1)
    outlast()


def killed() -> None:
    steps(3, 0.01)
    os.kill(os.getpid(), signal.SIGKILL)


def garbage() -> None:
    sys.stdout.buffer.write(b'\xff\xfe\x00 not JSON\n{broken\n[1, 2]\n{"stage": 5}\n')
    sys.stdout.buffer.write(b'{"stage": "odd", "done": "x", "of": null}\nno end of line')
    sys.stdout.flush()


def flood() -> None:
    line = "x" * 100 + "\n"
    for _ in range(300):
        sys.stdout.write(line * 1000)
    sys.stdout.flush()
    result()


def wrong() -> None:
    say(stage="error", message="field.nii: its mean is 40; expected a local field in ppm")
    sys.exit(2)


def no_torch() -> None:
    raise ModuleNotFoundError("No module named 'torch'")


def head() -> None:
    """Writes what ``simulate`` writes, of a head of a few voxels."""
    anat = output_folder() / "sub-01" / "anat"
    truth = output_folder() / "derivatives" / "truth" / "sub-01" / "anat"
    voxels = np.arange(6 * 7 * 8, dtype=np.float32).reshape(6, 7, 8)
    for folder, name, array in (
        (anat, "echo-1_part-mag_MEGRE", voxels),
        (anat, "echo-2_part-mag_MEGRE", voxels / 2),
        (truth, "desc-lesions_dseg", (voxels > 300).astype(np.uint8)),
    ):
        folder.mkdir(parents=True, exist_ok=True)
        image = sitk.GetImageFromArray(array)
        image.SetSpacing((2.0, 2.0, 3.0))
        sitk.WriteImage(image, str(folder / f"sub-01_{name}.nii.gz"))
    say(stage="head", done=1, of=1, eta_s=0)
    say(stage="done", outputs={"dataset": str(output_folder())})


def memory() -> None:
    raise MemoryError


if __name__ == "__main__":
    say(stage="start", done=0, of=1, eta_s=None, pid=os.getpid())
    globals()[os.environ["FAKE_WORKER"]]()
