"""What a user points at: told apart, or refused with the reason."""

import os

import dicom_fixtures as fixtures
import pytest

from QSMSeparationLib.io.bids_names import is_bids_name, require_bids_name
from QSMSeparationLib.io.source import Given, read_source, source_kind
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


def test_only_the_listed_dicom_files_are_used(tmp_path):
    """As a viewer's database hands them over: one patient's files among those of others."""
    grid = fixtures.oblique_geometry()
    magnitude, phase = fixtures.phantom()
    mine = fixtures.siemens(magnitude, phase, fixtures.TIMES_S, grid)
    others = fixtures.siemens(
        magnitude, phase, fixtures.TIMES_S, grid, study="1.2.3.2", patient=("Doe^J", "ID-2")
    )
    fixtures.save(mine, tmp_path / "mine")
    fixtures.save(others, tmp_path / "others")
    with pytest.raises(InputError, match="2 patients"):
        read_source(tmp_path)
    files = tuple(sorted((tmp_path / "mine").iterdir()))
    (scan,) = read_source(tmp_path, given=Given(files=files))
    assert scan.echo_times_s == pytest.approx(fixtures.TIMES_S)
    assert source_kind(tmp_path, files) == "dicom"
