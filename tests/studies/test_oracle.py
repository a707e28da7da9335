"""Tests of losses on oracles, of training from them, and of resuming the experiment."""

import math

import pytest
import torch

from pidlab import Atoms, InvalidRequest, load_objective
from pidlab.defaults import Training
from pidlab.objectives.objective import Batch, phases_of
from pidlab.seeds import child
from pidlab.studies import oracle as experiment
from pidlab.studies.oracle import oracle
from pidlab.studies.oracle_symbols import (
    Oracle,
    Regression,
    heads_only,
    paired_with,
    with_oracle_fusion,
)
from pidlab.training import Member, train
from pidlab.training.cohort import build
from pidlab.training.fit import fresh_losses
from pidlab.training.stream import Stream, tree_map

TINY = {"steps": 3, "batch": 16, "hidden": 16, "regression": 2, "batches": 3, "seeds": 2}
EVERY = ["S", "R", "R+U", "R+U+S", "R+U+S+nuisance", "scratch", "warm", "warm, trained"]


@pytest.fixture(autouse=True)
def without_probes(monkeypatch):
    """Replace the probes, which have their own tests."""

    def nothing(represent, generators, seeds, *_):
        z = represent([x.expand(len(seeds), -1, -1) for x in generators[0].sample(4).x])
        assert all(values.isfinite().all() for values in z.values())
        return [
            [
                {"term": term, "headline": True, "readout": "z12", "captured": 0.5}
                for term in ("redundant", "unique1", "unique2", "synergy")
            ]
            for _ in generators
        ]

    monkeypatch.setattr(experiment, "capture_cohort", nothing)


@pytest.mark.parametrize(
    "objective", ["cross", "cross+self+fact", "factorcl-ssl", "factorcl-sup", "supervised"]
)
def test_the_table_has_a_row_per_representation_and_seed(objective):
    table = oracle([objective], **TINY)
    assert set(map(tuple, table[["representation", "seed"]].to_numpy())) == {
        (r, s) for r in EVERY for s in (0, 1)
    }
    assert len(table) == 2 * len(EVERY)
    assert (table["low"] < table["loss"]).all()
    assert (table["loss"] < table["high"]).all()


def test_an_objective_with_a_fusion_is_also_fitted_with_its_own_fusion():
    table = oracle(["comm", "comm(fusion='transformer')"], **{**TINY, "seeds": 1})
    for _, rows in table.groupby("objective"):
        assert set(rows["representation"]) == {*EVERY, "R+U+S, own fusion"}


def test_a_supervised_head_with_oracle_fusions_reaches_the_entropy_of_what_they_lack():
    # log 2 nats for every missing bit, after a linear head is fitted
    generator, training = Atoms(synergy=0.5), Training(steps=250, batch=64, rate=0.05)
    missing = {"R": 3.0, "R+U": 1.0, "R+U+S": 0.5}
    members = [Member(generator, 0, Oracle(generator, name)) for name in missing]
    fitted = train(heads_only(with_oracle_fusion(load_objective("supervised"))), members, training)
    losses = fresh_losses(fitted, members, training, 60).mean(0)
    # The loss of the last bit is 0 or log 2 in each of 3840 rows: standard error 0.006.
    torch.testing.assert_close(losses, torch.tensor([*missing.values()]) * math.log(2.0), rtol=0, atol=0.03)


def test_heads_only_trains_only_heads():
    make, training = load_objective("comm"), Training(steps=3, batch=16, hidden=16)
    members = [Member(Atoms(world=s), s, paired_with(Oracle(Atoms(world=s), "R+U+S"))) for s in (0, 1)]
    fitted = train(heads_only(make), members, training, snapshots=(0,))
    assert fitted.program.vectorised
    before, after = (f.states[0][0] for f in (fitted.at(0), fitted))
    moved = {name.split(".")[1] for name in after if not torch.equal(before[name], after[name])}
    assert moved == {"head"}


def test_training_begins_at_the_given_start():
    make, members = load_objective("simclr"), [Member(Atoms(), 0), Member(Atoms(), 1)]
    first = train(make, members, Training(steps=2, batch=16, hidden=16))
    again = train(make, members, Training(steps=1, batch=16, hidden=16), start=first.states, snapshots=(0,))
    for name, tensor in first.states[0][0].items():
        assert torch.equal(again.at(0).states[0][0][name], tensor)
        assert torch.equal(tensor, again.states[0][0][name]) == (
            "joint" in name
        )  # SimCLR does not use the joint network


def test_regression_fits_networks_to_the_oracle():
    from functools import partial

    training = Training(steps=150, batch=128)
    members = [Member(Atoms(), s, paired_with(Oracle(Atoms(), "R+U"))) for s in (0, 1)]
    fitted = train(partial(Regression, make=load_objective("cross")), members, training)
    assert (fitted.losses[-10:].mean(0) < 0.1 * fitted.losses[0]).all()
    inner = Regression.objective_states(fitted.states)
    model = build(load_objective("cross"), members[0], training, "cpu")
    assert {f"objective.{n}" for n, _ in model.named_parameters()} == set(inner[0][0])


def test_fresh_losses_agree_with_a_loop_over_fresh_batches():
    make, training = (
        with_oracle_fusion(load_objective("comm")),
        Training(steps=2, batch=16, hidden=16, samples=64),
    )
    members = [Member(Atoms(world=s), s, Oracle(Atoms(world=s), "R+U+S")) for s in (0, 1)]
    fitted = train(heads_only(make), members, training)
    assert fitted.program.vectorised
    found = fresh_losses(fitted, members, training, 3)
    assert found.shape == (3, 2)
    for i, member in enumerate(members):
        model = build(make, member, training, "cpu")
        state = {n.removeprefix("objective."): t[i] for part in fitted.states[0] for n, t in part.items()}
        model.load_state_dict(state)
        endless = Training(batch=16)
        stream = Stream(
            [member.generator], [child(member.seed, "fresh")], endless, ("views",), torch.device("cpu")
        )
        for k in range(3):
            loss = model(Batch(**tree_map(lambda t: t[0], stream.next())))
            torch.testing.assert_close(found[k, i], loss.detach(), rtol=1e-5, atol=1e-5)
    single = train(heads_only(make), members[:1], training)
    assert torch.equal(fresh_losses(single, members[:1], training, 3)[:, 0], found[:, 0])


def test_finished_parts_are_not_trained_again(tmp_path, monkeypatch):
    settings = {**TINY, "seeds": 1, "representations": ["R"]}
    first = oracle(["cross"], directory=tmp_path, **settings)
    notes = []
    more = oracle(
        ["cross"],
        directory=tmp_path,
        note=notes.append,
        **{**settings, "seeds": 2, "representations": ["R", "U"]},
    )
    assert notes == [
        "cross, oracles: 3 runs",
        "cross, from scratch: 1 runs",
        "cross, from a warm start: 1 runs",
    ]
    monkeypatch.setattr(experiment, "train", None)
    again = oracle(["cross"], directory=tmp_path, **settings)
    assert again.equals(first)
    assert len(more) == 4 + 4 * 1 + 2
    header = (tmp_path / "oracle.csv").read_text().splitlines()[0]
    assert header.startswith("objective,seed,representation,views,loss,low,high,captured_redundant")


def test_heads_have_their_own_number_of_steps():
    options = {**TINY, "seeds": 1, "representations": ["R"]}
    short, longer = (
        oracle(["cross"], **options, fitting=n).set_index("representation")["loss"] for n in (3, 40)
    )
    assert longer["R"] < short["R"]
    assert longer["scratch"] == short["scratch"]


def test_results_do_not_depend_on_which_members_share_a_batch():
    wide = oracle(["cross"], **{**TINY, "representations": ["R", "R+U", "S"]})
    one = oracle(["cross"], **{**TINY, "representations": ["R+U"], "seeds": 1})
    at = (wide["representation"] == "R+U") & (wide["seed"] == 0)
    assert float(wide.loc[at, "loss"].iloc[0]) == float(one.loc[0, "loss"])


@pytest.mark.parametrize(
    ("invalid", "says"),
    [
        ({"objectives": ["untrained"]}, "no parameters outside its encoders"),
        ({"objectives": ["cross", "cross()"]}, "'cross': is listed twice"),
        ({"objectives": ["cros"]}, "unknown objective 'cros'"),
        ({"generator": "gate('and')"}, "generator 'gate': has no oracle"),
        ({"representations": ["R+X"]}, "'X'"),
        ({"views": "crop"}, "crop"),
        ({"seeds": 0}, "seeds = 0: must be at least 1"),
        ({"batches": 1}, "batches = 1: must be at least 2"),
        ({"dim": 2}, "dim = 2"),
    ],
)
def test_invalid_arguments_are_refused(invalid, says):
    with pytest.raises(InvalidRequest, match=says):
        oracle(**{"objectives": ["cross"], **TINY, **invalid})


def test_phases_keep_their_order_and_batches():
    generator = Atoms()
    member = Member(generator, 0, Oracle(generator, "R+U+S"))
    model = build(heads_only(load_objective("factorcl-ssl")), member, Training(), "cpu")
    main, club = phases_of(model)
    assert (main.name, club.name, club.fresh_batch) == ("main", "club", True)
    assert {name.split(".")[0] for name in main.train} == {"heads", "critics"}
    assert all(name.startswith("critics.club") for name in club.train)
