"""Classes and callables of the running session have references, with which they can be swept."""

import linecache
import sys
from functools import partial
from types import ModuleType

import pytest
import torch

from pidlab import InvalidRequest, load_objective
from pidlab.objectives.comm import CoMM
from pidlab.objectives.load import LoadedObjective, reference_of, source_digest

WEIGHT = 2.0


class Module(torch.nn.Module):
    """A class of an importable module."""

    def __init__(self, encoders):
        super().__init__()
        self.encoders = encoders

    def forward(self, batch):
        return self.encoders[0](batch.x1).square().mean()


def make_class(factor):
    class Local(Module):
        def forward(self, batch):
            return factor * super().forward(batch)

    return Local


def test_a_reference_stays_as_it_is():
    assert reference_of("comm(temperature=0.1)") == "comm(temperature=0.1)"


def test_a_registered_class_gives_its_name():
    assert reference_of(CoMM) == "comm"
    assert reference_of(load_objective("comm(temperature=0.1)")) == "comm(temperature=0.1)"


def test_a_class_of_a_file_gives_the_file(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("def loss(z1, z2):\n    return (z1 - z2).square().mean()\n")
    loss = load_objective(f"{path}:loss")
    assert isinstance(loss, LoadedObjective)
    from pidlab.objectives.source import find_attribute

    function = find_attribute(f"{path}:loss")
    assert reference_of(function) == f"{path}:loss"
    assert source_digest(f"{path}:loss") == loss.source


def test_a_function_of_an_installed_module_gives_the_module():
    assert reference_of(torch.nn.functional.mse_loss) == "torch.nn.functional:mse_loss"


def test_a_local_class_is_registered_with_a_digest_of_its_source():
    local = make_class(1.0)
    reference = reference_of(local)
    assert reference.endswith(":make_class.Local")
    digest = source_digest(reference)
    assert len(digest) == 16
    assert load_objective(reference).make.target is local
    # the same code and values give the same identity, other values in its closure another
    assert source_digest(reference_of(make_class(1.0))) == digest
    assert source_digest(reference_of(make_class(3.0))) != digest


def test_a_global_value_that_a_function_reads_is_part_of_its_identity(monkeypatch):
    lambda_loss = lambda z1, z2: WEIGHT * (z1 - z2).square().mean()  # noqa: E731
    first = reference_of(lambda_loss)
    monkeypatch.setitem(globals(), "WEIGHT", 3.0)
    second = reference_of(lambda_loss)
    assert first != second
    assert ":" in first
    assert "<" not in first


def test_settings_of_one_callable_have_different_references():
    def loss(z1, z2, weight):
        return weight * (z1 - z2).square().mean()

    assert reference_of(partial(loss, weight=1.0)) != reference_of(partial(loss, weight=2.0))


def test_code_without_a_source_is_refused():
    namespace = {}
    exec("def loss(z1, z2):\n    return (z1 - z2).sum()", namespace)
    with pytest.raises(InvalidRequest, match="source code cannot be read; define it in a file"):
        reference_of(namespace["loss"])


def test_class_of_a_notebook_cell_has_a_reference(monkeypatch):
    def reference(factor):
        text = f"class Loss:\n    def forward(self, batch):\n        return {factor} * batch.x1.mean()\n"
        name = f"<cell {factor}>"
        linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
        # A kernel's __main__ has no file.
        namespace = {"__name__": "notebook"}
        exec(compile(text, name, "exec"), namespace)
        monkeypatch.setitem(sys.modules, "notebook", ModuleType("notebook"))
        return source_digest(reference_of(namespace["Loss"]))

    assert reference(2) == reference(2) != reference(3)


def test_what_is_not_callable_is_refused():
    with pytest.raises(InvalidRequest, match="a class or function"):
        reference_of(3)
