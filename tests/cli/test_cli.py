"""The command as a user types it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pidlab.cli import main
from pidlab.cli.terminal import Terminated

pytestmark = pytest.mark.usefixtures("few_rows")

QUICK = ["--quick", "--steps", "5", "--batch", "32", "--objective", "untrained", "--objective", "cross"]


def pidlab(monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, "argv", ["pidlab", *arguments])
    with pytest.raises(SystemExit) as exit_:
        main()
    out, err = capsys.readouterr()
    return exit_.value.code, out, err


def test_cuda_on_a_machine_without_cuda_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    code, _, err = pidlab(monkeypatch, capsys, "sweep", "--device", "cuda")
    assert code == 2
    assert "no CUDA device" in err
    assert list(tmp_path.iterdir()) == []


def test_a_sweep_ends_with_a_table_and_its_files(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    code, out, err = pidlab(monkeypatch, capsys, "sweep", "--unique", "0..1:3", *QUICK)
    assert code == 0
    assert "cross" in out
    assert "truth" in out
    assert "cohort 2/2: cross, 3 runs" in err
    (folder,) = (tmp_path / "runs").iterdir()
    assert folder.name.startswith("unique=0..1-")
    code, _, err = pidlab(monkeypatch, capsys, "sweep", "--unique", "0..1:3", *QUICK)
    assert code == 0
    assert "6 of 6 runs are done already" in err
    assert list((tmp_path / "runs").iterdir()) == [folder]


def test_json_is_one_document_and_nothing_else(tmp_path, monkeypatch, capsys):
    arguments = ["sweep", "--synergy", "0,1", *QUICK, "--out", str(tmp_path / "out"), "--json"]
    code, out, _ = pidlab(monkeypatch, capsys, *arguments)
    assert code == 0
    document = json.loads(out)
    assert document["runs"] == 4
    assert document["failed"] == {}
    assert {"run", "truth", "captured", "headline", "synergy"} <= set(document["rows"][0])


def test_dry_run_writes_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    code, out, _ = pidlab(monkeypatch, capsys, "sweep", "--unique", "0..1:3", *QUICK, "--dry-run", "--json")
    assert code == 0
    plan = json.loads(out)
    assert plan["runs"] == 6
    assert [c["runs"] for c in plan["cohorts"]] == [3, 3]
    assert plan["estimated_seconds"] > 0
    assert list(tmp_path.iterdir()) == []


def test_truth(monkeypatch, capsys):
    code, out, _ = pidlab(monkeypatch, capsys, "truth", "--redundant", ".5", "--unique", ".3", "--json")
    assert code == 0
    truth = json.loads(out)
    assert (truth["redundant"], truth["unique1"], truth["synergy"], truth["total"]) == (0.5, 0.3, 1.0, 2.1)
    code, out, _ = pidlab(monkeypatch, capsys, "truth")
    assert "I(X1,X2;T)" in out
    assert "bits" in out


@pytest.mark.parametrize("kind", ["objectives", "generators"])
def test_list(monkeypatch, capsys, kind):
    code, out, _ = pidlab(monkeypatch, capsys, "list", kind, "--json")
    assert code == 0
    names = [entry["name"] for entry in json.loads(out)]
    assert {"objectives": "comm", "generators": "atoms"}[kind] in names
    assert all(entry["about"] for entry in json.loads(out))
    _, text, _ = pidlab(monkeypatch, capsys, "list", kind)
    assert all(name in text for name in names)


def test_failed_runs_exit_1(tmp_path, monkeypatch, capsys):
    arguments = [
        "sweep",
        "--quick",
        "--steps",
        "3",
        "--objective",
        "simclr",
        "--vary",
        "rate=1e30",
        "--out",
        str(tmp_path),
    ]
    code, out, err = pidlab(monkeypatch, capsys, *arguments)
    assert code == 1
    assert "not finite at step" in err
    assert "1 runs failed" in out


def test_help_lists_the_defaults(monkeypatch, capsys):
    code, out, _ = pidlab(monkeypatch, capsys, "sweep", "--help")
    assert code == 0
    for word in ("600", "noise 0.3", "hidden 64", "untrained"):
        assert word in " ".join(out.replace("│", " ").split())


def test_help_and_plots_start_without_torch():
    code = (
        "import sys, contextlib, io\n"
        "sys.argv = ['pidlab', 'sweep', '--help']\n"
        "from pidlab.cli import main\n"
        "with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit): main()\n"
        "import pidlab.plots.capture\n"
        "import pidlab.report\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_stopping_is_reported_and_exits_with_130(tmp_path, monkeypatch, capsys):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("pidlab.sweeps.run_sweep", interrupted)
    code, _, err = pidlab(monkeypatch, capsys, "sweep", "--unique", "1", "--out", str(tmp_path))
    assert code == 130
    assert "rerun the same command" in err


@pytest.mark.parametrize(("stop", "code"), [(KeyboardInterrupt, 130), (Terminated, 143)])
def test_every_command_exits_with_the_code_of_its_signal(tmp_path, monkeypatch, capsys, stop, code):
    def stopped(_):
        raise stop

    monkeypatch.setattr("pidlab.results.folder.read_results", stopped)
    assert pidlab(monkeypatch, capsys, "report", str(tmp_path)) == (code, "", "stopped\n")


def test_generate_writes_arrays_that_can_be_swept(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    asked = ["generate", "modular(0.5)", "--samples", "300", "--out", "rows.npz", "--seed", "3", "--json"]
    code, out, _ = pidlab(monkeypatch, capsys, *asked)
    assert code == 0
    document = json.loads(out)
    assert document["arrays"]["x1"] == [300, 32]
    assert document["truth"]["synergy"] == pytest.approx(0.5)
    code, out, err = pidlab(monkeypatch, capsys, "truth", "--generator", "arrays('rows.npz')")
    assert (code, out) == (2, "")
    assert "no known truth" in err


def test_reports_of_one_sweep_and_of_several(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name, objective in (("one", "cross"), ("two", "simclr")):
        asked = ["sweep", "--synergy", "0,1", "--quick", "--steps", "3", "--batch", "32", "--out", name]
        assert pidlab(monkeypatch, capsys, *asked, "--objective", objective)[0] == 0
    written = Path("one/report.html").read_bytes()
    Path("one/report.html").unlink()
    code, out, _ = pidlab(monkeypatch, capsys, "report", "one")
    assert (code, out.strip()) == (0, "one/report.html")
    assert Path("one/report.html").read_bytes() == written
    code, _, err = pidlab(monkeypatch, capsys, "report", "one", "two")
    assert code == 2
    assert "--out" in err
    code, out, _ = pidlab(monkeypatch, capsys, "report", "one", "two", "--out", "both", "--json")
    assert code == 0
    text = Path(json.loads(out)["report"]).read_text()
    assert "<h3>one</h3>" in text
    assert 'href="../two/results.csv"' in text
    code, _, err = pidlab(monkeypatch, capsys, "report", "none")
    assert code == 2
    assert "none: no results" in err
