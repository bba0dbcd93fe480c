"""Files that several commands are given."""

from __future__ import annotations

import pytest
from command_line import write_ball


@pytest.fixture(scope="session")
def case(tmp_path_factory):
    """Maps of a ball of tissue with an iron and a myelin inclusion, on a tilted grid."""
    return write_ball(tmp_path_factory.mktemp("case"))
