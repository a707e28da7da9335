"""Every rule of the contract finds the objective that breaks it."""

import copy
import random
import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from pidlab.check import contract
from pidlab.check.contract import RULES
from pidlab.objectives.contrastive import nt_xent
from pidlab.objectives.load import as_objective
from pidlab.objectives.objective import Phase


class Sound(torch.nn.Module):
    """What the others break in one place each."""

    needs = ("views",)

    def __init__(self, encoders):
        super().__init__()
        self.encoders = encoders
        self.scale = torch.nn.Parameter(torch.ones(()))

    def forward(self, batch):
        pairs = zip(self.encoders, *batch.views, strict=True)
        losses = [nt_xent(e(a), e(b), 0.5) for e, a, b in pairs]
        return torch.stack(losses).mean() * self.scale


class Vector(Sound):
    def forward(self, batch):
        return super().forward(batch)[None]


class NotFinite(Sound):
    def forward(self, batch):
        return super().forward(batch) / 0.0


class Undeclared(Sound):
    needs = ()


class Faulty(Sound):
    def forward(self, batch):
        return {}["missing"]


class Unreached(Sound):
    def __init__(self, encoders):
        super().__init__(encoders)
        self.spare = torch.nn.Linear(2, 2)


class Detached(Sound):
    def forward(self, batch):
        return super().forward(batch).detach()


class NothingToTrain(Sound):
    phases = (Phase("main", train=("head",)),)


class StopGradient(Sound):
    def forward(self, batch):
        penalty = self.encoders[0](batch.x1).detach().square().mean()
        return super().forward(batch) + penalty


class Numpy(Sound):
    def forward(self, batch):
        return super().forward(batch) * np.random.uniform(0.99, 1.0)  # noqa: NPY002


class Python(Sound):
    def forward(self, batch):
        return super().forward(batch) * random.uniform(0.99, 1.0)


class Unseeded(Sound):
    def __init__(self, encoders):
        super().__init__(encoders)
        self.rng = np.random.default_rng()

    def forward(self, batch):
        return super().forward(batch) * self.rng.uniform(0.99, 1.0)


class Dropout(Sound):
    def forward(self, batch):
        return super().forward(batch) + 0 * F.dropout(batch.x1, 0.5).sum()


class Item(Sound):
    def forward(self, batch):
        loss = super().forward(batch)
        return loss if loss.item() > 0 else -loss


class OtherDevice(Sound):
    def forward(self, batch):
        return super().forward(batch) + (batch.x1[:, 0] * torch.zeros(len(batch.x1), device="cpu")).sum()


class MadeOnImport(Sound):
    ones = torch.ones(())

    def forward(self, batch):
        return super().forward(batch) + (batch.x1.mean(0) * self.ones[None]).sum()


class Ordered(Sound):
    def forward(self, batch):
        return super().forward(batch) + self.encoders[0](batch.x1)[0].square().mean()


class MixedRows(Sound):
    def represent(self, x1, x2):
        z1, z2 = self.encoders[0](x1), self.encoders[1](x2)
        return {"z12": torch.cat([z1 - z1.mean(0), z2], dim=-1)}


class Nameless(Sound):
    def represent(self, x1, x2):
        return {"z": self.encoders[0](x1)}


class Leaking(Sound):
    def represent(self, x1, x2):
        z1, z2 = self.encoders[0](x1), self.encoders[1](x2)
        return {"z1": z1 + z2, "z2": z2, "z12": torch.cat([z1, z2], dim=-1)}


class MovingAverage(Sound):
    """Keeps a buffer by assignment, which a naive vmap loses."""

    def __init__(self, encoders):
        super().__init__(encoders)
        self.register_buffer("centre", torch.zeros(encoders.dim))

    def forward(self, batch):
        z = self.encoders[0](batch.x1)
        self.centre = 0.9 * self.centre + 0.1 * z.detach().mean(0)
        return super().forward(batch) + (z - self.centre).square().mean()


class Normalised(Sound):
    """Counts its batches in a buffer, which torch makes out of a number."""

    def __init__(self, encoders):
        super().__init__(encoders)
        self.norm = torch.nn.BatchNorm1d(encoders.dim)

    def forward(self, batch):
        return super().forward(batch) + (self.norm(self.encoders[0](batch.x1)) ** 4).mean()


def findings(make):
    return {finding.rule: finding for finding in contract(make)}


NUMBER, REACH, SLOPE, LOOP, BESIDE, RANDOM, DEVICE, ORDER, ROWS, CONSTANT = RULES


def test_a_sound_objective_keeps_every_rule():
    found = findings(Sound)
    assert list(found) == list(RULES)
    assert all(f.ok and not f.why for f in found.values())


@pytest.mark.parametrize(
    ("make", "rule", "says"),
    [
        (Vector, NUMBER, "the loss must be one number, a 0-d tensor, got shape (1,); return its mean"),
        (NotFinite, NUMBER, "inf"),
        (Undeclared, NUMBER, 'needs = ("views",)'),
        (Faulty, NUMBER, 'return {}["missing"]'),
        (Unreached, REACH, "spare.weight, spare.bias"),
        (Detached, NUMBER, "the loss has no gradient"),
        (NothingToTrain, REACH, "no name begins with ('head',)"),
        (Unseeded, RANDOM, "draw with torch"),
        (OtherDevice, DEVICE, "device=batch.x1.device"),
        (MadeOnImport, DEVICE, "device=batch.x1.device"),
        (MixedRows, ROWS, "of half of the rows"),
        (Nameless, ROWS, "there are z"),
        (Leaking, ROWS, "z1 changes with x2"),
    ],
)
def test_what_is_broken_is_found(make, rule, says):
    finding = findings(make)[rule]
    assert not finding.ok
    assert says in finding.why


@pytest.mark.parametrize(
    ("make", "rule", "says"),
    [
        (StopGradient, SLOPE, "sends no gradient"),
        (Item, LOOP, "calling .item()"),
        (Dropout, RANDOM, "a global generator"),
        (Numpy, LOOP, "trained one model at a time"),
        (Numpy, RANDOM, "a global generator"),
        (Python, LOOP, "trained one model at a time"),
        (Ordered, ORDER, "after a permutation"),
    ],
)
def test_what_may_be_meant_is_a_warning(make, rule, says):
    finding = findings(make)[rule]
    assert finding.ok
    assert says in finding.why


@pytest.mark.parametrize("make", [MovingAverage, Normalised])
def test_buffers_are_no_mistake(make):
    found = findings(make)
    assert found[LOOP].ok
    assert found[DEVICE].ok
    assert not found[LOOP].why


class RowDropout(Sound):
    """Random numbers that differ from row to row, and reach the loss."""

    def forward(self, batch):
        return super().forward(batch) + F.dropout(self.encoders[0](batch.x1), 0.5).square().mean()


class BooleanIndex(Sound):
    """Selects rows by a condition, as lightly's NTXentLoss; the shape depends on numbers."""

    def forward(self, batch):
        z = self.encoders[0](batch.x1)
        return super().forward(batch) + z[z[:, 0] > 0].square().mean()


class DifferentNumbers(Sound):
    """Draws an attribute in its constructor, so that models differ in it."""

    def __init__(self, encoders):
        super().__init__(encoders)
        self.weight = float(torch.rand(())) + 0.5

    def forward(self, batch):
        return self.weight * super().forward(batch)


class InnerGradient(Sound):
    """Differentiates inside the loss, which needs gradients to be enabled."""

    def forward(self, batch):
        z = self.encoders[0](batch.x1)
        (grad,) = torch.autograd.grad(z.square().sum(), z, create_graph=True)
        return super().forward(batch) + grad.square().mean()


class Lazy(Sound):
    """Has weights only after its first batch."""

    def __init__(self, encoders):
        super().__init__(encoders)
        self.head = torch.nn.LazyLinear(4)

    def forward(self, batch):
        return super().forward(batch) + self.head(self.encoders[0](batch.x1)).square().mean()


class EmptyBuffer(Sound):
    def __init__(self, encoders):
        super().__init__(encoders)
        self.register_buffer("bank", torch.empty(0))


class Teacher(Sound):
    """A moving average of the encoders that is updated in the loss."""

    def __init__(self, encoders):
        super().__init__(encoders)
        self.teacher = copy.deepcopy(encoders).requires_grad_(False)

    def forward(self, batch):
        with torch.no_grad():
            for old, new in zip(self.teacher.parameters(), self.encoders.parameters(), strict=True):
                old.mul_(0.99).add_(0.01 * new)
            target = self.teacher[0](batch.x1)
        return super().forward(batch) + (self.encoders[0](batch.x1) - target).square().mean()


class SinglePrecision(Sound):
    def forward(self, batch):
        z = self.encoders[0](batch.x1)
        return super().forward(batch) + (z @ torch.ones(z.shape[1], 2)).square().mean()


@pytest.mark.parametrize(
    "make", [RowDropout, BooleanIndex, EmptyBuffer, Teacher, DifferentNumbers, InnerGradient, Lazy]
)
def test_correct_objectives_pass(make):
    assert all(finding.ok for finding in findings(make).values())


@pytest.mark.parametrize(
    ("make", "rule", "says"),
    [
        (RowDropout, ORDER, "draws random numbers"),
        (BooleanIndex, DEVICE, "needs numbers"),
        (SinglePrecision, SLOPE, "cannot be computed in float64"),
        pytest.param(Lazy, SLOPE, "lazy modules", marks=pytest.mark.slow),
    ],
)
def test_a_rule_that_cannot_be_checked_says_why(make, rule, says):
    finding = findings(make)[rule]
    assert finding.ok
    assert finding.why.startswith("not applicable: ")
    assert says in finding.why


class Exits(Sound):
    def forward(self, batch):
        sys.exit(0)


def test_an_exit_is_a_broken_rule():
    make = as_objective(Exits)
    assert [(f.rule, f.ok) for f in contract(make)] == [(NUMBER, False)]


def test_a_loss_that_cannot_be_computed_ends_the_examination():
    assert list(findings(Faulty)) == [NUMBER]
