"""SynIB against plain loops over samples."""

import math

import pytest
import torch

from pidlab.encoders import Encoders, Vector
from pidlab.objectives.objective import Batch
from pidlab.objectives.synib import SynIB

ROWS, WEIGHT = 7, 0.5


def batch(step):
    generator = torch.Generator().manual_seed(step)
    x = tuple(torch.randn(ROWS, 6, generator=generator) for _ in range(2))
    y = torch.randint(3, (ROWS,), generator=generator)
    keys = torch.randint(10**9, (ROWS,), generator=generator)
    return Batch(x, y=y, targets={"y": y}, keys=keys)


def cross_entropy(logits, y):
    return [
        math.log(sum(math.exp(v) for v in row.tolist())) - float(row[k])
        for row, k in zip(logits, y, strict=True)
    ]


def swapped(code, batch):
    rank = sorted(range(ROWS), key=batch.uniform().tolist().__getitem__)
    follower = {row: rank[(place + 1) % ROWS] for place, row in enumerate(rank)}
    return torch.stack([code[follower[row]] for row in range(ROWS)])


def noise(statistics, batch):
    normal = batch.normal(len(statistics))
    scales = [(m, math.sqrt(max(s - m * m, 1e-6))) for m, s in statistics]
    return torch.tensor([[m + r * float(e) for (m, r), e in zip(scales, row, strict=True)] for row in normal])


def loss_by_hand(model, batch, codes, statistics):
    fuse = lambda parts: model.fusion(torch.cat(parts, -1))  # noqa: E731
    total = sum(cross_entropy(model.head(fuse(codes)), batch.y))
    for head, code in zip(model.unimodal, codes, strict=True):
        total += sum(cross_entropy(head(code), batch.y))
    destroyed = []
    for i, code in enumerate(codes):
        other = noise(statistics[i], batch) if statistics else swapped(code, batch)
        fused = fuse([other if i == j else c for j, c in enumerate(codes)])
        destroyed.append(cross_entropy(model.head(fused), batch.y))
        for mean, v in zip(model.head(fused).flatten(), model.log_variance(fused).flatten(), strict=True):
            total += WEIGHT * 0.5 * float(v.exp() + mean**2 - 1 - v)
    for row, u in enumerate(batch.uniform().tolist()):
        total += destroyed[int(2 * u)][row]
    return total / ROWS


@pytest.mark.parametrize("destroyed", ["swap", "noise"])
def test_synib_equals_a_plain_loop(destroyed):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        encoders = Encoders([Vector(6), Vector(6)], {"y": 3}, dim=4, hidden=8, layers=1)
        model = SynIB(encoders, weight=WEIGHT, destroyed=destroyed)
    statistics = []
    for step in range(3):
        with torch.no_grad():
            codes = [encoder(x) for encoder, x in zip(encoders, batch(step).x, strict=True)]
            values = [
                [(sum(c) / ROWS, sum(v * v for v in c) / ROWS) for c in code.T.tolist()] for code in codes
            ]
            if destroyed == "noise":
                old = statistics or values
                statistics = [
                    [(0.99 * m + 0.01 * a, 0.99 * s + 0.01 * b) for (m, s), (a, b) in zip(*pair, strict=True)]
                    for pair in zip(old, values, strict=True)
                ]
            expected = loss_by_hand(model, batch(step), codes, statistics)
        assert model(batch(step)).item() == pytest.approx(expected, rel=1e-5)
    assert not any(buffer.requires_grad for buffer in model.buffers())


def test_normal_numbers_of_a_batch_have_the_moments_of_a_standard_normal():
    n = 20_000
    drawn = Batch((torch.zeros(n, 1),), keys=torch.arange(n) * 7919 - 10**9).normal(3).flatten()
    # Variances of z, z² and z⁴ are 1, 2 and 96.
    for power, moment, variance in ((1, 0, 1), (2, 1, 2), (4, 3, 96)):
        assert abs(float(drawn.double().pow(power).mean()) - moment) < 5 * math.sqrt(variance / len(drawn))
