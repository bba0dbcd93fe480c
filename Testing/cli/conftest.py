"""Files that several commands are given."""

from __future__ import annotations

import pytest
from command_line import run, write_ball


@pytest.fixture(scope="session")
def case(tmp_path_factory):
    """Maps of a ball of tissue with an iron and a myelin inclusion, on a tilted grid."""
    return write_ball(tmp_path_factory.mktemp("case"))


@pytest.fixture(scope="session")
def shown(tmp_path_factory):
    """A demonstration at 4 mm, which is quick and no picture of quality."""
    folder = tmp_path_factory.mktemp("demo") / "out"
    quick = ["--voxel", "4", "--method", "closed-form", "--inversion", "tkd"]
    assert run("demo", folder, *quick, "--keep", "--progress", "none") == 0
    return folder
