import numpy as np
import pytest

from pidlab import InvalidRequest, decompose
from pidlab.decomposition import TERMS
from pidlab.info import gate
from pidlab.info.samples import decompose_samples


def draw(pmf, n, seed=0):
    cells = np.random.default_rng(seed).choice(pmf.size, n, p=pmf.ravel())
    return np.stack(np.unravel_index(cells, pmf.shape), axis=1)


def test_many_samples_estimate_the_truth():
    truth = decompose(gate("and"), "imin")
    found = decompose_samples(draw(gate("and"), 100_000), "imin", shuffles=20)
    for term in TERMS:
        assert found.plug_in.terms[term] == pytest.approx(truth.terms[term], abs=0.01)
        assert found.corrected.terms[term] == pytest.approx(truth.terms[term], abs=0.01)
    assert found.n_per_cell == 100_000 / 8


def test_the_jackknife_removes_most_of_the_bias():
    # I(X1,X2;Y) of independent symbols is 0; plug-in reads about cells / (2 n ln 2).
    samples = np.random.default_rng(1).integers(0, (4, 4, 2), (20, 400, 3))
    found = [decompose_samples(s, "mmi", shuffles=2) for s in samples]
    plug_in, corrected = (
        np.mean([getattr(f, name).total for f in found]) for name in ("plug_in", "corrected")
    )
    assert plug_in > 0.02
    assert abs(corrected) < 0.2 * plug_in


def test_a_null_looks_like_its_shuffles_and_a_copy_does_not():
    null = decompose_samples(np.random.default_rng(2).integers(0, (8, 8, 2), (100, 3)), "imin")
    assert null.plug_in.synergy == pytest.approx(null.null_mean["synergy"], abs=0.1)
    assert null.p_value["synergy"] > 0.01
    copy = decompose_samples(draw(gate("rdn"), 100), "imin")
    assert copy.p_value["redundant"] == pytest.approx(1 / 201)
    assert copy.null_high["redundant"] < 0.2 < copy.plug_in.redundant


def test_the_same_seed_gives_the_same_result():
    samples = draw(gate("rand"), 60)
    assert decompose_samples(samples, "sx", seed=3) == decompose_samples(samples, "sx", seed=3)


def test_two_samples_are_enough_and_one_is_not():
    assert decompose_samples(np.array([[0, 0, 0], [1, 1, 1]]), "mmi").plug_in.redundant == 1.0
    with pytest.raises(InvalidRequest, match="2 or more"):
        decompose_samples(np.array([[0, 0, 0]]), "mmi")
