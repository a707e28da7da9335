"""Changes that keep information keep captured bits; noise raises none."""

import pytest

from pidlab.validation import examination as invariance
from pidlab.validation.examination import NOISES, invariances


def check(table):
    assert table["within"].all(), table[~table["within"]].to_string()


def test_what_keeps_and_what_loses_bits_is_told_apart(monkeypatch):
    changes = invariance._changes(0)
    asked = {name: changes[name] for name in ("rotation", "noise 1")}
    # three coordinates of a bijection of four bits and noise: something is gone
    asked["loss"] = lambda z: z[..., :3]
    monkeypatch.setattr("pidlab.validation.examination._changes", lambda seed: asked)
    table = invariances("quick", cases=("noSyn",))
    check(table[table["change"] != "loss"])
    there = table[table["truth"] > 0]
    assert not there.loc[there["change"] == "loss", "within"].all()
    assert (there.loc[there["change"] == "noise 1", "difference"] < -0.01).all()


# Not `quick`: of so few rows its MLP reads awgn's synergy by .05 bit differently once they are rotated.
@pytest.mark.slow
@pytest.mark.parametrize("level", ["standard", "thorough"])
def test_every_change_at_a_level(level):
    table = invariances(level)
    check(table)
    headlines = table[table["probe"] == "headline"]
    assert len(headlines) == (4 + len(NOISES)) * 2 * 4
    assert set(table["probe"]) >= {"linear", "mlp"}
