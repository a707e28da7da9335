"""The cohort and its traps: a member's numbers are its own."""

import dataclasses

import pytest
import torch
from torch import nn

from pidlab import Atoms, InvalidRequest, Phase, fit, load_objective
from pidlab.defaults import Training
from pidlab.objectives import objectives
from pidlab.objectives.base import Batch, needs_of, phases_of
from pidlab.seeds import child
from pidlab.training import Member, train
from pidlab.training.benchmark import compare
from pidlab.training.cohort import build
from pidlab.training.stream import Stream, tree_map

# ourcl-* are the fits of factorcl-*
TRAINED = [
    *(name for name in objectives() if name != "untrained" and "ourcl" not in name),
    "comm(fusion='transformer')",
]


def members(count, **bits):
    """Like a sweep's: points that share seeds."""
    return [
        Member(Atoms(unique1=(i % 4) / 4, world=child(i // 4, "world"), **bits), i // 4) for i in range(count)
    ]


def parameters(fitted, i):
    params, buffers = fitted.states[0] if fitted.program.vectorised else fitted.states[i]
    take = (lambda t: t[i]) if fitted.program.vectorised else (lambda t: t)
    return {name: take(t) for name, t in {**params, **buffers}.items()}


def plain(make, member, training):
    """Training as one writes it without pidlab."""
    model = build(make, member, training, "cpu")
    stream = Stream([member.generator], [member.seed], training, needs_of(model), torch.device("cpu"))
    phases = [
        (phase, [p for name, p in model.named_parameters() if phase.moves(name)])
        for phase in phases_of(model)
    ]
    adams = [torch.optim.Adam(moved, lr=training.rate, fused=True) for _, moved in phases]
    losses = []
    for _ in range(training.steps):
        batch = stream.next()
        for (phase, _), adam in zip(phases, adams, strict=True):
            batch = stream.next() if phase.fresh_batch else batch
            model.zero_grad()
            loss = getattr(model, phase.loss)(Batch(**tree_map(lambda t: t[0], batch)))
            loss.backward()
            adam.step()
            if phase is phases[0][0]:
                losses.append(loss.detach())
    return model, torch.stack(losses)


@pytest.mark.parametrize("name", TRAINED)
def test_a_cohort_gives_what_a_loop_gives(name):
    # a batch more than a chunk has
    training = Training(steps=9)
    together = train(load_objective(name), members(5), training)
    assert together.program.name == "vmap"
    for i, member in enumerate(members(5)):
        model, losses = plain(load_objective(name), member, training)
        # where phases pull against each other, rounding grows from step to step
        first = slice(None) if len(phases_of(model)) == 1 else slice(8)
        torch.testing.assert_close(together.losses[first, i], losses[first], rtol=1e-5, atol=1e-5)
        z = together.represent([x.expand(5, -1, -1) for x in member.generator.sample(50).x])
        assert z["z12"].shape == (5, 50, 16)
        del model


@pytest.mark.parametrize("name", TRAINED)
@pytest.mark.parametrize(
    ("count", "training"),
    [
        pytest.param(40, Training(steps=15), marks=pytest.mark.slow, id="long"),
        pytest.param(40, Training(steps=5), id="short"),
        pytest.param(12, Training(steps=3, batch=50, hidden=20, dim=8), id="odd"),
    ],
)
def test_a_member_is_the_same_alone_and_in_any_cohort(name, count, training):
    everyone = members(count)
    runs = [
        train(load_objective(name), group, training)
        for group in (everyone, everyone[3:8], [everyone[4]], everyone[4:6])
    ]
    wanted = parameters(runs[0], 4)
    for fitted, place in zip(runs[1:], (1, 0, 0), strict=True):
        got = parameters(fitted, place)
        for key, value in wanted.items():
            assert torch.equal(value, got[key]), key
    x = everyone[4].generator.sample(700).x
    z = [f.represent([xi.expand(f.members, *xi.shape) for xi in x])["z12"] for f in runs]
    assert torch.equal(z[0][4], z[1][1])
    assert torch.equal(z[0][4], z[2][0])


@pytest.mark.parametrize("width", [11, 33])
@pytest.mark.parametrize("dim", [3, 8])
def test_odd_widths_are_padded(width, dim):
    training = Training(steps=5, dim=dim, hidden=12, batch=24)
    everyone = members(9, width=width)
    many, one = (train(load_objective("comm"), g, training) for g in (everyone, everyone[:1]))
    for key, value in parameters(many, 0).items():
        assert torch.equal(value, parameters(one, 0)[key]), key
    x = [xi[None] for xi in everyone[0].generator.sample(10).x]
    assert one.represent(x)["z1"].shape == (1, 10, dim)


def test_objectives_at_one_seed_share_world_data_and_initial_towers():
    training = Training(steps=1, batch=16)
    streams = [
        Stream([MEMBER.generator], [MEMBER.seed], training, needs, torch.device("cpu")).next()
        for needs in ((), ("views",), ("labels", "views"), ("view",))
    ]
    assert all(torch.equal(streams[0]["x"][0], s["x"][0]) for s in streams)
    assert torch.equal(streams[1]["views"][1][0], streams[2]["views"][1][0])
    (alone,) = streams[3]["views"]
    assert all(torch.equal(a, b) for a, b in zip(alone, streams[1]["views"][0], strict=True))
    towers = [
        build(load_objective(name), MEMBER, training, "cpu").encoders.towers[0][0].weight
        for name in ("cross", "comm", "untrained")
    ]
    assert all(torch.equal(towers[0], t) for t in towers)


MEMBER = Member(Atoms(), 0)


def test_seed_children_are_separate(tiny):
    a, b = (train(load_objective("simclr"), [Member(Atoms(), s)], tiny) for s in (0, 1))
    assert not torch.equal(a.losses, b.losses)
    again = train(load_objective("simclr"), [Member(Atoms(), 0)], tiny)
    assert torch.equal(a.losses, again.losses)


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


def test_numbers_that_differ_between_members_are_refused(tiny):
    made = iter(range(10))

    class Weighted(Averaging):
        def __init__(self, encoders):
            super().__init__(encoders)
            self.weight = float(next(made))

    with pytest.raises(ValueError, match="weight differs between members of a cohort"):
        train(Weighted, members(3), tiny)


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


class Stubborn(nn.Module):
    """An objective that vmap cannot take."""

    def __init__(self, encoders):
        super().__init__()
        self.encoders = encoders

    def forward(self, batch):
        z = self.encoders[0](batch.x1)
        return z.square().mean() * (2.0 if z.mean().item() > 0 else 1.0)


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

    with pytest.raises(ValueError, match="a loss is one number"):
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


def test_a_finite_set_is_passed_over_in_random_order():
    training = Training(steps=1, batch=16, samples=50)
    stream = Stream([MEMBER.generator], [0], training, ("labels",), torch.device("cpu"))
    rows = torch.cat([stream.next()["x"][0][0] for _ in range(6)])
    passes = rows.view(2, 48, -1)
    for one in passes:
        assert len(torch.unique(one, dim=0)) == 48
    assert len(torch.unique(rows, dim=0)) <= 50
    assert not torch.equal(passes[0], passes[1])


def test_streamed_batches_are_fresh():
    stream = Stream([MEMBER.generator], [0], Training(batch=100), ("views",), torch.device("cpu"))
    batches = [stream.next() for _ in range(25)]
    rows = torch.cat([b["x"][0][0] for b in batches])
    assert len(torch.unique(rows, dim=0)) == 2500
    (a1, _), (b1, _) = batches[0]["views"]
    assert not torch.equal(a1, b1)


def test_fit_gives_a_frozen_model():
    fitted = fit("cross", Atoms(), seed=3, steps=4, batch=16)
    z = fitted.represent(*Atoms().sample(9).x)
    assert {name: tuple(value.shape) for name, value in z.items()} == {
        "z1": (9, 8),
        "z2": (9, 8),
        "z12": (9, 16),
    }
    assert not any(value.requires_grad for value in z.values())
    assert fitted.losses.shape == (4,)
    assert torch.equal(fitted.losses, fit(load_objective("cross"), Atoms(), seed=3, steps=4, batch=16).losses)


@pytest.mark.parametrize(
    "wrong", [{"steps": 0}, {"batch": 1}, {"dim": 2.5}, {"rate": 0}, {"samples": 5}, {"steps": float("nan")}]
)
def test_wrong_settings_are_named(wrong):
    with pytest.raises(InvalidRequest, match=next(iter(wrong))):
        fit("cross", Atoms(), **wrong)


def test_settings_are_whole_numbers_however_written():
    assert dataclasses.astuple(Training(steps=10.0, batch=32.0))[1:3] == (10, 32)


def test_the_benchmark_compares_like_with_like():
    row = compare("simclr", steps=20)
    assert row["loss_difference"] < 1e-5
    assert min(row[key] for key in ("cohort_ms", "single_ms", "data_ms", "gflops")) > 0


def test_a_snapshot_is_the_model_of_a_shorter_training():
    # a constant learning rate and fresh batches: the first steps are a training of their own
    make = load_objective("simclr")
    fitted = train(make, members(3), Training(steps=10), snapshots=(0, 5, 10))
    x = tuple(torch.stack([m.generator.sample(20).x[i] for m in members(3)]) for i in (0, 1))
    final = fitted.represent(x)
    early = fitted.at(5).represent(x)
    for name, z in train(make, members(3), Training(steps=5)).represent(x).items():
        assert torch.equal(early[name], z)
        assert not torch.equal(final[name], z)
    for name, z in train(load_objective("untrained"), members(3), Training(steps=10)).represent(x).items():
        assert torch.equal(fitted.at(0).represent(x)[name], z)
    assert fitted.at(10) is fitted
    assert set(fitted.snapshots) == {0, 5}


def test_nothing_is_kept_that_nobody_asks_for(tiny):
    assert train(load_objective("simclr"), members(2), tiny).snapshots == {}


def test_what_is_never_trained_is_the_same_at_any_step(tiny):
    fitted = train(load_objective("untrained"), members(2), tiny, snapshots=(0, 2))
    assert fitted.at(2) is fitted


def test_snapshots_of_models_trained_one_by_one(tiny):
    fitted = train(Stubborn, members(2), tiny, snapshots=(1,))
    assert not fitted.program.vectorised
    short = train(Stubborn, members(2), dataclasses.replace(tiny, steps=1))
    for (early, _), (params, _) in zip(fitted.at(1).states, short.states, strict=True):
        assert all(torch.equal(early[name], params[name]) for name in params)
