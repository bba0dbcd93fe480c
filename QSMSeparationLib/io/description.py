"""``dataset_description.json``: every BIDS folder says of itself what it holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from QSMSeparationLib import __version__
from QSMSeparationLib.io.files import written_whole
from QSMSeparationLib.runtime.errors import InputError

DESCRIPTION = "dataset_description.json"
BIDS_VERSION = "1.10.0"


def describe_dataset(name: str, kind: Literal["raw", "derivative"]) -> dict[str, Any]:
    """Return the description of a dataset, raw or derivative."""
    generator = {"Name": "QSMSeparation", "Version": __version__}
    return {
        "Name": name,
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": kind,
        "GeneratedBy": [generator],
    }


def describe_results(folder: Path) -> None:
    """Write the description of a folder of results, unless the folder has one.

    Subjects share the folder, one after the other or at the same time, so the file belongs to
    none of them: it is written in one step, and a second writer changes nothing.
    """
    path = folder / DESCRIPTION
    if path.exists():
        return
    content = describe_dataset("QSMSeparation: chi+, chi- and net chi", "derivative")
    try:
        with written_whole(path) as own:
            text = json.dumps(content, indent=2) + "\n"
            own.write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        raise InputError(f"{path} can't be written: {error.strerror}") from None
