"""Tests of verdicts: p-values, Holm's correction, and the decision on claims."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from pidlab.studies.claims import parse_claim
from pidlab.studies.evaluate import JudgedPoint, judge, p_values
from pidlab.studies.schema import StatedClaim
from pidlab.studies.verdicts import JudgedClaim, count_verdicts, decide, holm

CLAIM = StatedClaim(claim="captured() >= 0.9", source="test")


@given(st.integers(0, 10**6), st.integers(2, 10), st.sampled_from(["<=", ">=", "<", ">"]))
def test_p_values_agree_with_scipy(seed, seeds, comparison):
    differences = np.random.default_rng(seed).normal(0.3, 1.0, seeds)
    above = stats.ttest_1samp(differences, 0.0, alternative="greater").pvalue
    expected = (above, 1 - above) if comparison[0] == ">" else (1 - above, above)
    assert p_values(differences, comparison) == pytest.approx(expected)


def test_equality_is_tested_by_two_one_sided_tests():
    differences = np.array([0.01, -0.02, 0.03, 0.0])
    support, refute = p_values(differences, "==", 0.05)
    sides = [
        stats.ttest_1samp(differences, -0.05, alternative="greater").pvalue,
        stats.ttest_1samp(differences, 0.05, alternative="less").pvalue,
    ]
    assert support == pytest.approx(max(sides))
    assert refute == 1.0
    assert p_values(differences + 1, "==", 0.05)[1] < 0.001


@pytest.mark.parametrize(
    ("value", "comparison", "within", "expected"),
    [
        (0.0, ">=", 0.0, (0.0, 1.0)),
        (0.0, ">", 0.0, (1.0, 0.0)),
        (-1.0, "<", 0.0, (0.0, 1.0)),
        (0.5, "==", 0.5, (0.0, 1.0)),
        (0.6, "==", 0.5, (1.0, 0.0)),
    ],
)
def test_equal_seeds_are_decided_by_the_comparison(value, comparison, within, expected):
    assert p_values(np.full(3, value), comparison, within) == expected


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_agrees_with_its_definition(values):
    order = np.argsort(values, kind="stable")
    m = len(values)
    for i, p in enumerate(holm(values)):
        rank = list(order).index(i)
        steps = [min(1.0, (m - k) * values[order[k]]) for k in range(rank + 1)]
        assert p == pytest.approx(max(steps))


def judged(*p_values, experiment="main", seeds=3, met=True):
    points = [JudgedPoint({}, 1.0, 0.9, met, 0.1, seeds=seeds, support=s, refute=r) for s, r in p_values]
    return JudgedClaim(CLAIM, experiment, tuple(points))


def verdicts(*claims, replicated=("main",)):
    return [claim.verdict for claim in decide([*claims], replicated=replicated)]


def test_verdicts_follow_the_interval_of_one_claim():
    assert verdicts(judged((0.02, 0.98))) == ["supported"]
    assert verdicts(judged((0.03, 0.97))) == ["undecided"]
    assert verdicts(judged((0.98, 0.02))) == ["refuted"]


def test_verdicts_are_corrected_for_the_number_of_claims():
    assert verdicts(judged((0.02, 0.98)), judged((0.5, 0.5))) == ["undecided", "undecided"]
    assert verdicts(judged((0.012, 0.9)), judged((0.02, 0.9))) == ["supported", "supported"]
    assert verdicts(judged((0.9, 0.012)), judged((0.5, 0.5))) == ["refuted", "undecided"]


def test_a_claim_about_several_points_must_hold_at_all():
    assert verdicts(judged((0.001, 0.999), (0.02, 0.98))) == ["supported"]
    assert verdicts(judged((0.001, 0.999), (0.3, 0.7))) == ["undecided"]
    assert verdicts(judged((0.001, 0.999), (0.99, 0.01))) == ["refuted"]
    assert verdicts(judged((0.001, 0.999), (0.98, 0.02))) == ["undecided"]


def test_claims_without_an_interval_are_undecided():
    assert verdicts(judged((None, None), seeds=1)) == ["undecided"]
    assert verdicts(judged((0.001, 0.999), (None, None))) == ["undecided"]
    assert verdicts(JudgedClaim(CLAIM, "main", (), "runs failed")) == ["undecided"]


def test_claims_without_replicates_are_decided_by_their_values():
    exam = {"experiment": "known-answers", "seeds": 1}
    found = verdicts(judged((None, None), **exam), judged((None, None), met=False, **exam))
    assert found == ["supported", "refuted"]
    assert verdicts(judged((None, None), seeds=None)) == ["supported"]  # no function depends on the seed


def test_counts_of_verdicts():
    claims = decide([judged((0.0, 1.0)), judged((0.5, 0.5))], replicated=["main"])
    assert count_verdicts(claims) == "1 supported, 1 undecided, 0 refuted"
    assert "corrected p = 1" in str(claims[1])


def test_successes_are_counted_with_an_exact_interval():
    table = pd.DataFrame(
        {
            **{"objective": "comm", "term": "synergy", "readout": "z12", "quantity": "mi", "headline": True},
            **{"seed": range(5), "truth": 1.0, "captured": [1.0, 0.95, 0.9, 0.89, 0.0]},
        }
    )
    text = "captured(objective=comm, term=synergy) >= 0.9"
    (found,) = judge(parse_claim(text), text, table)
    interval = stats.binomtest(3, 5).proportion_ci(method="exact")
    assert found.reached == 3
    assert (found.reached_low, found.reached_high) == pytest.approx((interval.low, interval.high))
    (found,) = judge(parse_claim(text), text, table.assign(truth=0.0))
    assert found.reached is None


def test_the_shown_point_has_the_smallest_margin_where_the_term_has_information():
    nothing = JudgedPoint({"unique": 0.0}, 0.0, 0.0, True, 0.0)
    near = JudgedPoint({"unique": 0.5}, 0.5, 0.45, True, 0.05, reached=3)
    far = JudgedPoint({"unique": 1.0}, 1.0, 0.9, True, 0.1, reached=3)
    assert JudgedClaim(CLAIM, "main", (nothing, near, far)).worst is near
    assert JudgedClaim(CLAIM, "main", (nothing,)).worst is nothing
    chance = JudgedPoint({"unique": 0.0}, 0.2, 0.1, False, -0.1)
    assert JudgedClaim(CLAIM, "main", (near, chance, far)).worst is chance
