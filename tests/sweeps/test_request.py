import dataclasses

import numpy as np
import pytest

from pidlab import InvalidRequest
from pidlab.defaults import Training
from pidlab.generators import Atoms, finite, load_generator
from pidlab.objectives import load_objective
from pidlab.sweeps import Axis, Request
from pidlab.sweeps import request as request_module
from pidlab.sweeps.plan import Runs, plan
from pidlab.sweeps.request import build_request
from pidlab.training import Member
from pidlab.training.cohort import run_trial

UNIQUE = Axis(("unique1", "unique2"), (0.0, 0.5, 1.0))
SYNERGY = Axis(("synergy",), (0.0, 1.0))


def test_product_and_zip():
    product = Request(axes=(UNIQUE, SYNERGY))
    assert len(list(product.points())) == 6
    zipped = Request(axes=(UNIQUE, Axis(("synergy",), (1.0, 0.5, 0.0))), zipped=True)
    assert list(zipped.points())[1] == {"unique1": 0.5, "unique2": 0.5, "synergy": 0.5}
    assert product.axis_groups == [("unique1", "unique2"), ("synergy",)]
    assert Request(axes=(SYNERGY, UNIQUE)).axis_groups == product.axis_groups
    assert zipped.axis_groups == [("unique1", "unique2", "synergy")]
    with pytest.raises(InvalidRequest, match="unique1 3, synergy 2"):
        Request(axes=(UNIQUE, SYNERGY), zipped=True)


def test_runs_are_ordered_by_point_objective_and_seed():
    runs = Runs(Request(axes=(UNIQUE,)))
    assert len(runs) == 3 * 6 * 3
    assert [r.seed for r in runs[:3]] == [0, 1, 2]
    assert len({r.key for r in runs}) == len(runs)
    paired = [r for r in runs if r.seed == 1]
    assert len({r.generator.world for r in paired}) == 1


def test_keys_depend_on_everything_that_changes_numbers():
    base = Request(objectives=("cross",), seeds=1)
    keys = {
        Runs(r)[0].key
        for r in (
            base,
            dataclasses.replace(base, generator="atoms(noise=0.2)"),
            dataclasses.replace(base, objectives=("cross(temperature=0.1)",)),
            dataclasses.replace(base, training=Training(steps=601)),
            dataclasses.replace(base, probes="quick"),
            dataclasses.replace(base, device="cuda"),
            dataclasses.replace(base, axes=(Axis(("synergy",), (0.5,)),)),
        )
    }
    assert len(keys) == 7
    specification = Runs(base)[0].specification
    assert specification["version"] >= 1
    assert specification["device"] == "cpu"


def test_tracking_changes_keys_and_names_only_if_it_is_used():
    plain = Request(axes=(Axis(("unique1", "unique2"), (0.0, 1.0)),))
    assert "track" not in Runs(plain)[0].text
    tracked = dataclasses.replace(plain, track=4)
    assert tracked.name != plain.name
    assert {r.key for r in Runs(tracked)}.isdisjoint(r.key for r in Runs(plain))
    with pytest.raises(InvalidRequest, match="--track 5: must be 0 or 2 to 4"):
        dataclasses.replace(plain, track=5, training=Training(steps=3)).validate()


def test_spelling_does_not_change_the_key():
    one, two = (
        Runs(Request(objectives=(o,), seeds=1))[0].key
        for o in ("comm( temperature=0.1 )", "comm(temperature=0.1)")
    )
    assert one == two


def test_any_parameter_can_be_varied():
    request = Request(
        axes=(
            Axis(("noise",), (0.1, 0.3)),
            Axis(("steps",), (10.0, 20.0)),
            Axis(("views",), ("task", "noise")),
        ),
        objectives=("simclr",),
        seeds=1,
    )
    runs = Runs(request)
    assert len(runs) == 8
    assert {r.training.steps for r in runs} == {10, 20}
    assert {r.generator.noise for r in runs} == {0.1, 0.3}
    assert runs[0].point == {"noise": 0.1, "steps": 10.0, "views": "task"}


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"seeds": 0}, "--seeds 0: must be at least 1"),
        ({"seeds": -1}, "--seeds -1"),
        ({"objectives": ()}, "no objective"),
        ({"objectives": ("comm", "comm()")}, "twice"),
        ({"objectives": ("crss",)}, "did you mean 'cross'"),
        ({"objectives": ("comm(terms='x')",)}, "expected one of all"),
        ({"probes": "hard"}, "quick, standard"),
        ({"generator": "atms"}, "did you mean 'atoms'"),
        ({"axes": (Axis(("nois",), (1.0,)),)}, "did you mean 'noise'"),
        ({"axes": (UNIQUE, Axis(("unique1",), (1.0,)))}, "unique1 is set twice"),
        ({"axes": (Axis(("redundant",), (-0.1,)),)}, "redundant = -0.1"),
        ({"axes": (Axis(("synergy",), (0.0, 99.0)),)}, "width is 32"),
        ({"axes": (Axis(("steps",), (0.0,)),)}, "steps = 0"),
        ({"axes": (Axis(("steps",), (1.5,)),)}, "steps = 1.5"),
        ({"axes": (Axis(("world",), (1.0,)),)}, "world: follows from the seed"),
        ({"training": Training(views="magic")}, "task, noise, unique, independent, generic"),
        ({"axes": (Axis(("views",), ("task", "nose")),)}, "unknown views 'nose'"),
    ],
)
def test_wrong_requests_are_named_in_one_line(wrong, says):
    with pytest.raises(InvalidRequest) as caught:
        Request(**wrong).validate()
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_generator_with_one_view_policy_uses_it_by_default(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    x1, x2, y = rng.normal(size=(400, 4)), rng.normal(size=(400, 4)), rng.integers(0, 2, 400)
    np.savez("mine.npz", x1=x1, x2=x2, y=y)
    request = build_request([], generator="arrays('mine.npz')", objectives=["untrained"])
    assert request.training.views == "generic"
    assert build_request([], objectives=["untrained"]).training.views == Training().views
    with pytest.raises(InvalidRequest, match="offers generic"):
        build_request([], generator="arrays('mine.npz')", objectives=["untrained"], views="task")


def test_equal_requests_have_equal_names():
    request = Request(axes=(UNIQUE, SYNERGY))
    assert request.name == Request(axes=(UNIQUE, SYNERGY)).name
    assert request.name.startswith("unique=0..1_synergy=0..1-")
    assert request.name != Request(axes=(UNIQUE, SYNERGY), seeds=2).name
    assert Request().name.startswith("atoms-")


def test_cohorts_share_an_objective_a_shape_and_settings():
    bits = Axis(("redundant",), (0.0, 0.5, 1.0, 1.5))
    cohorts = plan(Runs(Request(axes=(bits,), objectives=("cross", "simclr"), seeds=2)))
    sizes = [(c.objective, len(c.runs)) for c in cohorts]
    assert sizes == [("cross", 6), ("simclr", 6), ("cross", 2), ("simclr", 2)]
    assert all(len({r.generator.shape_key for r in c.runs}) == 1 for c in cohorts)


def test_a_smaller_budget_makes_smaller_even_cohorts():
    runs = Runs(Request(axes=(UNIQUE,), objectives=("cross",), seeds=3))
    assert [len(c.runs) for c in plan(runs)] == [9]
    few = plan(runs, budget=1)
    assert [len(c.runs) for c in few] == [1] * 9
    assert [r for c in few for r in c.runs] == [*runs]


def test_a_first_seed_changes_only_the_seeds():
    base = Request(axes=(UNIQUE,), objectives=("cross",), seeds=3)
    later = dataclasses.replace(base, seeds=2, first_seed=1)
    assert [run.key for run in Runs(later)] == [run.key for run in Runs(base) if run.seed > 0]
    assert base.name == "unique=0..1-" + base.name[-8:] != later.name
    with pytest.raises(InvalidRequest, match="first_seed -1"):
        dataclasses.replace(base, first_seed=-1)


@pytest.mark.parametrize("objective", ["cross", "untrained"])
def test_the_memory_of_a_large_batch_is_known_from_small_ones(monkeypatch, objective):
    stated = []
    monkeypatch.setattr(request_module, "check_memory", lambda what, needed: stated.append((what, needed)))
    make, member, training = load_objective(objective), Member(Atoms(), 0), Training(steps=1, batch=2048)
    request_module._check_batch_memory(make, member, training)
    measured = run_trial(make, member, training).step_bytes
    ((what, needed),) = stated
    assert what == "batch 2048 of a training step"
    assert needed == pytest.approx(measured, rel=0.05)


def test_the_memory_of_the_losses_of_all_steps_is_stated(monkeypatch):
    monkeypatch.setattr("pidlab.io.machine_memory", lambda: 1e9)
    with pytest.raises(InvalidRequest, match=r"steps 100000000 with their losses: needs 1.6 GB of memory"):
        build_request([], objectives=["untrained"], steps=100_000_000)


def with_axes(*names, objectives=("comm", "cross"), values=(0.1, 0.2)):
    return Request(axes=tuple(Axis((name,), values) for name in names), objectives=objectives)


def references(request):
    return {(run.label, run.objective, run.point[next(iter(run.point))]) for run in Runs(request)}


def test_an_axis_sets_the_parameter_of_one_objective_or_of_all_that_have_it():
    one, all_ = with_axes("comm.temperature"), with_axes("temperature")
    assert references(one) == {
        ("comm", "comm(temperature=0.1)", 0.1),
        ("comm", "comm(temperature=0.2)", 0.2),
        ("cross", "cross", 0.1),
        ("cross", "cross", 0.2),
    }
    assert ("cross", "cross(temperature=0.2)", 0.2) in references(all_)
    # A run has one key whether an axis or the reference sets the parameter.
    given = {run.key for run in Runs(Request(objectives=("comm(temperature=0.1)",)))}
    assert given < {run.key for run in Runs(one)}
    assert len({run.key for run in Runs(one)}) == len(Runs(one))


@pytest.mark.parametrize(
    ("name", "objectives", "says"),
    [
        ("temperature", ("untrained",), "neither the generator, nor the training, nor untrained has it"),
        ("comm.temprature", ("comm",), "did you mean 'comm.temperature'?"),
        ("gram.temperature", ("comm",), "did you mean"),
        ("comm.temperature", ("comm(temperature=0.3)",), "sets temperature, too"),
    ],
)
def test_an_unknown_parameter_of_an_objective_is_refused(name, objectives, says):
    with pytest.raises(InvalidRequest) as caught:
        with_axes(name, objectives=objectives).validate()
    assert says in str(caught.value)


def test_every_value_of_a_parameter_of_an_objective_is_checked():
    with pytest.raises(InvalidRequest, match=r"comm\(temperature=-1.0\)"):
        with_axes("comm.temperature", values=(0.1, -1.0)).validate()


def test_a_plan_builds_the_generator_of_each_point_once(monkeypatch):
    built, load = [], request_module.load_generator
    monkeypatch.setattr(
        request_module, "load_generator", lambda *args, **more: (built.append(more), load(*args, **more))[1]
    )
    request = build_request(
        [(("unique1", "unique2"), "0.1..0.9:20"), (("noise",), "0.1,0.2")],
        objectives=["untrained", "cross"],
        quick=True,
    )
    cohorts = plan(Runs(request))
    assert sum(len(cohort.runs) for cohort in cohorts) == 80
    # Once more for the trial of each objective and for a run of each group: two objectives, two noises.
    assert 40 <= len(built) <= 40 + 2 + 4


def test_points_of_one_law_are_decomposed_once(monkeypatch):
    laws, solve = [], finite.decompose
    monkeypatch.setattr(finite, "decompose", lambda law: (laws.append(law), solve(law))[1])
    finite._decompose_once.cache_clear()
    generators = [load_generator("gate('and')", noise=noise) for noise in (0.1, 0.2, 0.3)]
    assert len({generator.truth.redundant for generator in generators}) == 1
    assert len(laws) == 1
    assert load_generator("gate('xor')").truth.redundant != generators[0].truth.redundant
    assert len(laws) == 2
