"""Estimators of continuous information: golden truths, known answers, and what they refuse."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from golden_numbers import golden_cases

from pidlab import InvalidRequest
from pidlab.validation.estimator_tasks import (
    TRANSFORMS,
    Task,
    _nats,
    examine_estimators,
    tasks,
)
from pidlab.validation.estimators import (
    ESTIMATORS,
    Canonical,
    Fit,
    js,
    ksg,
    mutual_information,
    normal_scores,
    smile,
)

FEW = Fit(batch=256, steps=100, hidden=32, width=16, checks=4)


def normal(rho, n=8000, d=2, members=1, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x, z = torch.randn(2, members, n, d, generator=generator)
    y = z.clone()
    y[..., 0] = rho * x[..., 0] + math.sqrt(1 - rho**2) * z[..., 0]
    return x, y


@pytest.mark.parametrize("case", golden_cases("bmi_tasks"))
def test_closed_forms_are_the_golden_ones(case):
    assert _nats(case["name"]) == pytest.approx(case["mi_nats"], abs=1e-8)


def test_tasks_are_sampled_in_the_dimensions_of_the_golden_ones():
    golden = {c.values[0]["name"]: c.values[0] for c in golden_cases("bmi_tasks")}
    for task in tasks():
        x, y = task.sample(10, 0)
        assert (x.shape[1], y.shape[1]) == (golden[task.name]["dim_x"], golden[task.name]["dim_y"])
        assert np.isfinite(x).all()


@pytest.mark.parametrize("name", sorted(ESTIMATORS))
def test_a_correlation_of_normals_is_found(name):
    truth = -0.5 * math.log2(1 - 0.8**2)
    x, y = normal(0.8)
    bits = float(mutual_information(x, y, name, fit=FEW).bits[0])
    if ESTIMATORS[name].kind == "upper":  # CLUB of the true ratio is KL both ways: rho² / (1 - rho²)
        assert truth < bits < 0.8**2 / (1 - 0.8**2) / math.log(2) + 0.2
    else:
        # 8,000 rows: deviation of the log ratio rho / sqrt n over 1,600 to 8,000 rows, five of them
        assert bits == pytest.approx(truth, abs=0.15)


@pytest.mark.parametrize("name", ["infonce", "nwj", "smile", "ksg"])
def test_independent_variables_hold_nothing(name):
    x, y = normal(0.0)
    assert abs(float(mutual_information(x, y, name, fit=FEW).bits[0])) < 0.05


def test_a_batch_gives_what_a_loop_gives():
    x, y = normal(0.7, n=2000, members=3)
    fit = dataclasses.replace(FEW, steps=40)
    together = mutual_information(x, y, "infonce", fit=fit).bits
    alone = [mutual_information(x[i : i + 2], y[i : i + 2], "infonce", fit=fit).bits for i in (0, 1)]
    np.testing.assert_allclose(together[:2], alone[0], atol=1e-5)
    np.testing.assert_allclose(together[1:], alone[1], atol=1e-5)


def test_what_a_network_adds_to_the_normal_answer():
    # Y = X² plus noise: no correlation at all, and information for a network to find
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, 12_000, 1, generator=generator)
    y = x**2 + 0.3 * torch.randn(1, 12_000, 1, generator=generator)
    fit = dataclasses.replace(FEW, steps=400)
    assert float(mutual_information(x, y, "cca").bits[0]) < 0.05
    assert float(mutual_information(x, y, "infonce", fit=fit).bits[0]) > 0.8


@pytest.mark.parametrize("transform", ["half_cube", "asinh", "wiggly"])
def test_increasing_transforms_change_nothing(transform):
    x, y = (z.numpy()[0].astype(np.float64) for z in normal(0.8))
    bent = [torch.as_tensor(z.astype(np.float32))[None] for z in TRANSFORMS[transform](x, y)]
    plain = [torch.as_tensor(z.astype(np.float32))[None] for z in (x, y)]
    before, after = (float(mutual_information(*pair, "cca").bits[0]) for pair in (plain, bent))
    # wiggly is not increasing everywhere in double precision's sense but is injective by design
    assert after == pytest.approx(before, abs=1e-3)


def test_normal_scores_are_ranks():
    rows = torch.tensor([[[0.0], [10.0], [-3.0], [1e9]]])
    scores = normal_scores(rows, rows)[0, :, 0]
    assert scores.argsort().tolist() == [2, 0, 1, 3]
    assert float(scores.mean()) == pytest.approx(0.0, abs=1e-5)
    between = normal_scores(torch.tensor([[[5.0]]]), rows)[0, 0, 0]
    assert scores[0] < between < scores[1]


def test_canonical_coordinates_are_white_and_correlated_in_pairs_only():
    x, y = normal(0.8, d=3)
    mixed = x @ torch.randn(3, 3, generator=torch.Generator().manual_seed(1))
    canonical = Canonical(mixed, y)
    a, b = canonical(mixed, y)
    n = x.shape[1]
    torch.testing.assert_close((a.mT @ a / n)[0], torch.eye(3), atol=1e-3, rtol=0)
    cross = (a.mT @ b / n)[0]
    assert float((cross - torch.diag(cross.diagonal())).abs().max()) < 1e-3
    # a standard error of a correlation is (1 - .64) / sqrt(8000) = .004
    assert float(canonical.correlations[0, 0]) == pytest.approx(0.8, abs=0.02)


def test_js_and_smile_of_scores_by_hand():
    scores = torch.tensor([[1.0, -2.0], [0.5, 7.0]])
    soft = lambda v: math.log1p(math.exp(v))  # noqa: E731
    expected = -(soft(-1.0) + soft(-7.0)) / 2 - (soft(-2.0) + soft(0.5)) / 2
    assert float(js(scores)) == pytest.approx(expected, abs=1e-6)
    expected = (1.0 + 7.0) / 2 - math.log((math.exp(-2.0) + math.exp(0.5)) / 2)
    assert float(smile(scores)) == pytest.approx(expected, abs=1e-6)


def test_neighbours_are_counted_as_kraskov_counts_them():
    # the formula, by loops, on a handful of rows
    from scipy.special import digamma

    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 1))
    y = x + rng.normal(size=(60, 1))
    total = 0.0
    for i in range(60):
        dx, dy = np.abs(x - x[i])[:, 0], np.abs(y - y[i])[:, 0]
        radius = np.sort(np.maximum(dx, dy))[5]
        total += digamma((dx < radius).sum()) + digamma((dy < radius).sum())
    assert ksg(x, y).mean() == pytest.approx(digamma(5) + digamma(60) - total / 60, abs=1e-9)


def test_requests_without_an_answer_are_refused():
    x, y = normal(0.5)
    with pytest.raises(InvalidRequest, match="did you mean 'infonce'"):
        mutual_information(x, y, "infonec")
    with pytest.raises(InvalidRequest, match="infinite"):
        mutual_information(x, torch.cat([y, x[..., :1]], -1), "infonce")
    with pytest.raises(InvalidRequest, match="continuous"):
        mutual_information(x, (y > 0).float(), "ksg")
    with pytest.raises(InvalidRequest, match="2000"):
        mutual_information(x[:, :50], y[:, :50])
    with pytest.raises(InvalidRequest, match="not finite"):
        mutual_information(x * math.nan, y)


def test_an_estimate_near_the_cap_says_so():
    x, y = normal(0.999999, n=4000, d=1)  # 9.5 bits
    result = mutual_information(x, y, "infonce", fit=dataclasses.replace(FEW, batch=32, steps=10))
    assert result.capped.all()


def test_the_table_of_tasks_has_a_verdict_for_each():
    table = examine_estimators(("cca",), rows=4000, most=2)
    assert table["within"].tolist() == [True, True]
    assert isinstance(next(tasks()), Task)
