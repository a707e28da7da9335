"""Verdicts on the claims of a study, judged on its stored results."""

import dataclasses
import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pidlab.errors import InvalidRequest
from pidlab.io import atomic_write
from pidlab.results.means import holm
from pidlab.studies.evaluate import JudgedPoint, MissingRows, judge
from pidlab.studies.folders import CLAIMS, NamedStudy, check_record, read_experiment, write_json
from pidlab.studies.schema import StatedClaim

VERDICTS = SUPPORTED, UNDECIDED, REFUTED = "supported", "undecided", "refuted"
# One-sided level of a verdict, that of a two-sided 95 % interval.
LEVEL = 0.025


@dataclass(frozen=True)
class JudgedClaim:
    """A claim with its result at each point.

    Args:
        stated: The claim as the study states it.
        experiment: Name of the experiment.
        points: The result at each point; empty if the runs that the claim needs failed.
        failure: Why these runs failed.
        verdict: supported, undecided or refuted, see `decide`.
        p: Two-sided p-value of the verdict after the correction; None without several seeds.
    """

    stated: StatedClaim
    experiment: str
    points: tuple[JudgedPoint, ...]
    failure: str = ""
    verdict: str = UNDECIDED
    p: float | None = None

    @property
    def met(self) -> bool:
        """True if the means satisfy the claim at every point."""
        return bool(self.points) and all(point.met for point in self.points)

    @property
    def p_values(self) -> tuple[float, float] | None:
        """P-values for and against the claim at all points; None if a point has none.

        The claim is false if it is false at one point. The largest p-value therefore tests that it holds at
        all points, and the smallest, times their number (Bonferroni), that it fails at one.
        """
        pairs = [(point.support, point.refute) for point in self.points]
        known = [(s, r) for s, r in pairs if s is not None and r is not None]
        if not known or len(known) < len(pairs):
            return None
        return max(s for s, _ in known), min(1.0, len(known) * min(r for _, r in known))

    @property
    def worst(self) -> JudgedPoint | None:
        """Point with the smallest margin; a point that is not met comes first.

        Of points that are met, those where the term has no information come last: both sides are often 0
        there in every seed.
        """
        return min(self.points, key=lambda p: (p.met, p.met and p.reached is None, p.margin), default=None)

    @property
    def label(self) -> str:
        """Claim, followed by its experiment if the study names one."""
        return self.stated.claim + (f" [{self.stated.sweep}]" if self.stated.sweep else "")

    @property
    def note(self) -> str:
        """Both sides at the worst point, or why there is none."""
        note = describe(self.worst) if self.worst else self.failure
        if len(self.points) > 1:
            met = sum(point.met for point in self.points)
            note += f"; the means meet it at {met} of {len(self.points)} points"
        if self.verdict == UNDECIDED and self.p is not None:
            note += f"; corrected p = {self.p:.2g}"
        return f"{note}. {self.stated.finding}" if self.stated.finding and not self.met else note

    def to_dict(self) -> dict[str, Any]:
        """Return the result as JSON data."""
        return {
            "claim": self.stated.claim,
            "source": self.stated.source,
            "sweep": self.experiment,
            **(dataclasses.asdict(self.worst) if self.worst else {}),
            "met": self.met,
            "verdict": self.verdict,
            "p": self.p,
            "why": self.failure,
            "finding": self.stated.finding,
            "points": [dataclasses.asdict(point) for point in self.points],
        }

    def __str__(self) -> str:
        return f"{self.verdict}: {self.label}: {self.note}"


def decide(claims: list[JudgedClaim], *, replicated: Collection[str]) -> list[JudgedClaim]:
    """Decide claims by the paired differences over seeds, corrected for the number of claims.

    A claim is supported if the 95 % interval of the difference lies on the claimed side of the bound,
    refuted if it lies on the other side, and undecided otherwise. Both tests use the Holm correction over all
    claims of the study. Claims about experiments without replicates are decided by their values; their bounds
    allow for chance.

    Args:
        claims: The claims of a study.
        replicated: Names of the experiments with several seeds.

    Returns:
        The claims with their verdicts.
    """
    p_values = {i: claim.p_values for i, claim in enumerate(claims) if claim.experiment in replicated}
    known = {i: pair for i, pair in p_values.items() if pair is not None}
    support = dict(zip(known, holm([pair[0] for pair in known.values()]), strict=True))
    refute = dict(zip(known, holm([pair[1] for pair in known.values()]), strict=True))
    decided = []
    for i, claim in enumerate(claims):
        verdict, p = UNDECIDED, None
        if i in known:
            verdict = SUPPORTED if support[i] <= LEVEL else REFUTED if refute[i] <= LEVEL else UNDECIDED
            p = min(1.0, 2.0 * min(support[i], refute[i]))
        elif claim.points and (
            claim.experiment not in replicated or all(point.seeds is None for point in claim.points)
        ):
            verdict = SUPPORTED if claim.met else REFUTED
        decided.append(dataclasses.replace(claim, verdict=verdict, p=p))
    return decided


def count_verdicts(claims: Iterable[JudgedClaim]) -> str:
    """Return how many claims have each verdict, such as `2 supported, 1 undecided, 0 refuted`.

    Args:
        claims: The claims of a study.
    """
    verdicts = [claim.verdict for claim in claims]
    return ", ".join(f"{verdicts.count(name)} {name}" for name in VERDICTS)


def describe(point: JudgedPoint) -> str:
    """Describe both sides of a comparison, the interval, and the number of seeds.

    Args:
        point: The result at one point.
    """
    at = ", ".join(f"{k}={v:g}" if isinstance(v, float | int) else f"{k}={v}" for k, v in point.at.items())
    by = f"margin {point.margin:.3f}" if math.isfinite(point.margin) else "unbounded margin"
    text = f"{point.left:.3f} against {point.right:.3f}, {by}" + (f" at {at}" if at else "")
    if point.seeds is None:
        return text
    text += f"; {point.seeds} seed{'s' * (point.seeds > 1)}"
    if point.low is not None and point.high is not None:
        text += f", 95 % t-interval of the difference {point.low:.3f} to {point.high:.3f}"
    if point.reached is not None and point.seeds > 1:
        interval = f"{point.reached_low:.0%} to {point.reached_high:.0%}".replace("%", " %")
        text += f"; {point.reached} of {point.seeds} reach 90 % of the truth (exact 95 % interval {interval})"
    return text


def judge_study(named: NamedStudy, directory: Path) -> tuple[str, list[JudgedClaim]]:
    """Judge every claim of a study on its stored results.

    Args:
        named: The study.
        directory: Folder of its results.

    Returns:
        The profile of the results, and the claims with their verdicts.

    Raises:
        InvalidRequest: If there are no results, if they belong to another version or another study file, or
            if a claim selects rows that they lack.
    """
    profile = check_record(named, directory)["profile"]
    return profile, judge_claims(named, profile, directory)


def judge_claims(named: NamedStudy, profile: str, directory: Path) -> list[JudgedClaim]:
    """Judge every claim of a study on the tables of its experiments.

    Args:
        named: The study.
        profile: Profile of the results.
        directory: Folder of its results.

    Returns:
        The claims with their verdicts.

    Raises:
        InvalidRequest: If a table cannot be read, or a claim selects rows that it lacks.
    """
    claims: list[JudgedClaim] = []
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
            claims.append(JudgedClaim(stated, experiment, (), failure))
        else:
            claims.append(JudgedClaim(stated, experiment, tuple(points)))
    replicated = {one.name for one in named.study.experiments if one.replicated}
    return decide(claims, replicated=replicated)


def write_claims(named: NamedStudy, profile: str, claims: Sequence[JudgedClaim], directory: Path) -> None:
    """Write claims.json and claims.md.

    Args:
        named: The study.
        profile: Profile of the results.
        claims: The claims with their verdicts.
        directory: Folder to write to.
    """
    write_json(directory / CLAIMS, [claim.to_dict() for claim in claims])
    with atomic_write(directory / "claims.md") as file:
        file.write(markdown(named, profile, claims))


def markdown(named: NamedStudy, profile: str, claims: Sequence[JudgedClaim]) -> str:
    """Return the claims as a Markdown table.

    Args:
        named: The study.
        profile: Profile of the results.
        claims: The claims with their verdicts.
    """
    lines = [
        f"# {named.study.title}",
        "",
        f"{count_verdicts(claims)} of {len(claims)} claims, profile `{profile}`. A verdict tests the "
        "difference of both sides, paired by seed, at the 95 % level with Holm's correction over the claims "
        "of the study. Values are in bits unless the claim reads another column. A claim about several "
        "points shows the point with the smallest margin at which the term has information.",
        "",
        "| claim | verdict | values | source |",
        "|---|---|---|---|",
    ]
    for claim in claims:
        where = f" [{claim.stated.sweep}]" if claim.stated.sweep else ""
        verdict = claim.verdict if claim.verdict == SUPPORTED else f"**{claim.verdict}**"
        cells = (f"`{claim.stated.claim}`{where}", verdict, claim.note, claim.stated.source)
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(lines) + "\n"
