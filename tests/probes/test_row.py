"""Confidence intervals of a mean: normal without skewness, wider on the side of rare losses with it."""

import math

import numpy as np
import pytest
import torch

from pidlab.info import binary_entropy
from pidlab.probes.posteriors import log_ratio_bits
from pidlab.probes.row import Z95, interval, modalities_of


def skewed(n=4000, shape=(3,), seed=0):
    generator = torch.Generator().manual_seed(seed)
    return 1.0 - torch.rand(*shape, n, generator=generator, dtype=torch.float64) ** 30


def test_symmetric_scores_have_the_normal_interval():
    half = torch.randn(2, 500, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    bits = torch.cat([half, -half], dim=-1)
    error = bits.std(-1) / math.sqrt(1000)
    expected = torch.stack([bits.mean(-1), -Z95 * error, Z95 * error], dim=-1)
    np.testing.assert_allclose(interval(bits), expected, atol=1e-9)


def test_the_bounds_solve_the_transformed_equation():
    bits = skewed()
    mean, low, high = torch.as_tensor(interval(bits)).unbind(-1)
    deviation, n = bits.std(-1), bits.shape[-1]
    skewness = ((bits - mean[:, None]) ** 3).mean(-1) / deviation**3
    assert bool((skewness < -4).all())
    for bound, quantile in ((low, Z95), (high, -Z95)):
        t = math.sqrt(n) * (mean - bound) / deviation
        root = math.sqrt(n)
        g = t + skewness * t**2 / (3 * root) + skewness**2 * t**3 / (27 * n) + skewness / (6 * root)
        torch.testing.assert_close(g, torch.full_like(g, quantile), atol=1e-9, rtol=0)


def test_intervals_transform_with_shifts_scales_and_reflections():
    bits = skewed()
    mean, low, high = torch.as_tensor(interval(bits)).unbind(-1)
    expected = torch.stack([3 - 2 * mean, 3 - 2 * high, 3 - 2 * low], -1)
    np.testing.assert_allclose(interval(3.0 - 2.0 * bits), expected, rtol=1e-9)
    assert bool((mean - low > high - mean).all())


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_constant_scores_have_a_zero_width_interval(value):
    assert interval(torch.full((2, 50), value)).tolist() == [[value] * 3] * 2


def test_intervals_do_not_depend_on_other_batch_entries():
    bits = skewed(n=300, shape=(9,))
    assert np.array_equal(interval(bits)[4:6], interval(bits[4:6]))


def test_the_interval_of_an_almost_certain_bit_covers_it():
    # Amplitude ±1 in normal noise of deviation 0.38: 0.98 bit, skewness -22. Of 1,000 replicates 0.95 ± 0.014
    # (two standard errors) are covered; the normal interval covers the truth in 0.92 of them.
    noise, n, replicates = 0.38, 5000, 1000
    generator = torch.Generator().manual_seed(1)

    def scores(*shape):
        z = 1.0 + noise * torch.randn(*shape, generator=generator, dtype=torch.float64)
        return 1.0 - torch.log1p(torch.exp(-2.0 * z / noise**2)) / math.log(2.0)

    truth = float(scores(20_000_000 // 4).mean())
    bits = scores(replicates, n)
    mean, low, high = torch.as_tensor(interval(bits)).unbind(-1)
    assert 0.93 <= float(((low <= truth) & (truth <= high)).double().mean()) <= 0.97
    normal = Z95 * bits.std(-1) / math.sqrt(n)
    assert float(((mean - truth).abs() <= normal).double().mean()) < 0.94


def test_the_interval_of_a_noisy_bit_has_its_nominal_coverage():
    # Exact posterior of a bit behind a symmetric channel: 400 replicates of 2,000 rows.
    eps, n, replicates = 0.2, 2000, 400
    generator = torch.Generator().manual_seed(0)
    y = torch.rand(replicates, 1, n, generator=generator) < 0.5
    z = y ^ (torch.rand(replicates, 1, n, generator=generator) < eps)
    p_one = torch.where(z, 1 - eps, eps)
    log_q = torch.stack([1 - p_one, p_one], dim=2).log()
    log_prior = torch.full((replicates, 1, 2), 0.5).log()
    _, low, high = interval(log_ratio_bits(log_q, y.long(), log_prior)[:, 0].double()).T
    truth = 1 - binary_entropy(eps)
    assert 0.92 <= float(((low <= truth) & (truth <= high)).mean()) <= 0.98


def test_a_readout_depends_on_its_modality_or_on_all():
    assert modalities_of("z2", 2) == (1,)
    assert modalities_of("encoder", 2) == (0, 1)
