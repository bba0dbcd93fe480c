"""Walk folders that may hold anything: links in circles, pipes, thousands of files."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from QSMSeparationLib.runtime.errors import InputError

MAX_FILES = 200_000
MAX_DEPTH = 24


def regular_files(folder: Path) -> list[Path]:
    """Return every regular file below a folder, sorted by its path.

    Links to folders are not followed, so a link in a circle does no harm; pipes and
    devices, which would block a read, are left out.
    """
    files: list[Path] = []
    try:
        for root, folders, names in os.walk(folder):
            folders.sort()
            if len(Path(root).relative_to(folder).parts) >= MAX_DEPTH:
                folders.clear()
            files += [Path(root, name) for name in names if is_regular(Path(root, name))]
            if len(files) > MAX_FILES:
                raise InputError(
                    f"{folder} holds more than {MAX_FILES} files; give one scan's folder"
                )
    except (OSError, ValueError) as error:
        raise InputError(
            f"{folder} can't be read ({type(error).__name__}); check its permissions"
        ) from None
    return sorted(files)


def is_regular(path: Path) -> bool:
    """Return whether a path is (or links to) a plain file."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except (OSError, ValueError):
        return False


def is_folder(path: Path) -> bool:
    """Return whether a path is a folder; False for a name that no file can have."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False
