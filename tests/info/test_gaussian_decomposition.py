import mpmath
import numpy as np
import pytest
import torch
from pmfs import golden

from pidlab.errors import InvalidRequest
from pidlab.info import gaussian


def dims(case):
    return tuple(case["dims"][name] for name in ("Y", "X1", "X2"))


def random_covariance(rng, d):
    root = rng.normal(size=(d, d + 2))
    return root @ root.T


@pytest.mark.parametrize("case", golden("pid_gaussian"))
def test_terms_equal_the_golden_values(case):
    found = gaussian(np.array(case["covariance"]), dims(case))
    expected = [case["pid"][name] for name in ("R", "U1", "U2", "S")]
    np.testing.assert_allclose(list(found.terms.values()), expected, rtol=0, atol=1e-6)
    assert found.mi1 == pytest.approx(case["I_X1"], abs=1e-9)
    assert found.mi2 == pytest.approx(case["I_X2"], abs=1e-9)
    assert found.total == pytest.approx(case["I_X12"], abs=1e-8)
    assert found.gap <= 1e-6
    assert found.how == ("closed form" if case["dims"]["Y"] == 1 else "solver")
    assert min(found.terms.values()) >= -1e-12 - found.gap


def test_scale_and_mixing_change_nothing():
    rng = np.random.default_rng(1)
    covariance = random_covariance(rng, 6)
    mix = np.zeros((6, 6))
    for part in (slice(0, 2), slice(2, 4), slice(4, 6)):
        mix[part, part] = rng.normal(size=(2, 2)) * 100.0
    one, other = gaussian(covariance, (2, 2, 2)), gaussian(mix @ covariance @ mix.T, (2, 2, 2))
    np.testing.assert_allclose(
        list(one.terms.values()), list(other.terms.values()), rtol=0, atol=one.gap + other.gap + 1e-9
    )


def test_swapping_the_sources_swaps_the_unique_terms():
    covariance = random_covariance(np.random.default_rng(2), 6)
    order = [0, 1, 5, 2, 3, 4]
    one = gaussian(covariance, (2, 3, 1))
    other = gaussian(torch.as_tensor(covariance[np.ix_(order, order)]), (2, 1, 3))
    assert one.unique1 == pytest.approx(other.unique2, abs=one.gap + other.gap)
    assert one.synergy == pytest.approx(other.synergy, abs=one.gap + other.gap)


@pytest.mark.parametrize(
    ("covariance", "dims", "says"),
    [
        (np.eye(3), (1, 1, 2), "shape"),
        (np.eye(3), (3, 0, 0), "dims"),
        (np.ones((3, 3)), (1, 1, 1), "positive definite"),
        (np.diag([1.0, -1.0, 1.0]), (1, 1, 1), "positive"),
        (np.eye(3) + np.triu(np.full((3, 3), 0.1), 1), (1, 1, 1), "symmetric"),
        (np.full((3, 3), np.nan), (1, 1, 1), "finite"),
    ],
)
def test_invalid_input_is_refused_in_one_line(covariance, dims, says):
    with pytest.raises(InvalidRequest, match=says) as error:
        gaussian(covariance, dims)
    assert "\n" not in str(error.value)


def test_the_gap_holds_near_singularity():
    """Against determinants of 60 digits: rounding moves terms by more than 1e-6 here, and the gap says so."""

    def information(s, one, other):
        def entropy(which):
            return mpmath.log(mpmath.det(mpmath.matrix(s[np.ix_(which, which)].tolist())), 2) / 2

        return float(entropy(one) + entropy(other) - entropy([*one, *other]))

    rng = np.random.default_rng(0)
    moved = []
    with mpmath.workdps(60):
        for _ in range(60):
            d1, d2 = map(int, rng.integers(1, 4, 2))
            d = 1 + d1 + d2
            axes = np.linalg.qr(rng.normal(size=(d, d)))[0]
            s = axes @ np.diag(10 ** rng.uniform(-11.8, 0, size=d)) @ axes.T
            s = (s + s.T) / 2
            first, second = list(range(1, 1 + d1)), list(range(1 + d1, d))
            one, other, both = (information(s, [0], z) for z in (first, second, first + second))
            found = gaussian(s, (1, d1, d2))
            wrong = max(abs(found.redundant - min(one, other)), abs(found.synergy - both + max(one, other)))
            assert wrong <= found.gap < 0.01
            moved.append(wrong)
    assert max(moved) > 1e-7
