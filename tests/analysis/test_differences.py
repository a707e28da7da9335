"""Paired differences: what seeds have in common cancels."""

import numpy as np
import pandas as pd
import pytest

from pidlab import InvalidRequest
from pidlab.analysis.differences import paired_differences


def table(seeds=5, objectives=("a", "b")):
    rng = np.random.default_rng(0)
    worlds = rng.normal(size=seeds)
    rows = [
        {
            "run": f"{o}{s}",
            "objective": o,
            "seed": s,
            "readout": "z12",
            "term": "unique1",
            "quantity": "mi",
            "truth": 1.0,
            "captured": worlds[s] + 0.1 * i + 0.01 * (s % 2),
            "low": 0.0,
            "high": 0.0,
            "probe": "linear",
            "headline": True,
            "converged": None,
            "unique1": 1.0,
        }
        for i, o in enumerate(objectives)
        for s in range(seeds)
    ]
    return pd.DataFrame(rows)


def test_worlds_cancel_and_the_interval_is_students():
    (row,) = paired_differences(table()).to_dict("records")
    assert (row["first"], row["second"], row["seeds"]) == ("a", "b", 5)
    assert row["difference"] == pytest.approx(-0.1)
    assert row["low"] == pytest.approx(-0.1)  # all of the spread is the worlds'
    assert row["high"] == pytest.approx(-0.1)


def test_the_interval_of_two_seeds_is_that_of_one_degree_of_freedom():
    rows = table(seeds=2)
    rows.loc[rows["objective"] == "a", "captured"] = [0.0, 0.2]
    rows.loc[rows["objective"] == "b", "captured"] = [0.0, 0.0]
    (row,) = paired_differences(rows).to_dict("records")
    # t(.975, 1) = 12.706; deviation .1414 over sqrt 2 is .1
    assert row["high"] == pytest.approx(0.1 + 12.7062 * 0.1, abs=1e-3)


def test_one_seed_has_no_interval_and_one_objective_no_difference():
    assert paired_differences(table(seeds=1))[["low", "high"]].isna().all(axis=None)
    with pytest.raises(InvalidRequest, match="two objectives"):
        paired_differences(table(objectives=("a",)))
