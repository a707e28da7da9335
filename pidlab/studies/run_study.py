"""Execution of a study: validation, tuning, experiments, claims, figures and report."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pidlab.errors import InvalidRequest
from pidlab.io import write_independently
from pidlab.plots.style import FORMATS
from pidlab.report.page import PAGE
from pidlab.results.folder import CHECKSUMS, RECORD
from pidlab.results.panels import LINEAR
from pidlab.studies.experiments import ExperimentResult
from pidlab.studies.folders import (
    CLAIMS,
    NamedStudy,
    read_record,
    rows_to_keep,
    write_json,
    write_record,
    write_table,
)
from pidlab.studies.render import check_figure, draw_figures, write_study_report
from pidlab.studies.schema import Study
from pidlab.studies.tune import tune
from pidlab.studies.verdicts import JudgedClaim, judge_claims, write_claims
from pidlab.sweeps.execute import Progress
from pidlab.sweeps.provenance import environment_record


@dataclass(frozen=True)
class StudyResult:
    """Result of a study.

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
            to, or a figure or the report cannot be written; the others are written.
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
        claims = _write_results(named, profile, results, tuned, directory, device)
    except OSError as error:
        raise InvalidRequest(
            f"{directory}: cannot be written to ({error.strerror}); make room or choose another --figures, "
            "then rerun the same command"
        ) from None
    problems = draw_figures(study, directory)
    report = directory / PAGE
    failed = write_independently(
        {report: lambda _: write_study_report(named, profile, claims, directory, without=[*problems])}
    )
    lines = [line for listed in problems.values() for line in listed]
    lines += [f"{path.name}: {why}" for path, why in failed.items()]
    if lines:
        raise InvalidRequest(
            f"{directory}: not written: {'; '.join(lines)}; all results and other files are kept, so fix the "
            "cause and rerun the same command"
        )
    failures = {name: dict(result.failures) for name, result in results.items() if result.failures}
    return StudyResult(directory, sum(result.runs for result in results.values()), failures, claims)


def _write_results(
    named: NamedStudy,
    profile: str,
    results: Mapping[str, ExperimentResult],
    tuned: Mapping[str, Any],
    directory: Path,
    device: str,
) -> list[JudgedClaim]:
    """Write the tables of the experiments, then the claims, then the record with checksums of both.

    If this is stopped, the record does not match the files, so that old and new results are not mixed.
    """
    directory.mkdir(parents=True, exist_ok=True)
    before = read_record(directory) or {}
    if before and CHECKSUMS not in before:
        found = [name for name in before["asked"] if (directory / name / RECORD).is_file()]
        write_record(directory, before, [f"{name}/{RECORD}" for name in found])
    environment = environment_record(named.command(profile).split(), device)
    # The commit changes as soon as these files are committed; runs/ has it.
    del environment["git"]
    for name, result in results.items():
        table = write_table(
            directory / name, rows_to_keep(result.table, {LINEAR, *_named_probes(named.study)})
        )
        record = {
            **environment,
            "request": result.request,
            "axis_groups": result.axis_groups,
            "runs": result.runs,
            "failed": result.failures,
            **result.details,
        }
        write_record(directory / name, record, [table])
    if tuned:
        write_json(directory / "tuned.json", tuned)
    figures = [figure.name for figure in named.study.figure]
    for name in before.get("figures", []):
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
    files = [f"{name}/{RECORD}" for name in results]
    try:
        claims = judge_claims(named, profile, directory)
    except InvalidRequest:  # the results are valid, but a claim selects rows that they lack
        (directory / CLAIMS).unlink(missing_ok=True)
        write_record(directory, record, files)
        raise
    write_claims(named, profile, claims, directory)
    write_record(directory, record, [CLAIMS, *files])
    return claims


def _named_probes(study: Study) -> set[str]:
    """Return the probes that claims or figures name."""
    pairs = [pair for one in study.claim for call in one.parsed.calls for pair in call.rows]
    pairs += [pair for one in study.claim for pair in one.parsed.at]
    pairs += [pair for figure in study.figure for pair in figure.options.items()]
    probes = {str(value) for name, value in pairs if name == "probe"}
    lists = [value for name, value in pairs if name == "probes" and isinstance(value, list)]
    return probes | {str(probe) for probes in lists for probe in probes}
