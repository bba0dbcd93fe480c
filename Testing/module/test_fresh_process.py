"""What happens in an application that has just begun: startup, a saved scene, Slicer's test driver."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import unittest

import slicer
from module_test_case import HERE, ModuleTestCase
from small_result import write_small_result

from QSMSeparationLib.mrml import layouts
from QSMSeparationLib.mrml.load import find_results, load_result

_SCRIPT = """
import importlib, json, sys
testing, module, scene, tests = sys.argv[1:]
sys.path.insert(0, testing)
import host, slicer
host.start()
sys.path.remove(testing)
told = {}
names = lambda: {n.split(".")[0] for n in sys.modules}
host.load_module(module)
told["heavy at startup"] = sorted(names() & {"torch", "skimage"})
told["panel at startup"] = sorted(n for n in sys.modules if n.startswith("QSMSeparationPanel."))

slicer.util.loadScene(scene)
slicer.app.processEvents()
manager = slicer.app.layoutManager()
told["layout"] = bool(manager.layoutLogic().GetLayoutNode().GetCurrentLayoutDescription())
shown = {}
for tag in ("QSMNet", "QSMPara", "QSMDia", "QSMFourth"):
    widget = manager.sliceWidget(tag)
    node = widget and widget.sliceLogic().GetBackgroundLayer().GetVolumeNode()
    shown[tag] = node.GetName() if node else None
told["shown"] = shown

widget = host.open_module("QSMSeparation")
told["runs"] = widget.ui.runComboBox.count
told["heavy with the panel"] = sorted(names() & {"torch", "skimage"})

sys.path.extend([testing + "/module"])  # as slicer.testing.runUnitTest does, and nothing else
told["tests"] = []
for name in tests.split(","):
    importlib.import_module(name)
    told["tests"].append(name)
told["uncaught"] = [str(error) for error in host.dialogs.uncaught]
print(json.dumps(told))
"""


@unittest.skipUnless("host" in sys.modules, "starts the test host in a process of its own")
class FreshProcessTest(ModuleTestCase):
    def test_startup_saved_scene_and_test_driver(self):
        write_small_result(self.folder / "result")
        run = load_result(find_results(self.folder / "result")[0], slicer.mrmlScene)
        layouts.show(slicer.app.layoutManager(), run, "four")
        scene = self.folder / "scene.mrb"
        self.assertTrue(slicer.util.saveScene(str(scene)))
        # Those that CMakeLists.txt leaves out for Slicer need pytest or the host.
        elsewhere = re.compile(r"^ *(import|from) (pytest|host|hypothesis)", re.MULTILINE)
        files = [(path.stem, path.read_text(encoding="utf-8")) for path in HERE.glob("test_*.py")]
        tests = [name for name, text in files if not elsewhere.search(text)]
        code = [HERE.parent, slicer.modules.qsmseparation.path, scene, ",".join(sorted(tests))]
        done = subprocess.run(
            [sys.executable, "-c", _SCRIPT, *map(str, code)], capture_output=True, text=True
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        told = json.loads(done.stdout.splitlines()[-1])
        with self.subTest("the start of the application stays quick"):
            self.assertEqual(told["heavy at startup"], [])
            self.assertEqual(told["panel at startup"], ["QSMSeparationPanel.parameters"])
            self.assertEqual(told["heavy with the panel"], [])
        with self.subTest("a scene that is opened before the panel shows its views"):
            self.assertTrue(told["layout"])
            roles = ("net", "chi_para", "chi_dia", "r2star")
            names = [run.node(role).GetName() for role in roles]
            self.assertEqual(list(told["shown"].values()), names)
            self.assertEqual(told["runs"], 1)
        with self.subTest("tests find their helpers"):
            self.assertEqual(told["tests"], sorted(tests))
        self.assertEqual(told["uncaught"], [])


if __name__ == "__main__":
    unittest.main()
