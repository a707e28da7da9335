"""Sweeps and their results from Python."""

import inspect
import json
import subprocess
import sys

import pandas as pd
import pytest
import typer.main

import pidlab
from pidlab import InvalidRequest
from pidlab.cli.commands import app

pytestmark = pytest.mark.usefixtures("few_rows")

TINY = {"steps": 3, "batch": 16, "probes": "quick", "seeds": 1, "device": "cpu", "progress": False}


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    out = tmp_path_factory.mktemp("api") / "sweep"
    return pidlab.sweep(unique="0,1", objectives=["untrained", "cross"], out=str(out), **TINY)


def test_every_public_name_can_be_imported():
    assert all(getattr(pidlab, name) is not None for name in pidlab.__all__ if name != "estimate")
    with pytest.raises(AttributeError):
        _ = pidlab.nothing


def test_importing_pidlab_does_not_import_torch():
    code = "import sys, pidlab; pidlab.load_results; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_python_has_the_options_of_the_command():
    command = typer.main.get_command(app).commands["sweep"]
    options = {option.opts[0].removeprefix("--").replace("-", "_") for option in command.params}
    parameters = set(inspect.signature(pidlab.sweep).parameters)
    # --json and --dry-run print; --objective is repeated on the command line
    assert options - parameters <= {"json", "dry_run", "objective", "help"}
    assert parameters - options == {"objectives", "progress"}


def test_a_sweep_from_python_has_the_files_of_the_command(results, tmp_path, monkeypatch, capsys):
    (folder,) = results.folders
    arguments = "--unique 0,1 --objective untrained --objective cross --steps 3 --batch 16 --probes quick"
    command = [
        "pidlab",
        "sweep",
        *arguments.split(),
        "--seeds",
        "1",
        "--device",
        "cpu",
        "--out",
        str(tmp_path),
    ]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit):
        pidlab.cli.main()
    assert {path.name for path in folder.iterdir()} == {path.name for path in tmp_path.iterdir()}
    for name in ("results.csv", "captured.csv", "captured.svg"):
        assert (folder / name).read_bytes() == (tmp_path / name).read_bytes()


def test_equal_requests_share_a_default_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    objectives = ["untrained"]
    one = pidlab.sweep(synergy="0,1", objectives=objectives, vary={"noise": 0}, width=16, **TINY)
    two = pidlab.sweep(synergy=[0, 1], objectives="untrained", vary={"noise": "0"}, width=16, **TINY)
    assert one.folders == two.folders
    pd.testing.assert_frame_equal(one.table, two.table)


def test_results_give_table_figure_latex_and_page(results, tmp_path):
    assert set(results.table["objective"]) == {"untrained", "cross"}
    assert results.failures == {}
    figure = results.plot("capture", objectives="cross")
    assert figure._repr_png_().startswith(b"\x89PNG")
    assert r"\toprule" in results.to_latex()
    assert "cross" not in results.to_markdown(objectives=["untrained"])
    assert results.report(tmp_path).read_text().startswith("<!DOCTYPE html>")
    assert repr(results).startswith("Results(4 runs, 0 failed, in ")
    assert "<table" in results._repr_html_()


def test_several_sweeps_are_loaded_together(results):
    (folder,) = results.folders
    assert len(pidlab.load_results(folder, str(folder)).table) == len(results.table)
    assert len(pidlab.load_results([folder, folder]).folders) == 2


def test_a_class_is_an_objective(tmp_path, monkeypatch):
    (tmp_path / "losses.py").write_text("def product(z1, z2):\n    return -(z1 * z2).tanh().mean()\n")
    monkeypatch.syspath_prepend(tmp_path)
    from losses import product  # pyright: ignore[reportMissingImports]

    found = pidlab.sweep(unique=1, objectives=[product, "cross"], out=tmp_path / "out", **TINY)
    assert found.failures == {}
    assert found.table["objective"].nunique() == 2


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: pidlab.sweep(unique="0..x"), "expected a number"),
        (lambda: pidlab.sweep(unique=float("nan")), "finite"),
        (lambda: pidlab.sweep(unique=[]), "at least one"),
        (lambda: pidlab.sweep(unique=[1, 1]), "twice"),
        (lambda: pidlab.sweep(save="weight"), "did you mean 'weights'"),
        (lambda: pidlab.sweep(threads=2), "--threads 2: must be 1"),
        (lambda: pidlab.load_results(), "no folder"),
        (lambda: pidlab.load_results("nowhere"), "nowhere: no results"),
    ],
)
def test_invalid_calls_are_explained(tmp_path, monkeypatch, call, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidRequest, match=message):
        call()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (lambda r: r.plot("captured"), "did you mean 'capture'"),
        (lambda r: r.plot("oracle"), "oracle.csv"),
        (lambda r: r.plot("capture", objectives=["crss"]), "did you mean 'cross'"),
        (lambda r: r.to_latex(objective="cross"), "did you mean 'objectives'"),
    ],
)
def test_invalid_uses_of_results_are_explained(results, use, message):
    with pytest.raises(InvalidRequest, match=message):
        use(results)


def test_a_table_that_is_not_a_sweeps_is_refused(results, tmp_path):
    (folder,) = results.folders
    record = json.loads((folder / "provenance.json").read_text())
    (tmp_path / "provenance.json").write_text(
        json.dumps({name: record[name] for name in record if name != "checksums"} | {"rows": 1})
    )
    (tmp_path / "results.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InvalidRequest, match="not the table of a sweep"):
        _ = pidlab.load_results(tmp_path).table


# Calls with a value of another kind or an unknown keyword, and words of the message.
REFUSED = {
    "fit('comm', Atoms)": "generator Atoms: is a class; create a generator with Atoms()",
    "fit('comm', 3)": "generator 3: expected a generator such as Atoms(), or a reference",
    "fit(3, Atoms())": "objective 3: expected a reference such as 'comm', a class or function",
    "fit('comm', Atoms(), seed=1.5)": "seed 1.5: expected a whole number, 0 or more",
    "fit('comm', Atoms(), step=20)": "fit has no keyword 'step': did you mean 'steps'?",
    "Atoms(unique=1)": "Atoms has no keyword 'unique': did you mean 'unique1' or 'unique2'?",
    "capture(Atoms(), Atoms())": "expected the result of fit(), or a function of (x1, x2)",
    "pidlab.sweep(seeds='3')": "seeds '3': expected a whole number",
    "pidlab.sweep(quick='yes')": "quick 'yes': expected True or False",
    "pidlab.sweep(unique={'a': 1})": "{'a': 1}: expected a number, a range 0..1",
    "pidlab.sweep(unique=np.zeros(3))": "[0. 0. 0.]: expected a number, a range 0..1",
    "pidlab.sweep(generator=Atoms())": "expected text such as 'atoms'",
    "pidlab.sweep(objective='comm')": "sweep has no keyword 'objective': did you mean 'objectives'?",
    "pidlab.sweep(dry_run=True)": "sweep has no keyword 'dry_run': known: baselines, ",
}


@pytest.fixture(scope="module")
def refusals():
    """Messages of the calls, from a process whose arguments no type checker refuses first."""
    code = (
        "import json, numpy as np, pidlab\n"
        "from pidlab import Atoms, InvalidRequest, capture, fit\n"
        "messages = {}\n"
        f"for call in {list(REFUSED)}:\n"
        "    try: eval(call)\n"
        "    except InvalidRequest as error: messages[call] = str(error)\n"
        "    except Exception as error: messages[call] = repr(error)\n"
        "print(json.dumps(messages))"
    )
    return json.loads(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout)


@pytest.mark.parametrize(("call", "words"), REFUSED.items())
def test_values_of_another_kind_are_refused_in_one_line(refusals, call, words):
    assert words in refusals[call]
    assert "Error" not in refusals[call]
    assert len(refusals[call].splitlines()) == 1
