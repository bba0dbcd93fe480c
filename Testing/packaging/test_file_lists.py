"""Every file of the extension is in the lists of its CMakeLists.txt: else it is not installed."""

from __future__ import annotations

import list_files
import pytest


def test_lists_equal_the_disk():
    lines = list_files.differences()
    assert not lines, "\n".join([*lines, "run: python Testing/packaging/list_files.py --write"])


@pytest.fixture
def small(tmp_path, monkeypatch):
    """An extension with a module of two files, one of which is in no list."""
    folder = tmp_path / "Module"
    (folder / "__pycache__").mkdir(parents=True)
    for name in ("a.py", "b.py", "CMakeLists.txt", ".hidden.py", "__pycache__/a.pyc"):
        (folder / name).write_text("")
    (folder / "CMakeLists.txt").write_text("set(SCRIPTS\n  b.py\n  gone.py\n  )\nafter()\n")
    monkeypatch.setattr(list_files, "ROOT", tmp_path)
    files = list_files.FileList("Module", "SCRIPTS", lambda path: path.suffix == ".py")
    monkeypatch.setattr(list_files, "LISTS", (files,))
    return files


def test_difference_names_the_file_and_the_place(small):
    assert list_files.differences() == [
        "Module/a.py is on the disk, but not in Module/CMakeLists.txt",
        "Module/CMakeLists.txt lists gone.py, which is not on the disk",
    ]
    assert list_files.main([]) == 1


def test_write_makes_them_equal_and_keeps_the_rest(small):
    assert list_files.main(["--write"]) == 0
    assert small.cmake_file.read_text() == "set(SCRIPTS\n  a.py\n  b.py\n  )\nafter()\n"
    assert list_files.main([]) == 0


def test_tests_that_need_pytest_do_not_run_in_slicer(tmp_path):
    for name, text, runs in (
        ("test_plain.py", "import unittest\n", True),
        ("test_pytest.py", "import pytest\n", False),
        ("test_host.py", "from host import start\n", False),
        ("helpers.py", "import unittest\n", False),
    ):
        path = tmp_path / name
        path.write_text(text)
        assert list_files._is_slicer_test(path) is runs
