"""What every registered objective promises. A new one is tested by being registered."""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from pidlab import Atoms, InvalidRequest, load_objective
from pidlab.defaults import Training
from pidlab.objectives import objectives
from pidlab.objectives.base import Batch, needs_of, phases_of, represent
from pidlab.training import Member, train
from pidlab.training.cohort import build
from pidlab.training.program import Program, stacked_state
from pidlab.training.stream import Stream, tree_map

NAMES = [*objectives(), "comm(fusion='transformer')", "comm(terms='joint')", "comm(terms='unimodal')"]
TRAINED = [name for name in NAMES if name != "untrained"]
SETTINGS = Training(steps=3, batch=32, hidden=16)
MEMBER = Member(Atoms(), 0)


def model_and_batch(name, seed=0):
    model = build(load_objective(name), Member(Atoms(), seed), SETTINGS, "cpu")
    stream = Stream([MEMBER.generator], [seed], SETTINGS, needs_of(model), torch.device("cpu"))
    return model, tree_map(lambda t: t[0], stream.next())


@pytest.mark.parametrize("name", NAMES)
def test_loss_is_one_finite_number(name):
    model, batch = model_and_batch(name)
    for phase in phases_of(model):
        compute = model if phase.loss == "forward" else getattr(model, phase.loss)
        loss = compute(Batch(**batch))
        assert loss.shape == ()
        assert loss.isfinite()


@pytest.mark.parametrize("name", TRAINED)
def test_gradients_reach_every_parameter_a_phase_claims(name):
    model, batch = model_and_batch(name)
    for phase in phases_of(model):
        compute = model if phase.loss == "forward" else getattr(model, phase.loss)
        moved = {n: p for n, p in model.named_parameters() if phase.moves(n)}
        grads = torch.autograd.grad(compute(Batch(**batch)), list(moved.values()), allow_unused=True)
        unused = {"encoders.joint"} if name != "supervised" else {"encoders.towers"}
        for parameter, grad in zip(moved, grads, strict=True):
            if any(parameter.startswith(prefix) for prefix in unused):
                continue  # every objective is offered both kinds of network
            assert grad is not None, parameter
            assert grad.isfinite().all()
            assert grad.abs().sum() > 0, parameter


@pytest.mark.parametrize("name", NAMES)
def test_readouts_have_equal_widths(name):
    model, batch = model_and_batch(name)
    readouts = represent(model, batch["x"])
    assert "z12" in readouts
    widths = {"z1": SETTINGS.dim, "z2": SETTINGS.dim, "z12": 2 * SETTINGS.dim}
    for readout, z in readouts.items():
        assert z.shape == (SETTINGS.batch, widths.get(readout, 2 * SETTINGS.dim))


@pytest.mark.parametrize("name", NAMES)
def test_single_readouts_see_their_modality_only(name):
    model, batch = model_and_batch(name)
    x1, x2 = batch["x"]
    before, after = represent(model, (x1, x2)), represent(model, (x1, x2 + 1.0))
    if "z1" in before:
        assert torch.equal(before["z1"], after["z1"])
        assert not torch.equal(before["z2"], after["z2"])
    assert not torch.equal(before["z12"], after["z12"])


@pytest.mark.parametrize("name", TRAINED)
def test_order_of_the_batch_does_not_matter(name):
    model, batch = model_and_batch(name)
    order = torch.randperm(SETTINGS.batch, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        a, b = model(Batch(**batch)), model(Batch(**tree_map(lambda t: t[order], batch)))
    assert float(a) == pytest.approx(float(b), rel=1e-5)


@pytest.mark.parametrize("name", TRAINED)
def test_vmap_takes_it(name):
    fitted = train(load_objective(name), [MEMBER, Member(Atoms(unique1=0.3), 1)], SETTINGS)
    assert fitted.program.name == "vmap"
    assert fitted.losses.shape == (3, 2)
    assert not fitted.failed


@pytest.mark.parametrize("name", TRAINED)
def test_no_device_mistakes(name):
    # On `meta` under fake tensors, mixing in a tensor made on another device raises.
    make = load_objective(name)
    with FakeTensorMode():
        model = build(make, MEMBER, SETTINGS, "meta")
        program = Program(model, None)
        params, buffers = stacked_state([model, model], True)
        shapes = (2, SETTINGS.batch)
        pair = tuple(torch.empty(*shapes, 32, device="meta") for _ in range(2))
        label = torch.empty(shapes, dtype=torch.int64, device="meta")
        batch = {"x": pair}
        if "views" in needs_of(model):
            batch["views"] = (pair, pair)
        if "labels" in needs_of(model):
            batch |= {"y": label, "targets": dict.fromkeys(MEMBER.generator.targets, label)}
        for phase in phases_of(model):
            loss, _ = program(phase.loss, params, buffers, batch)
            leaves = list(params.values())
            grads = torch.autograd.grad(loss.sum(), leaves, allow_unused=True)
            assert all(g is None or g.device.type == "meta" for g in grads)
        with program.evaluating():
            readouts, _ = program("represent", params, buffers, batch)
        assert {z.device.type for z in readouts.values()} == {"meta"}


def test_the_device_test_can_fail():
    with FakeTensorMode(), pytest.raises(RuntimeError, match="device"):
        torch.empty(2, device="meta") + torch.empty(2, device="cpu")


@pytest.mark.parametrize(
    ("reference", "says"),
    [
        ("com", "did you mean 'comm'"),
        ("comm(temprature=1)", "did you mean 'temperature'"),
        ("untrained(x=1)", "it takes none"),
        ("cross(temperature='hot')", "expected a number"),
        ("comm(fusion=3)", "expected a value like 'mlp'"),
    ],
)
def test_wrong_references_are_refused_in_one_line(reference, says):
    with pytest.raises(InvalidRequest) as caught:
        load_objective(reference)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "reference",
    [
        "comm(terms='x')",
        "comm(fusion='x')",
        "simclr(temperature=0)",
        "cross(temperature=-1)",
        "cross+self(temperature=0)",
    ],
)
def test_constructors_name_what_they_refuse(reference):
    with pytest.raises(ValueError, match="expected"):
        build(load_objective(reference), MEMBER, SETTINGS, "cpu")
