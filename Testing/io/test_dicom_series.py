"""Which series of a study look like one scan."""

from pathlib import Path

import pydicom
import pytest
from dicom_fixtures import TIMES_S, enhanced, ge, oblique_geometry, phantom, philips, save, siemens

from QSMSeparationLib.io.dicom_series import SeriesLook, look_at, series_of_scan


def look(kinds: set[str], tr_ms: float, echoes: int = 3, spin_echo: bool = False) -> SeriesLook:
    times = tuple(0.004 * (n + 1) for n in range(echoes))
    return SeriesLook(frozenset(kinds), spin_echo, times, (tr_ms, 15.0))


@pytest.mark.parametrize(
    ("vendor", "kinds"),
    [
        (siemens, {"magnitude", "phase"}),
        (philips, {"magnitude", "phase"}),
        (ge, {"real", "imaginary"}),
        (enhanced, {"magnitude", "phase"}),
    ],
)
def test_kinds_and_echoes_of_each_vendor_are_seen(tmp_path: Path, vendor, kinds):
    magnitude, phase = phantom()
    save(vendor(magnitude, phase, TIMES_S, oblique_geometry()), tmp_path)
    by_series: dict[str, list[Path]] = {}
    for file in sorted(tmp_path.iterdir()):
        by_series.setdefault(pydicom.dcmread(file).SeriesInstanceUID, []).append(file)
    looks = {uid: look_at(files) for uid, files in by_series.items()}
    assert set().union(*(one.kinds for one in looks.values())) == kinds
    assert all(one.has_echoes and not one.spin_echo for one in looks.values())
    assert series_of_scan(looks) == set(looks)


def test_files_that_are_no_images_are_nothing(tmp_path: Path):
    (tmp_path / "a").write_text("no DICOM")
    assert look_at([tmp_path / "a"]) is None
    assert look_at([]) is None


def test_only_what_belongs_together_is_chosen():
    looks = {
        "magnitude": look({"magnitude"}, 40),
        "phase": look({"phase"}, 40),
        "t1": look({"magnitude"}, 2300, echoes=1),
        "field map": look({"difference"}, 500),
        "phase of a field map": look({"phase"}, 400, echoes=1),
        "magnitude of a field map": look({"magnitude"}, 400, echoes=2),
        "spin echo": look({"magnitude"}, 3000, spin_echo=True),
        "t2": look({"magnitude"}, 4000, echoes=1, spin_echo=True),
        "report": None,
    }
    assert series_of_scan(looks) == {"magnitude", "phase", "spin echo"}


def test_echoes_in_series_of_their_own_belong_together():
    looks = {
        f"{kind} {n}": SeriesLook(frozenset({kind}), False, (0.004 * n,), (40.0, 15.0))
        for kind in ("magnitude", "phase")
        for n in (1, 2, 3)
    }
    assert series_of_scan(looks) == set(looks)
