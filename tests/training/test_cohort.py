"""The cohort and its traps: a member's numbers are its own."""

import dataclasses

import pytest
import torch
from training_by_hand import MEMBER, members, modalities_of, parameters, plain

from pidlab import Atoms, InvalidRequest, bench, defaults, fit, load_objective
from pidlab.defaults import Training
from pidlab.objectives import objectives
from pidlab.objectives.cross import Cross
from pidlab.objectives.objective import phases_of
from pidlab.training import Member, train
from pidlab.training.cohort import build
from pidlab.training.program import Program, is_stackable, stacked_state
from pidlab.training.stream import Stream

# ourcl-* are the fits of factorcl-*
TRAINED = [
    *(name for name in objectives() if name != "untrained" and "ourcl" not in name),
    "comm(fusion='transformer')",
]


@pytest.mark.parametrize("name", TRAINED)
def test_a_cohort_gives_what_a_loop_gives(name):
    # a batch more than a chunk has
    training = Training(steps=9)
    modalities = modalities_of(name)
    everyone = members(5, modalities)[2:]  # of two seeds
    together = train(load_objective(name), everyone, training)
    assert together.program.name == "vmap"
    for i, member in enumerate(everyone):
        model, losses = plain(load_objective(name), member, training)
        # where phases pull against each other, rounding grows from step to step
        first = slice(None) if len(phases_of(model)) == 1 else slice(6)
        torch.testing.assert_close(together.losses[first, i], losses[first], rtol=1e-5, atol=1e-5)
        z = together.represent([x.expand(3, -1, -1) for x in member.generator.sample(50).x])
        assert z["z12"].shape == (3, 50, 8 * modalities)
        del model


STACKABLE = [
    *("cross", "simclr", "simclr-cross", "cross+self", "cross+self+fact", "comm", "supervised"),
    *("factorcl-sup", "factorcl-ssl", "factorcl-sup(critic='concat')"),
]


@pytest.mark.parametrize("name", STACKABLE)
def test_stacked_members_give_what_vmap_gives(name):
    training, everyone = Training(batch=16, dim=5, hidden=12), members(3)
    models = [build(load_objective(name), member, training, "cpu") for member in everyone]
    assert is_stackable(models[0])
    stacked, by_vmap = Program(models[0], None), Program(models[0], None)
    by_vmap._stackable = False
    params, buffers = stacked_state(models)
    stream = Stream([m.generator for m in everyone], range(3), training, models[0].needs, torch.device("cpu"))
    batch = stream.next()
    for phase in phases_of(models[0]):
        found = []
        for program in (stacked, by_vmap):
            loss, _ = program(phase.loss, params, buffers, batch)
            assert loss.shape == (3,)
            found.append((loss, *torch.autograd.grad(loss.sum(), [*params.values()], allow_unused=True)))
        torch.testing.assert_close(*found, rtol=1e-4, atol=1e-5)


def test_a_subclass_is_not_stackable_unless_it_says_so():
    class Changed(Cross):
        def forward(self, batch):
            return super().forward(batch).mean()  # over members, if there is a member axis

    training, everyone = Training(batch=16, steps=2), members(3)
    assert not is_stackable(build(Changed, everyone[0], training, "cpu"))
    assert not is_stackable(build(load_objective("comm(fusion='transformer')"), everyone[0], training, "cpu"))
    changed, cross = (train(make, everyone, training) for make in (Changed, Cross))
    torch.testing.assert_close(changed.losses, cross.losses)


@pytest.mark.parametrize("name", TRAINED)
@pytest.mark.parametrize(
    ("count", "training"),
    [
        pytest.param(40, Training(steps=15), marks=pytest.mark.slow, id="long"),
        pytest.param(16, Training(steps=5), id="short"),
        pytest.param(12, Training(steps=3, batch=50, hidden=20, dim=8), id="odd"),
    ],
)
def test_a_member_is_the_same_alone_and_in_any_cohort(name, count, training):
    everyone = members(count, modalities_of(name))
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


def test_seed_children_are_separate(tiny):
    a, b = (train(load_objective("simclr"), [Member(Atoms(), s)], tiny) for s in (0, 1))
    assert not torch.equal(a.losses, b.losses)
    again = train(load_objective("simclr"), [Member(Atoms(), 0)], tiny)
    assert torch.equal(a.losses, again.losses)


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


def test_the_benchmark_compares_like_with_like(monkeypatch):
    monkeypatch.setattr(defaults, "RANGE_POINTS", 2)
    monkeypatch.setattr(bench, "ROUNDS", 1)
    monkeypatch.setattr(bench, "SIZES", (2,))
    row = bench.compare("simclr", steps=20)
    assert row["members"] == 2 * defaults.SEEDS
    assert [*row["growth"]] == [2, row["members"]]
    assert row["loss_difference"] < 1e-5
    assert min(row[key] for key in ("cohort_ms", "single_ms", "data_ms", "gflops")) > 0
