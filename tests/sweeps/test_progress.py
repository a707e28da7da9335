"""The forecast of a sweep, and its progress as plain lines."""

from functools import cache
from heapq import heappop, heappush
from types import SimpleNamespace

import pytest
from rich.console import Console

from pidlab.sweeps import progress as progress_module
from pidlab.sweeps.forecast import Cost, Forecast
from pidlab.sweeps.plan import Runs, needs_of_run, plan
from pidlab.sweeps.progress import Bar, Lines
from pidlab.sweeps.request import build_request


def cohort(runs=2, steps=100, objective="cross", cost=Cost(0.01, 1.0)):  # noqa: B008 - it is immutable
    training = SimpleNamespace(steps=steps)
    return SimpleNamespace(objective=objective, training=training, runs=[None] * runs, cost=cost)


def finished(training, probing):
    return SimpleNamespace(seconds={"training": training, "probing": probing})


def forecast_of(cohorts):
    """Return a forecast, and a function that advances its clock."""
    now = [0.0]

    def wait(seconds):
        now[0] += seconds

    return Forecast(cohorts, lambda: now[0]), wait


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
    forecast, _ = forecast_of([cohort(), cohort(objective="comm")])  # 2 s + 2 s each
    forecast.start(0)
    forecast.advance(0, 100, 0)
    assert forecast.share == pytest.approx(1 / 8)
    forecast.advance(0, 100, 1)
    assert forecast.share == pytest.approx(3 / 8)
    forecast.start(0)  # its worker died
    assert forecast.share == 0.0


def test_the_time_left_follows_the_steps_of_a_running_cohort():
    forecast, wait = forecast_of([cohort(), cohort(objective="comm")])  # 2 s + 2 s each
    forecast.start(0)
    wait(5.0)  # the worker starts
    forecast.advance(0, 20, 0)
    assert forecast.seconds_left() == float("inf")
    for _ in range(4):  # three times as slow as estimated
        wait(0.6)
        forecast.advance(0, 20, 0)
    assert forecast.seconds_left() == pytest.approx(3 * (8 - 1))
    wait(2.0)
    assert forecast.seconds_left() == pytest.approx(3 * (8 - 1) - 2.0)


def test_a_forecast_replaces_estimates_by_measured_times():
    same, other = cohort(), cohort(objective="comm")
    forecast, _ = forecast_of([same, same, other])
    forecast.finish(0, finished(training=8.0, probing=1.0).seconds)
    # Training takes 4 times and probing half the estimate, also of the objective that was not measured.
    assert forecast.share == pytest.approx(9 / 27)
    forecast.finish(2, finished(training=2.0, probing=2.0).seconds)
    assert forecast.share == pytest.approx((9 + 4) / (9 + 9 + 4))
    forecast.finish(1, finished(training=8.0, probing=1.0).seconds)
    assert forecast.share == 1.0


def test_workers_that_run_out_of_cohorts_do_not_shorten_the_time_left():
    forecast, wait = forecast_of([cohort(runs=20), cohort(runs=2), cohort(runs=2)])  # 40 s, 4 s, 4 s
    for number in (0, 1):
        forecast.start(number)
    wait(4.0)
    forecast.finish(1, finished(training=2.0, probing=2.0).seconds)
    forecast.start(2)
    assert forecast.seconds_left() == pytest.approx(36.0)


def test_workers_that_report_only_finished_cohorts_are_counted_by_their_work():
    forecast, wait = forecast_of([cohort() for _ in range(20)])  # 4 s each
    wait(8.0)
    for number in range(10):  # five workers finished two cohorts each
        forecast.start(number)
        forecast.finish(number, finished(training=2.0, probing=2.0).seconds)
    assert forecast.seconds_left() == pytest.approx(8.0)


# Seconds of one core for a training step of a run, and for the probes of a run, of the default sweep: in
# cohorts of 6 on one processor, and in cohorts of 17 on another with an earlier version of the probes.
RECORDS = {
    "six": {
        "untrained": (0.0, 1.18),
        "supervised": (0.7e-3, 0.65),
        "cross": (0.85e-3, 0.95),
        "cross+self": (2.1e-3, 0.9),
        "factorcl-ssl": (4.6e-3, 1.15),
        "comm": (3.6e-3, 0.95),
    },
    "seventeen": {
        "untrained": (0.0, 0.57),
        "supervised": (0.31e-3, 0.27),
        "cross": (0.45e-3, 0.52),
        "cross+self": (1.37e-3, 0.51),
        "factorcl-ssl": (2.8e-3, 0.6),
        "comm": (1.87e-3, 0.49),
    },
}
# Seconds for the start of a worker, for the start of a cohort, and between its reports; runs probed together.
START_WORKER, START_COHORT, REPORT, TOGETHER = 3.0, 0.7, 0.3, 3


@cache
def default_sweep():
    return Runs(build_request([(("unique1", "unique2"), "0..1")]))


def schedule(cohorts, record, workers):
    """Return the time and the call of every report of a sweep, and the time at which it ends."""
    order = [*range(len(cohorts))]
    if workers > 1:
        order.sort(key=lambda number: cohorts[number].seconds, reverse=True)
    idle, events = [(0.0, worker, START_WORKER) for worker in range(workers)], []
    for number in order:
        now, worker, delay = heappop(idle)
        runs, (step, probing) = len(cohorts[number].runs), record[cohorts[number].objective]
        events.append((now, "start", number))
        begin = last = now = now + delay + START_COHORT
        steps = 0
        for _ in range(cohorts[number].training.steps if step else 0):
            now, steps = now + runs * step, steps + runs
            if now - last >= REPORT:
                events.append((now, "advance", number, steps, 0))
                last, steps = now, 0
        trained = now
        for first in range(0, runs, TOGETHER):
            block = min(TOGETHER, runs - first)
            now += block * probing
            events.append((now, "advance", number, steps, block))
            steps = 0
        seconds = finished(START_COHORT + trained - begin, now - trained).seconds
        events.append((now, "finish", number, seconds))
        heappush(idle, (now, worker, 0.0))
    return sorted(events, key=lambda event: event[0]), max(idle)[0]


@pytest.mark.parametrize(
    ("name", "workers", "slower"),
    [("six", 1, 1), ("six", 2, 1), ("six", 4, 1), ("six", 2, 3), ("seventeen", 2, 1), ("seventeen", 2, 3)],
)
def test_the_time_left_of_the_default_sweep_is_right_within_20_percent_after_a_minute(name, workers, slower):
    cohorts = plan(default_sweep(), parts=lambda _: workers)
    record = {objective: (slower * a, slower * b) for objective, (a, b) in RECORDS[name].items()}
    events, end = schedule(cohorts, record, workers)
    forecast, wait = forecast_of(cohorts)
    now = 0.0
    for time, call, *arguments in events:
        # The bar is drawn at reports.
        wait(time - now)
        now = time
        getattr(forecast, call)(*arguments)
        if now > 60.0:
            # 2 % of the sweep more, because its last cohorts are short.
            assert forecast.seconds_left() == pytest.approx(end - now, abs=0.2 * (end - now) + 0.02 * end)
    assert forecast.seconds_left() == 0.0


def test_objectives_that_train_nothing_cost_no_training():
    untrained, trained = (
        needs_of_run(next(run for run in default_sweep() if run.objective == name))
        for name in ("untrained", "cross")
    )
    assert untrained.cost.step == 0.0
    assert untrained.cost.memory > 0
    assert trained.cost.step > 0.0
