"""BROJA of representations: known splits, from posteriors that are known."""

import numpy as np
import pytest
import torch
from scipy import stats

from pidlab.probes.decomposition import _half_width, decomposed, decomposed_rows
from pidlab.probes.ladder import Reading
from pidlab.validation.known_cases import Known


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


def test_left_out_groups_give_the_spread_of_fresh_rows():
    # the deviation of the estimates over 60 draws of the test rows, within four of its own standard errors
    # (1 / √118 = .092 of it) and those of a jackknife of 20 groups (1 / √38 = .162, averaged over 60 draws)
    values, widths = [], []
    for draw in range(60):
        generator = torch.Generator().manual_seed(draw)
        y = [torch.randint(0, 2, (n,), generator=generator) for n in (4000, 4000)]
        one, two = reading(y, y, 0.7, 2 * draw), reading(y, y, 0.9, 2 * draw + 1)
        held = decomposed(one, two, one, groups=20)
        values.append([float(held.quantities[name][0]) for name in held.quantities])
        widths.append([float(_half_width(held.without[name])[0]) for name in held.quantities])
    deviation = np.std(values, axis=0, ddof=1)
    assert stats.t.ppf(0.975, 19) == pytest.approx(2.093, abs=1e-3)
    ratio = np.mean(widths, axis=0) / 2.093 / deviation
    assert ((ratio > 0.63) & (ratio < 1.6)).all(), ratio


def test_groups_leave_the_estimate_as_it_is(bits):
    one, two = reading(bits, bits, 0.7, 3), reading(bits, bits, 0.9, 4)
    plain, grouped = decomposed(one, two, one), decomposed(one, two, one, groups=5)
    assert not plain.without
    for name, value in plain.quantities.items():
        np.testing.assert_allclose(grouped.quantities[name], value, atol=1e-8)
        assert grouped.without[name].shape == (5, 2)


def test_every_target_has_rows_and_intervals_of_its_own_when_thorough(bits):
    generators = [Known("halfBSC")] * 2
    one, two = reading(bits, bits, 0.7, 3), reading(bits, bits, 0.9, 4)
    readings = {
        z: dict.fromkeys(generators[0].target_specs, r) for z, r in (("z1", one), ("z2", two), ("z12", one))
    }
    plain, thorough = [[], []], [[], []]
    decomposed_rows(plain, generators, readings)
    decomposed_rows(thorough, generators, readings, thorough=True)
    assert all(row["low"] is None for row in plain[0])
    assert len(plain[0]) == 7
    assert len(thorough[0]) == 7 * 5
    by_term = {row["term"]: row for row in thorough[0]}
    assert {row["term"]: row["captured"] for row in plain[0]}.items() <= {
        term: row["captured"] for term, row in by_term.items()
    }.items()
    assert all(row["low"] <= row["captured"] <= row["high"] for row in thorough[0])
    # what the data hold in their cells: the factors themselves, before any flip
    truths = {term: row["truth"] for term, row in by_term.items()}
    assert truths["redundant:redundant"] == pytest.approx(1.0, abs=1e-6)
    assert truths["synergy:synergy"] == pytest.approx(1.0, abs=1e-6)
    assert truths["synergy:redundant"] == pytest.approx(0.0, abs=1e-6)
