"""What a user points at: told apart, or refused with the reason."""

import os

import pytest

from QSMSeparationLib.io.bids_names import is_bids_name, require_bids_name
from QSMSeparationLib.io.source import read_source
from QSMSeparationLib.runtime.errors import InputError


def test_folders_that_hold_nothing_usable(tmp_path):
    with pytest.raises(InputError, match="no files"):
        read_source(tmp_path)
    with pytest.raises(InputError, match="does not exist"):
        read_source(tmp_path / "absent")
    archive = tmp_path / "scan.zip"
    archive.write_bytes(b"PK\3\4")
    with pytest.raises(InputError, match="unpack"):
        read_source(archive)
    with pytest.raises(InputError, match="neither BIDS nor DICOM"):
        read_source(tmp_path)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")  # reading it would wait for ever
    with pytest.raises(InputError, match="neither BIDS nor DICOM"):
        read_source(tmp_path)


@pytest.mark.parametrize("name", ["sub-01", "sub-A7_ses-02"])
def test_names_of_subjects_and_sessions_are_taken(name):
    assert require_bids_name(name) == name


@pytest.mark.parametrize(
    "name",
    ["", "01", "sub-", "sub-01_ses-", "sub-01/..", "sub-Anna B", "sub-01_run-1", "sub-" + 65 * "a"],
)
def test_other_names_are_refused(name):
    assert not is_bids_name(name)
    with pytest.raises(InputError, match="sub-01"):
        require_bids_name(name)
