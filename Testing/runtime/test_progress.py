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
from QSMSeparationLib.runtime.run_time import SECONDS, RunTime


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


def test_the_share_of_the_whole_run_never_falls_and_ends_at_one():
    stream = io.StringIO()
    progress = Progress(JsonSink(stream), "run")
    stages = [
        "finding scans",
        "reading",
        "brain mask",
        "field map",
        "R2*",
        "registering spin echo",
        "R2",
    ]
    stages += ["background field", "inversion: tkd", "separation: closed-form", "data checks"]
    with progress.stage(stages[0]):
        pass
    progress.expect_scans(2)
    for stage in 2 * [*stages[1:], "a stage of tomorrow", "lesions", "writing"]:
        with progress.part().stage(stage) as report:
            report(1, 2)
    shares = [json.loads(line)["run_done"] for line in stream.getvalue().splitlines()]
    assert shares == sorted(shares)
    assert shares[0] == 0
    assert 0.3 < shares[len(shares) // 2] < 0.7
    assert shares[-1] == 1


def test_time_left_follows_the_speed_of_this_computer():
    slow, fast = RunTime("separate"), RunTime("separate")
    for run, factor in ((slow, 4.0), (fast, 1.0)):
        run.update("inversion: tv", 0.0, 0.0, None)
        share = run.update("inversion: tv", 1.0, factor * SECONDS["inversion: tv"], 0.0)
        later = sum(SECONDS[stage] for stage in ("separation", "lesions", "writing"))
        assert share.eta_s == pytest.approx(factor * later, rel=0.2)
    assert RunTime("evaluate").update("any stage", 0.5, 1.0, 1.0) is None


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
