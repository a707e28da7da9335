"""A new objective among the objectives of the leaderboard."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from pidlab import defaults
from pidlab.errors import InvalidRequest
from pidlab.registry import parse
from pidlab.results.folder import RECORD, Results
from pidlab.results.leaderboard import STUDY, summarize
from pidlab.results.stored import stored_results
from pidlab.studies.folders import load_study

if TYPE_CHECKING:
    from pidlab.sweeps.execute import Progress


def compare_with_leaderboard(
    objective: str, directory: Path, *, progress: "Progress | None" = None
) -> pd.DataFrame:
    """Train an objective on the data and with the settings of the leaderboard.

    Args:
        objective: Reference to the objective.
        directory: Folder for the sweeps, from which a repeated call resumes.
        progress: Receives the progress of the sweeps.

    Returns:
        The rows of `pidlab.results.leaderboard.summarize` of all objectives, those of the new one first.

    Raises:
        InvalidRequest: If pidlab comes without the results of the leaderboard, or they are of another result
            version.
        ValueError: If every run of the objective fails.
    """
    stored = comparable_results()
    study, results = load_study(STUDY).study, list[Results]()
    specifications = study.specification(_profile(stored[0].directory))
    for experiment in study.experiments:
        specification: dict[str, Any] = specifications[experiment.name]
        specification = {**specification, "objectives": [str(parse(objective))]}
        prepared = experiment.prepare(specification, {}, "cpu")
        result = prepared.run(directory / experiment.name, progress)
        if result.table.empty:
            raise ValueError(next(iter(result.failures.values()), "no results"))
        record = {
            "result_version": defaults.RESULT_VERSION,
            "request": result.request,
            "axis_groups": result.axis_groups,
            "failed": result.failures,
        }
        results.append(Results(result.table, record, directory / experiment.name))
    others = summarize(stored)
    return pd.concat([summarize(results), others[others["objective"] != objective]], ignore_index=True)


def comparable_results() -> list[Results]:
    """Return the results of the leaderboard.

    Raises:
        InvalidRequest: If pidlab comes without them, or they are of another result version.
    """
    stored = stored_results(STUDY)
    version = stored[0].record["result_version"]
    if version != defaults.RESULT_VERSION:
        raise InvalidRequest(
            f"leaderboard: its results are of version {version}, but this pidlab trains version "
            f"{defaults.RESULT_VERSION}; run `pidlab study run {STUDY} --profile laptop`"
        )
    return stored


def _profile(sweep: Path) -> str:
    """Return the profile with which the stored results were computed."""
    return str(json.loads((sweep.parent / RECORD).read_text(encoding="utf-8"))["profile"])
