"""Progress, cancellation, and output folders that never overwrite or half-write."""

from __future__ import annotations

import io
import json
import time

import numpy as np
import pytest

from QSMSeparationLib.data.volume import Geometry, Volume
from QSMSeparationLib.io.outputs import Outputs
from QSMSeparationLib.runtime.errors import Cancelled, InputError
from QSMSeparationLib.runtime.progress import JsonSink, Progress, TextSink, cancel_when_closed


def test_json_lines_carry_stage_count_and_estimate():
    stream = io.StringIO()
    progress = Progress(JsonSink(stream))
    with progress.stage("inversion") as report:
        time.sleep(0.02)
        report(1, 4)
    progress.sink.finish({"net": "/x"})
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert lines[1]["stage"] == "inversion"
    assert (lines[1]["done"], lines[1]["of"]) == (1, 4)
    assert lines[1]["eta_s"] > 0
    assert lines[-1] == {"stage": "done", "outputs": {"net": "/x"}}
    assert progress.seconds["inversion"] > 0


def test_a_cancelled_run_stops_at_its_next_report():
    progress = Progress()
    with pytest.raises(Cancelled), progress.stage("work") as report:
        for n in range(10):
            report(n, 10)
            if n == 3:
                progress.cancel()
    assert "work" not in progress.seconds


def test_closing_the_pipe_cancels():
    progress = Progress()
    cancel_when_closed(io.StringIO(""), progress).join(2)
    with pytest.raises(Cancelled):
        progress.check()


def test_a_part_shares_cancellation_but_not_seconds():
    progress = Progress()
    part = progress.part()
    with part.stage("a"):
        pass
    assert progress.seconds == {}
    progress.cancel()
    with pytest.raises(Cancelled):
        part.check()


def test_text_without_a_terminal_is_one_line_a_stage():
    stream = io.StringIO()
    with Progress(TextSink(stream)).stage("unwrap") as report:
        for n in range(5):
            report(n, 5)
    assert stream.getvalue() == "  unwrap ...\n"


def image() -> Volume:
    return Volume(np.ones((3, 4, 5), np.float32), Geometry((3, 4, 5)))


def test_outputs_appear_together(tmp_path):
    with Outputs(tmp_path / "out") as outputs:
        outputs.volume("a/map", image(), {"Units": "ppm"}, what="map")
        assert not list((tmp_path / "out").glob("a/*"))
    assert {p.name for p in (tmp_path / "out" / "a").iterdir()} == {"map.nii.gz", "map.json"}
    assert outputs.written == {"map": str(tmp_path / "out" / "a" / "map.nii.gz")}


def test_a_failed_run_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError), Outputs(tmp_path) as outputs:
        outputs.volume("map", image(), {})
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_existing_files_are_kept_unless_asked(tmp_path):
    (tmp_path / "map.json").write_text("mine")
    with (
        pytest.raises(InputError, match=r"map\.json already exists.*--overwrite"),
        Outputs(tmp_path) as out,
    ):
        out.json("map.json", {})
        out.json("other.json", {})
    assert (tmp_path / "map.json").read_text() == "mine"
    assert not (tmp_path / "other.json").exists()
    with Outputs(tmp_path, overwrite=True) as out:
        out.json("map.json", {"a": 1})
    assert json.loads((tmp_path / "map.json").read_text()) == {"a": 1}


def test_a_file_in_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "out").write_text("x")
    with pytest.raises(InputError, match="is a file"):
        Outputs(tmp_path / "out").refuse_existing(["a"])
