"""Projection heads of CoMM and CLIP against plain torch modules, as in the released code."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pidlab.defaults import Training
from pidlab.encoders import Encoders, Vector
from pidlab.generators import Atoms
from pidlab.objectives import load_objective
from pidlab.objectives.comm import BatchNormHead, CoMM
from pidlab.objectives.contrastive import nt_xent
from pidlab.objectives.cross import Cross
from pidlab.objectives.objective import Batch
from pidlab.training import Member, train


@pytest.fixture
def encoders():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield Encoders([Vector(6), Vector(6)], {"y": 2}, dim=8, hidden=16, layers=1)


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(1)
    x, first, second = ([torch.randn(12, 6, generator=generator) for _ in range(2)] for _ in range(3))
    return Batch(tuple(x), views=(tuple(first), tuple(second)))


def plain_head(head):
    """The same head as `nn.Sequential` of torch, whose batch normalization sees one group of rows."""
    modules = []
    for i, layer in enumerate(head.layers):
        linear = nn.Linear(layer.inputs, layer.outputs)
        linear.weight.data = layer.weight[: layer.inputs, : layer.outputs].T.clone()
        linear.bias.data.zero_()
        if layer.bias is not None:
            linear.bias.data += layer.bias[: layer.outputs]
        norm = [nn.BatchNorm1d(layer.outputs), nn.ReLU()] if i < 2 else []
        modules += [linear, *norm]
    return nn.Sequential(*modules)


@pytest.mark.parametrize("width", [64, 20])
def test_the_head_of_comm_normalizes_every_view_under_every_mask_on_its_own(encoders, batch, width):
    model = CoMM(encoders, head_width=width)
    assert isinstance(model.head, BatchNormHead)
    assert [layer.outputs for layer in model.head.layers] == [width, width, width // 2]
    head = plain_head(model.head)
    losses = []
    for mask in model.masks:
        z = {}
        for v, view in enumerate(batch.views):
            codes = [encoder(x) for encoder, x in zip(encoders, view, strict=True)]
            for m in (mask, model.everything):
                z[v, m] = head(model.fusion.fuse(codes, [m])[0])
        halves = [nt_xent(z[v, mask], z[1 - v, model.everything], 0.1) for v in (0, 1)]
        losses.append(sum(halves) / 2)
    torch.testing.assert_close(model(batch), sum(losses) / len(losses), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("options", [{"head_width": 5}, {"head_width": 0}, {"head_width": 8, "head": "mlp"}])
def test_a_head_width_that_cannot_apply_is_refused(encoders, options):
    with pytest.raises(ValueError, match=f"head_width {options['head_width']}"):
        CoMM(encoders, **options)


def test_clip_has_linear_heads_and_the_initial_scale_of_the_released_code(encoders, batch):
    model = Cross(encoders)
    z = [
        F.normalize(encoder(x) @ head.weight, dim=-1)
        for encoder, head, x in zip(encoders, model.heads, batch.x, strict=True)
    ]
    assert all(head.bias is None for head in model.heads)
    scores = z[0] @ z[1].T / 0.07
    rows = torch.arange(12)
    expected = (F.cross_entropy(scores, rows) + F.cross_entropy(scores.T, rows)) / 2
    torch.testing.assert_close(model(batch), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_comm_captures_synergy_alone_with_its_released_head_only():
    """Where synergy is the only information, CoMM leaves chance with batch normalization only."""
    members = [Member(Atoms(redundant=0.0, unique1=0.0, unique2=0.0, world=seed), seed) for seed in range(3)]
    settings = Training(views="task", steps=600)
    chance = torch.tensor(2.0 * settings.batch - 1).log()
    last = {
        name: train(load_objective(name), members, settings).losses[-50:].mean(0)
        for name in ("comm", "comm(head='mlp')")
    }
    assert (last["comm"] < chance - 0.3).all()
    assert (last["comm(head='mlp')"] > chance - 0.1).sum() >= 2
