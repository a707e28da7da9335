"""Sweeps over any pmf."""

import json

import pytest
from swept import run_and_draw

from pidlab.defaults import Training
from pidlab.info import gate, source_informations
from pidlab.sweeps import Request

pytestmark = pytest.mark.usefixtures("few_rows")

pytest.importorskip("pidlab.info.broja")


@pytest.mark.parametrize("own", [False, True], ids=["named", "own"])
def test_a_gate_is_compared_with_its_decomposition(tmp_path, own):
    (tmp_path / "and.json").write_text(json.dumps(gate("and").tolist()))
    what = str(tmp_path / "and.json") if own else "and"
    request = Request(
        generator=f"gate({what!r})",
        objectives=("untrained", "cross"),
        seeds=2,
        training=Training(steps=4, batch=32, hidden=16),
        probes="quick",
    )
    result = run_and_draw(request, tmp_path / "sweep")
    assert not result.failures
    assert set(result.table["term"]) == {"y"}
    truths = result.table.groupby("readout")["truth"].first()
    first, second = source_informations(gate("and"))
    assert truths["z1"] == pytest.approx(float(first))
    assert truths["z2"] == pytest.approx(float(second))
    assert truths["z12"] == pytest.approx(0.811278, abs=1e-6)
    assert result.table["synergy"].tolist() == pytest.approx([0.5] * len(result.table), abs=1e-6)
    assert (tmp_path / "sweep" / "captured.png").exists()
