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
