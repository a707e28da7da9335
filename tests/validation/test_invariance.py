"""Transformations that preserve information preserve captured bits; noise does not increase them."""

import pytest

from pidlab.validation import examination as invariance
from pidlab.validation.examination import NOISES, invariances


def check(table):
    assert table["within"].all(), table[~table["within"]].to_string()


def test_lossless_and_lossy_changes_are_distinguished(monkeypatch):
    changes = invariance._changes(0)
    selected = {name: changes[name] for name in ("rotation", "noise 1")}
    # three coordinates of a bijection of four bits and noise lose information
    selected["loss"] = lambda z: z[..., :3]
    monkeypatch.setattr("pidlab.validation.examination._changes", lambda seed: selected)
    table = invariances("quick", cases=("noSyn",))
    check(table[table["change"] != "loss"])
    informative = table[table["truth"] > 0]
    assert not informative.loc[informative["change"] == "loss", "within"].all()
    assert (informative.loc[informative["change"] == "noise 1", "difference"] < -0.01).all()


# Not `quick`: with its few rows, rotation changes the synergy that its MLP reads in awgn by 0.05 bits.
@pytest.mark.slow
@pytest.mark.parametrize("level", ["standard", "thorough"])
def test_all_changes_at_a_level(level):
    table = invariances(level)
    check(table)
    headlines = table[table["probe"] == "headline"]
    assert len(headlines) == (4 + len(NOISES)) * 2 * 4
    assert set(table["probe"]) >= {"linear", "mlp"}
