"""``qsmsep methods`` and help: quick, and without a numerical library."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from command_line import run


def test_methods_as_json_names_inputs_and_citations(capsys):
    assert run("methods", "--json") == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert "r2prime" in rows["closed-form"]["needs"]
    assert all(row["citation"] for row in rows.values())


@pytest.mark.parametrize("arguments", [["--help"], ["methods"], ["methods", "--json"]])
def test_help_and_the_list_of_methods_load_no_numerical_library(arguments):
    code = (
        "import sys\n"
        "from QSMSeparationLib.cli.parser import main\n"
        "try:\n"
        f"    code = main({arguments!r})\n"
        "except SystemExit as leaving:\n"
        "    code = leaving.code\n"
        "slow = {'torch', 'numpy', 'scipy', 'SimpleITK', 'skimage', 'pydicom'} & set(sys.modules)\n"
        "sys.exit(f'{code} {slow}' if code or slow else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdin=subprocess.DEVNULL)
