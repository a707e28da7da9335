"""A study's claims against its stored results."""

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pidlab.errors import InvalidRequest
from pidlab.studies.evaluate import Judged, NotComputed, judge
from pidlab.studies.file import Asserted
from pidlab.studies.stored import Named, results_of, sound_record


@dataclass(frozen=True)
class Checked:
    """A claim, judged.

    Args:
        asserted: the claim as the study has it.
        sweep: the experiment it is about.
        points: where it speaks of; none where the runs it is about failed.
        why: that they failed.
    """

    asserted: Asserted
    sweep: str
    points: tuple[Judged, ...]
    why: str = ""

    @property
    def met(self) -> bool:
        """Whether it holds at every point."""
        return bool(self.points) and all(point.met for point in self.points)

    @property
    def where(self) -> str:
        """The experiment, for those that name one because there are several."""
        return f" [{self.asserted.sweep}]" if self.asserted.sweep else ""

    @property
    def worst(self) -> Judged | None:
        """The point at which it is met by least, or missed by most."""
        return min(self.points, key=lambda p: (p.met, p.margin), default=None)

    def to_dict(self) -> dict[str, Any]:
        """Everything about it, as JSON."""
        worst = {} if self.worst is None else dataclasses.asdict(self.worst)
        return {
            "claim": self.asserted.claim,
            "source": self.asserted.source,
            "sweep": self.sweep,
            **worst,
            "met": self.met,
            "why": self.why,
            "finding": self.asserted.finding,
            "points": [dataclasses.asdict(point) for point in self.points],
        }

    def __str__(self) -> str:
        """In a line: met or not, both sides, by how much, of how many seeds."""
        if self.worst is None:
            return f"not met: {self.asserted.claim}{self.where}: {self.why}"
        said = f"{'met' if self.met else 'not met'}: {self.asserted.claim}{self.where}: {sides(self.worst)}"
        if len(self.points) > 1:
            met = sum(point.met for point in self.points)
            said += (
                f"; met at {met} of {len(self.points)} points, here the {'closest' if self.met else 'worst'}"
            )
        return f"{said}; found: {self.asserted.finding}" if self.asserted.finding and not self.met else said


def sides(point: Judged) -> str:
    """Both sides of a comparison, how far it is met or missed, and of how many seeds."""
    at = ", ".join(f"{k}={v:g}" if isinstance(v, float | int) else f"{k}={v}" for k, v in point.at.items())
    by = f"by {abs(point.margin):.3f}" if math.isfinite(point.margin) else "without bound"
    said = f"{point.left:.3f} against {point.right:.3f}, {by}" + (f" at {at}" if at else "")
    if point.seeds is None:
        return said
    said += f"; {point.seeds} seed{'s' * (point.seeds > 1)}"
    if point.doubt is None:
        return f"{said}, no interval"
    return f"{said}, the 95 % t-interval {'leaves it in doubt' if point.doubt else 'agrees'}"


def check(named: Named, directory: Path) -> tuple[str, list[Checked]]:
    """Judges every claim of a study.

    Args:
        named: the study.
        directory: where its results are.

    Returns:
        The profile of the results, and every claim, judged.

    Raises:
        InvalidRequest: no results, results of another version or of another file, or a claim on something
            that they do not hold.
    """
    record = sound_record(named, directory)
    checked = []
    for asserted in named.study.claim:
        missed = named.study.missed(asserted, record["profile"])
        if missed:
            raise InvalidRequest(f"{named.path}: {missed[1]}")
        name = named.study.experiment(asserted.sweep).name
        found = results_of(directory, name)
        try:
            points = judge(asserted.parsed, asserted.claim, found.table, found.directions)
        except NotComputed as missing:
            reason = found.failures.get(missing.objective or "")
            if reason is None:
                raise InvalidRequest(str(missing)) from None
            checked.append(Checked(asserted, name, (), f"runs of {missing.objective} failed: {reason}"))
            continue
        checked.append(Checked(asserted, name, tuple(points)))
    return record["profile"], checked


def table_of(named: Named, profile: str, checked: list[Checked]) -> str:
    """The claims as Markdown."""
    met = sum(one.met for one in checked)
    lines = [
        f"# {named.study.title}",
        "",
        f"{met} of {len(checked)} claims met, profile `{profile}`. Sides are in bits unless a claim says "
        "otherwise; of a claim about several points, the worst.",
        "",
        "| claim | | found | source |",
        "|---|---|---|---|",
    ]
    for one in checked:
        found = sides(one.worst) if one.worst else one.why
        if one.asserted.finding and not one.met:
            found += f". {one.asserted.finding}"
        cells = (
            f"`{one.asserted.claim}`{one.where}",
            "met" if one.met else "**not met**",
            found,
            one.asserted.source,
        )
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(lines) + "\n"
