"""The bounds of planted information contain the true information of classes that overlap."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from pidlab.decomposition import Decomposition
from pidlab.generators.equivocation import equivocation_bounds, poisson_upper_bound, score_bank
from pidlab.generators.feature_banks import make_bank
from pidlab.generators.planted import PlantedFeatures
from pidlab.generators.planted_truth import bound_terms
from pidlab.info import decompose, entropy, mutual_information

# Parameters, and distance between neighboring class means in standard deviations, per modality.
CONFIGURATIONS = [
    ({"redundant": 1, "unique1": 0, "unique2": 0, "synergy": 1}, (4.5, 4.5)),
    ({"redundant": 1, "unique1": 0, "unique2": 0, "synergy": 1}, (4.0, 5.0)),
    ({"redundant": 1, "unique1": 1, "unique2": 1, "synergy": 0}, (5.0, 4.0)),
    ({"redundant": 1, "unique1": 1, "unique2": 1, "synergy": 0}, (5.0, 5.0)),
    ({"redundant": 0.5, "unique1": 0.3, "unique2": 0, "synergy": 0}, (3.0, 4.0)),
    ({"redundant": 0, "unique1": 0, "unique2": 0, "synergy": 1}, (2.0, 4.0)),
    ({"redundant": 0, "unique1": 0, "unique2": 0, "synergy": 0.5}, (4.0, 3.0)),
    ({"redundant": 1, "unique1": 0.5, "unique2": 0, "synergy": 0}, (4.0, 6.0)),
    ({"redundant": 0.4, "unique1": 0, "unique2": 0, "synergy": 0.7}, (4.5, 4.5)),
    ({"law": "gate('and')"}, (2.0, 3.0)),
]
# Error of quadrature and solver in bits. The union information is known to an interval, which must lie within
# the bounds.
ERROR = 1e-6
CLASSES, ROWS, TRIALS = 4, 400, 20
GRID, CELLS = np.linspace(-8.0, 8.0 + 6.0 * (CLASSES - 1), 600), 24


def gaussian_banks(seed, distances):
    """Return arrays of two modalities: class c is N(c distance, 1) in a rotated plane with a noise axis."""
    rng = np.random.default_rng(seed)
    arrays = {}
    for m, distance in enumerate(distances, start=1):
        c = np.repeat(np.arange(CLASSES), ROWS)
        plane = rng.normal(size=(len(c), 2)) + np.outer(distance * c, [1.0, 0.0])
        q, _ = np.linalg.qr(rng.normal(size=(2, 2)))
        arrays |= {f"x{m}": plane @ q, f"c{m}": c}
    return arrays


def joint_law(planted):
    """Return p(c1, c2, y) of the cells and of all targets together, which are independent given the cells."""
    laws = list(planted.coding.laws.values())
    pair = laws[0].sum(2)
    joint = pair[:, :, None]
    for law in laws:
        given = law / np.where(pair > 0, pair, 1.0)[:, :, None]
        joint = (joint[:, :, :, None] * given[:, :, None, :]).reshape(*pair.shape, -1)
    return joint[:, :, joint.sum((0, 1)) > 0]


def channel(planted, m, distance):
    """Return p(grid point | cell), by quadrature over the axis that separates the classes."""
    classes, symbols = planted.symbol_classes(m), planted.coding.symbols[m]
    density = norm.pdf(GRID[None, :], loc=distance * np.arange(CLASSES)[:, None])
    shown = np.stack([density[members].mean(0) for members in classes])[symbols] * (symbols >= 0)[:, None]
    return shown / np.maximum(shown.sum(1, keepdims=True), 1e-300)


def merge(channel, prior):
    """Merge grid points to `CELLS` intervals of similar posteriors, narrow where points are likely."""
    joint = prior[:, None] * channel
    mass = joint.sum(0)
    posterior = np.sqrt(joint / np.maximum(mass, 1e-300))
    # Equal steps of the distance between posteriors, weighted as in optimal quantization.
    step = np.linalg.norm(np.diff(posterior, axis=1), axis=0) * mass[1:] ** (1 / 3)
    place = np.concatenate([[0.0], np.cumsum(step)])
    cell = np.minimum((place / place[-1] * CELLS).astype(int), CELLS - 1)
    return channel @ (cell[:, None] == np.arange(CELLS))


def informations(law, one, two):
    """Return I(X1;Y), I(X2;Y) and I(X1,X2;Y) of channels from the cells of a law."""
    first, second = one.T @ law.sum(1), two.T @ law.sum(0)
    joint = np.einsum("aby,ai,bj->ijy", law, one, two, optimize=True)
    return [float(mutual_information(p)) for p in (first, second, joint.reshape(-1, law.shape[2]))]


def true_terms(planted, distances):
    """Return intervals of the true terms, whose union information is known from merged cells."""
    law = joint_law(planted)
    one, two = (channel(planted, m, distance) for m, distance in enumerate(distances))
    i1, i2, i12 = informations(law, one, two)
    cells = [merge(one, law.sum((1, 2))), merge(two, law.sum((0, 2)))]
    merged = decompose(np.einsum("aby,ai,bj->ijy", law, *cells, optimize=True), normalize=True)
    union = float(merged.redundant + merged.unique1 + merged.unique2)
    low, high = union - merged.gap, union + merged.gap + i1 - float(merged.mi1) + i2 - float(merged.mi2)
    terms = {
        "redundant": (i1 + i2 - high, i1 + i2 - low),
        "unique1": (low - i2, high - i2),
        "unique2": (low - i1, high - i1),
        "synergy": (i12 - high, i12 - low),
    }
    # BROJA terms are not negative.
    return {name: (max(ends[0], 0.0), ends[1]) for name, ends in terms.items()}, (one, two)


def true_equivocation(planted, m, channel):
    """Return H(C|X) of the symbols of a modality."""
    # Cells that share a symbol have equal channels.
    first = [planted.coding.symbols[m].tolist().index(k) for k in range(len(planted.coding.priors[m]))]
    prior = planted.coding.priors[m]
    return float(entropy(prior) - mutual_information(prior[:, None] * channel[first]))


@pytest.mark.slow
def test_true_information_lies_in_the_bounds_in_all_200_trials(tmp_path):
    inside, gaps, slack = [], [], []
    for i, (parameters, distances) in enumerate(CONFIGURATIONS):
        path, truths = tmp_path / f"{i}.npz", None
        for trial in range(TRIALS):
            np.savez(path, **gaussian_banks(1000 * i + trial, distances))
            planted = PlantedFeatures(str(path), **parameters, world=i)
            if truths is None:  # it depends on the configuration and the world only
                terms, channels = true_terms(planted, distances)
                truths = {name: informations(law, *channels) for name, law in planted.coding.laws.items()}
                lost = [true_equivocation(planted, m, channels[m]) for m in (0, 1)]
            bounds = planted.bounds
            ok = [
                bounds[term][0] <= low + ERROR and high <= bounds[term][1] + ERROR
                for term, (low, high) in terms.items()
            ]
            for name, spec in planted.target_specs.items():
                for key, true in zip(((0,), (1,), (0, 1)), truths[name], strict=True):
                    ok.append(spec.low[key] - ERROR <= true <= spec.information[key] + ERROR)
            # The bounds on the equivocations are what all others follow from.
            found = planted._equivocations[0]
            ok += [
                sum(lost) <= found[2] + ERROR,
                *(h <= f + ERROR for h, f in zip(lost, found, strict=False)),
            ]
            inside.append(all(ok))
            gaps.append(planted.truth.gap)
            slack.append(found[2] - sum(lost))
    print(
        f"{sum(inside)} of {len(inside)} inside; median gap {np.median(gaps):.3f} bits, largest "
        f"{max(gaps):.3f}; equivocation exceeded by {min(slack):.3f} to {max(slack):.3f} bits"
    )
    assert len(inside) == 200
    assert all(inside)
    # The bounds are not vacuous.
    assert np.median(gaps) < 1.0


def test_equivocation_of_overlapping_classes_is_bounded_and_falls_with_rows():
    # Two classes at distance 3: H(C|X) = 0.240 bits, from a quadrature with 2,000 points.
    x = np.linspace(-8.0, 11.0, 2000)
    density = np.stack([norm.pdf(x), norm.pdf(x, loc=3.0)]) / 2.0
    true = 1.0 - float(mutual_information(density / density.sum()))
    bounds = []
    for rows in (100, 600):
        rng = np.random.default_rng(rows)
        banks = [
            make_bank(3.0 * (c := np.repeat([0, 1], rows)) + rng.normal(size=2 * rows), c, "rows", m)
            for m in (1, 2)
        ]
        scores = [score_bank(bank) for bank in banks]
        half, parts = np.array([0.5, 0.5]), np.array([0, 1])
        bounds.append(equivocation_bounds(scores, [half, half], [parts, parts], risk=1e-3))
    for one, two, both in bounds:
        assert true < one <= 1.0
        assert true < two <= 1.0
        assert 2 * true < both <= one + two
    assert bounds[1][2] < bounds[0][2]
    assert bounds[1][0] < true + 0.3


def test_a_symbol_that_is_constant_has_no_equivocation():
    rng = np.random.default_rng(0)
    c = np.repeat([0, 1], 100)
    scores = [score_bank(make_bank(rng.normal(size=(200, 3)), c, "rows", m)) for m in (1, 2)]
    prior, parts = [np.array([0.5, 0.5])] * 2, [np.zeros(2, dtype=int)] * 2
    assert equivocation_bounds(scores, prior, parts, risk=1e-3) == (0.0, 0.0, 0.0)


def test_features_without_information_lose_the_whole_symbol():
    rng = np.random.default_rng(1)
    c = np.repeat([0, 1, 2, 3], 100)
    scores = [score_bank(make_bank(rng.normal(size=(400, 5)), c, "rows", m)) for m in (1, 2)]
    prior, parts = [np.full(4, 0.25)] * 2, [np.arange(4)] * 2
    assert equivocation_bounds(scores, prior, parts, risk=1e-3) == pytest.approx((2.0, 2.0, 4.0))


@pytest.mark.parametrize("mean", [0.02, 0.1, 0.4])
def test_poisson_bound_holds_at_its_risk(mean):
    # Losses of 0 or 2 bits have the largest variance for their mean; 4,000 sums at a risk of 5 %.
    rng, n, risk, draws = np.random.default_rng(0), 200, 0.05, 4000
    sums = 2.0 * rng.binomial(n, mean / 2.0, size=draws) / n
    misses = np.mean([poisson_upper_bound(s, 2.0 / n, risk) < mean for s in sums])
    assert misses <= risk + 3 * np.sqrt(risk * (1 - risk) / draws)
    assert misses > 0 or mean < 0.1  # it is not vacuous


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**31))
def test_bounds_hold_for_random_laws_and_channels(seed):
    """BROJA terms of channel outputs lie within bounds made of the exact equivocations."""
    rng = np.random.default_rng(seed)
    law = rng.dirichlet(np.full(12, 0.5)).reshape(2, 3, 2)
    channels = [rng.dirichlet(np.full(k, 0.3), size=k) * 0.5 + 0.5 * np.eye(k) for k in (2, 3)]
    shown = np.einsum("aby,ai,bj->ijy", law, *channels)
    lost = []
    for m, channel in enumerate(channels):
        joint = law.sum((1 - m, 2))[:, None] * channel
        lost.append(float(entropy(joint.ravel()) - entropy(joint.sum(0))))
    planted, true = decompose(law), decompose(shown, normalize=True)
    for term, (low, high) in bound_terms(planted, (*lost, sum(lost))).items():
        error = 1e-6 + float(planted.gap + true.gap)
        assert low - error <= true.terms[term] <= high + error


def test_unique_information_can_exceed_what_was_planted():
    """Overlap in one modality makes redundant information unique to the other one."""
    law = np.zeros((2, 2, 2))
    law[0, 0, 0] = law[1, 1, 1] = 0.5
    channel = np.array([[0.8, 0.2], [0.2, 0.8]])
    true = decompose(np.einsum("aby,bj->ajy", law, channel))
    lost = float(entropy(channel[0]))
    bounds = bound_terms(Decomposition(1.0, 0.0, 0.0, 0.0), (0.0, lost, lost))
    assert true.unique1 == pytest.approx(lost, abs=1e-6)
    assert bounds["unique1"] == (0.0, lost)
    assert bounds["redundant"] == (1.0 - lost, 1.0)
