import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pmfs import independent_product, random_pmf

from pidlab.info import broja
from pidlab.info.pmf import mutual_information

quick = settings(max_examples=25, deadline=None, derandomize=True)
seeds = st.integers(0, 2**32 - 1)


def union(found):
    return found.mi1 + found.unique2


@quick
@given(seeds)
def test_terms_add_up(seed):
    pmf = random_pmf(np.random.default_rng(seed))
    found = broja(pmf)
    assert found.redundant + found.unique1 == pytest.approx(mutual_information(pmf.sum(1)), abs=1e-12)
    assert found.redundant + found.unique2 == pytest.approx(mutual_information(pmf.sum(0)), abs=1e-12)
    everything = mutual_information(pmf.reshape(-1, pmf.shape[2]))
    assert sum(found.terms.values()) == pytest.approx(everything, abs=1e-12)
    assert min(found.terms.values()) >= -found.gap


@quick
@given(seeds)
def test_swapping_the_sources_swaps_the_unique_terms(seed):
    pmf = random_pmf(np.random.default_rng(seed))
    one, other = broja(pmf), broja(pmf.swapaxes(0, 1))
    gap = one.gap + other.gap
    assert one.unique1 == pytest.approx(other.unique2, abs=gap)
    assert one.unique2 == pytest.approx(other.unique1, abs=gap)
    assert one.redundant == pytest.approx(other.redundant, abs=gap)
    assert one.synergy == pytest.approx(other.synergy, abs=gap)


@quick
@given(seeds)
def test_permuting_symbols_changes_nothing(seed):
    rng = np.random.default_rng(seed)
    pmf = random_pmf(rng)
    renamed = pmf[np.ix_(*(rng.permutation(n) for n in pmf.shape))]
    one, other = broja(pmf), broja(renamed)
    np.testing.assert_allclose(
        list(one.terms.values()), list(other.terms.values()), rtol=0, atol=one.gap + other.gap
    )


@quick
@given(seeds)
def test_merging_symbols_never_adds_information(seed):
    pmf = random_pmf(np.random.default_rng(seed))
    merged = np.concatenate([pmf[:1] + pmf[1:2], pmf[2:]])
    before, after = broja(pmf), broja(merged)
    gap = before.gap + after.gap
    assert after.mi1 <= before.mi1 + 1e-12
    assert union(after) <= union(before) + gap
    # I(X1X2;Y) - I(X2;Y) least over couplings: processing X1 lowers what it alone holds.
    assert after.unique1 <= before.unique1 + gap


@quick
@given(seeds, st.booleans())
def test_the_union_never_grows_under_processing(seed, first):
    rng = np.random.default_rng(seed)
    pmf = random_pmf(rng)
    axis = 0 if first else 1
    channel = rng.dirichlet(np.full(3, 0.5), size=pmf.shape[axis])
    noisy = np.moveaxis(np.tensordot(pmf, channel, (axis, 0)), -1, axis)
    before, after = broja(pmf), broja(noisy)
    assert union(after) <= union(before) + before.gap + after.gap


@settings(quick, max_examples=10)
@given(seeds)
def test_independent_parts_add(seed):
    rng = np.random.default_rng(seed)
    parts = [random_pmf(rng, shape=(2, 2, 2)), random_pmf(rng, shape=(2, 3, 2))]
    whole = broja(independent_product(*parts))
    added = broja(parts[0]) + broja(parts[1])
    np.testing.assert_allclose(
        list(whole.terms.values()), list(added.terms.values()), rtol=0, atol=whole.gap + added.gap
    )
