"""CMake configures and installs the extension; what it installed runs on its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import host
import pytest
from source_files import ROOT

HERE = Path(__file__).parent
PLACE = "lib/Slicer-5.12/qt-scripted-modules"


def cmake_program() -> str:
    """Return the path of cmake: the one of this Python's environment, else the system's."""
    beside = shutil.which("cmake", path=str(Path(sys.executable).parent))
    return beside or shutil.which("cmake") or ""


def why_not() -> str:
    if not cmake_program():
        return "cmake is not installed"
    if not any(shutil.which(name) for name in ("cc", "gcc", "clang", "cl")):
        return "there is no C compiler, which CMake's project() looks for"
    return ""


needs_cmake = pytest.mark.skipif(bool(why_not()), reason=why_not())


def run(*command: object, **options: object) -> subprocess.CompletedProcess:
    texts = [str(part) for part in command]
    return subprocess.run(texts, capture_output=True, text=True, check=False, **options)


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """The folder of scripted modules after configure and install with the stub of Slicer."""
    folder = tmp_path_factory.mktemp("extension")
    build, prefix = folder / "build", folder / "installed"
    stub = f"-DSlicer_DIR={HERE / 'slicer_stub'}"
    configured = run(cmake_program(), "-S", ROOT, "-B", build, stub)
    assert configured.returncode == 0, configured.stderr
    done = run(cmake_program(), "--install", build, "--prefix", prefix)
    assert done.returncode == 0, done.stderr
    return prefix / PLACE


@needs_cmake
def test_module_and_library_lie_side_by_side(installed):
    assert sorted(path.name for path in installed.iterdir()) == [
        "QSMSeparation.py",
        "QSMSeparationLib",
        "QSMSeparationPanel",
        "Resources",
    ]
    assert (installed / "Resources/UI/QSMSeparation.ui").is_file()


@needs_cmake
def test_whole_library_is_installed(installed):
    library = installed / "QSMSeparationLib"
    source = ROOT / "QSMSeparationLib"
    wanted = sorted(
        path.relative_to(source).as_posix()
        for path in source.rglob("*")
        if path.is_file() and path.name != "CMakeLists.txt" and "__pycache__" not in path.parts
    )
    found = sorted(
        path.relative_to(library).as_posix() for path in library.rglob("*") if path.is_file()
    )
    assert found == wanted


@needs_cmake
def test_installed_library_runs_outside_the_source(installed, tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(installed), "PYTHONDONTWRITEBYTECODE": "1"}
    options = {"cwd": tmp_path, "env": environment}
    where = run(sys.executable, "-c", "import QSMSeparationLib as q; print(q.__file__)", **options)
    assert where.stdout.startswith(str(installed)), where.stderr
    methods = run(sys.executable, "-m", "QSMSeparationLib", "methods", "--json", **options)
    assert methods.returncode == 0, methods.stderr
    assert "closed-form" in json.dumps(json.loads(methods.stdout))


@needs_cmake
def test_installed_module_opens(installed, tmp_path):
    if reason := host.why_not():
        pytest.skip(reason)
    code = (
        "import sys, host; host.start(); host.load_module(sys.argv[1])\n"
        "host.open_module('QSMSeparation'); host.close_module('QSMSeparation')\n"
        "import QSMSeparationLib; print('library', QSMSeparationLib.__file__)\n"
        "print('torch', 'torch' in sys.modules)\n"
        "print('uncaught', host.dialogs.uncaught, host.dialogs.texts('errorDisplay'))\n"
    )
    paths = os.pathsep.join([str(installed), str(ROOT / "Testing")])
    environment = {**os.environ, "PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1"}
    module = installed / "QSMSeparation.py"
    done = run(sys.executable, "-c", code, module, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr
    lines = dict(line.split(" ", 1) for line in done.stdout.splitlines() if " " in line)
    assert lines["library"].startswith(str(installed))
    assert lines["torch"] == "False"
    assert lines["uncaught"] == "[] []"


@needs_cmake
def test_file_that_does_not_exist_is_refused(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    (source / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.16)\nproject(Small NONE)\n"
        + "".join(
            f'set(EXTENSION_{name} "x")\n'
            for name in [
                "HOMEPAGE",
                "CONTRIBUTORS",
                "DESCRIPTION",
                "ICONURL",
                "SCREENSHOTURLS",
                "DEPENDS",
            ]
        )
        + "find_package(Slicer REQUIRED)\ninclude(${Slicer_USE_FILE})\n"
        + "slicerMacroBuildScriptedModule(NAME Small SCRIPTS missing.py)\n"
    )
    stub = f"-DSlicer_DIR={HERE / 'slicer_stub'}"
    refused = run(cmake_program(), "-S", source, "-B", tmp_path / "build", stub)
    assert refused.returncode != 0
    assert "missing.py" in refused.stderr
