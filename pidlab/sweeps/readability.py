"""Readability: objectives trained at one point, and their representations read under strain."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from pidlab.errors import InvalidRequest
from pidlab.io import ensure_writable
from pidlab.objectives import load_objective
from pidlab.plots.readability import FLOOR, readability_figure
from pidlab.plots.style import FORMATS, save
from pidlab.probes.readability import PARTS, check_noise_levels, readability_cohort
from pidlab.sweeps.plan import Cohort, plan
from pidlab.sweeps.provenance import provenance
from pidlab.sweeps.request import Request
from pidlab.training import Member, train


def run_readability(
    request: Request,
    directory: Path,
    sigmas: Sequence[float],
    command: Sequence[str] = (),
    say: Callable[[str], None] = lambda _: None,
) -> tuple[pd.DataFrame, dict[str, str]]:
    """Trains every objective of a request of one point, beside the untrained floor, and strains its z12.

    Files: readability.{csv,pdf,svg,png}, provenance.json.

    Args:
        request: as of a sweep whose axes have one value each.
        directory: where.
        sigmas: deviations of the noise.
        command: the command line, for provenance.
        say: who is told what is trained.

    Returns:
        The columns of results.csv, then `sigma` and `rows`; and why objectives failed, by name.

    Raises:
        InvalidRequest: more than one point; a negative deviation; a folder that cannot be written to.
    """
    if request.varied:
        names = ", ".join(axis.names[0] for axis in request.varied)
        raise InvalidRequest(f"{names}: readability is shown at one point, so give single values")
    check_noise_levels(sigmas, PARTS)
    ensure_writable(directory)  # before anything is trained
    if FLOOR not in request.objectives:
        request = replace(request, objectives=(FLOOR, *request.objectives))
    parts, failed = [], {}
    for cohort in plan(request.runs()):
        say(f"{cohort.objective}: training and probing {len(cohort.runs)} runs")
        try:
            parts.append(strained(cohort, sigmas))
        except FloatingPointError as error:
            failed[cohort.objective] = str(error)
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
    try:
        _write(table, directory, provenance(request, command) | {"failed": failed})
    except OSError as error:
        raise InvalidRequest(
            f"cannot write to {directory} ({error.strerror}): choose another --out"
        ) from None
    return table, failed


def strained(cohort: Cohort, sigmas: Sequence[float], parts: Sequence[float] = PARTS) -> pd.DataFrame:
    """Trains a cohort and reads its z12 through noise, and from parts of the probes' rows.

    Raises:
        FloatingPointError: a loss that is not finite.
    """
    runs = tuple(cohort.runs)
    generators, seeds = [run.generator for run in runs], [run.seed for run in runs]
    members = [Member(run.generator, run.seed) for run in runs]
    device = runs[0].device
    fitted = train(load_objective(cohort.objective, runs[0].source), members, cohort.training, device)
    if fitted.failed:
        raise FloatingPointError(f"loss not finite at step {min(fitted.failed.values())}")
    found = readability_cohort(
        fitted.represent, generators, seeds, runs[0].probes, sigmas=sigmas, parts=parts, device=device
    )
    records = []
    for run, rows in zip(runs, found, strict=True):
        who = {"run": run.key, "objective": run.objective, "seed": run.seed}
        for row in rows:
            strain = {name: row.pop(name) for name in ("sigma", "rows")}
            records.append(who | row | run.truth | run.point | strain)
    return pd.DataFrame(records)


def _write(table: pd.DataFrame, directory: Path, record: dict[str, Any]) -> None:
    table.to_csv(directory / "readability.csv", index=False)
    if len(table):
        figure, _ = readability_figure(table)
        for suffix in FORMATS:
            save(figure, directory / f"readability.{suffix}")
    (directory / "provenance.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
