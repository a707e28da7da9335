"""The schedule of the default sweep on many cores, with measured costs."""

import heapq

import pytest

from pidlab import defaults
from pidlab.sweeps import Axis, Request
from pidlab.sweeps.plan import Runs, plan

# CPU seconds of one run of the default sweep in cohorts of six on one thread: 600 steps, and standard probes.
MEASURED = {
    "untrained": (0.0, 1.37),
    "supervised": (0.86, 0.66),
    "cross": (1.14, 1.17),
    "cross+self": (2.56, 1.20),
    "factorcl-ssl": (4.42, 1.27),
    "comm": (2.99, 0.94),
}
DEFAULT_AXIS = Axis(("unique1", "unique2"), tuple(i / 10 for i in range(11)))


def seconds(cohort):
    """Return the measured time of a cohort; a single run is computed as two."""
    members = max(len(cohort.runs), 2)
    training, probing = MEASURED[cohort.objective]
    # Steps of small cohorts take longer for each member: three times as long for one as for many.
    return members * (training * (1 + 1.5 / members) / 1.25 + probing)


def idle_share(cohorts, workers):
    """Return the share of idle time if every worker takes the longest cohort that is left."""
    free = [0.0] * workers
    for cohort in sorted(cohorts, key=lambda cohort: cohort.seconds, reverse=True):
        heapq.heapreplace(free, free[0] + seconds(cohort))
    return 1.0 - sum(free) / (workers * max(free))


@pytest.fixture(scope="module")
def runs():
    return Runs(Request(axes=(DEFAULT_AXIS,)))


@pytest.mark.parametrize("workers", [2, 4, 8, 16])
def test_few_workers_idle_in_the_default_sweep(runs, workers):
    cohorts = plan(runs, parts=lambda _: workers)
    assert sum(len(cohort.runs) for cohort in cohorts) == len(runs) == 66 * defaults.SEEDS
    assert min(len(cohort.runs) for cohort in cohorts) >= 2
    idle = idle_share(cohorts, workers)
    print(f"{workers} workers: {len(cohorts)} cohorts, {idle:.1%} idle")
    assert idle <= 0.1


def test_estimates_are_near_the_measured_costs(runs):
    """Estimates decide only how a sweep is split and which cohorts come first."""
    for cohort in plan(runs):
        training, probing = MEASURED[cohort.objective]
        assert 0.5 < cohort.seconds / len(cohort.runs) / (training + probing) < 2.0


def test_cohorts_have_equal_runs_for_any_number_of_workers(runs):
    keys = sorted(run.key for run in runs)
    for workers in (1, 3):
        cohorts = plan(runs, parts=lambda _, workers=workers: workers)
        assert sorted(run.key for cohort in cohorts for run in cohort.runs) == keys
        assert all(len({run.objective for run in cohort.runs}) == 1 for cohort in cohorts)
