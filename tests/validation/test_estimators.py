"""Estimators of continuous information: known answers and refused requests."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from pidlab import InvalidRequest
from pidlab.validation.estimators import (
    ESTIMATORS,
    CanonicalCorrelation,
    CriticTraining,
    mutual_information,
)

SHORT = CriticTraining(batch=256, steps=100, hidden=32, width=16, checks=4)


def estimate(x, y, name="infonce", training=SHORT):
    return mutual_information(x, y, (name,), training=training)[name]


def normal(rho, n=8000, d=2, members=1, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x, z = torch.randn(2, members, n, d, generator=generator)
    y = z.clone()
    y[..., 0] = rho * x[..., 0] + math.sqrt(1 - rho**2) * z[..., 0]
    return x, y


@pytest.mark.parametrize("name", sorted(ESTIMATORS))
def test_estimates_the_information_of_correlated_normals(name):
    truth = -0.5 * math.log2(1 - 0.8**2)
    x, y = normal(0.8)
    bits = float(estimate(x, y, name).bits[0])
    if (
        ESTIMATORS[name].kind == "upper"
    ):  # CLUB of the true ratio is the Jeffreys divergence rho^2 / (1 - rho^2)
        assert truth < bits < 0.8**2 / (1 - 0.8**2) / math.log(2) + 0.2
    else:
        # 8,000 rows: deviation of the log ratio rho / sqrt n over 1,600 to 8,000 rows, five of them
        assert bits == pytest.approx(truth, abs=0.15)


@pytest.mark.parametrize("name", sorted(ESTIMATORS))
def test_estimates_zero_for_independent_variables(name):
    x, y = normal(0.0)
    assert abs(float(estimate(x, y, name).bits[0])) < 0.05


def test_estimators_share_rows_and_critics():
    x, y = normal(0.7, n=2000)
    together = mutual_information(x, y, tuple(ESTIMATORS), training=SHORT)
    assert list(together) == list(ESTIMATORS)
    for name in ESTIMATORS:
        np.testing.assert_allclose(together[name].bits, estimate(x, y, name).bits, rtol=1e-6)


def test_a_batch_gives_the_same_values_as_a_loop():
    x, y = normal(0.7, n=2000, members=3)
    training = dataclasses.replace(SHORT, steps=40)
    together = estimate(x, y, training=training).bits
    pairs = [estimate(x[i : i + 2], y[i : i + 2], training=training).bits for i in (0, 1)]
    np.testing.assert_allclose(together[:2], pairs[0], atol=1e-5)
    np.testing.assert_allclose(together[1:], pairs[1], atol=1e-5)


def test_the_critic_finds_nonlinear_dependence():
    # Y = X^2 plus noise has no correlation
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, 12_000, 1, generator=generator)
    y = x**2 + 0.3 * torch.randn(1, 12_000, 1, generator=generator)
    assert float(estimate(x, y, "cca").bits[0]) < 0.05
    assert float(estimate(x, y, training=dataclasses.replace(SHORT, steps=400)).bits[0]) > 0.8


@pytest.mark.parametrize("transform", [torch.asinh, torch.special.ndtr, lambda z: z * z.abs().sqrt()])
def test_increasing_transforms_preserve_the_estimate(transform):
    x, y = normal(0.8)
    before, after = (float(estimate(*pair, "cca").bits[0]) for pair in ((x, y), (transform(x), transform(y))))
    assert after == pytest.approx(before, abs=1e-3)


def test_canonical_coordinates_are_white_and_correlated_in_pairs_only():
    x, y = normal(0.8, d=3)
    mixed = x @ torch.randn(3, 3, generator=torch.Generator().manual_seed(1))
    canonical = CanonicalCorrelation(mixed, y)
    a, b = canonical(mixed, y)
    n = x.shape[1]
    torch.testing.assert_close((a.mT @ a / n)[0], torch.eye(3), atol=1e-3, rtol=0)
    cross = (a.mT @ b / n)[0]
    assert float((cross - torch.diag(cross.diagonal())).abs().max()) < 1e-3
    # a standard error of a correlation is (1 - 0.64) / sqrt(8000) = 0.004
    assert float(canonical.correlations[0, 0]) == pytest.approx(0.8, abs=0.02)


def test_invalid_requests_are_refused():
    x, y = normal(0.5)
    with pytest.raises(InvalidRequest, match="did you mean 'infonce'"):
        estimate(x, y, "infonec")
    with pytest.raises(InvalidRequest, match="infinite"):
        estimate(x, torch.cat([y, x[..., :1]], -1))
    with pytest.raises(InvalidRequest, match="continuous"):
        estimate(x, (y > 0).float(), "cca")
    with pytest.raises(InvalidRequest, match="2000"):
        estimate(x[:, :50], y[:, :50])
    with pytest.raises(InvalidRequest, match="not finite"):
        estimate(x * math.nan, y)


def test_an_estimate_near_the_cap_is_flagged():
    x, y = normal(0.999999, n=4000, d=1)  # 9.5 bits
    result = estimate(x, y, training=dataclasses.replace(SHORT, batch=32, steps=10))
    assert result.capped.all()
