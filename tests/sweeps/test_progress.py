"""The forecast of a sweep, and its progress as plain lines."""

from types import SimpleNamespace

import pytest
from rich.console import Console

from pidlab.sweeps import progress as progress_module
from pidlab.sweeps.forecast import Cost, Forecast
from pidlab.sweeps.progress import Bar, Lines


def cohort(runs=2, steps=100, objective="cross", cost=Cost(0.01, 1.0)):  # noqa: B008 - it is immutable
    training = SimpleNamespace(steps=steps)
    return SimpleNamespace(objective=objective, training=training, runs=[None] * runs, cost=cost)


def finished(training, probing):
    return SimpleNamespace(seconds={"training": training, "probing": probing})


def test_a_line_is_printed_every_minute(monkeypatch, capsys):
    now = [0.0]
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: now[0])
    lines = Lines(Console(stderr=True))
    lines.start([cohort()], 0, 2)  # 2 s of training and 2 s of probing
    lines.cohort(0)
    for _ in range(9):
        now[0] += 20.0
        lines.advance(0, 20, 0)
    assert capsys.readouterr().err.splitlines() == [
        "cohort 1/1: cross, 2 runs",
        "cohort 1/1: cross, 2 runs, 15% of the sweep done; 60 s elapsed, about 340 s left",
        "cohort 1/1: cross, 2 runs, 30% of the sweep done; 120 s elapsed, about 280 s left",
        "cohort 1/1: cross, 2 runs, 45% of the sweep done; 180 s elapsed, about 220 s left",
    ]


def test_cohorts_are_counted_in_the_order_in_which_they_start(capsys):
    lines = Lines(Console(stderr=True))
    lines.start([cohort(objective="cross"), cohort(objective="comm")], 0, 4)
    for number in (1, 0, 1):  # the worker of the first died
        lines.cohort(number)
    titles = ["cohort 1/2: comm, 2 runs", "cohort 2/2: cross, 2 runs", "cohort 1/2: comm, 2 runs"]
    assert capsys.readouterr().err.splitlines() == titles


def test_brackets_in_a_reference_are_not_markup():
    updates = []
    display = SimpleNamespace(
        update=lambda task, **values: updates.append(values), add_task=lambda *_, **__: 0
    )
    bar = Bar(display)
    bar.start([cohort(objective="mine.py:Loss(sizes=[1, 2])")], 0, 2)
    bar.cohort(0)
    (shown,) = updates
    assert "sizes=[1, 2]" in shown["description"]  # the column of the display does not read markup


def test_a_forecast_counts_training_and_probing_by_their_estimated_time():
    forecast = Forecast([cohort(), cohort(objective="comm")])  # 2 s + 2 s each
    forecast.advance(0, 100, 0)
    assert forecast.share == pytest.approx(1 / 8)
    forecast.advance(0, 100, 1)
    assert forecast.share == pytest.approx(3 / 8)
    assert forecast.seconds_left(6.0) == pytest.approx(10.0)
    forecast.restart(0)  # its worker died
    assert forecast.share == 0.0
    assert forecast.seconds_left(6.0) == float("inf")


def test_a_forecast_replaces_estimates_by_measured_times():
    same, other = cohort(), cohort(objective="comm")
    forecast = Forecast([same, same, other])
    forecast.finish(0, finished(training=8.0, probing=1.0).seconds)
    # Training takes 4 times and probing half the estimate, also of the objective that was not measured.
    assert forecast.share == pytest.approx(9 / 27)
    forecast.finish(2, finished(training=2.0, probing=2.0).seconds)
    assert forecast.share == pytest.approx((9 + 4) / (9 + 9 + 4))
    forecast.finish(1, finished(training=8.0, probing=1.0).seconds)
    assert forecast.share == 1.0


def test_the_time_left_is_right_after_a_part_of_the_cohorts():
    """Times per objective that differ from the estimates by factors of 0.5 to 3."""
    seconds = {"a": (1.0, 3.0), "b": (6.0, 3.0), "c": (3.0, 3.0)}
    cohorts = [cohort(objective=name) for _ in range(10) for name in seconds]
    forecast, elapsed = Forecast(cohorts), 0.0
    total = sum(sum(seconds[one.objective]) for one in cohorts)
    for number, one in enumerate(cohorts[:6]):
        training, probing = seconds[one.objective]
        forecast.finish(number, finished(training, probing).seconds)
        elapsed += training + probing
    assert forecast.seconds_left(elapsed) == pytest.approx(total - elapsed, rel=0.01)
