"""What every registered objective promises. A new one is tested by being registered."""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from training_by_hand import MEMBER, member_for, members, modalities_of

from pidlab import InvalidRequest, load_objective
from pidlab.check import contract
from pidlab.check.contract import RULES
from pidlab.defaults import Training
from pidlab.objectives import objectives
from pidlab.objectives.objective import represent
from pidlab.training import train
from pidlab.training.cohort import build

NAMES = [
    *objectives(),
    "comm(fusion='transformer')",
    "comm(terms='joint')",
    "comm(terms='unimodal')",
    "comm-sup(fusion='transformer')",
    "factorcl-sup(critic='concat')",
    "factorcl-sup(conditional='concat', heads='term')",
    "factorcl-ssl(critic='concat', heads='term', sum='appendix')",
    "supcon(normalize=False)",
    "infmasking(fusion='transformer')",
    "symile(negatives='n_squared')",
    "siglip(pairs='views')",
    "lejepa(pairs='views')",
    "synib(destroyed='noise')",
]
# Its noise has the statistics of embeddings, through which no gradient passes.
STOPS_GRADIENT = "synib(destroyed='noise')"
SETTINGS = Training(steps=3, batch=32, hidden=16)


# The fits of factorcl-*, read elsewhere, and CoMM with terms of its own loss left out.
REPEATED = {"ourcl-sup", "ourcl-ssl", "comm(terms='joint')", "comm(terms='unimodal')"}


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] if n in REPEATED else []) for n in NAMES]
)
def test_contract(name):
    found = list(contract(load_objective(name), member_for(name).generator))
    assert len(found) == len(RULES)
    expected = ["autograd agrees with finite differences"] if name == STOPS_GRADIENT else []
    assert all(f.ok for f in found)
    assert [f.rule for f in found if "warning" in f.why] == expected


@pytest.mark.parametrize("name", [n for n in objectives() if n not in {"untrained", "supervised"}])
def test_the_docstring_lists_the_departures_from_the_source(name):
    bases = type(build(load_objective(name), member_for(name), SETTINGS, "cpu")).mro()
    assert any("Departures" in (base.__doc__ or "") for base in bases if base.__module__.startswith("pidlab"))


@pytest.mark.parametrize("name", objectives())
def test_readouts_have_equal_widths(name):
    member = member_for(name)
    model = build(load_objective(name), member, SETTINGS, "cpu")
    readouts = represent(model, member.generator.sample(4).x)
    dim, count = SETTINGS.dim, modalities_of(name)
    widths = {"z12": count * dim, "encoder": count * dim}
    # a factor's readout is one half of every code
    assert {k: z.shape[1] for k, z in readouts.items()} == {k: widths.get(k, dim) for k in readouts}


@pytest.mark.parametrize("name", objectives())
def test_a_cohort_is_one_program(name):
    fitted = train(load_objective(name), members(2, modalities_of(name)), SETTINGS)
    assert fitted.program.name == "vmap"
    assert not fitted.failed


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
        ("comm(fusion=3)", "expected a word like 'mlp'"),
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
        "synib(destroyed='x')",
        "simclr(temperature=0)",
        "cross(temperature=-1)",
        "cross+self(temperature=0)",
    ],
)
def test_constructors_name_what_they_refuse(reference):
    with pytest.raises(ValueError, match="expected"):
        build(load_objective(reference), MEMBER, SETTINGS, "cpu")
