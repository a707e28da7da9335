"""Verdicts on the claims of a study, judged on its stored results."""

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pidlab.errors import InvalidRequest
from pidlab.io import atomic_write
from pidlab.studies.evaluate import Judged, MissingRows, judge
from pidlab.studies.schema import StatedClaim
from pidlab.studies.store import NamedStudy, check_record, read_experiment, write_json


@dataclass(frozen=True)
class Verdict:
    """A claim with its result at each point.

    Args:
        stated: The claim as the study states it.
        experiment: Name of the experiment.
        points: The result at each point; empty if the runs that the claim needs failed.
        failure: Why these runs failed.
    """

    stated: StatedClaim
    experiment: str
    points: tuple[Judged, ...]
    failure: str = ""

    @property
    def met(self) -> bool:
        """Whether the claim holds at every point."""
        return bool(self.points) and all(point.met for point in self.points)

    @property
    def worst(self) -> Judged | None:
        """The point with the smallest margin; a point that is not met comes first."""
        return min(self.points, key=lambda point: (point.met, point.margin), default=None)

    @property
    def label(self) -> str:
        """The claim, followed by its experiment if the study names one."""
        return self.stated.claim + (f" [{self.stated.sweep}]" if self.stated.sweep else "")

    @property
    def note(self) -> str:
        """Both sides at the worst point, or why there is none."""
        return describe(self.worst) if self.worst else self.failure

    def to_dict(self) -> dict[str, Any]:
        """Return the verdict as JSON data."""
        return {
            "claim": self.stated.claim,
            "source": self.stated.source,
            "sweep": self.experiment,
            **(dataclasses.asdict(self.worst) if self.worst else {}),
            "met": self.met,
            "why": self.failure,
            "finding": self.stated.finding,
            "points": [dataclasses.asdict(point) for point in self.points],
        }

    def __str__(self) -> str:
        line = f"{'met' if self.met else 'not met'}: {self.label}: {self.note}"
        if len(self.points) > 1:
            met = sum(point.met for point in self.points)
            shown = "closest" if self.met else "worst"
            line += f"; met at {met} of {len(self.points)} points, the {shown} is shown"
        return f"{line}; finding: {self.stated.finding}" if self.stated.finding and not self.met else line


def describe(point: Judged) -> str:
    """Describe both sides of a comparison, the margin, the number of seeds and the interval.

    Args:
        point: The result at one point.
    """
    at = ", ".join(f"{k}={v:g}" if isinstance(v, float | int) else f"{k}={v}" for k, v in point.at.items())
    by = f"by {abs(point.margin):.3f}" if math.isfinite(point.margin) else "without bound"
    text = f"{point.left:.3f} against {point.right:.3f}, {by}" + (f" at {at}" if at else "")
    if point.seeds is None:
        return text
    text += f"; {point.seeds} seed{'s' * (point.seeds > 1)}"
    if point.doubt is None:
        return f"{text}, no interval"
    return f"{text}, the 95 % t-interval {'leaves it in doubt' if point.doubt else 'agrees'}"


def judge_study(named: NamedStudy, directory: Path) -> tuple[str, list[Verdict]]:
    """Judge every claim of a study on its stored results.

    Args:
        named: The study.
        directory: Folder of its results.

    Returns:
        The profile of the results, and a verdict on each claim.

    Raises:
        InvalidRequest: If there are no results, if they belong to another version or another study file, or
            if a claim selects rows that they lack.
    """
    profile = check_record(named, directory)["profile"]
    verdicts = []
    for stated in named.study.claim:
        try:
            named.study.check_claim(stated, profile)
        except InvalidRequest as error:
            raise InvalidRequest(f"{named.path}: {error}") from None
        experiment = named.study.experiment(stated.sweep).name
        results = read_experiment(directory, experiment)
        try:
            points = judge(stated.parsed, stated.claim, results.table, results.axis_groups)
        except MissingRows as missing:
            reason = results.failures.get(missing.objective or "")
            if reason is None:
                raise InvalidRequest(str(missing)) from None
            failure = f"runs of {missing.objective} failed: {reason}"
            verdicts.append(Verdict(stated, experiment, (), failure))
        else:
            verdicts.append(Verdict(stated, experiment, tuple(points)))
    return profile, verdicts


def write_verdicts(named: NamedStudy, profile: str, verdicts: list[Verdict], directory: Path) -> None:
    """Write claims.json and claims.md.

    Args:
        named: The study.
        profile: Profile of the results.
        verdicts: A verdict on each claim.
        directory: Folder to write to.
    """
    write_json(directory / "claims.json", [verdict.to_dict() for verdict in verdicts])
    with atomic_write(directory / "claims.md") as file:
        file.write(markdown(named, profile, verdicts))


def markdown(named: NamedStudy, profile: str, verdicts: list[Verdict]) -> str:
    """Return the verdicts as a Markdown table.

    Args:
        named: The study.
        profile: Profile of the results.
        verdicts: A verdict on each claim.
    """
    lines = [
        f"# {named.study.title}",
        "",
        f"{sum(verdict.met for verdict in verdicts)} of {len(verdicts)} claims met, profile `{profile}`. "
        "Values are in bits unless the claim reads another column. A claim about several points shows the "
        "point with the smallest margin.",
        "",
        "| claim | verdict | values | source |",
        "|---|---|---|---|",
    ]
    for verdict in verdicts:
        stated, note = verdict.stated, verdict.note
        if stated.finding and not verdict.met:
            note += f". {stated.finding}"
        where = f" [{stated.sweep}]" if stated.sweep else ""
        met = "met" if verdict.met else "**not met**"
        cells = (f"`{stated.claim}`{where}", met, note, stated.source)
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(lines) + "\n"
