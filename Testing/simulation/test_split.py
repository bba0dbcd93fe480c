"""Nobody is for two purposes, and training takes nobody else's people."""

from pathlib import Path

import pytest

from QSMSeparationLib.runtime.errors import InputError
from QSMSeparationLib.simulation import split
from QSMSeparationLib.training import anatomies


def test_every_person_has_one_purpose():
    seeds = {seed: split.purpose_of_seed(seed) for seed in (1, 899, 900, 999, 1000, 5000)}
    assert list(seeds.values()) == ["figures"] * 2 + ["settings"] * 2 + ["training"] * 2
    maps = [f"head{n:02d}.nii.gz" for n in range(1, 17)]
    purposes = [split.purpose_of_label_map(Path("heads") / name) for name in maps]
    assert [n for n, p in enumerate(purposes, 1) if p == "figures"] == [3, 7]
    assert [n for n, p in enumerate(purposes, 1) if p == "settings"] == [12, 13]
    assert purposes.count("training") == 12
    assert split.purpose_of_label_map(Path("somebody.nii.gz")) == "training"


@pytest.mark.parametrize(
    ("maps", "seeds", "named"),
    [
        ([Path("head07.nii.gz")], [], "head07"),
        ([Path("head13.nii")], [], "settings"),
        ([], [42], "42"),
    ],
)
def test_training_refuses_people_of_others(tmp_path, maps, seeds, named):
    with pytest.raises(InputError, match=named):
        anatomies.prepare(tmp_path, maps, seeds)
    assert not list(tmp_path.iterdir())
