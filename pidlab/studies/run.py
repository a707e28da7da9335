"""Running a study: all is made sure of first, then experiment by experiment, then claims and figures."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pidlab.errors import InvalidRequest
from pidlab.studies.evaluate import Checked, check, table_of
from pidlab.studies.experiments import Outcome, Ready
from pidlab.studies.render import check_figure, draw_figures, report_study
from pidlab.studies.schema import Study
from pidlab.studies.store import (
    Named,
    kept,
    write_json,
    write_table,
)
from pidlab.studies.tune import tune
from pidlab.sweeps.execute import Progress
from pidlab.sweeps.provenance import environment_record


@dataclass(frozen=True)
class Answered:
    """A study that was run.

    Args:
        directory: where its figures, claims and results are.
        runs: how many runs there are.
        failures: why runs failed, by experiment and objective.
        checked: its claims.
    """

    directory: Path
    runs: int
    failures: dict[str, dict[str, str]]
    checked: list[Checked]


def run_study(
    named: Named,
    profile: str,
    runs: Path = Path("runs/studies"),
    figures: Path = Path("figures"),
    *,
    device: str = "cpu",
    progress: Progress | None = None,
) -> Answered:
    """Runs a study and draws what it found; goes on where it stopped.

    Args:
        named: the study.
        profile: quick, laptop or paper.
        runs: sweeps stand in runs/NAME/PROFILE/EXPERIMENT, with times and everything a probe said.
        figures: figures/NAME gets what is worth keeping (`pidlab.studies.store`).
        device: device type.
        progress: who is told how far it is.

    Raises:
        InvalidRequest: anything in it that cannot be, before anything is trained.
    """
    study, work, directory = named.study, runs / named.name / profile, figures / named.name
    asked = study.asked(profile)
    for figure in study.figure:
        check_figure(figure)
    ready = {one.name: one.prepare(asked[one.name], {}, device) for one in study.experiments}
    _check_claims(named, profile, ready)
    tuned = tune(asked["tune"], work / "tune", device, progress) if "tune" in asked else {}
    if tuned:
        chosen = {name: found["chosen"] for name, found in tuned.items()}
        ready = {one.name: one.prepare(asked[one.name], chosen, device) for one in study.experiments}
    outcomes = {name: one.run(work / name, progress) for name, one in ready.items()}
    try:
        checked = _write(named, profile, asked, outcomes, tuned, directory, device)
    except OSError as error:
        raise InvalidRequest(
            f"cannot write to {directory} ({error.strerror}): choose another --figures"
        ) from None
    failures = {name: dict(outcome.failures) for name, outcome in outcomes.items() if outcome.failures}
    return Answered(directory, sum(outcome.runs for outcome in outcomes.values()), failures, checked)


def _check_claims(named: Named, profile: str, ready: Mapping[str, Ready]) -> None:
    known = {name: one.columns for name, one in ready.items()}
    for asserted in named.study.claim:
        missed = named.study.missed(asserted, profile, known)
        if missed:
            raise InvalidRequest(f"{named.path}: {missed[1]}")


def _write(
    named: Named,
    profile: str,
    asked: Mapping[str, Any],
    outcomes: Mapping[str, Outcome],
    tuned: Mapping[str, Any],
    directory: Path,
    device: str,
) -> list[Checked]:
    directory.mkdir(parents=True, exist_ok=True)
    made = environment_record(named.rerun(profile).split(), device)
    del made["git"]  # it differs as soon as these files are committed; runs/ has it
    for name, outcome in outcomes.items():
        write_table(directory / name, kept(outcome.table, _probes(named.study)))
        record = {
            **made,
            "request": outcome.request,
            "axis_groups": outcome.axis_groups,
            "runs": outcome.runs,
            "failed": outcome.failures,
            **outcome.stated,
        }
        write_json(directory / name / "provenance.json", record)
    about = {"study": named.name, "title": named.study.title, "profile": profile, **made, "asked": asked}
    figures = [figure.name for figure in named.study.figure]
    if tuned:
        write_json(directory / "tuned.json", tuned)
    _forget(directory, figures)
    write_json(directory / "provenance.json", {**about, "figures": figures, "tuned": tuned})
    _, checked = check(named, directory)
    write_json(directory / "claims.json", [one.to_dict() for one in checked])
    (directory / "claims.md").write_text(table_of(named, profile, checked), encoding="utf-8")
    draw_figures(named.study, directory)
    report_study(named, profile, checked, directory)
    return checked


def _probes(study: Study) -> set[str]:
    """Probes that claims or figures name."""
    named = [value for one in study.claim for call in one.parsed.calls for value in dict(call.rows).items()]
    named += [pair for one in study.claim for pair in one.parsed.at]
    named += [pair for figure in study.figure for pair in figure.options.items()]
    probes = {str(value) for name, value in named if name == "probe"}
    return probes | {
        str(p)
        for f in study.figure
        for p in f.options.get("probes", [])
        if isinstance(f.options["probes"], list)
    }


def _forget(directory: Path, figures: list[str]) -> None:
    """Removes figures that an earlier run drew and the study no longer has."""
    from pidlab.plots.style import FORMATS
    from pidlab.studies.store import record_of

    for name in (record_of(directory) or {}).get("figures", []):
        if name not in figures:
            for suffix in (*FORMATS, "csv"):
                (directory / f"{name}.{suffix}").unlink(missing_ok=True)
