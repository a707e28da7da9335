"""Whitening: unit covariance, constants removed, small deviations kept."""

import pytest
import torch

from pidlab.probes.whitening import whiten


def test_whitening_leaves_unit_covariance_and_drops_constants():
    z = torch.randn(2, 5000, 4, generator=torch.Generator().manual_seed(0)) @ torch.diag(
        torch.tensor([1e3, 1.0, 1e-2, 0.0])
    )
    w = whiten(z + 3.0)(z + 3.0)
    covariance = w.mT @ w / 5000
    torch.testing.assert_close(
        covariance, torch.diag(torch.tensor([1.0, 1, 1, 0])).expand(2, -1, -1), atol=1e-2, rtol=0
    )


@pytest.mark.parametrize("offset", [1e5, 1e6])
def test_whitening_keeps_small_deviations_around_a_large_mean(offset):
    z = torch.randn(1, 5000, 3, generator=torch.Generator().manual_seed(0))
    moved = torch.cat([z + offset, torch.full_like(z[..., :1], offset / 3)], dim=-1)
    w = whiten(moved)(moved)[0]
    # Numbers near 1e6 are 1/16 apart in float32, which is noise of variance 1/3072.
    apart = (w[:, :3] - z[0]).std(0)
    assert float(apart.max()) < 0.05
    assert not w[:, 3].any()


def test_a_direction_of_tiny_variance_keeps_its_bit():
    generator = torch.Generator().manual_seed(0)
    y = torch.randint(2, (4000,), generator=generator)
    z = torch.randn(2, 4000, 3, generator=generator, dtype=torch.float64)
    z[1, :, 1] = z[1, :, 0] + 1e-6 * (2.0 * y - 1.0)
    z = z.float()  # the numbers themselves resolve the bit
    whitening = whiten(z)
    white = whitening(z)
    assert whitening.precise == (1,)
    assert white.dtype == torch.float32
    assert white[1].T @ white[1] / 4000 == pytest.approx(torch.eye(3), abs=2e-3)
    # The difference of the two coordinates is the bit; the whitened rows hold it linearly.
    fitted = torch.linalg.lstsq(white[1], 2.0 * y.float()[:, None] - 1.0).solution
    assert (((white[1] @ fitted)[:, 0] > 0) == (y == 1)).double().mean() > 0.99
    # The other member is whitened as it would be alone.
    assert torch.equal(white[0], whiten(z[:1].expand(2, -1, -1))(z[:1].expand(2, -1, -1))[0])


def test_rounding_noise_of_a_copy_is_no_direction():
    z = torch.randn(1, 4000, 3, generator=torch.Generator().manual_seed(0))
    z[..., 2] = z[..., 0] * 3.0 + z[..., 1] / 7.0
    white = whiten(z)(z)[0]
    assert torch.linalg.matrix_rank(white.T @ white / 4000, atol=0.1) == 2
