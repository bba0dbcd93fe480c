"""Where a stand-in that flatters would hide a defect: it does as Qt 5.15, CTK and Slicer do."""

import gc
import shutil
import subprocess
import sys

import ctk
import host
import pytest
import qt
import slicer


def listen(edit):
    told = []
    edit.connect("currentPathChanged(QString)", told.append)
    edit.connect("validInputChanged(bool)", told.append)
    return told


def test_an_emptied_path_is_told_by_the_second_signal_alone():
    edit = ctk.ctkPathLineEdit()
    told = listen(edit)
    edit.currentPath = "/data"
    edit.currentPath = ""
    assert told == ["/data", True, False]


def test_a_path_that_the_filters_do_not_accept_is_not_told():
    edit = ctk.ctkPathLineEdit()
    edit.nameFilters = ["Weights (*.pt)"]
    told = listen(edit)
    for path in ("/a", "/a.pt", "/a.txt", "/b.txt", ""):
        edit.currentPath = path
    assert told == ["/a.pt", True, False]


def test_the_newest_path_of_the_history_shows_itself():
    qt.QSettings().remove("ctkPathLineEdit")
    first = ctk.ctkPathLineEdit()
    first.settingKey = "Test/Folder"
    for path in ("/a", "/b"):
        first.currentPath = path
        first.addCurrentPathToHistory()
    second = ctk.ctkPathLineEdit()
    told = listen(second)
    second.settingKey = "Test/Folder"
    assert (second.currentPath, told) == ("/b", ["/b", True])
    qt.QSettings().remove("ctkPathLineEdit")


def test_the_launcher_ends_with_1_and_says_so_when_its_python_is_killed():
    code = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    done = subprocess.run(
        [shutil.which("PythonSlicer"), "-c", code], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "exit abnormally" in done.stderr


@pytest.mark.parametrize("code", [0, 2, 130])
def test_the_launcher_passes_other_ends_on(code):
    done = subprocess.run([shutil.which("PythonSlicer"), "-c", f"raise SystemExit({code})"])
    assert done.returncode == code


@pytest.mark.skipif(sys.platform == "win32", reason="the launcher there is a batch file")
def test_killing_the_launcher_leaves_its_python_running():
    code = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
    launcher = subprocess.Popen(
        [shutil.which("PythonSlicer"), "-c", code], stdout=subprocess.PIPE, text=True
    )
    pid = launcher.stdout.readline().strip()
    launcher.kill()
    launcher.wait()
    assert subprocess.run(["kill", "-0", pid], check=False).returncode == 0
    subprocess.run(["kill", "-KILL", pid], check=True)


def test_a_process_that_goes_in_its_own_error_is_found():
    kept = [qt.QProcess()]
    ended = []

    def let_go(*_: object) -> None:
        kept.clear()
        gc.collect()
        ended.append(1)

    kept[0].connect("errorOccurred(QProcess::ProcessError)", let_go)
    kept[0].start("/nonexistent/program", [])
    assert ended == []  # Qt 5.15 tells of it later
    assert host.wait_for(lambda: ended)
    [error] = host.dialogs.uncaught
    assert "Slicer crashes" in str(error)
    host.dialogs.uncaught.clear()


def test_in_testing_mode_no_dialog_opens():
    host.dialogs.answers.extend([False, False])
    assert not slicer.util.confirmOkCancelDisplay("for a user?")
    with host.testing_mode():
        slicer.util.confirmOkCancelDisplay("for nobody?")
    assert len(host.dialogs.answers) == 1, "nobody was asked"
    host.dialogs.answers.clear()


def test_in_testing_mode_nothing_is_installed():
    with host.testing_mode():
        slicer.packaging.pip_ensure(["no-such-package>=1"])
    assert host.dialogs.texts("pip") == []
    host.dialogs.answers.append(False)
    with pytest.raises(RuntimeError, match="declined"):
        slicer.packaging.pip_ensure(["no-such-package>=1"])
    slicer.packaging.pip_ensure(["numpy>=1"])


def test_views_of_a_new_layout_get_their_size_later():
    manager = slicer.app.layoutManager()
    tag = "HostLate"
    view = f'<view class="vtkMRMLSliceNode" singletontag="{tag}"/>'
    manager.layoutLogic().GetLayoutNode().AddLayoutDescription(
        7999, f'<layout type="horizontal"><item>{view}</item></layout>'
    )
    manager.setLayout(7999)
    node = manager.sliceWidget(tag).mrmlSliceNode()
    assert node.GetDimensions()[:2] == (256, 256)
    slicer.app.processEvents()
    assert node.GetDimensions()[0] > 256


def test_a_layout_that_is_not_known_shows_nothing():
    manager = slicer.app.layoutManager()
    manager.setLayout(7998)
    assert not manager.layoutLogic().GetLayoutNode().GetCurrentLayoutDescription()
    assert manager.layoutLogic().GetViewNodes().GetNumberOfItems() == 0


def test_texts_go_through_the_translator_of_the_application(monkeypatch):
    from slicer.i18n import tr

    monkeypatch.setattr(type(slicer.app), "translator", lambda app, text: text.upper())
    assert tr("word") == "WORD"
