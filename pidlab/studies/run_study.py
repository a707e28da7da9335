"""Execution of a study: validation, tuning, experiments, claims, figures and report."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pidlab.errors import InvalidRequest
from pidlab.plots.style import FORMATS
from pidlab.studies.experiments import ExperimentResult
from pidlab.studies.folders import NamedStudy, read_record, rows_to_keep, write_json, write_table
from pidlab.studies.render import check_figure, draw_figures, write_study_report
from pidlab.studies.schema import Study
from pidlab.studies.tune import tune
from pidlab.studies.verdicts import JudgedClaim, judge_study, write_claims
from pidlab.sweeps.execute import Progress
from pidlab.sweeps.provenance import environment_record


@dataclass(frozen=True)
class StudyResult:
    """The result of a study.

    Args:
        directory: Folder of its figures, claims and results.
        runs: Number of runs.
        failures: Why runs failed, by experiment and objective.
        claims: The claims with their verdicts.
    """

    directory: Path
    runs: int
    failures: dict[str, dict[str, str]]
    claims: list[JudgedClaim]


def run_study(
    named: NamedStudy,
    profile: str,
    runs: Path = Path("runs/studies"),
    figures: Path = Path("figures"),
    *,
    device: str = "cpu",
    progress: Progress | None = None,
) -> StudyResult:
    """Run a study, or resume it, and draw its figures.

    Args:
        named: The study.
        profile: quick, laptop or paper.
        runs: Experiments are stored in runs/NAME/PROFILE/EXPERIMENT, with times and the rows of all probes.
        figures: Results, claims and figures are written to figures/NAME (`pidlab.studies.folders`).
        device: Device type.
        progress: Receives the progress of the experiments.

    Returns:
        The result.

    Raises:
        InvalidRequest: If the study is invalid, before anything is trained; or if `figures` cannot be written
            to.
    """
    study, work, directory = named.study, runs / named.name / profile, figures / named.name
    specification = study.specification(profile)
    for figure in study.figure:
        check_figure(figure)
    prepared = {one.name: one.prepare(specification[one.name], {}, device) for one in study.experiments}
    columns = {name: one.columns for name, one in prepared.items()}
    for stated in study.claim:
        try:
            study.check_claim(stated, profile, columns)
        except InvalidRequest as error:
            raise InvalidRequest(f"{named.path}: {error}") from None
    tuned = tune(specification["tune"], work / "tune", device, progress) if "tune" in specification else {}
    if tuned:
        chosen = {name: result["chosen"] for name, result in tuned.items()}
        prepared = {
            one.name: one.prepare(specification[one.name], chosen, device) for one in study.experiments
        }
    results = {name: one.run(work / name, progress) for name, one in prepared.items()}
    try:
        _write_results(named, profile, results, tuned, directory, device)
        _, claims = judge_study(named, directory)
        write_claims(named, profile, claims, directory)
        draw_figures(study, directory)
        write_study_report(named, profile, claims, directory)
    except OSError as error:
        raise InvalidRequest(
            f"{directory}: cannot be written to ({error.strerror}); choose another --figures"
        ) from None
    failures = {name: dict(result.failures) for name, result in results.items() if result.failures}
    return StudyResult(directory, sum(result.runs for result in results.values()), failures, claims)


def _write_results(
    named: NamedStudy,
    profile: str,
    results: Mapping[str, ExperimentResult],
    tuned: Mapping[str, Any],
    directory: Path,
    device: str,
) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    environment = environment_record(named.command(profile).split(), device)
    # The commit changes as soon as these files are committed; runs/ has it.
    del environment["git"]
    for name, result in results.items():
        write_table(directory / name, rows_to_keep(result.table, _named_probes(named.study)))
        record = {
            **environment,
            "request": result.request,
            "axis_groups": result.axis_groups,
            "runs": result.runs,
            "failed": result.failures,
            **result.details,
        }
        write_json(directory / name / "provenance.json", record)
    if tuned:
        write_json(directory / "tuned.json", tuned)
    figures = [figure.name for figure in named.study.figure]
    for name in (read_record(directory) or {}).get("figures", []):
        if name not in figures:  # drawn by an earlier version of the study file
            for suffix in (*FORMATS, "csv"):
                (directory / f"{name}.{suffix}").unlink(missing_ok=True)
    record = {
        "study": named.name,
        "title": named.study.title,
        "profile": profile,
        **environment,
        "asked": named.study.specification(profile),
        "figures": figures,
        "tuned": tuned,
    }
    write_json(directory / "provenance.json", record)


def _named_probes(study: Study) -> set[str]:
    """Return the probes that claims or figures name."""
    pairs = [pair for one in study.claim for call in one.parsed.calls for pair in call.rows]
    pairs += [pair for one in study.claim for pair in one.parsed.at]
    pairs += [pair for figure in study.figure for pair in figure.options.items()]
    probes = {str(value) for name, value in pairs if name == "probe"}
    lists = [value for name, value in pairs if name == "probes" and isinstance(value, list)]
    return probes | {str(probe) for probes in lists for probe in probes}
