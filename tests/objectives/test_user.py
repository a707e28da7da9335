"""A user's own objective: a file, a module, an entry point, a bare callable, lightly's losses as they are."""

import hashlib
import importlib.metadata
import importlib.util
import sys
import textwrap
import types
from unittest import mock

import pytest
import torch
from golden_numbers import golden_cases

from pidlab import (
    Atoms,
    InvalidRequest,
    fit,
    load_objective,
)
from pidlab.defaults import Training
from pidlab.objectives import load
from pidlab.objectives.adapters import LabelLoss, PairLoss, ScaledPairLoss
from pidlab.objectives.load import source_digest
from pidlab.registry import parse
from pidlab.training import Member, train
from pidlab.training.cohort import build

SETTINGS = Training(steps=3, batch=32, hidden=16)
SOURCE = """
    import torch
    from neighbour import SCALE

    LIMIT = 3

    class Mine(torch.nn.Module):
        def __init__(self, encoders, *, weight: float = 1.0):
            super().__init__()
            self.encoders, self.weight = encoders, weight
        def forward(self, batch):
            z1, z2 = self.encoders[0](batch.x1), self.encoders[1](batch.x2)
            return self.weight * SCALE * (z1 - z2).square().mean()

    class Scaled:
        def __init__(self, factor, power=2):
            self.factor, self.power = factor, power
        def __call__(self, z1, z2):
            return self.factor * (z1 - z2).abs().pow(self.power).mean()

    def loss(z1, z2, weight=1.0):
        return weight * (z1 - z2).square().mean()

    def maker(encoders):
        return Mine(encoders, weight=2.0)
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(textwrap.dedent(SOURCE))
    (tmp_path / "neighbour.py").write_text("SCALE = 1.0\n")
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for name in ("mine", "neighbour", "parts", "parts.inner"):
        sys.modules.pop(name, None)


def model(reference):
    return build(load_objective(reference), Member(Atoms(), 0), SETTINGS, "cpu")


def losses(make):
    return train(make, [Member(Atoms(), 0), Member(Atoms(), 1)], SETTINGS).losses


@pytest.mark.parametrize("where", ["mine.py", "mine"])
def test_a_class_by_file_and_by_module(folder, where):
    mine = model(f"{where}:Mine(weight=2)")
    assert type(mine).__name__ == "Mine"
    assert mine.weight == 2
    assert torch.equal(
        losses(load_objective(f"{where}:Mine(weight=2)")), losses(load_objective(f"{where}:maker"))
    )


def test_a_bare_loss_gets_encoders_and_heads(folder):
    one, two = losses(load_objective("mine.py:loss")), losses(load_objective("mine.py:loss(weight=2)"))
    torch.testing.assert_close(two[0], 2 * one[0])
    assert torch.equal(one, losses(load_objective("mine.py:Scaled(1.0)")))
    assert isinstance(model("mine.py:loss"), PairLoss)
    # from Python too
    fitted = fit(lambda z1, z2: (z1 - z2).square().mean(), Atoms(), steps=3, batch=32, hidden=16)
    assert torch.equal(fitted.losses, one[:, 0])


def test_models_do_not_share_a_loss_that_has_a_state():
    class Counted(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(()))

        def forward(self, z1, z2):
            return self.weight * (z1 - z2).square().mean()

    shared = Counted()
    make = load.as_objective(shared)
    assert make is not shared
    first, second = (build(make, Member(Atoms(), s), SETTINGS, "cpu") for s in (0, 1))
    assert first.loss is not second.loss
    losses(make)
    assert float(shared.weight.detach()) == 1.0


def test_an_entry_point_is_an_objective(monkeypatch):
    point = importlib.metadata.EntryPoint(
        "theirs", "pidlab.objectives.simclr:SimCLR", group="pidlab.objectives"
    )
    monkeypatch.setattr("pidlab.registry.entry_points", lambda group: [point] if group == point.group else [])
    load.objectives.cache_clear()
    try:
        assert torch.equal(losses(load_objective("theirs")), losses(load_objective("simclr")))
    finally:
        load.objectives.cache_clear()


def test_a_key_changes_with_the_source(folder):
    before = source_digest("mine.py:Mine(weight=2)")
    assert before == source_digest("mine:Mine")
    (folder / "mine.py").write_text((folder / "mine.py").read_text() + "\n")
    assert source_digest("mine.py:Mine") != before
    assert source_digest("comm") is None


def test_an_edited_file_is_read_again(folder):
    assert model("mine.py:Mine").weight == 1.0
    text = (folder / "mine.py").read_text()
    (folder / "mine.py").write_text(text.replace("weight: float = 1.0", "weight: float = 5.0"))
    assert model("mine.py:Mine").weight == 5.0


def test_what_a_file_imports_from_its_own_folder_is_part_of_its_key(folder):
    (folder / "parts").mkdir()
    (folder / "parts" / "__init__.py").touch()
    (folder / "parts" / "inner.py").write_text("FACTOR = 2.0\n")
    (folder / "neighbour.py").write_text("import torch\nfrom parts import inner\nSCALE = inner.FACTOR\n")
    before = [source_digest(name) for name in ("mine.py:Mine", "mine:Mine")]
    assert before[0] == before[1]
    (folder / "stranger.py").write_text("nobody imports it\n")
    assert source_digest("mine.py:Mine") == before[0]
    (folder / "parts" / "inner.py").write_text("FACTOR = 3.0\n")
    after = [source_digest(name) for name in ("mine.py:Mine", "mine:Mine")]
    assert after[0] == after[1] != before[0]
    # The digest of a file that stands alone is that of its bytes, as it always was.
    (folder / "lone.py").write_text("import torch\n\ndef loss(z1, z2):\n    return (z1 - z2).sum()\n")
    assert source_digest("lone.py:loss") == hashlib.sha256((folder / "lone.py").read_bytes()).hexdigest()[:16]


def test_an_edited_neighbour_is_read_again_and_each_folder_has_its_own(folder, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", False)  # stale bytecode would hide the edit
    first = losses(load_objective("mine.py:Mine"))
    (folder / "neighbour.py").write_text("SCALE = 2.0\n")
    torch.testing.assert_close(losses(load_objective("mine.py:Mine"))[0], 2 * first[0])
    (folder / "other").mkdir()
    (folder / "other" / "mine.py").write_text((folder / "mine.py").read_text())
    (folder / "other" / "neighbour.py").write_text("SCALE = 4.0\n")
    torch.testing.assert_close(losses(load_objective("other/mine.py:Mine"))[0], 4 * first[0])


@pytest.mark.parametrize(
    ("reference", "says"),
    [
        ("mime.py:Mine", "no file 'mime.py': did you mean 'mine.py'?"),
        ("nowhere/mine.py:Mine", "there is no Python file in that folder"),
        ("mine.py:Min", "mine.py has no 'Min': did you mean 'Mine'?"),
        ("mine.py:LIMIT", "neither a class nor a function"),
        ("mine.py:Mine(wait=2)", "no argument 'wait': did you mean 'weight'?"),
        ("mine.py:Mine(weight='a')", "expected a number like 1.0"),
        ("mine.py:Scaled", 'needs factor: write "mine.py:Scaled(factor=...)"'),
        ("absent.module:Mine", "no module 'absent.module'"),
        ("mine.py:Mine(weight=__import__('os'))", "expected plain values"),
    ],
)
def test_wrong_references(folder, reference, says):
    with pytest.raises(InvalidRequest) as caught:
        load_objective(reference)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_does_not_parse_is_named_with_its_line(folder):
    (folder / "broken.py").write_text("x = 1\ndef (:\n")
    with pytest.raises(InvalidRequest, match=r"broken\.py, line 2: invalid syntax"):
        load_objective("broken.py:Mine")


def test_what_a_module_lacks_is_its_own_affair(folder):
    (folder / "hungry.py").write_text("import not_installed_anywhere\n")
    for reference in ("hungry.py:Mine", "hungry:Mine"):
        with pytest.raises(ModuleNotFoundError, match="not_installed_anywhere"):
            load_objective(reference)


MUTATING = """
    import torch

    class Mutating(torch.nn.Module):
        def __init__(self, encoders, *, a=None):
            super().__init__()
            self.encoders = encoders
            a.append(len(a))
            self.factor = float(len(a))
        def forward(self, batch):
            return self.factor * self.encoders[0](batch.x1).square().mean()
"""


def test_a_constructor_that_changes_its_argument_does_not_change_that_of_the_next_model(folder):
    (folder / "mutating.py").write_text(textwrap.dedent(MUTATING))
    make = load_objective("mutating.py:Mutating(a=[])")
    factors = {build(make, Member(Atoms(), s), SETTINGS, "cpu").factor for s in range(3)}
    assert factors == {1.0}
    assert (
        build(load_objective("mutating.py:Mutating(a=[])"), Member(Atoms(), 0), SETTINGS, "cpu").factor == 1
    )


def test_an_argument_has_one_spelling():
    names = [f"name{i}" for i in range(20)]
    text = "x(a={" + ", ".join(f"{name!r}: 1" for name in reversed(names)) + "})"
    assert str(parse(text)) == str(parse("x(a={" + ", ".join(f"{name!r}: 1" for name in names) + "})"))
    with pytest.raises(InvalidRequest, match="is a set; use a list"):
        parse("x(a={3, 2})")


@pytest.mark.parametrize("text", ["x(a=1e999)", "x(-1e999)", "x(a=[1, {'b': 1e400}])"])
def test_a_number_that_is_not_finite_is_refused(text):
    with pytest.raises(InvalidRequest, match="not a finite number"):
        parse(text)


# lightly's losses, as they are installed.


@pytest.fixture
def lightly(monkeypatch):
    """lightly's loss files without the rest of lightly; what they name of torchvision they never call."""
    spec = importlib.util.find_spec("lightly")
    if spec is None or spec.submodule_search_locations is None:
        pytest.skip("lightly is not installed")
    (root,) = spec.submodule_search_locations
    for name in ("", ".loss", ".models", ".models.modules", ".utils"):
        package = types.ModuleType(f"lightly{name}")
        package.__path__ = [root + name.replace(".", "/")]
        monkeypatch.setitem(sys.modules, package.__name__, package)
    for name in ("torchvision", "torchvision.ops"):
        monkeypatch.setitem(sys.modules, name, mock.MagicMock())
    yield
    for name in [n for n in sys.modules if n.startswith("lightly.")]:
        monkeypatch.delitem(sys.modules, name)


of_lightly = pytest.mark.filterwarnings("ignore:To copy construct from a tensor")
LIGHTLY = {
    "ntxent": "lightly.loss.ntx_ent_loss:NTXentLoss",
    "vicreg": "lightly.loss.vicreg_loss:VICRegLoss",
    "barlow": "lightly.loss.barlow_twins_loss:BarlowTwinsLoss",
    "dcl_": "lightly.loss.dcl_loss:DCLLoss",
    "dclw": "lightly.loss.dcl_loss:DCLWLoss",
}
ARGUMENTS = {
    "temperature": "temperature",
    "lambda_": "lambda_param",
    "mu": "mu_param",
    "nu": "nu_param",
    "eps": "eps",
    "sigma": "sigma",
}


@of_lightly
@pytest.mark.parametrize("kind", LIGHTLY)
def test_lightly_trains_as_it_is(lightly, kind):
    history = losses(load_objective(LIGHTLY[kind]))
    assert history.isfinite().all()
    assert history[0].ne(history[-1]).all()


@of_lightly
@pytest.mark.parametrize("case", [c for kind in LIGHTLY for c in golden_cases("lightly_losses", kind)])
def test_lightly_gives_its_golden_numbers_through_us(lightly, case):
    kind = next(k for k in LIGHTLY if case["name"].startswith(k))
    given = {ARGUMENTS[k]: v for k, v in case["inputs"].items() if k not in ("z0", "z1")}
    text = ", ".join(f"{k}={v!r}" for k, v in given.items() if v is not None)
    objective = model(f"{LIGHTLY[kind]}({text})")
    z = [torch.tensor(case["inputs"][k], dtype=torch.float64, requires_grad=True) for k in ("z0", "z1")]
    loss = objective.loss(*z)
    assert float(loss.detach()) == pytest.approx(case["outputs"]["loss"], rel=1e-6, abs=1e-6)
    for k, grad in zip(("z0", "z1"), torch.autograd.grad(loss, z), strict=True):
        expected = torch.tensor(case["outputs"][f"grad_loss_{k}"], dtype=torch.float64)
        torch.testing.assert_close(grad, expected, rtol=1e-5, atol=1e-7)


# pytorch-metric-learning and open_clip, as they are installed.

PML = [
    "NTXentLoss(temperature=0.1)",
    "TripletMarginLoss",
    "ContrastiveLoss",
    "SupConLoss",
    "MultiSimilarityLoss",
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("loss", PML)
def test_metric_learning_losses_train_on_embeddings_and_labels(loss):
    pytest.importorskip("pytorch_metric_learning")
    made = model(f"pytorch_metric_learning.losses:{loss}")
    assert isinstance(made, LabelLoss)
    history = losses(load_objective(f"pytorch_metric_learning.losses:{loss}"))
    assert history.isfinite().all()
    assert history[0].ne(history[-1]).all()


@pytest.fixture
def open_clip(monkeypatch):
    """open_clip's loss file without the rest of open_clip, which needs torchvision."""
    spec = importlib.util.find_spec("open_clip")
    if spec is None or spec.submodule_search_locations is None:
        pytest.skip("open_clip is not installed")
    package = types.ModuleType("open_clip")
    package.__path__ = [*spec.submodule_search_locations]
    monkeypatch.setitem(sys.modules, "open_clip", package)
    yield
    monkeypatch.delitem(sys.modules, "open_clip.loss", raising=False)


@pytest.mark.parametrize("name", ["ClipLoss", "SigLipLoss"])
def test_open_clip_losses_train_with_a_learned_scale(open_clip, name):
    made = model(f"open_clip.loss:{name}")
    assert isinstance(made, ScaledPairLoss)
    assert (made.bias is not None) == (name == "SigLipLoss")
    history = losses(load_objective(f"open_clip.loss:{name}"))
    assert history.isfinite().all()
    assert history[0].ne(history[-1]).all()


def test_open_clip_loss_equals_the_built_in_one(open_clip):
    from pidlab.objectives.contrastive import clip_loss

    loss = model("open_clip.loss:ClipLoss").loss
    z1, z2 = (torch.nn.functional.normalize(z, dim=-1) for z in torch.arange(64.0).sin().view(2, 8, 4))
    torch.testing.assert_close(loss(z1, z2, torch.tensor(5.0)), clip_loss(z1, z2, torch.tensor(5.0)))


@of_lightly
@pytest.mark.parametrize(
    ("reference", "given"),
    [
        ("lightly.loss.swav_loss:SwaVLoss", "high_resolution_outputs, low_resolution_outputs"),
        ("lightly.loss.dino_loss:DINOLoss", "teacher_out, student_out"),
        ("lightly.loss.koleo_loss:KoLeoLoss", "x"),
        ("lightly.loss.wmse_loss:WMSELoss", "input"),
        ("lightly.loss.frossl_loss:FroSSLLoss", "z_views"),
        ("lightly.loss.msn_loss:MSNLoss", "anchors, targets, prototypes"),
    ],
)
def test_a_loss_of_other_inputs_shows_the_class_to_write(lightly, reference, given):
    with pytest.raises(InvalidRequest) as caught:
        load_objective(reference)
    first, *example = str(caught.value).splitlines()
    assert f"the loss takes ({given}), expected (z1, z2)" in first
    assert len(example) == 6
    # the shown class is valid Python with the loss's own arguments
    compile(textwrap.dedent("\n".join(example)), "example", "exec")
    assert f"return self.loss({given})" in example[-1]


def test_a_setting_without_a_default_is_given_in_the_reference(folder):
    (folder / "strict.py").write_text(
        "def loss(z1, z2, weight):\n    return weight * (z1 - z2).square().mean()\n"
    )
    assert isinstance(model("strict.py:loss(weight=2.0)"), PairLoss)
    with pytest.raises(InvalidRequest, match=r"strict\.py:loss needs weight"):
        load_objective("strict.py:loss")
