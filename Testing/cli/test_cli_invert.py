"""``qsmsep invert``: local field to net chi."""

from __future__ import annotations

import json

from command_line import given, run


def test_invert_writes_net_chi(case, tmp_path):
    arguments = ["invert", tmp_path, *given(case, "field", "mask"), "--progress", "none"]
    assert (
        run(*arguments, "--method", "tkd", "--set", "threshold=0.3", "--name", "sub-A7_ses-2") == 0
    )
    facts = json.loads((tmp_path / "sub-A7_ses-2_Chimap.json").read_text())
    assert facts["InversionParameters"] == {"threshold": 0.3}
    assert facts["Reference"] == "mean over the brain mask"
