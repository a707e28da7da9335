"""Redundancy and union information of more than two sources."""

import numpy as np
import pytest

from pidlab import InvalidRequest, decompose
from pidlab.info import gate, gates
from pidlab.info.multisource import REDUNDANCIES, decompose_sources


def law_of(rule, k=3):
    law = np.zeros((2,) * k + (8,))
    for symbols in np.ndindex(*(2,) * k):
        law[(*symbols, rule(*symbols))] = 2.0**-k
    return law


@pytest.mark.parametrize("measure", REDUNDANCIES)
@pytest.mark.parametrize("name", gates())
def test_two_sources_agree_with_decompose(name, measure):
    found, expected = decompose_sources(gate(name), measure), decompose(name, measure)
    assert found["redundancy"] == pytest.approx(expected.redundant, abs=1e-9)
    assert found["synergy"] == pytest.approx(expected.synergy, abs=1e-9)
    assert found["total"] == pytest.approx(expected.total, abs=1e-9)


@pytest.mark.parametrize("measure", REDUNDANCIES)
def test_three_copies_are_redundant(measure):
    law = np.zeros((2, 2, 2, 2))
    law[0, 0, 0, 0] = law[1, 1, 1, 1] = 0.5
    assert list(decompose_sources(law, measure).values()) == pytest.approx([1, 1, 0, 1], abs=1e-9)


def test_parity_of_three_bits():
    parity = law_of(lambda a, b, c: a ^ b ^ c)
    for measure in ("imin", "mmi", "gk"):
        assert list(decompose_sources(parity, measure).values()) == pytest.approx([0, 0, 1, 1], abs=1e-9)
    # P(x1 or x2 or x3) = 7/8, P(y and ...) = 4/8 for the true y: log2(4/8 / (1/2 * 7/8))
    assert decompose_sources(parity, "sx")["redundancy"] == pytest.approx(np.log2(8 / 7))


def test_three_independent_bits_are_unique_under_gk():
    found = decompose_sources(law_of(lambda a, b, c: 4 * a + 2 * b + c), "gk")
    assert list(found.values()) == pytest.approx([0, 3, 0, 3], abs=1e-9)


@pytest.mark.parametrize("measure", REDUNDANCIES)
def test_the_order_of_sources_does_not_matter(measure):
    law = np.random.default_rng(0).dirichlet(np.ones(24)).reshape(2, 3, 2, 2)
    found = decompose_sources(law, measure)
    swapped = decompose_sources(law.transpose(2, 0, 1, 3), measure)
    assert list(swapped.values()) == pytest.approx(list(found.values()), abs=1e-12)


@pytest.mark.parametrize(
    ("pmf", "measure", "why"),
    [
        (np.full((2, 2, 2, 2), 1 / 16), "broja", "not available for more than two sources"),
        (np.full((2, 2), 1 / 4), "imin", "two or more sources"),
        (np.full((2, 2, 2, 2), 1 / 8), "imin", "sum to 2, not 1"),
    ],
)
def test_invalid_requests_are_refused(pmf, measure, why):
    with pytest.raises(InvalidRequest, match=why):
        decompose_sources(pmf, measure)
