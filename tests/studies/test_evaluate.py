"""Tests that claims are evaluated as in plain pandas, with one result per point."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pidlab import InvalidRequest
from pidlab.studies.claims import parse_claim
from pidlab.studies.evaluate import MissingRows, judge

AXIS_GROUPS = [["unique1", "unique2"], ["views"]]


def table(seeds=3, seed=0):
    """Return rows of two probes for two objectives at four points, shuffled."""
    draw = np.random.default_rng(seed)
    rows = [
        {
            **{"objective": o, "seed": s, "readout": r, "term": t, "quantity": "mi", "probe": p},
            **{"headline": p == "mlp", "truth": u if t == "unique1" else 1.0, "captured": draw.normal()},
            **{"redundant": 1.0, "unique1": u, "unique2": u, "views": v, "loss": draw.normal()},
        }
        for o in ("untrained", "comm(terms='joint')")
        for s in range(seeds)
        for r in ("z1", "z12")
        for t in ("unique1", "synergy")
        for p in ("linear", "mlp")
        for u in (0.0, 1.0)
        for v in ("task", "noise")
    ]
    return pd.DataFrame(rows).sample(frac=1, random_state=seed)


def judged(text, rows, axis_groups=AXIS_GROUPS):
    return judge(parse_claim(text), text, rows, axis_groups)


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 10**6),
    st.integers(1, 5),
    st.sampled_from(["z1", "z12"]),
    st.sampled_from(["unique1", "synergy"]),
    st.sampled_from([0.0, 1.0]),
    st.sampled_from(["<=", ">="]),
)
def test_means_margins_and_intervals_agree_with_pandas(seed, seeds, readout, term, unique, comparison):
    rows = table(seeds, seed)
    (found,) = judged(
        f"captured(objective=\"comm( terms = 'joint')\", term={term}, readout={readout}) {comparison} "
        f"2 * floor(term={term}, readout={readout}) - 0.1 at unique1={unique}, views=task",
        rows,
    )
    at = rows[(rows.readout == readout) & (rows.term == term) & (rows.unique1 == unique) & rows.headline]
    wide = at[at.views == "task"].pivot(index="seed", columns="objective", values="captured")
    left, floor = wide["comm(terms='joint')"], wide["untrained"]
    difference = (left - (2 * floor - 0.1)).to_numpy()
    assert found.left == pytest.approx(left.mean())
    assert found.right == pytest.approx(2 * floor.mean() - 0.1)
    sign = 1 if comparison == ">=" else -1
    assert found.margin == pytest.approx(sign * difference.mean())
    assert found.met == (found.margin >= 0)
    assert found.seeds == seeds
    if seeds == 1:
        assert (found.low, found.high, found.doubt) == (None, None, None)
    else:
        low, high = stats.t.interval(0.95, seeds - 1, difference.mean(), stats.sem(difference))
        assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))
        assert found.doubt == (low < 0 < high)


def test_each_function_returns_its_mean_over_seeds():
    rows = table()
    at = "objective='comm(terms=\"joint\")', term=unique1"
    here = rows[
        (rows.objective == "comm(terms='joint')") & (rows.term == "unique1") & (rows.readout == "z12")
    ]
    here = here[(here.unique1 == 1) & (here.views == "noise")]
    best = here[here.headline]
    expected = {
        f"captured({at})": best.captured.mean(),
        "truth(term=unique1)": 1.0,
        f"captured({at}, probe=linear)": here[~here.headline].captured.mean(),
        f"value({at}, column=loss)": best.loss.mean(),
        f"captured({at}, unique1=0)": rows.loc[
            (rows.objective == "comm(terms='joint')") & (rows.term == "unique1") & (rows.readout == "z12")
            & rows.headline & (rows.unique1 == 0) & (rows.views == "noise")
        ].captured.mean(),
    }  # fmt: skip
    for text, value in expected.items():
        (found,) = judged(f"{text} <= 0 at unique1=1, views=noise", rows)
        assert found.left == pytest.approx(value), text


def test_a_claim_is_judged_at_each_selected_point():
    text = "captured(objective=untrained, term=synergy) <= 100 {}"
    rows = table()
    assert len(judged(text.format("everywhere"), rows)) == 4
    found = judged(text.format("at unique2=1"), rows)
    assert [point.at["views"] for point in found] == [*dict.fromkeys(rows[rows.unique1 == 1].views)]
    with pytest.raises(InvalidRequest, match="there are 4 points: add 'at unique1="):
        judged(text.format(""), rows)
    both = "captured(objective=untrained, term=synergy, unique1={}) "
    assert len(judged(f"{both.format(0)} <= {both.format(1)} everywhere", rows)) == 2
    assert len(judged(f"{both.format(0)} <= 100 at views=task", rows)) == 1


def test_equality_has_a_tolerance():
    rows = table().assign(captured=0.97)
    (found,) = judged(
        "captured(objective=untrained, term=synergy, unique1=1, views=task) == 1 within 0.05", rows
    )
    assert found.met
    assert found.margin == pytest.approx(0.02)
    (found,) = judged(
        "captured(objective=untrained, term=synergy, unique1=1, views=task) == 1 within 0.01", rows
    )
    assert not found.met
    assert found.margin == pytest.approx(-0.02)


def test_reached_returns_the_first_tracked_step():
    steps = [0, 10, 100]
    rows = pd.DataFrame(
        {
            **{"objective": "comm", "term": "synergy", "readout": "z12", "quantity": "tracked"},
            **{"seed": [0] * 3 + [1] * 3, "step": steps * 2, "headline": True, "truth": 1.0},
            "captured": [0.0, 0.6, 0.9, 0.0, 0.1, 0.8],
        }
    )
    (found,) = judged("reached(term=synergy) <= 50", rows, [])
    assert (found.left, found.met, found.seeds) == (55.0, False, 2)
    (found,) = judged("reached(term=synergy, share=1) <= 50", rows, [])
    assert (found.left, found.met, found.low) == (float("inf"), False, None)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("captured(objective=untraind, term=synergy) <= 1 everywhere", "known values of objective: "),
        ("captured(objective=untrained, term=redundant) <= 1 everywhere", "known values of term: "),
        ("captured(term=synergy) <= 1 everywhere", "add objective=, one of "),
        ("captured(objective=untrained) <= 1 everywhere", "add term=, one of "),
        ("captured(objective=untrained, term=synergy, redout=z1) <= 1 everywhere", "did you mean 'readout'"),
        ("captured(objective=untrained, term=synergy) <= 1 at unique1=0.5", "no results at unique1=0.5"),
        ("captured(objective=untrained, term=synergy) <= 1 at uniqe1=0.5", "did you mean 'unique"),
        ("value(objective=untrained, term=synergy, column=los) <= 1 everywhere", "did you mean 'loss'"),
        ("1 / 0 <= 1 everywhere", "division by zero"),
        ("truth() <= 1 everywhere", "add term=, one of "),
    ],
)
def test_a_claim_about_missing_results_is_refused(text, says):
    with pytest.raises(InvalidRequest, match="column") as refused:
        judged(text, table())
    assert says in str(refused.value)


def test_missing_rows_state_the_objective():
    rows = table()
    with pytest.raises(MissingRows) as missing:
        judged("captured(objective=supervised, term=synergy) <= 1 everywhere", rows)
    assert missing.value.objective == "supervised"
    with pytest.raises(MissingRows) as missing:
        judged('captured(objective="cross( temperature=.10 )", term=synergy) <= 1 everywhere', rows)
    assert missing.value.objective == "cross(temperature=0.1)"  # the canonical spelling
