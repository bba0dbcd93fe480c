"""Claims: one holder at a time, whoever died left nothing behind."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from QSMSeparationLib.cohort.claims import Claimed, claim
from QSMSeparationLib.cohort.records import STATE_FOLDER

HOLD = """
import sys, time
from pathlib import Path
from QSMSeparationLib.cohort.claims import claim
with claim(Path(sys.argv[1]), "sub-01"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the claim."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline().strip() == "held"
    yield process
    process.kill()
    process.wait()


def test_a_scan_that_another_process_works_on_is_left_to_it(tmp_path, holder):
    with pytest.raises(Claimed, match="another run"), claim(tmp_path, "sub-01"):
        pass
    with claim(tmp_path, "sub-02"):
        pass


def test_the_claim_of_a_killed_process_is_taken_over(tmp_path, holder):
    holder.kill()
    holder.wait()
    with claim(tmp_path, "sub-01"):
        pass
    assert not list((tmp_path / STATE_FOLDER / "claims").iterdir())


def test_a_claim_of_another_machine_counts_until_nobody_touches_it(tmp_path):
    file = tmp_path / STATE_FOLDER / "claims" / "sub-01"
    file.parent.mkdir(parents=True)
    file.write_text("elsewhere 1 token")
    with pytest.raises(Claimed), claim(tmp_path, "sub-01"):
        pass
    old = time.time() - 1000
    os.utime(file, (old, old))
    with claim(tmp_path, "sub-01"):
        assert "elsewhere" not in file.read_text()
    assert not file.exists()


def test_a_block_that_fails_gives_its_claim_back(tmp_path):
    with pytest.raises(ValueError, match="broken"), claim(tmp_path, "sub-01"):
        raise ValueError("broken")
    with claim(tmp_path, "sub-01"):
        pass
