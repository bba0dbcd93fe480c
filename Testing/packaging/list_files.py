"""The file lists in the CMakeLists.txt of the extension: compare them with the disk, or write them.

python Testing/packaging/list_files.py            what differs; exit code 1 if anything does
python Testing/packaging/list_files.py --write    write the lists
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Imports of these say that a test file cannot run inside Slicer.
_ELSEWHERE = re.compile(r"^\s*(?:import|from)\s+(?:pytest|host|hypothesis)\b", re.MULTILINE)


@dataclass(frozen=True)
class FileList:
    """One ``set(VARIABLE ...)`` of a CMakeLists.txt and the files that belong into it."""

    folder: str
    variable: str
    belongs: Callable[[Path], bool]

    @property
    def cmake_file(self) -> Path:
        return ROOT / self.folder / "CMakeLists.txt"

    def on_disk(self) -> list[str]:
        """Return the paths below the folder that belong into the list, sorted."""
        folder = ROOT / self.folder
        found = (path for path in folder.rglob("*") if path.is_file() and not _is_left_out(path))
        return sorted(path.relative_to(folder).as_posix() for path in found if self.belongs(path))

    def listed(self) -> list[str]:
        """Return the paths that the CMakeLists.txt lists, in its order."""
        return self._match()[2].split()

    def write(self) -> bool:
        """Put what is on the disk into the CMakeLists.txt; return whether that changed it."""
        match = self._match()
        text = match.string
        paths = "".join(f"  {path}\n" for path in self.on_disk())
        new = f"{text[: match.start(2)]}{paths}{text[match.end(2) :]}"
        if new != text:
            self.cmake_file.write_text(new, encoding="utf-8", newline="\n")
        return new != text

    def _match(self) -> re.Match[str]:
        text = self.cmake_file.read_text(encoding="utf-8")
        match = re.search(rf"(set\({self.variable}\n)((?:  \S+\n)*)(  \))", text)
        if match is None:
            raise ValueError(f"{self.cmake_file}: no list {self.variable}")
        return match


def _is_left_out(path: Path) -> bool:
    parts = path.relative_to(ROOT).parts
    generated = path.name == "CMakeLists.txt" or path.suffix == ".pyc" or "__pycache__" in parts
    return generated or any(part.startswith(".") for part in parts)


def _is_script(path: Path) -> bool:
    return path.suffix == ".py"


def _is_resource(path: Path) -> bool:
    return not _is_script(path)


def _is_slicer_test(path: Path) -> bool:
    is_test = path.name.startswith("test_") and _is_script(path)
    return is_test and not _ELSEWHERE.search(path.read_text(encoding="utf-8"))


LISTS = (
    FileList("QSMSeparation", "MODULE_PYTHON_SCRIPTS", _is_script),
    FileList("QSMSeparation", "MODULE_PYTHON_RESOURCES", _is_resource),
    FileList("QSMSeparationLib", "MODULE_PYTHON_SCRIPTS", _is_script),
    FileList("QSMSeparationLib", "MODULE_PYTHON_RESOURCES", _is_resource),
    FileList("Testing/module", "SLICER_TESTS", _is_slicer_test),
    FileList("Testing/mrml", "SLICER_TESTS", _is_slicer_test),
)


def differences() -> list[str]:
    """Return one line for every file that is on the disk or in a list, but not in both."""
    lines = []
    for files in LISTS:
        where = files.cmake_file.relative_to(ROOT).as_posix()
        disk, listed = files.on_disk(), files.listed()
        for path in sorted(set(disk) - set(listed)):
            lines.append(f"{files.folder}/{path} is on the disk, but not in {where}")
        for path in sorted(set(listed) - set(disk)):
            lines.append(f"{where} lists {path}, which is not on the disk")
        for path in sorted({path for path in listed if listed.count(path) > 1}):
            lines.append(f"{where} lists {path} twice")
    return lines


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="write the lists")
    if parser.parse_args(arguments).write:
        for files in LISTS:
            if files.write():
                print(f"{files.cmake_file.relative_to(ROOT).as_posix()}: {files.variable} written")
        return 0
    lines = differences()
    for line in lines:
        print(line)
    if lines:
        print("run: python Testing/packaging/list_files.py --write")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
