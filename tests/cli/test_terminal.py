"""Texts of users in a terminal: markup, emoji codes, control characters and long lines."""

import io
import time
from types import SimpleNamespace

import pytest
from rich.console import Console
from rich.table import Table

from pidlab.cli.terminal import console, heartbeat, print_error
from pidlab.defaults import Training
from pidlab.sweeps import progress
from pidlab.sweeps.forecast import Cost

NAME = "[red]a[/] :heart: $x$ [/nothing]"


def test_names_are_printed_as_they_are(capsys):
    table = Table(title=NAME, caption=NAME)
    table.add_column(NAME)
    table.add_row(NAME)
    console().print(table)
    console().print(NAME, soft_wrap=True)
    console(stderr=True).print(NAME, soft_wrap=True)
    out, err = capsys.readouterr()
    assert out.count(NAME) == 5
    assert err == f"{NAME}\n"


def test_the_progress_bar_shows_names_as_they_are(monkeypatch):
    text = io.StringIO()

    def terminal(**options):
        return Console(file=text, force_terminal=True, width=200, **{**options, "stderr": False})

    monkeypatch.setattr(progress, "Console", terminal)
    cohort = SimpleNamespace(objective=NAME, runs=[None], training=Training(), cost=Cost(0.01, 1.0))
    with progress.show_progress() as bar:
        bar.start([cohort], 0, 1)
        bar.cohort(0)
        bar.note(NAME)
        bar._display.refresh()
    assert text.getvalue().count(NAME) >= 2


@pytest.mark.parametrize(
    ("message", "line"),
    [
        ("two\nlines", "two lines"),
        ("\x1b[31mred\x07", r"\x1b[31mred\x07"),
        ("\u202eabc\udcff\t", r"\u202eabc\udcff\t"),
        ("é 😀 [red]", "é 😀 [red]"),
    ],
)
def test_an_error_is_one_line_without_control_characters(capsys, message, line):
    print_error(message)
    assert capsys.readouterr().err == f"{line}\n"


def test_a_very_long_error_is_cut(capsys):
    print_error("error: " + "x" * 100_000)
    assert len(capsys.readouterr().err) < 1100


def test_a_long_command_prints_a_line_from_time_to_time(capsys):
    with heartbeat("estimate", seconds=0.02):
        time.sleep(0.2)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) >= 2
    assert set(lines) == {"estimate: running for 0 s"}
    time.sleep(0.05)
    assert capsys.readouterr().err == ""
