"""Changes that keep information keep captured bits; noise raises none."""

import pandas as pd
import pytest

from pidlab.analysis.invariance import NOISES, invariances


def check(table):
    assert table["within"].all(), table[~table["within"]].to_string()


def test_by_quick_probes():
    table = invariances("quick", cases=("noSyn", "X1only"))
    check(table)
    assert len(table) == (4 + len(NOISES)) * 2 * 4
    # noise of the size of the representation does lower what is read
    heavy = table[(table["change"] == "noise 1") & (table["truth"] > 0)]
    assert (heavy["difference"] < -0.01).all()


@pytest.mark.slow
def test_by_thorough_probes():
    check(invariances("thorough"))


def test_a_change_that_loses_a_bit_is_found(monkeypatch):
    lossy = {"rotation": lambda z: z[..., :3], "noise 1": lambda z: z}
    monkeypatch.setattr("pidlab.analysis.invariance._changes", lambda seed: lossy)
    table = invariances("quick", cases=("noSyn",))
    lost = table[(table["change"] == "rotation") & (table["truth"] > 0)]
    assert not lost["within"].all()
    assert table[table["change"] == "noise 1"]["within"].all()
    assert isinstance(table, pd.DataFrame)
