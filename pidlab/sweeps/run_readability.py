"""Readability: representations of one point, probed through noise and from few rows."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pandas as pd

from pidlab.errors import InvalidRequest, reason
from pidlab.io import atomic_write, ensure_writable, write_csv
from pidlab.objectives import load_objective
from pidlab.probes.readability import PARTS, check_noise_levels, readability_cohort
from pidlab.results.folder import RECORD, seal
from pidlab.results.means import FLOOR
from pidlab.sweeps.engines import Processes
from pidlab.sweeps.plan import Cohort, Runs, plan
from pidlab.sweeps.provenance import provenance
from pidlab.sweeps.request import Request
from pidlab.threads import one_thread
from pidlab.training import Member, train
from pidlab.workers import compute


def run_readability(
    request: Request,
    directory: Path,
    sigmas: Sequence[float],
    command: Sequence[str] = (),
    say: Callable[[str], None] = lambda _: None,
) -> tuple[pd.DataFrame, dict[str, str]]:
    """Train every objective at one point, with the untrained baseline, and probe z12 through noise.

    Files: readability.csv, provenance.json.

    Args:
        request: A sweep whose axes have one value each.
        directory: Folder of the files.
        sigmas: Standard deviations of the noise, in units of a whitened coordinate.
        command: Command line, for provenance.
        say: Receiver of one line of progress per cohort.

    Returns:
        Rows with the columns of results.csv, then `sigma` and `rows`; and the reason of every objective that
        failed, by reference.

    Raises:
        InvalidRequest: If the request has more than one point, a standard deviation is negative, or the
            folder cannot be written to.
    """
    if request.varied:
        names = ", ".join(axis.names[0] for axis in request.varied)
        raise InvalidRequest(f"{names}: readability is measured at one point; give single values")
    check_noise_levels(sigmas, PARTS)
    ensure_writable(directory)  # refuse the folder before anything is trained
    if FLOOR not in request.objectives:
        request = replace(request, objectives=(FLOOR, *request.objectives))
    cohorts = [Cohort(tuple(cohort.runs), cohort.cost) for cohort in plan(Runs(request))]
    for cohort in cohorts:
        say(f"{cohort.objective}: training and probing {len(cohort.runs)} runs")
    seconds = len(sigmas) * len(PARTS) * sum(cohort.seconds for cohort in cohorts)
    calls = [partial(train_and_probe, cohort, sigmas) for cohort in cohorts]
    tables: dict[int, pd.DataFrame] = {}
    failed: dict[str, str] = {}
    for done in compute(calls, Processes().parts(seconds)):
        objective = cohorts[done.number].objective
        if isinstance(done.error, FloatingPointError):
            failed[objective] = str(done.error)
        elif isinstance(done.error, InvalidRequest):
            raise done.error
        elif done.error is not None:  # a fault of one objective must not stop the others
            failed[objective] = reason(done.error)
        else:
            tables[done.number] = done.value
    parts = [tables[number] for number in sorted(tables)]
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
    record = provenance(request, command) | {"failed": failed}
    try:
        write_csv(table, directory / "readability.csv")
        with atomic_write(directory / RECORD) as file:
            file.write(json.dumps(seal(record, directory, ["readability.csv"]), indent=2) + "\n")
    except OSError as error:
        raise InvalidRequest(
            f"cannot write to {directory} ({error.strerror}): choose another --out"
        ) from None
    return table, failed


@one_thread()
def train_and_probe(cohort: Cohort, sigmas: Sequence[float], parts: Sequence[float] = PARTS) -> pd.DataFrame:
    """Train a cohort, then probe its z12 through noise and with fewer rows for fitting.

    Args:
        cohort: Runs to train.
        sigmas: Standard deviations of the noise, in units of a whitened coordinate.
        parts: Fractions of the rows that probes are fitted to.

    Returns:
        Rows with the columns of results.csv, then `sigma` and `rows`.

    Raises:
        FloatingPointError: If a loss is not finite.
    """
    runs = tuple(cohort.runs)
    generators, seeds = [run.generator for run in runs], [run.seed for run in runs]
    members = [Member(run.generator, run.seed) for run in runs]
    device = runs[0].device
    fitted = train(load_objective(cohort.objective, runs[0].source), members, cohort.training, device)
    if fitted.failed:
        raise FloatingPointError(f"loss not finite at step {min(fitted.failed.values())}")
    captured = readability_cohort(
        fitted.represent, generators, seeds, runs[0].probes, sigmas=sigmas, parts=parts, device=device
    )
    records = []
    for run, rows in zip(runs, captured, strict=True):
        about = {"run": run.key, "objective": run.objective, "seed": run.seed}
        for row in rows:
            condition = {name: row.pop(name) for name in ("sigma", "rows")}
            records.append(about | row | run.truth | run.point | condition)
    return pd.DataFrame(records)
