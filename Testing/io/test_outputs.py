"""Files appear all together or not at all, and every writer knows its own only."""

import json

import numpy as np
import pytest

from QSMSeparationLib.data.volume import Geometry, Volume
from QSMSeparationLib.io.description import DESCRIPTION, describe_results
from QSMSeparationLib.io.files import sha256
from QSMSeparationLib.io.outputs import Outputs
from QSMSeparationLib.runtime.errors import InputError


def test_a_writer_below_another_lists_its_own_files_only(tmp_path):
    root = Outputs(tmp_path / "out")
    with root.at("sub-01/anat") as first:
        first.text("a.csv", "1", what="a")
    with root.at("sub-02/anat") as second:
        second.text("b.csv", "2", what="b")
    assert list(first.written) == ["a"]
    assert list(second.written) == ["b"]
    assert root.written == {}
    assert (tmp_path / "out" / "sub-02" / "anat" / "b.csv").read_text() == "2"


def test_a_failure_leaves_no_folder_behind_that_was_not_there(tmp_path):
    (tmp_path / "old").mkdir()
    for place in ("old/new/anat", "old"):
        with pytest.raises(RuntimeError, match="power"), Outputs(tmp_path / place) as outputs:
            outputs.text("a.csv", "1")
            raise RuntimeError("power cut")
    assert list(tmp_path.rglob("*")) == [tmp_path / "old"]


def test_hashes_are_those_of_the_files(tmp_path):
    volume = Volume(np.ones((3, 4, 5), np.float32), Geometry((3, 4, 5)))
    with Outputs(tmp_path) as outputs:
        outputs.volume("sub-01/anat/x", volume, {"Units": "ppm"})
        hashes = outputs.hashes()
    assert set(hashes) == {"sub-01/anat/x.nii.gz", "sub-01/anat/x.json"}
    assert hashes == {name: sha256(tmp_path / name) for name in hashes}
    with pytest.raises(RuntimeError):
        outputs.hashes()


def test_results_are_described_once(tmp_path):
    describe_results(tmp_path)
    said = json.loads((tmp_path / DESCRIPTION).read_text())
    assert said["DatasetType"] == "derivative"
    (tmp_path / DESCRIPTION).write_text("{}")
    describe_results(tmp_path)
    assert (tmp_path / DESCRIPTION).read_text() == "{}"
    assert [path.name for path in tmp_path.iterdir()] == [DESCRIPTION]
    with pytest.raises(InputError, match="can't be written"):
        describe_results(tmp_path / "nowhere")
