"""The entry point: options of `pidlab` itself, streams, signals, and unexpected errors."""

import os
import signal
import subprocess
import sys

import pytest

import pidlab
from pidlab.cli import main
from pidlab.cli.terminal import Terminated


def started(*arguments, **options):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **options.pop("environment", {})}
    command = [sys.executable, "-m", "pidlab", *arguments]
    return subprocess.run(command, env=environment, stderr=subprocess.PIPE, text=True, timeout=60, **options)


@pytest.fixture
def typed(monkeypatch, capsys):
    def type_(*arguments):
        monkeypatch.setattr(sys, "argv", ["pidlab", *arguments])
        with pytest.raises(SystemExit) as exit_:
            main()
        out, err = capsys.readouterr()
        return exit_.value.code, out, err

    return type_


def raising(error):
    def raise_(*_, **__):
        raise error

    return raise_


def test_version(typed):
    assert typed("--version") == (0, f"{pidlab.__version__}\n", "")


@pytest.mark.parametrize("arguments", [("-h",), ("sweep", "-h"), ("study", "run", "-h")])
def test_the_short_option_for_help(typed, arguments):
    code, out, err = typed(*arguments)
    assert (code, err) == (0, "")
    assert "Usage" in out


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (MemoryError("Unable to allocate 8 PiB"), "not enough memory"),
        (OSError(36, "File name too long", "there"), "there: File name too long"),
        (RuntimeError("two\nlines"), "unexpected RuntimeError: two"),
    ],
)
def test_an_error_of_any_kind_is_one_line(typed, monkeypatch, error, message):
    monkeypatch.setattr("pidlab.results.folder.read_results", raising(error))
    code, out, err = typed("table", "somewhere")
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert message in err


def test_debugging_shows_the_traceback(monkeypatch):
    monkeypatch.setenv("PIDLAB_DEBUG", "1")
    monkeypatch.setattr("pidlab.results.folder.read_results", raising(RuntimeError("a bug")))
    monkeypatch.setattr(sys, "argv", ["pidlab", "table", "somewhere"])
    with pytest.raises(RuntimeError, match="a bug"):
        main()


@pytest.mark.parametrize("command", ["status", "export", "plot", "table", "report"])
def test_a_folder_with_a_long_name_is_refused_in_one_line(typed, command):
    code, _, err = typed(command, "x" * 300)
    assert code == 2
    assert err.count("\n") == 1


@pytest.mark.parametrize(("stop", "code"), [(KeyboardInterrupt, 130), (Terminated, 143)])
def test_a_signal_while_commands_are_imported_is_reported(typed, monkeypatch, stop, code):
    monkeypatch.setattr("pidlab.cli.commands.run", raising(stop))
    assert typed("--version") == (code, "", "stopped\n")


def test_a_signal_at_any_moment_of_the_start_shows_no_traceback():
    for wait in (0.05, 0.2, 0.5):
        process = subprocess.Popen(
            [sys.executable, "-m", "pidlab", "truth"],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            process.wait(wait)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)
        assert "Traceback" not in err


def test_a_full_disk_behind_stdout_is_reported_in_one_line():
    if not os.path.exists("/dev/full"):
        pytest.skip("the system has no /dev/full")
    with open("/dev/full", "w") as full:
        done = started("truth", stdout=full)
    assert done.returncode == 2
    assert done.stderr.startswith("error: No space left on device")
    assert done.stderr.count("\n") == 1


def test_a_closed_pipe_ends_a_command_silently():
    read, write = os.pipe()
    os.close(read)
    try:
        done = started("truth", stdout=write)
    finally:
        os.close(write)
    assert (done.returncode, done.stderr) == (1, "")


def test_a_terminal_without_unicode_shows_replacements():
    done = started("truth", stdout=subprocess.PIPE, environment={"PYTHONIOENCODING": "ascii", "LC_ALL": "C"})
    assert done.returncode == 0
    assert "information about Y" in done.stdout


def test_completion_knows_every_objective_and_generator_without_torch():
    code = (
        "import sys\n"
        "from pidlab.cli.options import registered_names\n"
        "names = registered_names('objectives'), registered_names('generators')\n"
        "assert 'torch' not in sys.modules\n"
        "from pidlab.generators import generators\n"
        "from pidlab.objectives.load import objectives\n"
        "assert names == (sorted(objectives()), sorted(generators())), names\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    "request_",
    [
        "decompose pipe.csv",
        "decompose pipe.json",
        "decompose pipe.npy",
        "decompose pipe.csv --samples",
        "decompose pipe.csv --gaussian 1,1,1",
        "decompose pipe.csv --sources 3",
        "estimate pipe.npz",
        "estimate pipe.pt",
        "truth --generator gate('pipe.csv')",
        "truth --generator arrays('pipe.npz')",
        "truth --generator arrays('pipe.csv')",
        "check pipe.py:Mine",
        "sweep --objective pipe.py:Mine",
        "study check pipe.toml",
        "plot folder --kind readability",
        "report folder",
        "table folder --out null.csv",
        "generate atoms --samples 3 --out null.npz",
    ],
)
def test_pipes_and_devices_are_refused(typed, tmp_path, monkeypatch, request_):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "provenance.json").write_text("{}")
    for suffix in ("csv", "json", "npy", "npz", "pt", "py", "toml"):
        os.mkfifo(tmp_path / f"pipe.{suffix}")
        (tmp_path / f"null.{suffix}").symlink_to(os.devnull)
    for name in ("results.csv", "readability.csv"):
        os.mkfifo(tmp_path / "folder" / name)
    code, out, err = typed(*request_.split())
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert (tmp_path / "null.csv").is_symlink()


def test_a_list_of_studies_skips_pipes(typed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.mkfifo(tmp_path / "pipe.toml")
    code, out, err = typed("study", "list", "--figures", ".", "--json")
    assert (code, err) == (0, "")
    assert "pipe" not in out


EXITS = """
import sys
import torch


class Exits(torch.nn.Module):
    def __init__(self, encoders):
        super().__init__()
        self.encoders = encoders

    def forward(self, batch):
        sys.exit(0)
"""


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("readability", "--unique", "1", "--steps", "5", "--probes", "quick", "--out", "out"), 1),
        (("bench",), 1),
        (("sweep", "--unique", "0,1", "--quick", "--dry-run"), 0),
    ],
)
def test_an_objective_that_exits_ends_no_command(tmp_path, monkeypatch, capsys, few_rows, arguments, code):
    (tmp_path / "exits.py").write_text(EXITS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["pidlab", *arguments, "--objective", "exits.py:Exits"])
    with pytest.raises(SystemExit) as caught:
        main()
    captured = capsys.readouterr()
    assert (caught.value.code or 0) == code
    if code:
        assert "failed: exits.py:Exits: UserCodeError: user code raised SystemExit: 0" in captured.err
    else:
        assert "exits.py:Exits: 2 runs" in captured.out
