import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pidlab import InvalidRequest, decompose
from pidlab.decomposition import ADDITIVE
from pidlab.info import (
    MEASURES,
    co_information,
    conditional_mutual_information,
    gate,
    joint_information,
    pointwise,
    source_informations,
)
from pidlab.info.gates import independent_product
from pidlab.info.maximum_entropy import maximum_entropy

GOLDEN = Path(__file__).parents[1] / "golden"
# Our names for the measures, and those of the reference numbers.
KEYS = {"imin": "imin", "mmi": "mmi", "ccs": "iccs", "dep": "idep", "sx": "isx", "gk": "igk"}
LETTERS = {"R": "redundant", "U1": "unique1", "U2": "unique2", "S": "synergy"}


def cases(name):
    return json.loads((GOLDEN / f"{name}.json").read_text())["cases"]


def rows_to_pmf(rows, shape):
    pmf = np.zeros(shape)
    for x1, x2, y, p in rows:
        pmf[x1, x2, y] = p
    return pmf


def random_pmf(case):
    return np.array(case["counts"]).reshape(case["shape"]) / case["denominator"]


def composite_pmf(case):
    return independent_product(*(rows_to_pmf(part["pmf"], part["shape"]) for part in case["components"]))


def worst(found, expected):
    return max(abs(getattr(found, term) - expected[letter]) for letter, term in LETTERS.items())


@st.composite
def pmfs(draw, shape=None):
    """Pmfs of two or three symbols with exact zeros and small masses."""
    shape = shape or draw(st.tuples(*[st.integers(1, 3)] * 3))
    weights = draw(
        hnp.arrays(np.float64, shape, elements=st.sampled_from([0.0, 0.0, 1e-6, 0.01, 0.1, 0.3, 1.0, 2.0]))
    )
    weights.flat[draw(st.integers(0, weights.size - 1))] += 1.0
    return weights / weights.sum()


@pytest.mark.parametrize("measure", KEYS)
@pytest.mark.parametrize("case", cases("pid_gates"), ids=lambda case: case["name"])
def test_gates_have_their_published_terms(case, measure):
    found = decompose(rows_to_pmf(case["pmf"], case["shape"]), measure)
    assert worst(found, case[KEYS[measure]]) <= 1e-9
    assert found.gap <= 1e-9


@pytest.mark.parametrize("measure", ["imin", "mmi"])
@pytest.mark.parametrize(
    ("name", "pmf_of"),
    [("pid_random", random_pmf), ("pid_composite", composite_pmf)],
    ids=["random", "composite"],
)
def test_terms_of_reference_pmfs(name, pmf_of, measure):
    for case in cases(name):
        assert worst(decompose(pmf_of(case), measure), case[measure]) <= 1e-9, case["name"]


@given(pmfs(), st.sampled_from(sorted(KEYS)))
@settings(deadline=None, max_examples=60)
def test_terms_are_consistent_with_the_informations(pmf, measure):
    found = decompose(pmf, measure)
    assert [found.mi1, found.mi2] == pytest.approx([*map(float, source_informations(pmf))], abs=1e-12)
    assert found.total == pytest.approx(joint_information(pmf), abs=1e-12)
    assert found.co_information == pytest.approx(co_information(pmf), abs=1e-12)
    assert found.conditional_mi1 == pytest.approx(conditional_mutual_information(pmf), abs=1e-12)
    swapped = np.swapaxes(pmf, 0, 1)
    assert found.conditional_mi2 == pytest.approx(conditional_mutual_information(swapped), abs=1e-12)
    if MEASURES[measure].nonnegative:
        assert min(found.terms.values()) >= -1e-9 - found.gap


@given(pmfs(), st.sampled_from(sorted(set(KEYS) - {"ccs"})))
@settings(deadline=None, max_examples=60)
def test_swapping_sources_and_relabeling_symbols(pmf, measure):
    found = decompose(pmf, measure)
    swapped = decompose(np.swapaxes(pmf, 0, 1), measure)
    assert swapped.redundant == pytest.approx(found.redundant, abs=1e-8)
    assert swapped.unique1 == pytest.approx(found.unique2, abs=1e-8)
    assert decompose(pmf[::-1, :, ::-1], measure).synergy == pytest.approx(found.synergy, abs=1e-8)


@pytest.mark.parametrize("measure", [name for name in KEYS if MEASURES[name].additive])
@given(pmfs((2, 2, 2)), pmfs((2, 2, 2)))
@settings(deadline=None, max_examples=30)
def test_additive_measures_add(measure, a, b):
    both = decompose(independent_product(a, b), measure)
    parts = [decompose(pmf, measure).redundant for pmf in (a, b)]
    assert both.redundant == pytest.approx(sum(parts), abs=1e-9)


@pytest.mark.parametrize("measure", [name for name in KEYS if not MEASURES[name].additive])
def test_measures_not_marked_additive_do_not_add(measure):
    rng = np.random.default_rng(4)
    pairs = [rng.dirichlet(np.full(8, 0.3), 2).reshape(2, 2, 2, 2) for _ in range(20)]
    errors = [
        decompose(independent_product(a, b), measure).redundant
        - sum(decompose(np.stack([a, b]), measure).redundant)
        for a, b in pairs
    ]
    assert np.abs(errors).max() > 1e-3


@pytest.mark.parametrize("measure", [name for name in KEYS if not MEASURES[name].nonnegative])
def test_measures_not_marked_nonnegative_have_negative_terms(measure):
    terms = [t for case in cases("pid_gates") for t in decompose(gate(case["name"]), measure).terms.values()]
    assert min(terms) < -1e-3


@pytest.mark.parametrize("measure", KEYS)
def test_a_batch_equals_a_loop(measure):
    rng = np.random.default_rng(1)
    batch = rng.dirichlet(np.full(12, 0.3), (2, 3)).reshape(2, 3, 2, 3, 2)
    together = decompose(batch, measure)
    for place in np.ndindex(2, 3):
        alone = decompose(batch[place], measure)
        assert [t[place] for t in together.terms.values()] == pytest.approx(
            list(alone.terms.values()), abs=1e-12
        )
        assert all(isinstance(t, float) for t in (*alone.terms.values(), alone.gap))
    assert together.gap.shape == together.synergy.shape == (2, 3)
    assert together.synergy.dtype == np.float64
    assert decompose(batch[:0], measure).gap.shape == decompose(batch[:0], measure).synergy.shape == (0, 3)


@given(pmfs())
@settings(deadline=None, max_examples=100)
def test_maximum_entropy_keeps_the_pairwise_marginals(pmf):
    q, gap = maximum_entropy(pmf)
    for axis in range(3):
        assert q.sum(axis) == pytest.approx(pmf.sum(axis), abs=1e-11)
    assert gap <= 1e-9


def test_tiny_masses_are_supported():
    rng = np.random.default_rng(5)
    for reach in (12, 20, 60, 310):
        pmf = 10.0 ** rng.uniform(-reach, 0, (3, 3, 3)) * (rng.random((3, 3, 3)) < 0.7)
        pmf /= pmf.sum()
        assert maximum_entropy(pmf)[1] <= 1e-9
        for measure in KEYS:
            assert np.isfinite(list(decompose(pmf, measure).terms.values())).all()


def test_maximum_entropy_fills_only_cells_that_the_marginals_allow():
    q, _ = maximum_entropy(gate("and"))
    assert q == pytest.approx(gate("and"), abs=1e-12)
    q, _ = maximum_entropy(gate("xor"))
    assert q == pytest.approx(np.full((2, 2, 2), 1 / 8), abs=1e-12)


def test_an_unknown_measure_suggests_the_nearest():
    with pytest.raises(InvalidRequest, match="did you mean 'broja'"):
        decompose(gate("xor"), "brojja")


@pytest.mark.parametrize(
    ("pmf", "why"),
    [
        (np.full((2, 2), 0.25), r"shape \(2, 2\): expected 3 axes"),
        (np.zeros((0, 2, 2)), "needs a symbol"),
        (np.full((2, 2, 2), 0.2), "sum to 1.6, not 1"),
        (np.full((2, 2, 2), np.nan), r"nan at \(0, 0, 0\)"),
        (gate("xor") - 2 * gate("and"), r"-0.25 at \(0, 0, 0\) is negative"),
        ([[[1.0, 0.0], [0.0]]], "array of real numbers"),
        (gate("xor") * (1 + 1e-8), "sum to 1.00000001"),
    ],
)
def test_an_invalid_pmf_is_refused_in_one_line(pmf, why):
    with pytest.raises(InvalidRequest, match=why) as caught:
        decompose(pmf, "mmi")
    assert "\n" not in str(caught.value)


def test_gates_and_files_are_accepted_by_name(tmp_path):
    assert decompose("and", "imin") == decompose(gate("and"), "imin")
    np.save(tmp_path / "counts.npy", 12 * gate("and"))
    for path in (tmp_path / "counts.npy", str(tmp_path / "counts.npy")):
        assert decompose(path, "imin", normalize=True) == decompose("and", "imin")
    with pytest.raises(InvalidRequest, match="unknown gate 'adn'"):
        decompose("adn")


@pytest.mark.parametrize("case", cases("pid_gates"), ids=lambda case: case["name"])
def test_pointwise_terms_average_to_the_terms(case):
    pmf = gate(case["name"])
    for measure in ("sx", "ccs"):
        local, truth = pointwise(pmf, measure), decompose(pmf, measure)
        assert local["p"].sum() == pytest.approx(1.0)
        for term in ("redundant", "unique1", "unique2"):
            assert (local["p"] * local[term]).sum() == pytest.approx(truth.terms[term], abs=1e-9)
    local = pointwise(pmf, "sx")
    assert (local["p"] * local["synergy"]).sum() == pytest.approx(decompose(pmf, "sx").synergy, abs=1e-9)
    with pytest.raises(InvalidRequest, match="no pointwise terms"):
        pointwise(pmf, "imin")


def test_tensors_and_masked_arrays():
    tensor = torch.tensor(gate("and"), requires_grad=True)
    for measure in ("broja", "imin"):
        assert decompose(tensor, measure) == decompose(gate("and"), measure)
    assert decompose(tensor.bfloat16(), "imin") == decompose(gate("and"), "imin")
    assert decompose(np.ma.masked_array(gate("and"), mask=False), "imin") == decompose("and", "imin")
    with pytest.raises(InvalidRequest, match=r"masked entries; fill them"):
        decompose(np.ma.masked_greater(gate("and"), 0.2), "imin")


def test_normalize_accepts_counts():
    assert decompose(gate("and") * 12, "sx", normalize=True) == decompose(gate("and"), "sx")
    with pytest.raises(InvalidRequest, match="all 0"):
        decompose(np.zeros((2, 2, 2)), "sx", normalize=True)


@pytest.mark.parametrize("measure", KEYS)
def test_counts_beyond_float64_are_refused(measure):
    with pytest.raises(InvalidRequest, match="sum is beyond"):
        decompose(gate("rdn") * 1.5e308 * 2, measure, normalize=True)


def test_additive_measures_are_marked_consistently():
    assert {name for name, measure in MEASURES.items() if measure.additive} == ADDITIVE


def test_the_gap_of_an_unfinished_maximum_entropy_law_covers_its_error(monkeypatch):
    """Stopped before Newton's method, q misses its marginals, which the entropy alone does not show."""
    from pidlab.info import maximum_entropy as maxent

    pmfs = np.random.default_rng(0).dirichlet(np.full(12, 0.5), 20).reshape(-1, 2, 3, 2)
    truth = decompose(pmfs, "dep")
    monkeypatch.setattr(maxent, "SWEEPS", 3)
    monkeypatch.setattr(maxent, "STEPS", 0)
    rough = decompose(pmfs, "dep")
    assert (np.abs(rough.redundant - truth.redundant) <= rough.gap + truth.gap).all()
    assert (truth.gap < 1e-12).all()
