"""Output folders: nothing is overwritten unasked and nothing is left half-written."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from QSMSeparationLib.data.volume import Volume
from QSMSeparationLib.io.files import sha256
from QSMSeparationLib.io.nifti import write_volume
from QSMSeparationLib.runtime.errors import InputError


class Outputs:
    """Files that appear in a folder all together, when the ``with`` block succeeds.

    They are written below a temporary folder beside their destination and moved at the
    end, so that a run which fails or is killed leaves the destination as it was.

    Parameters
    ----------
    folder : Path
        Destination; made when missing.
    overwrite : bool
        True if files that exist may be replaced.

    Attributes
    ----------
    written : dict of str to str
        Path of every file by what it is, for the last line of the progress.
    published : list of Path
        Every file that has appeared in the folder.
    """

    def __init__(self, folder: Path | str, overwrite: bool = False) -> None:
        self.folder = Path(folder).expanduser().absolute()
        self.overwrite = overwrite
        self.written: dict[str, str] = {}
        self.published: list[Path] = []
        self._staging: Path | None = None
        self._new_folders: list[Path] = []

    def at(self, place: str) -> Outputs:
        """Return a writer of its own for a folder below this one, with nothing written yet."""
        return Outputs(self.folder / place, self.overwrite)

    def refuse_existing(self, names: Iterable[str]) -> None:
        """Raise InputError before any work when one of these files is in the way."""
        if self.folder.exists() and not self.folder.is_dir():
            raise InputError(f"{self.folder} is a file; give a folder for the output")
        present = [name for name in names if (self.folder / name).exists()]
        if present and not self.overwrite:
            more = f" and {len(present) - 1} more" if len(present) > 1 else ""
            raise InputError(
                f"{self.folder / present[0]}{more} already exists; "
                f"choose another folder or add --overwrite"
            )

    def __enter__(self) -> Outputs:
        parents = (self.folder, *self.folder.parents)
        self._new_folders = [folder for folder in parents if not folder.exists()]
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._staging = Path(tempfile.mkdtemp(prefix=".writing-", dir=self.folder))
        except OSError as error:
            raise InputError(f"{self.folder} can't be written: {error.strerror}") from None
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._staging is not None
        try:
            if kind is None:
                self._publish()
        finally:
            shutil.rmtree(self._staging, ignore_errors=True)
            self._staging = None
            if kind is not None:
                self._remove_new_folders()

    def path(self, name: str, what: str | None = None) -> Path:
        """Return where to write the file ``name``; listed as ``what`` when given."""
        if self._staging is None:
            raise RuntimeError("write inside the 'with' block")
        path = self._staging / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if what:
            self.written[what] = str(self.folder / name)
        return path

    def volume(
        self, name: str, volume: Volume, sidecar: dict[str, Any], what: str | None = None
    ) -> None:
        """Write ``name``.nii.gz and ``name``.json."""
        write_volume(volume, self.path(f"{name}.nii.gz", what))
        self.json(f"{name}.json", sidecar)

    def json(self, name: str, content: dict[str, Any]) -> None:
        """Write a JSON file."""
        self.text(name, json.dumps(content, indent=2) + "\n")

    def text(self, name: str, content: str, what: str | None = None) -> None:
        """Write a text file with Unix line ends."""
        self.path(name, what).write_text(content, encoding="utf-8", newline="\n")

    def hashes(self) -> dict[str, str]:
        """Return the SHA-256 of every file written so far, by its name below the folder."""
        if self._staging is None:
            raise RuntimeError("ask inside the 'with' block")
        files = sorted(p for p in self._staging.rglob("*") if p.is_file())
        return {p.relative_to(self._staging).as_posix(): sha256(p) for p in files}

    def _remove_new_folders(self) -> None:
        """Leave no empty folder behind where there was none."""
        for folder in self._new_folders:
            with suppress(OSError):  # not empty: another run writes there
                folder.rmdir()

    def _publish(self) -> None:
        assert self._staging is not None
        files = [p.relative_to(self._staging) for p in self._staging.rglob("*") if p.is_file()]
        self.refuse_existing(str(f) for f in files)
        for file in files:
            target = self.folder / file
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(self._staging / file, target)
            self.published.append(target)
