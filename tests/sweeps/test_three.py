"""Sweeps over three modalities."""

import pytest
from swept import run_and_draw

from pidlab.defaults import Training
from pidlab.sweeps import Request
from pidlab.sweeps.request import Axis

pytestmark = pytest.mark.usefixtures("few_rows")


def test_a_factor_of_three_modalities_is_swept_and_drawn(tmp_path):
    request = Request(
        generator="three(redundant=None)",
        axes=(Axis(("synergy13",), (0.0, 1.0)),),
        objectives=("cross", "comm"),
        seeds=1,
        training=Training(steps=2, batch=16, hidden=8, dim=2),
        probes="quick",
    )
    result = run_and_draw(request, tmp_path / "sweep")
    assert not result.failures
    table = result.table
    assert set(table["readout"]) == {"z1", "z2", "z3", "z12"}
    assert set(table["term"]) == {"unique1", "unique2", "unique3", "synergy", "synergy13"}
    truth = table[table["term"] == "synergy13"].groupby(["readout", "synergy13"])["truth"].first()
    assert truth["z12"].to_dict() == {0.0: 0.0, 1.0: 1.0}
    assert truth["z3"].tolist() == [0.0, 0.0]
    assert table["unique1"].tolist() == pytest.approx([1.0] * len(table))
    assert table["redundant"].isna().all()
    assert (tmp_path / "sweep" / "captured.png").exists()
