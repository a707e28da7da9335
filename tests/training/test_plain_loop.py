"""A user's objective has the losses of a plain PyTorch loop: BYOL, MoCo, SimSiam, memory banks, ..."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pidlab import Atoms
from pidlab.defaults import Training
from pidlab.objectives.base import Batch, needs_of
from pidlab.seeds import child, temporary_seed
from pidlab.training import Member, train
from pidlab.training.cohort import build
from pidlab.training.stream import Stream, tree_map

SETTINGS = Training(steps=50, batch=32, hidden=16)
MEMBERS = [Member(Atoms(), seed) for seed in (0, 1)]


class BYOL(nn.Module):
    """An online network and predictor against a teacher that is their moving average."""

    needs = ("views",)

    def __init__(self, encoders):
        super().__init__()
        self.encoders = encoders
        self.predictor = nn.Sequential(nn.Linear(encoders.dim, 32), nn.ReLU(), nn.Linear(32, encoders.dim))
        self.teacher = copy.deepcopy(encoders).requires_grad_(False)

    def forward(self, batch):
        with torch.no_grad():
            for old, new in zip(self.teacher.parameters(), self.encoders.parameters(), strict=True):
                old.mul_(0.99).add_(0.01 * new)
        loss = 0.0
        for i, (a, b) in enumerate(zip(*batch.views, strict=True)):
            prediction, target = self.predictor(self.encoders[i](a)), self.teacher[i](b)
            loss = loss - F.cosine_similarity(prediction, target, dim=-1).mean()
        return loss


class MoCo(nn.Module):
    """A queue of the last embeddings as negatives, with its position in a buffer."""

    def __init__(self, encoders):
        super().__init__()
        self.encoders = encoders
        self.register_buffer("queue", F.normalize(torch.randn(128, encoders.dim), dim=-1))
        self.register_buffer("position", torch.zeros((), dtype=torch.long))

    def forward(self, batch):
        q = F.normalize(self.encoders[0](batch.x1), dim=-1)
        k = F.normalize(self.encoders[1](batch.x2), dim=-1)
        logits = torch.cat([(q * k).sum(-1, keepdim=True), q @ self.queue.clone().T], dim=1) / 0.2
        with torch.no_grad():
            start = int(self.position)
            self.queue[start : start + len(k)] = k.detach()
            self.position.add_(len(k)).remainder_(len(self.queue))
        return F.cross_entropy(logits, torch.zeros(len(q), dtype=torch.long))


class SimSiam(nn.Module):
    """A predictor and a stop-gradient."""

    needs = ("views",)

    def __init__(self, encoders):
        super().__init__()
        self.encoders = encoders
        self.predictor = nn.Linear(encoders.dim, encoders.dim)

    def forward(self, batch):
        losses = []
        for i, (a, b) in enumerate(zip(*batch.views, strict=True)):
            za, zb = self.encoders[i](a), self.encoders[i](b)
            pa, pb = self.predictor(za), self.predictor(zb)
            losses += [
                -F.cosine_similarity(pa, zb.detach()).mean(),
                -F.cosine_similarity(pb, za.detach()).mean(),
            ]
        return torch.stack(losses).mean()


class DropoutAndBatchNorm(nn.Module):
    """Random numbers and running statistics."""

    def __init__(self, encoders):
        super().__init__()
        self.encoders = encoders
        self.head = nn.Sequential(nn.BatchNorm1d(encoders.dim), nn.Dropout(0.3), nn.Linear(encoders.dim, 8))

    def forward(self, batch):
        z1, z2 = (self.head(e(x)) for e, x in zip(self.encoders, batch.x, strict=True))
        return F.cross_entropy(z1 @ z2.T, torch.arange(len(z1)))


class FrozenProjection(nn.Module):
    """A random projection that must not be trained."""

    def __init__(self, encoders):
        super().__init__()
        self.encoders = encoders
        self.projection = nn.Linear(encoders.dim, 8).requires_grad_(False)

    def forward(self, batch):
        z1, z2 = (self.projection(e(x)) for e, x in zip(self.encoders, batch.x, strict=True))
        return (z1 - z2).square().mean() - z1.var(0).clamp(max=1.0).mean()


class Schedule(nn.Module):
    """A temperature that depends on a Python counter."""

    def __init__(self, encoders):
        super().__init__()
        self.encoders = encoders
        self.iterations = 0

    def forward(self, batch):
        temperature = 1.0 / (1.0 + 0.1 * self.iterations)
        self.iterations += 1
        z1, z2 = (F.normalize(e(x), dim=-1) for e, x in zip(self.encoders, batch.x, strict=True))
        return F.cross_entropy(z1 @ z2.T / temperature, torch.arange(len(z1)))


class ScheduleWithDropout(Schedule):
    """A counter in an objective that is trained in a loop."""

    def forward(self, batch):
        return super().forward(batch) + F.dropout(self.encoders[0](batch.x1), 0.1).square().mean()


class MemoryBank(nn.Module):
    """A bank that is filled only if its input has a gradient, as lightly's."""

    def __init__(self, encoders):
        super().__init__()
        self.encoders = encoders
        self.register_buffer("bank", torch.zeros(64, encoders.dim))

    def forward(self, batch):
        z1, z2 = (F.normalize(e(x), dim=-1) for e, x in zip(self.encoders, batch.x, strict=True))
        logits = torch.cat([(z1 * z2).sum(-1, keepdim=True), z1 @ self.bank.T], dim=1) / 0.2
        if z2.requires_grad:
            self.bank = torch.cat([z2.detach(), self.bank[: 64 - len(z2)]])
        return F.cross_entropy(logits, torch.zeros(len(z1), dtype=torch.long))


class HiddenTeacher(nn.Module):
    """A teacher that is kept in a list, so that its parameters are not those of the objective."""

    def __init__(self, encoders):
        super().__init__()
        self.encoders = encoders
        self.hidden = [copy.deepcopy(encoders)]

    def forward(self, batch):
        with torch.no_grad():
            for old, new in zip(self.hidden[0].parameters(), self.encoders.parameters(), strict=True):
                old.mul_(0.9).add_(0.1 * new)
            target = self.hidden[0][1](batch.x2)
        return (self.encoders[0](batch.x1) - target).square().mean()


class PlainTensor(nn.Module):
    """A random tensor that is neither a parameter nor a buffer, and a number drawn in the constructor."""

    def __init__(self, encoders):
        super().__init__()
        self.encoders = encoders
        self.direction = torch.randn(encoders.dim)
        self.weight = float(torch.rand(()))

    def forward(self, batch):
        return self.weight * (self.encoders[0](batch.x1) - self.direction).square().mean()


def plain_losses(make, member):
    """Train one model as one does without pidlab."""
    model = build(make, member, SETTINGS, "cpu")
    stream = Stream([member.generator], [member.seed], SETTINGS, needs_of(model), torch.device("cpu"))
    optimizer = torch.optim.Adam(model.parameters(), lr=SETTINGS.rate, fused=True)
    losses = []
    with temporary_seed(child(member.seed, "loss")):
        for _ in range(SETTINGS.steps):
            batch = Batch(**tree_map(lambda t: t[0], stream.next()))
            optimizer.zero_grad()
            loss = model(batch)
            loss.backward()
            optimizer.step()
            losses.append(loss.detach())
    return model, torch.stack(losses)


@pytest.mark.parametrize(
    ("make", "program"),
    [
        (BYOL, None),
        (MoCo, "loop"),
        (SimSiam, "vmap"),
        (DropoutAndBatchNorm, "loop"),
        (FrozenProjection, "vmap"),
        (Schedule, "vmap"),
        (ScheduleWithDropout, "loop"),
        (MemoryBank, "loop"),
        (HiddenTeacher, "loop"),
        (PlainTensor, "loop"),
    ],
)
def test_losses_are_those_of_a_plain_loop(make, program):
    fitted = train(make, MEMBERS, SETTINGS)
    assert program is None or fitted.program.name.startswith(program), fitted.program.name
    for i, member in enumerate(MEMBERS):
        model, losses = plain_losses(make, member)
        torch.testing.assert_close(fitted.losses[:, i], losses, rtol=1e-6, atol=1e-6)
        # after training, readouts are those of the plain model, too
        x = member.generator.sample(8, seed=5).x
        z = fitted.represent([torch.stack([xi, xi]) for xi in x])["z1"][i]
        torch.testing.assert_close(z, model.eval().encoders[0](x[0]).detach(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("make", [ScheduleWithDropout, DropoutAndBatchNorm, MemoryBank, HiddenTeacher])
def test_a_member_trained_after_another_has_the_losses_it_has_alone(make):
    together, alone = train(make, MEMBERS, SETTINGS), train(make, MEMBERS[1:], SETTINGS)
    assert torch.equal(together.losses[:, 1], alone.losses[:, 0])


def test_frozen_parameters_keep_their_values():
    fitted = train(FrozenProjection, MEMBERS, SETTINGS)
    params, _ = fitted.states[0]
    for i, member in enumerate(MEMBERS):
        before = build(FrozenProjection, member, SETTINGS, "cpu").projection.weight
        assert torch.equal(params["objective.projection.weight"][i], before)


def test_the_reason_for_a_loop_is_named():
    said = []
    train(MemoryBank, MEMBERS, Training(steps=1, batch=32, hidden=16), say=said.append)
    assert len(said) == 1
    assert said[0].startswith("trained one model at a time: vmap gives another")
    train(PlainTensor, MEMBERS, Training(steps=1, batch=32, hidden=16), say=said.append)
    assert said[1] in [
        f"trained one model at a time: the attribute {name} differs between members"
        for name in ("direction", "weight")
    ]
