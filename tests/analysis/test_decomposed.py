"""BROJA of representations: known splits, from posteriors that are known."""

import numpy as np
import pytest
import torch

from pidlab.analysis.decomposed import decomposed
from pidlab.analysis.reading import Reading


def reading(sent, y, noise, seed):
    """What an exact probe knows of a bit y from `sent` plus noise (None: nothing)."""
    generator = torch.Generator().manual_seed(seed)
    posteriors = []
    for part in range(2):
        rows = y[part]
        if sent[part] is None:
            log_q = torch.full((2, len(rows)), 0.5).log()
        else:
            z = 2.0 * sent[part] - 1.0 + noise * torch.randn(len(rows), generator=generator)
            log_q = torch.log_softmax(torch.stack([-((z + 1) ** 2), -((z - 1) ** 2)]) / (2 * noise**2), 0)
        posteriors.append(log_q.expand(2, -1, -1))
    labels = [rows.expand(2, -1) for rows in y]
    return Reading(("exact",), (posteriors[0],), (posteriors[1],), *labels, torch.full((2, 2), 0.5).log())


@pytest.fixture(scope="module")
def bits():
    generator = torch.Generator().manual_seed(0)
    return [torch.randint(0, 2, (n,), generator=generator) for n in (8000, 40_000)]


NOTHING = (None, None)

# 40,000 test rows: a count of 16 x 2 cells is biased by 15 / (2 n ln 2) = .0003 bit, and its standard
# error is below 1 / sqrt(n) = .005.
CLOSE = 0.015


def terms(held):
    assert (held.terms.redundant[0] == held.terms.redundant[1]).all()  # equal members
    return [float(v[0]) for v in held.terms.terms.values()]


def test_a_shared_bit_is_redundant_a_private_one_unique_and_an_xor_synergy(bits):
    held, empty = reading(bits, bits, 0.2, 1), reading(NOTHING, bits, 1.0, 2)
    np.testing.assert_allclose(terms(decomposed(held, held, held)), [1, 0, 0, 0], atol=CLOSE)
    np.testing.assert_allclose(terms(decomposed(held, empty, held)), [0, 1, 0, 0], atol=CLOSE)
    np.testing.assert_allclose(terms(decomposed(empty, held, held)), [0, 0, 1, 0], atol=CLOSE)
    np.testing.assert_allclose(terms(decomposed(empty, empty, held)), [0, 0, 0, 1], atol=CLOSE)


def test_a_modality_that_drops_a_shared_bit_makes_it_unique(bits):
    # terms are not monotone: U1 grows as z2 loses what it shared
    sharp, dull = reading(bits, bits, 0.2, 1), reading(bits, bits, 1.0, 2)
    both = decomposed(sharp, dull, sharp)
    redundant, unique1, unique2, _ = terms(both)
    assert redundant == pytest.approx(float(both.second[0]), abs=CLOSE)
    assert unique1 == pytest.approx(1 - float(both.second[0]), abs=CLOSE)
    assert unique2 == pytest.approx(0.0, abs=CLOSE)
    assert both.agrees.all()


def test_terms_add_up_to_the_three_informations(bits):
    one, two = reading(bits, bits, 0.7, 3), reading(bits, bits, 0.9, 4)
    held = decomposed(one, two, one)
    np.testing.assert_allclose(held.terms.mi1, held.first, atol=1e-9)
    np.testing.assert_allclose(held.terms.mi2, held.second, atol=1e-9)
    np.testing.assert_allclose(held.terms.total, held.joint, atol=1e-9)
