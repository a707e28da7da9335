"""An objective that disturbs the process fails at most its own runs and changes no number of another one."""

import json
import sys

import pandas as pd
import pytest

from pidlab.cli import main
from pidlab.defaults import Training
from pidlab.sweeps import Request, run_sweep

pytestmark = pytest.mark.usefixtures("few_rows")

HOSTILE = """
import locale
import os
import random
import resource
import signal
import sys
import tempfile
import threading
import time

import numpy as np
import torch
from torch.nn import functional as F


class Plain(torch.nn.Module):
    def __init__(self, encoders):
        super().__init__()
        self.encoders = encoders

    def forward(self, batch):
        z1, z2 = (F.normalize(e(x), dim=-1) for e, x in zip(self.encoders, batch.x, strict=True))
        return F.cross_entropy(z1 @ z2.T / 0.2, torch.arange(len(z1)))


class ExitsInForward(Plain):
    def forward(self, batch):
        sys.exit(0)


class ExitsInConstructor(Plain):
    def __init__(self, encoders):
        sys.exit(0)


class ExitsInRepresent(Plain):
    def represent(self, x1, x2):
        sys.exit(0)


class RaisesBaseException(Plain):
    def forward(self, batch):
        raise BaseException("not an Exception")


class Unprintable(Exception):
    def __str__(self):
        raise ValueError("no text")


class RaisesUnprintable(Plain):
    def forward(self, batch):
        raise Unprintable


class RaisesSurrogate(Plain):
    def forward(self, batch):
        raise ValueError("a lone surrogate: \\udcff and \\0")


class RaisesLongMessage(Plain):
    def forward(self, batch):
        raise ValueError("x" * 50_000_000)


class NamesWithNul(Plain):
    def represent(self, x1, x2):
        z = self.encoders[0](x1)
        return {"z12": z, "z\\0": z}


class NoReadouts(Plain):
    def represent(self, x1, x2):
        return {}


class Recursion(Plain):
    def forward(self, batch):
        return self.forward(batch)


class PatchesNormalize(Plain):
    def __init__(self, encoders):
        super().__init__(encoders)
        plain = F.normalize
        F.normalize = lambda *args, **kwargs: plain(*args, **kwargs) * 1.5


class PatchesAdam(Plain):
    def __init__(self, encoders):
        super().__init__(encoders)
        torch.optim.Adam.step = lambda self, closure=None: None


class AddsGlobalHook(Plain):
    def __init__(self, encoders):
        super().__init__(encoders)
        hook = lambda module, inputs, output: output * 2 if isinstance(output, torch.Tensor) else output
        torch.nn.modules.module.register_module_forward_hook(hook)


class SetsDefaultDtype(Plain):
    def __init__(self, encoders):
        super().__init__(encoders)
        torch.set_default_dtype(torch.float64)


class DisablesGradients(Plain):
    def __init__(self, encoders):
        super().__init__(encoders)
        torch.set_grad_enabled(False)


class SetsDefaultDevice(Plain):
    def __init__(self, encoders):
        super().__init__(encoders)
        torch.set_default_device("meta")


class ChangesDirectory(Plain):
    def __init__(self, encoders):
        super().__init__(encoders)
        os.chdir(tempfile.gettempdir())
        os.environ["PIDLAB_HOSTILE"] = "1"
        sys.path.insert(0, tempfile.gettempdir())


class Reseeds(Plain):
    def forward(self, batch):
        torch.manual_seed(0)
        np.random.seed(0)
        random.seed(0)
        return super().forward(batch)


class Prints(Plain):
    def forward(self, batch):
        print("on stdout")
        return super().forward(batch)


class MutatesArgument(Plain):
    def __init__(self, encoders, *, a=None):
        super().__init__(encoders)
        a.append(len(a))
        self.factor = float(len(a))

    def forward(self, batch):
        return super().forward(batch) * self.factor


class StartsThread(Plain):
    def __init__(self, encoders):
        super().__init__(encoders)
        threading.Thread(target=time.sleep, args=(60,)).start()


class EndsProcess(Plain):
    def forward(self, batch):
        os._exit(0)


class ReturnsInteger(Plain):
    def forward(self, batch):
        return super().forward(batch).long()


class ReturnsComplex(Plain):
    def forward(self, batch):
        return super().forward(batch).to(torch.complex64)


class ReturnsDouble(Plain):
    def forward(self, batch):
        return super().forward(batch).double()


class DifferentiatesInputs(Plain):
    def forward(self, batch):
        x = batch.x1.requires_grad_()
        (slope,) = torch.autograd.grad(self.encoders[0](x).sum(), x, create_graph=True)
        return super().forward(batch) + slope.square().mean()


class ChangesInputs(Plain):
    def forward(self, batch):
        batch.x1.mul_(0.5)
        return super().forward(batch)

    def represent(self, x1, x2):
        x1.zero_()
        return {"z12": self.encoders[1](x2)}


class LazyLayer(Plain):
    def __init__(self, encoders):
        super().__init__(encoders)
        self.head = torch.nn.LazyLinear(8)

    def forward(self, batch):
        return super().forward(batch) + self.head(self.encoders[0](batch.x1)).square().mean()


class ReadsClock(Plain):
    def forward(self, batch):
        return super().forward(batch) * (1.0 + time.time() % 1.0)


class IgnoresSignals(Plain):
    def __init__(self, encoders):
        super().__init__(encoders)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        locale.setlocale(locale.LC_ALL, "C")


class HidesFiles(Plain):
    def __init__(self, encoders):
        super().__init__(encoders)
        os.umask(0o777)
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


class StartsProcess(Plain):
    def __init__(self, encoders):
        super().__init__(encoders)
        os.posix_spawnp("sleep", ["sleep", "1"], os.environ)


class DeletesItsFile(Plain):
    def __init__(self, encoders):
        super().__init__(encoders)
        if os.path.exists(__file__):
            os.remove(__file__)
"""

AT_IMPORT = {
    "exits.py": "import sys\nsys.exit(0)\n",
    "raises.py": "raise BaseException('at import')\n",
}
FAIL = {
    "ExitsInForward": "SystemExit: 0",
    "ExitsInConstructor": "SystemExit: 0",
    "ExitsInRepresent": "SystemExit: 0",
    "RaisesBaseException": "BaseException: not an Exception",
    "RaisesUnprintable": "Unprintable: (its message cannot be read)",
    "RaisesSurrogate": r"a lone surrogate: \udcff and \0",
    "RaisesLongMessage": "ValueError: xxx",
    "NamesWithNul": "a readout named 'z\\x00'",
    "NoReadouts": "represent() returned {}",
    "Recursion": "RecursionError: maximum recursion depth exceeded",
    "SetsDefaultDtype": "",
    "DisablesGradients": "the loss has no gradient",
}
TRAIN = [
    "PatchesNormalize",
    "PatchesAdam",
    "AddsGlobalHook",
    "SetsDefaultDevice",
    "ChangesDirectory",
    "Reseeds",
    "Prints",
    "StartsThread",
]
# Objectives that are swept together.
TRAIN_TOGETHER = [
    "ReturnsDouble",
    "DifferentiatesInputs",
    "ChangesInputs",
    "LazyLayer",
    "ReadsClock",
    "IgnoresSignals",
    "HidesFiles",
    "StartsProcess",
    "DeletesItsFile",
]
FAIL_TOGETHER = {
    "EndsProcess": "SystemExit: 0",
    "ReturnsInteger": "the loss has no gradient",
    "ReturnsComplex": "real scalar outputs",
}
SETTINGS = {"axes": (), "seeds": 2, "training": Training(steps=4, batch=16, hidden=16), "probes": "quick"}


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The rows of `cross` without another objective."""
    return run_sweep(Request(objectives=("cross",), **SETTINGS), tmp_path_factory.mktemp("alone")).table


@pytest.fixture
def sweep(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hostile.py").write_text(HOSTILE)
    for name, text in AT_IMPORT.items():
        (tmp_path / name).write_text(text)

    def sweep(*references):
        return run_sweep(Request(objectives=(*references, "cross"), **SETTINGS), tmp_path / "out")

    return sweep


def assert_unchanged(result, alone):
    rows = result.table[result.table["objective"] == "cross"].reset_index(drop=True)
    pd.testing.assert_frame_equal(rows, alone, check_exact=True)


@pytest.mark.parametrize("name", FAIL)
def test_a_fault_fails_its_own_runs_with_its_reason(name, sweep, alone):
    result = sweep(f"hostile.py:{name}")
    assert_unchanged(result, alone)
    assert len(result.failures) == 2
    for why in result.failures.values():
        assert FAIL[name] in why
        assert len(why) < 30_000
        why.encode()


@pytest.mark.parametrize("name", TRAIN)
def test_a_change_of_the_process_is_undone(name, sweep, alone, capsys):
    result = sweep(f"hostile.py:{name}")
    assert_unchanged(result, alone)
    assert not result.failures
    assert "on stdout" not in capsys.readouterr().out


@pytest.mark.parametrize("file", AT_IMPORT)
def test_a_fault_at_import_fails_its_own_runs(file, sweep, alone):
    result = sweep(f"{file}:Plain")
    assert_unchanged(result, alone)
    assert len(result.failures) == 2


def test_a_change_at_import_is_in_effect_for_its_own_runs_only(sweep, alone, tmp_path):
    (tmp_path / "patches.py").write_text(
        "from hostile import Plain\nimport torch.nn.functional as F\n\nplain = F.normalize\n"
        "F.normalize = lambda *args, **kwargs: 3.0 * plain(*args, **kwargs)\n"
    )
    result = sweep("patches.py:Plain")
    assert_unchanged(result, alone)
    unpatched = sweep("hostile.py:Plain")
    rows = [r.table[r.table["objective"] != "cross"]["captured"].to_numpy() for r in (result, unpatched)]
    assert (rows[0] != rows[1]).any()


def test_a_changed_argument_is_not_shared_by_seeds(sweep, alone, tmp_path):
    both = sweep("hostile.py:MutatesArgument([1, 2])")
    assert_unchanged(both, alone)
    one = run_sweep(
        Request(objectives=("hostile.py:MutatesArgument([1, 2])",), **{**SETTINGS, "seeds": 1}),
        tmp_path / "one",
    )
    rows = both.table[(both.table["objective"] != "cross") & (both.table["seed"] == 0)]
    pd.testing.assert_frame_equal(rows.reset_index(drop=True), one.table, check_exact=True)


def test_many_hostile_objectives_in_one_sweep(sweep, alone, tmp_path):
    names = [*FAIL_TOGETHER, *TRAIN_TOGETHER]
    result = sweep(*(f"hostile.py:{name}" for name in names))
    assert_unchanged(result, alone)
    failed = {f["objective"].partition(":")[2]: f["reason"] for f in result.record["failures"]}
    assert set(failed) == set(FAIL_TOGETHER)
    assert all(FAIL_TOGETHER[name] in why for name, why in failed.items())
    assert (tmp_path / "out" / "results.csv").stat().st_mode & 0o400
    assert not (tmp_path / "hostile.py").exists()


def test_the_command_names_the_failure_and_exits_with_1(sweep, tmp_path, monkeypatch, capsys):
    request = "sweep --objective hostile.py:EndsProcess --objective cross --redundant 1 --seeds 1 --steps 2"
    options = "--batch 16 --probes quick --out there --json"
    monkeypatch.setattr(sys, "argv", ["pidlab", *request.split(), *options.split()])
    with pytest.raises(SystemExit) as exit_:
        main()
    assert exit_.value.code == 1
    out, err = capsys.readouterr()
    assert "failed: hostile.py:EndsProcess" in err
    assert "SystemExit: 0" in err
    assert {row["objective"] for row in json.loads(out)["rows"]} == {"cross"}
