"""What modules of one's own may do in a cohort: buffers, shared tensors, phases, faults."""

import pytest
import torch
from torch import nn
from training_by_hand import MEMBER, Stubborn, members, parameters, plain

from pidlab import Phase
from pidlab.defaults import Training
from pidlab.objectives.objective import Batch
from pidlab.training import train
from pidlab.training.cohort import build
from pidlab.training.stream import Stream, tree_map


class Averaging(nn.Module):
    """An objective with a moving average, assigned anew or updated in place, and a counter."""

    def __init__(self, encoders, in_place=False):
        super().__init__()
        self.encoders, self.in_place = encoders, in_place
        self.register_buffer("average", torch.zeros(encoders.dim))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    def forward(self, batch):
        z = self.encoders[0](batch.x1)
        if self.in_place:
            self.average.mul_(0.9).add_(0.1 * z.detach().mean(0))
            self.count.add_(1)
        else:
            self.average = 0.9 * self.average + 0.1 * z.detach().mean(0)
            self.count = self.count + 1
        return (z - self.average).square().mean()


@pytest.mark.parametrize("in_place", [False, True])
def test_buffers_are_not_lost(tiny, in_place):
    def make(encoders):
        return Averaging(encoders, in_place)

    fitted = train(make, members(3), tiny)
    assert fitted.program.vectorised
    for i, member in enumerate(members(3)):
        model, losses = plain(make, member, tiny)
        got = parameters(fitted, i)
        torch.testing.assert_close(got["objective.average"], model.average)
        assert int(got["objective.count"]) == tiny.steps
        torch.testing.assert_close(fitted.losses[:, i], losses)
        assert float(model.average.abs().sum()) > 0


class Shared(nn.Module):
    """Two modules with one weight, and with one buffer."""

    def __init__(self, encoders):
        super().__init__()
        self.encoders = encoders
        self.first, self.second = (nn.Linear(encoders.dim, encoders.dim) for _ in range(2))
        self.second.weight = self.first.weight
        scale = torch.randn(encoders.dim)
        for module in (self.first, self.second):
            module.register_buffer("scale", scale)

    def forward(self, batch):
        z = self.second(self.first(self.encoders[0](batch.x1)))
        return (z * self.first.scale - self.second.scale).square().mean()


class Transposing(nn.Module):
    """A head of torch's own, whose weight's gradient comes out transposed."""

    def __init__(self, encoders):
        super().__init__()
        self.encoders, self.head = encoders, nn.Linear(encoders.dim, encoders.dim)

    def forward(self, batch):
        return self.head(self.encoders[0](batch.x1)).square().mean()


def test_gradients_of_any_layout_reach_their_weights(tiny):
    fitted = train(Transposing, members(3), tiny)
    for i, member in enumerate(members(3)):
        torch.testing.assert_close(fitted.losses[:, i], plain(Transposing, member, tiny)[1])


def test_tensors_that_modules_share_stay_shared(tiny):
    fitted = train(Shared, members(3), tiny)
    assert fitted.program.vectorised
    for i, member in enumerate(members(3)):
        torch.testing.assert_close(fitted.losses[:, i], plain(Shared, member, tiny)[1])


def test_numbers_that_differ_between_members_are_used_by_their_own_members(tiny):
    made = iter(range(10))

    class Weighted(Averaging):
        def __init__(self, encoders):
            super().__init__(encoders)
            self.weight = float(next(made))

        def forward(self, batch):
            return self.weight * super().forward(batch)

    fitted = train(Weighted, members(3), tiny)
    assert fitted.program.name == "loop (the attribute weight differs between members)"
    made = iter(range(10))
    for i, member in enumerate(members(3)):
        assert torch.equal(fitted.losses[:, i], plain(Weighted, member, tiny)[1])


class Alternating(nn.Module):
    """Two phases: encoders against a critic, then the critic on batches of its own."""

    phases = (
        Phase("main", loss="forward", train=("encoders",)),
        Phase("critic", loss="critic_loss", train=("critic",), fresh_batch=True, repeat=2),
    )

    def __init__(self, encoders):
        super().__init__()
        self.encoders = encoders
        self.critic = nn.Linear(encoders.dim, 1)
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, batch):
        return self.critic(self.encoders[0](batch.x1)).square().mean()

    def critic_loss(self, batch):
        self.seen = self.seen + batch.x1.sum()
        z = self.encoders[0](batch.x1).detach()
        return (self.critic(z) - 1).square().mean()


def test_phases_move_their_own_parameters_on_their_own_batches():
    training = Training(steps=4, batch=16)
    fitted = train(Alternating, members(3), training)
    assert fitted.program.vectorised
    for i, member in enumerate(members(3)):
        model = build(Alternating, member, training, "cpu")
        adams = [
            torch.optim.Adam(p.parameters(), lr=training.rate, fused=True)
            for p in (model.encoders.towers[0], model.critic)
        ]
        stream = Stream([member.generator], [member.seed], training, (), torch.device("cpu"))
        for _ in range(training.steps):
            batches = [Batch(**tree_map(lambda t: t[0], stream.next())) for _ in range(3)]
            steps = [(model, 0, batches[0])] + [(model.critic_loss, 1, b) for b in batches[1:]]
            for loss, which, batch in steps:
                model.zero_grad()
                loss(batch).backward()
                adams[which].step()
        got = parameters(fitted, i)
        for name, p in model.named_parameters():
            torch.testing.assert_close(got[f"objective.{name}"], p, rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(got["objective.seen"], model.seen, rtol=1e-4, atol=1e-3)


def test_a_phase_that_trains_nothing_is_refused(tiny):
    class Misnamed(Alternating):
        phases = (Phase("main", train=("encodres",)),)

    with pytest.raises(ValueError, match="trains no parameter"):
        train(Misnamed, members(2), tiny)


class Noisy(Stubborn):
    """An objective that draws in its loss: members would share or couple draws under vmap."""

    def forward(self, batch):
        return (self.encoders[0](batch.x1) + torch.randn(())).square().mean()


@pytest.mark.parametrize(("make", "says"), [(Stubborn, "item"), (Noisy, "random")])
def test_what_vmap_cannot_take_is_looped_over(tiny, make, says):
    fitted = train(make, members(3), tiny)
    assert not fitted.program.vectorised
    assert fitted.program.name.startswith("loop (")
    assert says in fitted.program.name
    alone = train(make, members(3)[1:2], tiny)
    assert torch.equal(fitted.losses[:, 1], alone.losses[:, 0])
    z = fitted.represent([x.expand(3, -1, -1) for x in MEMBER.generator.sample(5).x])
    assert z["z12"].shape == (3, 5, 16)


def test_a_user_s_own_mistake_is_shown_as_it_is(tiny):
    class Broken(Stubborn):
        def forward(self, batch):
            return batch.x1 @ torch.zeros(3, 3)

    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        train(Broken, members(2), tiny)

    class Wide(Stubborn):
        def forward(self, batch):
            return self.encoders[0](batch.x1).mean(1)

    with pytest.raises(ValueError, match="the loss must be one number"):
        train(Wide, members(2), tiny)


def test_a_diverging_member_harms_no_other(tiny):
    class Exploding(Stubborn):
        def __init__(self, encoders):
            super().__init__(encoders)
            self.register_buffer("bomb", torch.tensor(float("nan")) if next(fuse) == 1 else torch.tensor(1.0))

        def forward(self, batch):
            return self.encoders[0](batch.x1).square().mean() * self.bomb

    fuse = iter(range(10))
    fitted = train(Exploding, members(3), tiny)
    assert fitted.failed == {1: 0}
    assert fitted.losses[:, [0, 2]].isfinite().all()
