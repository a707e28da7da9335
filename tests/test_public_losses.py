"""The table of public losses: page, record, and some of the losses again."""

import json

import pytest
from public_losses import PAGE, RECORD, REFUSED, cases, tables, try_loss, typical

from pidlab import Atoms, InvalidRequest, load_objective
from pidlab.check import contract
from pidlab.defaults import Training
from pidlab.objectives.adapters import LabelLoss, PairLoss
from pidlab.training import Member
from pidlab.training.cohort import build

LOSSES = json.loads(RECORD.read_text(encoding="utf-8"))


def test_the_page_shows_the_record():
    assert tables(LOSSES) in PAGE.read_text(encoding="utf-8")


def test_every_loss_has_a_record():
    assert list(LOSSES) == [reference for _, reference, _ in cases()]
    assert not any("not handled" in entry.get("message", "") for entry in LOSSES.values())


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("LightningStyle", "it has no method forward(self, batch)"),
        ("TwoInputs", "its method forward takes (x1, x2), expected (batch)"),
    ],
)
def test_a_class_without_a_loss_of_a_batch_shows_the_class_to_write(name, says):
    with pytest.raises(InvalidRequest) as caught:
        load_objective(f"tests/typical_losses.py:{name}")
    first, *example = str(caught.value).splitlines()
    assert says in first
    assert len(example) == 6
    compile("\n".join(line[4:] for line in example), "example", "exec")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("Numpy", "the loss has no gradient"),
        ("ReturnsTuple", "got a tuple; return the loss only"),
        ("ReturnsDict", "got a dict of loss, logs; return the loss only"),
        ("Unreduced", "got shape (32,); return its mean"),
        ("UnpacksBatch", "use batch.x1, batch.x2"),
    ],
)
def test_a_loss_that_is_not_one_number_is_refused_by_name(name, says):
    first = next(contract(load_objective(f"tests/typical_losses.py:{name}")))
    assert not first.ok
    assert says in first.why


@pytest.mark.parametrize(
    ("reference", "adapter"),
    [
        ("torch.nn:CrossEntropyLoss", LabelLoss),
        ("torch.nn.functional:cross_entropy", LabelLoss),
        ("torch.nn:MSELoss", PairLoss),
        ("torch.nn.functional:smooth_l1_loss", PairLoss),
    ],
)
def test_a_target_is_labels_if_the_loss_accepts_them(reference, adapter):
    model = build(load_objective(reference), Member(Atoms(), 0), Training(hidden=16), "cpu")
    assert isinstance(model, adapter)


@pytest.mark.parametrize("name", ["KLDivLoss", "BCEWithLogitsLoss", "NLLLoss", "PoissonNLLLoss"])
def test_losses_of_probabilities_are_refused(name):
    with pytest.raises(InvalidRequest, match="are not two sets of embeddings"):
        load_objective(f"torch.nn:{name}")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", typical())
def test_a_typical_class_has_the_recorded_outcome(name):
    reference = f"tests/typical_losses.py:{name}"
    entry = try_loss(reference, "")
    assert entry["outcome"] == LOSSES[reference]["outcome"]
    if entry["outcome"] == REFUSED:
        assert entry["message"] == LOSSES[reference]["message"]
