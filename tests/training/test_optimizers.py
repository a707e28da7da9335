"""Optimizer, weight decay, schedule and clipping are those of plain PyTorch, alone and stacked."""

import math

import pytest
import torch
from torch import nn

from pidlab import Atoms, InvalidRequest, fit
from pidlab.defaults import RECIPES, Training, recipe_settings, training_specification
from pidlab.objectives.objective import Batch
from pidlab.training import Member, train
from pidlab.training.cohort import build
from pidlab.training.stream import Stream, tree_map

BASE = {"steps": 12, "batch": 16, "hidden": 16}
MEMBERS = [Member(Atoms(), seed) for seed in (0, 1)]


class Distance(nn.Module):
    """A loss whose gradients differ in size between members."""

    def __init__(self, encoders):
        super().__init__()
        self.encoders = encoders
        self.register_buffer("size", torch.rand(()) * 10.0)

    def forward(self, batch):
        return self.size * (self.encoders[0](batch.x1) - self.encoders[1](batch.x2)).square().mean()


class Looped(Distance):
    def forward(self, batch):
        loss = super().forward(batch)
        return loss if loss.item() > 0 else -loss


def plain_losses(make, member, training):
    """Train with torch's own optimizer, scheduler and clipping."""
    model = build(make, member, training, "cpu")
    stream = Stream([member.generator], [member.seed], training, (), torch.device("cpu"))
    kinds = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}
    more = {"momentum": 0.9} if training.optimizer == "sgd" else {"fused": True}
    optimizer = kinds[training.optimizer](
        model.parameters(), lr=training.rate, weight_decay=training.weight_decay, **more
    )
    rest = training.steps - training.warmup

    def factor(step):
        if training.schedule == "constant":
            return 1.0
        if step < training.warmup:
            return (step + 1) / training.warmup
        return 0.5 * (1.0 + math.cos(math.pi * (step - training.warmup) / rest))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    losses = []
    for _ in range(training.steps):
        loss = model(Batch(**tree_map(lambda t: t[0], stream.next())))
        optimizer.zero_grad()
        loss.backward()
        if training.clip is not None:
            nn.utils.clip_grad_norm_(model.parameters(), training.clip)
        optimizer.step()
        schedule.step()
        losses.append(loss.detach())
    return torch.stack(losses)


@pytest.mark.parametrize("make", [Distance, Looped])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"weight_decay": 0.1},
        {"optimizer": "adamw", "weight_decay": 0.1},
        {"optimizer": "sgd", "rate": 1e-3},
        {"schedule": "cosine", "warmup": 3},
        {"optimizer": "sgd", "clip": 0.5, "rate": 0.1},
        {"optimizer": "sgd", "clip": 1e9, "rate": 1e-3},
    ],
    ids=str,
)
def test_losses_are_those_of_torch(make, settings):
    training = Training(**BASE | settings)
    fitted = train(make, MEMBERS, training)
    assert fitted.program.vectorised == (make is Distance)
    for i, member in enumerate(MEMBERS):
        expected = plain_losses(make, member, training)
        torch.testing.assert_close(fitted.losses[:, i], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"optimizer": "adamax"}, "optimizer = 'adamax': expected one of adam, adamw, sgd"),
        ({"schedule": "linear"}, "expected one of constant, cosine"),
        ({"weight_decay": -1.0}, "expected a finite number 0 or more"),
        ({"clip": 0.0}, "expected a finite number above 0"),
        ({"warmup": 5}, "only with schedule = 'cosine'"),
    ],
)
def test_impossible_settings_are_refused(settings, says):
    with pytest.raises(InvalidRequest, match=says):
        Training(**settings)


def test_settings_at_their_default_leave_no_trace_in_the_key_of_a_run():
    assert training_specification(Training()).keys() == {
        "views", "steps", "batch", "samples", "dim", "hidden", "layers", "rate"
    }  # fmt: skip
    assert training_specification(Training(clip=1.0))["clip"] == 1.0


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_sets_published_settings_that_arguments_override(name):
    training = Training(**recipe_settings(name))
    assert all(getattr(training, key) == value for key, value in RECIPES[name].settings.items())
    assert "arXiv" in RECIPES[name].source


def test_fit_takes_a_recipe():
    by_recipe = fit("simclr", "atoms", recipe="comm", steps=3)
    by_hand = fit("simclr", "atoms", optimizer="adamw", rate=3e-4, weight_decay=1e-4, batch=64, steps=3)
    assert torch.equal(by_recipe.losses, by_hand.losses)
    with pytest.raises(InvalidRequest, match="--recipe 'com': did you mean 'comm'"):
        fit("simclr", "atoms", recipe="com")
