"""BROJA decomposition of representations with known posteriors and known terms."""

import numpy as np
import pytest
import torch
from scipy import stats

from pidlab.probes.reading import Reading
from pidlab.probes.readout_decomposition import _half_width, decompose_readouts, decomposition_rows
from pidlab.validation.known_cases import Known


def reading(sent, y, noise, seed):
    """Return the exact reading of a bit y from `sent` plus noise; None carries no information."""
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

# 40,000 test rows: a count of 16 x 2 cells is biased by 15 / (2 n ln 2) = 0.0003 bit, and its standard
# error is below 1 / sqrt(n) = 0.005.
CLOSE = 0.015


def terms(result):
    assert (result.terms.redundant[0] == result.terms.redundant[1]).all()  # equal members
    return [float(v[0]) for v in result.terms.terms.values()]


def test_a_shared_bit_is_redundant_a_private_one_unique_and_an_xor_synergy(bits):
    result, empty = reading(bits, bits, 0.2, 1), reading(NOTHING, bits, 1.0, 2)
    np.testing.assert_allclose(terms(decompose_readouts(result, result, result)), [1, 0, 0, 0], atol=CLOSE)
    np.testing.assert_allclose(terms(decompose_readouts(result, empty, result)), [0, 1, 0, 0], atol=CLOSE)
    np.testing.assert_allclose(terms(decompose_readouts(empty, result, result)), [0, 0, 1, 0], atol=CLOSE)
    np.testing.assert_allclose(terms(decompose_readouts(empty, empty, result)), [0, 0, 0, 1], atol=CLOSE)


def test_a_shared_bit_that_one_modality_loses_becomes_unique(bits):
    # Terms are not monotone: U1 grows when z2 loses shared information.
    sharp, dull = reading(bits, bits, 0.2, 1), reading(bits, bits, 1.0, 2)
    both = decompose_readouts(sharp, dull, sharp)
    redundant, unique1, unique2, _ = terms(both)
    assert redundant == pytest.approx(float(both.mi2[0]), abs=CLOSE)
    assert unique1 == pytest.approx(1 - float(both.mi2[0]), abs=CLOSE)
    assert unique2 == pytest.approx(0.0, abs=CLOSE)
    assert both.agrees.all()


def test_terms_add_up_to_the_three_informations(bits):
    one, two = reading(bits, bits, 0.7, 3), reading(bits, bits, 0.9, 4)
    result = decompose_readouts(one, two, one)
    np.testing.assert_allclose(result.terms.mi1, result.mi1, atol=1e-9)
    np.testing.assert_allclose(result.terms.mi2, result.mi2, atol=1e-9)
    np.testing.assert_allclose(result.terms.total, result.joint, atol=1e-9)


def test_the_jackknife_gives_the_spread_over_fresh_rows():
    # The deviation of the estimates over 60 draws of the test rows, within four of its standard errors
    # (1 / √118 = 0.092 of it) and those of a jackknife of 20 groups (1 / √38 = 0.162, mean of 60 draws).
    values, widths = [], []
    for draw in range(60):
        generator = torch.Generator().manual_seed(draw)
        y = [torch.randint(0, 2, (n,), generator=generator) for n in (4000, 4000)]
        one, two = reading(y, y, 0.7, 2 * draw), reading(y, y, 0.9, 2 * draw + 1)
        result = decompose_readouts(one, two, one, groups=20)
        values.append([float(result.quantities[name][0]) for name in result.quantities])
        widths.append([float(_half_width(result.jackknife[name])[0]) for name in result.quantities])
    deviation = np.std(values, axis=0, ddof=1)
    assert stats.t.ppf(0.975, 19) == pytest.approx(2.093, abs=1e-3)
    ratio = np.mean(widths, axis=0) / 2.093 / deviation
    assert ((ratio > 0.63) & (ratio < 1.6)).all(), ratio


def test_jackknife_groups_do_not_change_the_estimate(bits):
    one, two = reading(bits, bits, 0.7, 3), reading(bits, bits, 0.9, 4)
    plain, grouped = decompose_readouts(one, two, one), decompose_readouts(one, two, one, groups=5)
    assert not plain.jackknife
    for name, value in plain.quantities.items():
        np.testing.assert_allclose(grouped.quantities[name], value, atol=1e-8)
        assert grouped.jackknife[name].shape == (5, 2)


def test_the_thorough_level_has_rows_and_intervals_for_each_target(bits):
    generators = [Known("halfBSC")] * 2
    one, two = reading(bits, bits, 0.7, 3), reading(bits, bits, 0.9, 4)
    readings = {
        z: dict.fromkeys(generators[0].target_specs, r) for z, r in (("z1", one), ("z2", two), ("z12", one))
    }
    plain, thorough = [[], []], [[], []]
    decomposition_rows(plain, generators, readings)
    decomposition_rows(thorough, generators, readings, thorough=True)
    assert all(row["low"] is None for row in plain[0])
    assert len(plain[0]) == 7
    assert len(thorough[0]) == 7 * 5
    by_term = {row["term"]: row for row in thorough[0]}
    assert {row["term"]: row["captured"] for row in plain[0]}.items() <= {
        term: row["captured"] for term, row in by_term.items()
    }.items()
    assert all(row["low"] <= row["captured"] <= row["high"] for row in thorough[0])
    # The cells of the data hold the factors before any flip.
    truths = {term: row["truth"] for term, row in by_term.items()}
    assert truths["redundant:redundant"] == pytest.approx(1.0, abs=1e-6)
    assert truths["synergy:synergy"] == pytest.approx(1.0, abs=1e-6)
    assert truths["synergy:redundant"] == pytest.approx(0.0, abs=1e-6)
