"""Progress of a sweep as plain lines."""

from types import SimpleNamespace

from rich.console import Console

from pidlab.sweeps import progress as progress_module
from pidlab.sweeps.progress import Bar, Lines


def cohort(runs=2, steps=100, objective="cross"):
    training = SimpleNamespace(steps=steps)
    return SimpleNamespace(objective=objective, training=training, runs=[SimpleNamespace(track=0)] * runs)


def test_a_line_is_printed_every_minute(monkeypatch, capsys):
    now = [0.0]
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: now[0])
    lines = Lines(Console(stderr=True))
    lines.start([cohort()], 0, 2)  # 600 run-steps with those of the probes
    lines.cohort(0, cohort())
    for _ in range(10):
        now[0] += 20.0
        lines.advance(30)
    assert capsys.readouterr().err.splitlines() == [
        "cohort 1/1: cross, 2 runs",
        "cohort 1/1: cross, 2 runs, 15% of the sweep done; 60 s elapsed, about 340 s left",
        "cohort 1/1: cross, 2 runs, 30% of the sweep done; 120 s elapsed, about 280 s left",
        "cohort 1/1: cross, 2 runs, 45% of the sweep done; 180 s elapsed, about 220 s left",
    ]


def test_brackets_in_a_reference_are_not_markup():
    updates = []
    display = SimpleNamespace(update=lambda task, **values: updates.append(values))
    Bar(display).cohort(0, cohort(objective="mine.py:Loss(sizes=[1, 2])"))
    (shown,) = updates
    assert r"sizes=\[1, 2]" in shown["description"]
