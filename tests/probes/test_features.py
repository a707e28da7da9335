"""Normal scores and random Fourier features."""

import numpy as np
import pytest
import torch

from pidlab.probes.features import FEATURES, FourierFeatures, normal_scores


def test_normal_scores_are_increasing_and_normal():
    z = torch.as_tensor(np.random.default_rng(0).standard_t(1.0, size=(1, 2000, 2)))
    scores = normal_scores(z, z)
    for column, ranked in zip(z[0].T, scores[0].T, strict=True):
        assert (ranked[column.argsort()].diff() > 0).all()
        assert float(ranked.mean()) == pytest.approx(0.0, abs=1e-3)
        assert float(ranked.std()) == pytest.approx(1.0, abs=0.02)


def test_normal_scores_of_other_rows_are_finite():
    reference = torch.arange(10.0, dtype=torch.float64)[None, :, None]
    scores = normal_scores(torch.tensor([[[-1e9], [4.5], [1e9]]], dtype=torch.float64), reference)
    assert scores.isfinite().all()
    assert float(scores[0, 1, 0]) == pytest.approx(0.0, abs=1e-9)


def test_normal_scores_are_ranks():
    rows = torch.tensor([[[0.0], [10.0], [-3.0], [1e9]]])
    scores = normal_scores(rows, rows)[0, :, 0]
    assert scores.argsort().tolist() == [2, 0, 1, 3]
    assert float(scores.mean()) == pytest.approx(0.0, abs=1e-5)
    between = normal_scores(torch.tensor([[[5.0]]]), rows)[0, 0, 0]
    assert scores[0] < between < scores[1]


@pytest.mark.parametrize("d", [1, 3, 300])
def test_fourier_features_have_unit_variance_and_cover_every_scale(d):
    features = FourierFeatures(d, seed=0)
    z = torch.randn(1, 4000, d, generator=torch.Generator().manual_seed(0))
    assert features(z).shape == (1, 4000, FEATURES)
    assert float(features(z).square().mean()) == pytest.approx(1.0, abs=0.05)
    lengths = features.frequencies.norm(dim=0)
    assert float(lengths.min()) < 1.0
    assert float(lengths.max()) > 8.0
