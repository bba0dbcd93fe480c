"""What the Extensions Index of Slicer checks by machine, and what its reviewers ask about."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
import source_files
from source_files import ROOT

CMAKE = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
ENTRY = ROOT / "QSMSeparation.json"
README = (ROOT / "README.md").read_text(encoding="utf-8")
TUTORIAL = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
MODULE = ROOT / "QSMSeparation" / "QSMSeparation.py"
PANEL = sorted((ROOT / "QSMSeparation" / "QSMSeparationPanel").glob("*.py"))
MRML = sorted((ROOT / "QSMSeparationLib" / "mrml").glob("*.py"))
UI_FILES = sorted((ROOT / "QSMSeparation" / "Resources" / "UI").glob("*.ui"))
SAMPLE = "QSM separation digital head with MS lesions"
# Names of Slicer's own modules and of extensions.
SLICER_WORDS = {
    "Data",
    "Extensions Manager",
    "General Registration (BRAINS)",
    "PyTorch",
    "QSMSeparation",
    "Resample Scalar/Vector/DWI Volume",
    "Segment Editor",
    "Simple Filters",
}
# Inside Slicer these are there without asking; torch is not, and costs seconds to import.
IN_SLICER = {"slicer", "vtk", "qt", "ctk", "numpy", "scipy", "SimpleITK", "pydicom", "SampleData"}


def setting(name: str) -> str:
    match = re.search(rf'set\s*\(EXTENSION_{name}\s*"([^"]+)"\)', CMAKE)
    assert match, f"CMakeLists.txt sets no EXTENSION_{name}"
    return match[1]


def entry() -> dict:
    return json.loads(ENTRY.read_text(encoding="utf-8"))


def test_project_has_the_name_of_the_entry():
    assert re.search(r"project\s*\(\s*([^\s\)]+)", CMAKE)[1] == ENTRY.stem


def test_entry_follows_the_schema():
    known = {
        "$schema": str,
        "build_dependencies": list,
        "build_subdirectory": str,
        "category": str,
        "enabled": bool,
        "scm_revision": str,
        "scm_type": str,
        "scm_url": str,
        "tier": int,
    }
    values = entry()
    assert {"$schema", "category", "scm_url"} <= set(values) <= set(known)
    for name, value in values.items():
        assert isinstance(value, known[name]), name
    assert values["$schema"].endswith("/slicer-extension-catalog-entry-schema-v1.0.1.json#")
    assert values["category"] in {"Quantification", "Neuroimaging"}
    assert values["tier"] in {1, 3, 5}
    assert b"\r" not in ENTRY.read_bytes()


def test_entry_and_cmake_agree():
    values = entry()
    assert values["build_dependencies"] == setting("DEPENDS").split()
    url = values["scm_url"]
    assert url.startswith("https://")
    assert "slicer" in url.rsplit("/", 1)[1].lower()
    assert setting("HOMEPAGE") == url.removesuffix(".git")


@pytest.mark.parametrize("name", ["ICONURL", "SCREENSHOTURLS"])
def test_pictures_are_pngs_of_this_repository(name):
    raw = setting("HOMEPAGE").replace("github.com", "raw.githubusercontent.com")
    for url in setting(name).split():
        assert url.startswith(f"{raw}/{entry()['scm_revision']}/"), url
        path = ROOT / url.removeprefix(f"{raw}/{entry()['scm_revision']}/")
        assert path.is_file(), f"{path} does not exist"
        assert path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n"), f"{path} is no PNG"


def test_icon_has_the_size_of_an_icon():
    header = (MODULE.parent / "Resources/Icons/QSMSeparation.png").read_bytes()[:24]
    width, height = (int.from_bytes(header[at : at + 4], "big") for at in (16, 20))
    assert (width, height) == (128, 128)


def test_description_is_short_and_says_what_for():
    sentences = re.findall(r"[^.]+\.", setting("DESCRIPTION"))
    assert 1 <= len(sentences) <= 2
    assert "not for diagnosis" in sentences[-1]


def test_licence_is_there_and_named():
    assert "Apache License" in (ROOT / "LICENSE").read_text(encoding="utf-8")[:200]
    assert "Apache-2.0" in README


def test_readme_can_be_read_in_minutes():
    assert len(README.splitlines()) < 130
    assert len(README.split()) < 1300
    assert "not for diagnosis" in README


def test_readme_shows_pictures():
    assert re.findall(r"!\[[^\]]+\]\(([^)]+)\)", README)


@pytest.mark.parametrize(
    "name", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/tutorial.md"]
)
def test_links_and_pictures_are_alive(name: str):
    """Files exist, and headings that a link goes to; other sites are not asked."""
    page = ROOT / name
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), f"{name} links to {link}, which does not exist"
        if anchor:
            assert anchor in anchors(target), f"{name} links to {link}: no such heading"


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub and mkdocs make of the headings of a page."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    plain = [re.sub(r"[^\w\s-]", "", title.lower()).strip() for title in titles]
    return {re.sub(r"[\s-]+", "-", title) for title in plain}


def test_tutorial_has_the_sample_data_and_pictures_of_a_size_for_the_web():
    assert "(docs/tutorial.md)" in README
    assert SAMPLE in TUTORIAL
    pictures = set(re.findall(r"!\[[^\]]+\]\(([^)]+)\)", TUTORIAL))
    assert len(pictures) >= 4
    for picture in pictures:
        size = (ROOT / "docs" / picture).stat().st_size
        assert size < 400_000, f"{picture} has {size / 1000:.0f} kB"


def test_tutorial_names_what_is_on_the_screen():
    """Words in bold are what a user looks for: in the panel, or in Slicer itself."""
    sources = [*UI_FILES, MODULE, *PANEL, *MRML, ROOT / "QSMSeparationLib/data/quantities.py"]
    shown = "".join(path.read_text(encoding="utf-8") for path in sources).lower()
    for words in set(re.findall(r"\*\*([^*]+)\*\*", TUTORIAL)) - SLICER_WORDS:
        if words.startswith(("File > ", "Edit > ")):  # Slicer's menus
            continue
        for label in words.split(" > "):
            escaped = label.lower().replace("2 × 2", "2 x 2")
            assert escaped in shown, f"the tutorial says **{words}**; nothing on the screen does"


def test_repository_is_small():
    asked = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-z"], capture_output=True, check=False
    )
    if asked.returncode:
        pytest.skip("not a git checkout")
    paths = [ROOT / name for name in asked.stdout.decode().split("\0") if name]
    size = sum(path.stat().st_size for path in paths if path.is_file())
    assert size < 40e6, f"{size / 1e6:.0f} MB: with its history a clone has to stay below 100 MB"


def test_module_imports_only_what_slicer_has():
    if not MODULE.is_file():
        pytest.skip("the module is not there")
    files, others = source_files.reached([MODULE, *PANEL, *MRML])
    assert MODULE in files
    foreign = set(others) - IN_SLICER - set(sys.stdlib_module_names)
    places = {name: others[name].relative_to(ROOT).as_posix() for name in foreign}
    assert not foreign, f"not part of Slicer, so to be imported where it is used: {places}"


def test_qt_and_slicer_are_imported_by_the_module_and_mrml_only():
    for path in sorted((ROOT / "QSMSeparationLib").rglob("*.py")):
        names = {name.split(".")[0] for name in source_files.imports(path)}
        if path not in MRML:
            assert not names & {"slicer", "vtk", "qt", "ctk"}, path


def test_nothing_reaches_into_the_network():
    network = {"requests", "urllib.request", "http.client", "socket", "ftplib", "urllib3"}
    for folder in ("QSMSeparation", "QSMSeparationLib"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            found = {
                alias.name if isinstance(node, ast.Import) else node.module or ""
                for node in ast.walk(source_files.tree(path))
                if isinstance(node, (ast.Import, ast.ImportFrom))
                for alias in node.names
            }
            assert not found & network, f"{path} imports {found & network}"


def test_packages_are_not_installed_by_own_code():
    for folder in ("QSMSeparation", "QSMSeparationLib"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            text = path.read_text(encoding="utf-8")
            assert not re.search(r"-m['\",\s]+pip\b", text), f"{path} calls pip"
            assert not re.search(r"pip_install\([^)]*torch", text), f"{path} installs torch"


# A constant may be computed, but not from the application, the system or a file.
_NOT_A_VALUE = {
    "slicer",
    "qt",
    "ctk",
    "vtk",
    "os",
    "sys",
    "subprocess",
    "importlib",
    "open",
    "print",
}


def _makes_a_value(statement: ast.Assign | ast.AnnAssign) -> bool:
    calls = (ast.unparse(n.func) for n in ast.walk(statement) if isinstance(n, ast.Call))
    return not {call.split(".")[0] for call in calls} & _NOT_A_VALUE


def _does_something(statement: ast.stmt) -> bool:
    """Whether a statement at file scope does more than define: loops, calls, conditions, ..."""
    definitions = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef, ast.Pass)
    if isinstance(statement, definitions):
        return False
    if isinstance(statement, ast.Expr):
        return not isinstance(statement.value, ast.Constant)  # a docstring
    if isinstance(statement, (ast.Assign, ast.AnnAssign)):
        return not _makes_a_value(statement)
    if isinstance(statement, ast.Try):
        nested = [*statement.body, *statement.orelse, *statement.finalbody]
        nested += [inner for handler in statement.handlers for inner in handler.body]
        return any(map(_does_something, nested))
    return bool(source_files.run_at_import([statement]))  # but not: if TYPE_CHECKING


@pytest.mark.parametrize("path", [MODULE, *PANEL, *MRML], ids=lambda path: path.name)
def test_nothing_runs_when_the_module_is_imported(path: Path):
    if not path.is_file():
        pytest.skip("the module is not there")
    doing = [
        f"{path.name}:{statement.lineno}: {ast.unparse(statement)[:80]}"
        for statement in source_files.tree(path).body
        if _does_something(statement)
    ]
    assert not doing, f"runs at file scope: {doing}"


@pytest.mark.parametrize("path", UI_FILES, ids=lambda path: path.name)
def test_panel_is_wired(path: Path):
    """MRML widgets get the scene, classes are declared, names are used once, labels have text."""
    root = ElementTree.parse(path).getroot()
    widgets = list(root.iter("widget"))
    top = root.find("widget")
    assert top.get("class") == "qMRMLWidget"
    names = [widget.get("name") for widget in widgets]
    assert len(names) == len(set(names)), (
        f"used twice: {sorted(n for n in names if names.count(n) > 1)}"
    )
    declared = {element.text for element in root.iterfind("customwidgets/customwidget/class")}
    wired = {
        connection.findtext("receiver")
        for connection in root.iterfind("connections/connection")
        if connection.findtext("sender") == top.get("name")
        and connection.findtext("signal") == "mrmlSceneChanged(vtkMRMLScene*)"
        and connection.findtext("slot") == "setMRMLScene(vtkMRMLScene*)"
    }
    for widget in widgets:
        kind, name = widget.get("class"), widget.get("name")
        if not kind.startswith("Q"):
            assert kind in declared, f"{name}: class {kind} is not declared"
        if kind.startswith("qMRML") and widget is not top:
            assert name in wired, f"{name} does not get the scene"
    bound = [
        prop.findtext("string")
        for prop in root.iter("property")
        if prop.get("name") == "SlicerParameterName"
    ]
    assert len(bound) == len(set(bound)), "a parameter is bound to two widgets"
