import numpy as np
import pytest
import torch
from pmfs import golden, golden_pmf, random_pmf

from pidlab.decomposition import TERMS
from pidlab.errors import InvalidRequest
from pidlab.info import broja
from pidlab.info.broja import FINEST

XOR = np.array([[[0.25, 0], [0, 0.25]], [[0, 0.25], [0.25, 0]]])


@pytest.mark.parametrize("case", golden("pid_gates") + golden("pid_random") + golden("pid_composite"))
def test_terms_equal_the_golden_values(case):
    found = broja(golden_pmf(case))
    assert found.how == "solver"
    assert found.measure == "broja"
    assert 0.0 < found.gap <= 1e-9
    expected = [case["broja"][name] for name in ("R", "U1", "U2", "S")]
    np.testing.assert_allclose(list(found.terms.values()), expected, rtol=0, atol=1e-8)
    assert found.mi1 == pytest.approx(case["I_X1"], abs=1e-11)
    assert found.mi2 == pytest.approx(case["I_X2"], abs=1e-11)
    if "union_lo" in case:
        union = found.mi1 + found.unique2
        assert case["union_lo"] - 1e-12 <= union <= case["union_hi"] + found.gap + 1e-12


@pytest.mark.parametrize("case", [c for c in golden("pid_composite") if "designed" in c.values[0]])
def test_composites_equal_their_designed_terms(case):
    found = broja(golden_pmf(case))
    expected = [case["designed"][name] for name in ("R", "U1", "U2", "S")]
    np.testing.assert_allclose(list(found.terms.values()), expected, rtol=0, atol=1e-9)


def certified(pmfs):
    """The gaps, after the checks that hold for every result."""
    gaps = []
    for pmf in pmfs:
        found = broja(pmf)
        gaps.append(found.gap)
        assert min(found.terms.values()) >= -found.gap
    gaps = np.array(gaps)
    assert (gaps <= 1e-9).mean() >= 0.995
    assert gaps.max() <= 1e-5
    return gaps


def test_random_pmfs_are_certified():
    rng = np.random.default_rng(1)
    certified(random_pmf(rng) for _ in range(150))


@pytest.mark.slow
def test_a_thousand_random_pmfs_are_certified():
    rng = np.random.default_rng(2)
    certified(random_pmf(rng) for _ in range(1000))


def conic_union(pmf):
    """The union information in bits by cvxpy and Clarabel."""
    cp = pytest.importorskip("cvxpy")
    pytest.importorskip("clarabel")
    n1, n2, ny = pmf.shape
    q = cp.Variable((n1 * n2, ny), nonneg=True)
    marginals = [
        np.kron(np.eye(n1), np.ones((1, n2))) @ q == pmf.sum(1),
        np.kron(np.ones((1, n1)), np.eye(n2)) @ q == pmf.sum(0),
    ]
    loss = cp.sum(cp.rel_entr(q, cp.sum(q, axis=1, keepdims=True) @ np.ones((1, ny))))
    problem = cp.Problem(cp.Minimize(loss), marginals)
    problem.solve(solver=cp.CLARABEL)
    py = pmf.sum((0, 1))
    return problem.value / np.log(2) - (py[py > 0] * np.log2(py[py > 0])).sum()


@pytest.mark.parametrize("number", [12, pytest.param(100, marks=pytest.mark.slow)])
def test_agrees_with_a_conic_solver(number):
    rng = np.random.default_rng(3)
    for _ in range(number):
        pmf = random_pmf(rng)
        found = broja(pmf)
        assert conic_union(pmf) == pytest.approx(found.mi1 + found.unique2, abs=2e-6 + found.gap)


def test_batch_equals_loop():
    rng = np.random.default_rng(4)
    pmfs = np.stack([random_pmf(rng, shape=(3, 4, 2)) for _ in range(6)]).reshape(2, 3, 3, 4, 2)
    batch = broja(pmfs)
    assert batch.gap.shape == (2, 3)
    assert batch.redundant.dtype == np.float64
    for i in np.ndindex(2, 3):
        one = broja(pmfs[i])
        for term in TERMS:
            assert getattr(batch, term)[i] == pytest.approx(getattr(one, term), abs=one.gap + batch.gap[i])


def test_members_of_a_batch_may_use_different_symbols():
    rng = np.random.default_rng(14)
    pmfs = rng.dirichlet(np.ones(27), size=9).reshape(9, 3, 3, 3)
    for i in range(3):
        pmfs[i].swapaxes(0, i)[1] = 0.0  # of X1, of X2, of Y
    found = broja(pmfs / pmfs.sum((1, 2, 3), keepdims=True))
    assert (found.gap <= 1e-9).all()


def test_chunks_change_nothing():
    rng = np.random.default_rng(5)
    pmfs = rng.dirichlet(np.ones(12), size=7).reshape(7, 2, 3, 2)
    np.testing.assert_allclose(broja(pmfs, memory=1).synergy, broja(pmfs).synergy, rtol=0, atol=1e-9)


def test_tensors_and_arrays_are_alike():
    assert broja(torch.as_tensor(XOR)) == broja(XOR)
    assert broja(torch.as_tensor(XOR).bfloat16()) == broja(XOR)
    assert isinstance(broja(XOR).redundant, float)
    assert broja(XOR[None]).redundant.shape == (1,)
    assert broja(np.zeros((0, 2, 2, 2))).redundant.shape == (0,)


@pytest.mark.parametrize("n", [8, 16])
def test_large_alphabets(n):
    found = broja(np.random.default_rng(6).dirichlet(np.full(n**3, 0.5)).reshape(n, n, n))
    assert found.gap <= 1e-9


@pytest.mark.parametrize("mass", [1e-300, 1e-20, 1e-14, 1e-12, 1e-10, 1e-8])
def test_tiny_masses(mass):
    pmf = random_pmf(np.random.default_rng(7), shape=(3, 3, 3), concentration=1.0, zeros=False)
    pmf[0, 1, :] = mass * np.array([1.0, 2.0, 0.0])
    pmf[2, :, 1] = mass
    found = broja(pmf / pmf.sum())
    assert found.gap <= 1e-9


@pytest.mark.parametrize("tolerance", [1e-4, 1e-7, FINEST])
def test_tolerances(tolerance):
    pmf = random_pmf(np.random.default_rng(8), shape=(4, 4, 4), concentration=1.0, zeros=False)
    coarse, fine = broja(pmf, tolerance), broja(pmf)
    assert coarse.gap <= tolerance
    assert coarse.synergy == pytest.approx(fine.synergy, abs=coarse.gap + fine.gap)


def test_the_gap_of_an_interrupted_solver_is_valid(monkeypatch):
    """Stopped after one step, the gap is wide and still holds."""
    from pidlab.info import _interior_point as interior_point

    pmf = random_pmf(np.random.default_rng(9), shape=(4, 4, 4), concentration=1.0, zeros=False)
    truth = broja(pmf)
    monkeypatch.setattr(interior_point, "ATTEMPTS", (interior_point.Attempt(1, 0.1, 1e-14, 0.5),))
    rough = broja(pmf)
    assert rough.gap > 1e-4
    for term, value in truth.terms.items():
        assert abs(rough.terms[term] - value) <= rough.gap + truth.gap


@pytest.mark.parametrize(
    ("pmf", "says"),
    [
        (XOR[0], "axes"),
        (np.ones((2, 0, 2)), "symbol"),
        (XOR - 0.25 * (XOR > 0) + np.array([-0.1, 0.35])[:, None, None] / 4, "negative"),
        (np.where(XOR > 0, XOR, np.nan), "finite"),
        (np.where(XOR > 0, XOR, np.inf), "finite"),
        (XOR * 1.00001, "sum to 1.00001"),
        (np.stack([XOR, XOR * 2]), "sum to 2"),
        (XOR * 0, "sum to 0"),
    ],
)
def test_invalid_input_is_refused_in_one_line(pmf, says):
    with pytest.raises(InvalidRequest, match=says) as error:
        broja(pmf)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("tolerance", [0.0, -1.0, 1e-16, float("nan")])
def test_too_fine_a_tolerance_is_refused(tolerance):
    with pytest.raises(InvalidRequest, match="float64"):
        broja(XOR, tolerance)
