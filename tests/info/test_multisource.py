"""Redundancy and union information of more than two sources."""

import numpy as np
import pytest

from pidlab import InvalidRequest, decompose
from pidlab.info import gate, gates
from pidlab.info.multisource import MEASURES, REDUNDANCIES, decompose_sources


def terms(law, measure):
    """Redundancy, union, synergy and total."""
    found = decompose_sources(law, measure)
    assert found.pop("gap") < 1e-8
    return [*found.values()]


def law_of(rule, k=3):
    law = np.zeros((2,) * k + (8,))
    for symbols in np.ndindex(*(2,) * k):
        law[(*symbols, rule(*symbols))] = 2.0**-k
    return law


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("name", gates())
def test_two_sources_agree_with_decompose(name, measure):
    found, expected = decompose_sources(gate(name), measure), decompose(name, measure)
    if measure != "broja":
        assert found["redundancy"] == pytest.approx(expected.redundant, abs=1e-9)
    assert found["union"] == pytest.approx(expected.total - expected.synergy, abs=1e-8)
    assert found["synergy"] == pytest.approx(expected.synergy, abs=1e-8)
    assert found["total"] == pytest.approx(expected.total, abs=1e-9)


@pytest.mark.parametrize("measure", REDUNDANCIES)
def test_three_copies_are_redundant(measure):
    law = np.zeros((2, 2, 2, 2))
    law[0, 0, 0, 0] = law[1, 1, 1, 1] = 0.5
    assert terms(law, measure) == pytest.approx([1, 1, 0, 1], abs=1e-8)


def test_parity_of_three_bits():
    parity = law_of(lambda a, b, c: a ^ b ^ c)
    for measure in ("imin", "mmi", "gk", "ccs"):
        assert terms(parity, measure) == pytest.approx([0, 0, 1, 1], abs=1e-8)
    assert terms(parity, "broja")[1:] == pytest.approx([0, 1, 1], abs=1e-8)
    # P(x1 or x2 or x3) = 7/8, P(y and ...) = 4/8 for the true y: log2(4/8 / (1/2 * 7/8))
    assert decompose_sources(parity, "sx")["redundancy"] == pytest.approx(np.log2(8 / 7))


@pytest.mark.parametrize("measure", ["gk", "ccs"])
def test_three_independent_bits_are_unique(measure):
    law = law_of(lambda a, b, c: 4 * a + 2 * b + c)
    assert terms(law, measure) == pytest.approx([0, 3, 0, 3], abs=1e-8)
    assert terms(law, "broja")[1:] == pytest.approx([3, 0, 3], abs=1e-8)


def test_the_union_of_a_pair_and_a_copy_is_that_of_the_pair():
    law = np.random.default_rng(0).dirichlet(np.ones(12)).reshape(2, 3, 2)
    copied = np.zeros((2, 3, 2, 2))
    copied[[0, 1], :, [0, 1]] = law
    expected = decompose(law)
    assert terms(copied, "broja")[1] == pytest.approx(expected.total - expected.synergy, abs=1e-8)


@pytest.mark.parametrize("shape", [(2, 2, 2, 2), (3, 2, 2, 3), (2, 2, 2, 2, 2)])
@pytest.mark.parametrize("concentration", [0.1, 1.0])
def test_the_union_agrees_with_a_conic_solver(shape, concentration):
    import cvxpy as cp

    size, k = int(np.prod(shape)), len(shape) - 1
    law = np.random.default_rng(1).dirichlet(np.full(size, concentration)).reshape(shape)
    q = cp.Variable(size, nonneg=True)
    of_y = np.ones((shape[-1], shape[-1]))
    total = np.kron(np.eye(size // shape[-1]), of_y)
    keep = [q >= 0]
    for i in range(k):
        place = np.ravel_multi_index(np.indices(shape).reshape(k + 1, -1)[[i, k]], (shape[i], shape[-1]))
        keep.append(np.eye(shape[i] * shape[-1])[:, place] @ q == np.bincount(place, law.ravel()))
    problem = cp.Problem(cp.Minimize(cp.sum(cp.rel_entr(q, total @ q))), keep)
    least = problem.solve(solver=cp.CLARABEL) / np.log(2)
    prior = law.sum(tuple(range(k)))
    expected = -(prior * np.log2(prior)).sum() + least
    assert terms(law, "broja")[1] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("measure", MEASURES)
def test_the_order_of_sources_does_not_matter(measure):
    law = np.random.default_rng(0).dirichlet(np.ones(24)).reshape(2, 3, 2, 2)
    first = measure == "broja"  # without redundancy
    swapped = terms(law.transpose(2, 0, 1, 3), measure)
    assert swapped[first:] == pytest.approx(terms(law, measure)[first:], abs=1e-8)


@pytest.mark.parametrize(
    ("pmf", "measure", "why"),
    [
        (np.full((2, 2, 2, 2), 1 / 16), "dep", "not defined for more than two sources, because"),
        (np.full((2, 2, 2, 2), 1 / 16), "bro", "did you mean 'broja'"),
        (np.full((2,) * 20 + (3,), 1 / (3 * 2**20)), "broja", "up to 1,048,576"),
        (np.full((2, 2), 1 / 4), "imin", "two or more sources"),
        (np.full((2, 2, 2, 2), 1 / 8), "imin", "sum to 2, not 1"),
    ],
)
def test_invalid_requests_are_refused(pmf, measure, why):
    with pytest.raises(InvalidRequest, match=why):
        decompose_sources(pmf, measure)
