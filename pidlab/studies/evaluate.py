"""A study's claims against its stored results."""

import dataclasses
import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pidlab.errors import InvalidRequest, nearest
from pidlab.registry import parse
from pidlab.results.means import half_width
from pidlab.studies.claims import (
    FLOOR,
    Call,
    Claim,
    Expression,
    Negative,
    Number,
    Operation,
    Pairs,
    Value,
    wrong,
)
from pidlab.studies.schema import Asserted
from pidlab.studies.store import Named, results_of, sound_record

_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
}
# Columns that may tell rows of one seed apart; a claim has to say which.
_TELLING = ("objective", "term", "readout", "probe", "quantity", "step")


class NotComputed(InvalidRequest):
    """A claim on rows that are not there; `objective` is the one they would be of."""

    def __init__(self, message: str, objective: str | None) -> None:
        super().__init__(message)
        self.objective = objective


@dataclass(frozen=True)
class Judged:
    """A claim at one point.

    Args:
        at: the point.
        left: of the comparison, in bits (or in what the claim is about).
        right: of the comparison.
        met: whether it holds of the means.
        margin: by how much; negative where it is not met.
        low: of the 95 % t-interval of left - right over seeds that all functions have; None of one seed.
        high: likewise.
        seeds: how many there are; None where nothing in the claim is over seeds.
        doubt: whether that interval holds values that would be judged otherwise; None of one seed.
    """

    at: dict[str, Any]
    left: float
    right: float
    met: bool
    margin: float
    low: float | None
    high: float | None
    seeds: int | None
    doubt: bool | None


def judge(
    claim: Claim, text: str, table: pd.DataFrame, axis_groups: Sequence[Sequence[str]] = ()
) -> list[Judged]:
    """Judges a claim at every point that it speaks of.

    Args:
        claim: parsed.
        text: as it was written, for messages.
        table: tidy rows.
        axis_groups: columns of the parameters that move together.

    Raises:
        InvalidRequest: columns or values that are not there, several points or several rows of a seed where
            the claim means one.
    """
    judged = []
    for point in _points(claim, text, table, axis_groups):
        rows = {id(call): _rows(call, claim, text, table, point, axis_groups) for call in claim.calls}
        judged.append(_at_point(claim, text, point, rows))
    return judged


def _points(
    claim: Claim, text: str, table: pd.DataFrame, axis_groups: Sequence[Sequence[str]]
) -> list[dict[str, Any]]:
    """Values of those directions that not every function of the claim fixes by itself."""
    free = [
        list(columns)
        for columns in axis_groups
        if not all(set(columns) & {name for name, _ in call.chosen} for call in claim.calls)
    ]
    names = [name for columns in free for name in columns]
    if not names:
        return [{}]
    rows = table
    about = {"quantity": _quantity(claim.calls[0])} if "quantity" in table.columns else {}
    for name, value in {**about, **dict(claim.at)}.items():
        rows = rows[_equal(rows, name, value, text, 0)]
    if not len(rows):
        raise wrong(text, 0, f"no results at {_shown(dict(claim.at))}")
    points: list[dict[str, Any]] = rows[names].drop_duplicates().to_dict("records")  # type: ignore[assignment]
    if len(points) > 1 and not claim.at and not claim.everywhere:
        example = ", ".join(f"{name}={_word(value)}" for name, value in points[-1].items())
        raise wrong(text, len(text), f"there are {len(points)} points: say 'at {example}' or 'everywhere'")
    return points


def _rows(
    call: Call,
    claim: Claim,
    text: str,
    table: pd.DataFrame,
    point: Mapping[str, Any],
    axis_groups: Sequence[Sequence[str]],
) -> pd.DataFrame:
    own = dict(call.rows)
    chosen: dict[str, Any] = {"quantity": _quantity(call), "readout": "z12"}
    chosen = {name: value for name, value in chosen.items() if name in table.columns}
    chosen |= dict(claim.at)
    if call.function == "floor":
        chosen["objective"] = FLOOR
    for columns in axis_groups:
        # A function that fixes one of the parameters that move together fixes them all.
        if not set(columns) & set(own):
            chosen |= {name: point[name] for name in columns if name in point}
        else:
            chosen = {name: value for name, value in chosen.items() if name not in columns}
    chosen |= own
    rows = table
    if "probe" not in chosen and "headline" in rows.columns:
        rows = rows[rows["headline"].astype(bool)]
    for name, value in chosen.items():
        rows = rows[_equal(rows, name, value, text, call.place)]
        if not len(rows):
            about = chosen.get("objective")
            said = wrong(text, call.place, f"no results of {call.function} at {_shown(chosen)}")
            raise NotComputed(f"{said}; {_known(table, name, value)}", about and str(parse(str(about))))
    return rows


def _quantity(call: Call) -> Value:
    return dict(call.rows).get("quantity", "tracked" if call.function == "reached" else "mi")


def _known(table: pd.DataFrame, name: str, value: Any) -> str:
    values = table[name].dropna().unique()[:12]
    return (
        f"{name} is not {_word(value)} there"
        if value in values
        else (f"known of {name}: {', '.join(_word(found) for found in values)}")
    )


def _equal(rows: pd.DataFrame, name: str, value: Any, text: str, place: int) -> Any:
    if name not in rows.columns:
        raise wrong(
            text, place, f"no column {name!r} in the results: {nearest(name, map(str, rows.columns))}"
        )
    column = rows[name]
    if isinstance(value, float | int) and pd.api.types.is_numeric_dtype(column):
        return np.isclose(column.to_numpy(float), value, rtol=1e-9, atol=1e-12)
    wanted = str(parse(value)) if name == "objective" else _word(value)
    return column.map(_word).to_numpy() == wanted


def _at_point(claim: Claim, text: str, point: dict[str, Any], rows: dict[int, pd.DataFrame]) -> Judged:
    means = {id(call): _mean(call, text, rows[id(call)]) for call in claim.calls}
    left, right = (_compute(side, lambda call: means[id(call)], text) for side in (claim.left, claim.right))
    difference = left - right
    within = claim.within or 0.0
    if claim.comparison == "==":
        met, margin = abs(difference) <= within, within - abs(difference)
    else:
        met = {"<=": operator.le, ">=": operator.ge, "<": operator.lt, ">": operator.gt}[claim.comparison](
            left, right
        )
        margin = -difference if claim.comparison[0] == "<" else difference
    seeds = {id(call): _by_seed(call, text, rows[id(call)]) for call in claim.calls}
    with np.errstate(all="ignore"):
        spread = _compute(Operation("-", claim.left, claim.right), lambda call: seeds[id(call)], text)
    low = high = doubt = None
    several = isinstance(spread, pd.Series)
    finite = spread.dropna().to_numpy(float) if several else np.empty(0)
    if len(finite) > 1 and np.isfinite(finite).all():
        mean, half = float(finite.mean()), half_width(finite)
        low, high = mean - half, mean + half
        doubt = any(low < bound < high for bound in {within, -within})
    count = min((len(s) for s in seeds.values() if isinstance(s, pd.Series)), default=None)
    return Judged(point, left, right, bool(met), margin, low, high, count, doubt)


def _mean(call: Call, text: str, rows: pd.DataFrame) -> float:
    values = _by_seed(call, text, rows)
    return float(values.mean()) if isinstance(values, pd.Series) else values


def _by_seed(call: Call, text: str, rows: pd.DataFrame) -> "pd.Series | float":
    """The function's value of every seed; a number where it has one of all seeds together."""
    if call.function == "truth":
        return _truth(call, text, rows)
    if call.function == "reached":
        return _reached(call, text, rows)
    column = "captured"
    if call.column is not None:
        column = call.column
        if column not in rows.columns or not pd.api.types.is_numeric_dtype(rows[column]):
            numeric = [str(c) for c in rows.columns if pd.api.types.is_numeric_dtype(rows[c])]
            raise wrong(
                text, call.place, f"value has no column={column!r} of numbers: {nearest(column, numeric)}"
            )
    values = _one_each(call, text, rows)[column].astype(float)  # how often, of what is true or false
    if call.function in ("worst", "best"):
        return float(values.min() if call.function == "worst" else values.max())
    return values


def _one_each(call: Call, text: str, rows: pd.DataFrame) -> pd.DataFrame:
    """The rows by seed, of which there must be one each."""
    seeds = rows["seed"] if "seed" in rows.columns else pd.Series(0, index=rows.index)
    if seeds.duplicated().any():
        for name in dict.fromkeys([*_TELLING, *map(str, rows.columns)]):
            if name in rows.columns and name not in ("run", "captured", "low", "high", "truth"):
                found = rows[name].dropna().map(_word).unique()
                if len(found) > 1 and name != "seed":
                    listed = ", ".join(found[:6])
                    raise wrong(text, call.place, f"{call.function} is of several, say {name}=: {listed}")
        raise wrong(text, call.place, f"{call.function} has several rows of one seed")
    return rows.set_index(seeds)


def _truth(call: Call, text: str, rows: pd.DataFrame) -> float:
    truths = rows["truth"].to_numpy(float)
    if np.isnan(truths).any():
        raise wrong(text, call.place, "truth is not known there")
    if np.ptp(truths) > 1e-6 and rows["term"].nunique() > 1:
        raise wrong(text, call.place, f"truth is of several, say term=: {', '.join(rows['term'].unique())}")
    return float(truths.mean())


def _reached(call: Call, text: str, rows: pd.DataFrame) -> pd.Series:
    share = dict(call.chosen).get("share", 0.5)
    if isinstance(share, str) or not 0 < share <= 1:
        raise wrong(text, call.place, f"share={share!r}: expected a number above 0, up to 1")
    steps = {}
    for seed, run in rows.groupby("seed"):
        if run["step"].duplicated().any():
            raise wrong(text, call.place, "reached is of several: say objective= and term=")
        there = run[run["captured"] >= share * run["truth"]]
        steps[seed] = float(there["step"].min()) if len(there) else math.inf
    return pd.Series(steps)


def _compute(expression: Expression, of: Callable[[Call], Any], text: str) -> Any:
    match expression:
        case Number(value):
            return value
        case Call():
            return of(expression)
        case Negative(inner):
            return -_compute(inner, of, text)
        case Operation(sign, left, right):
            try:
                return _OPERATORS[sign](_compute(left, of, text), _compute(right, of, text))
            except ZeroDivisionError:
                raise wrong(text, 0, f"{right} is 0: nothing can be divided by it") from None
    raise TypeError(expression)


def _word(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float | int) and not isinstance(value, bool) else str(value)


def _shown(chosen: "Mapping[str, Any] | Pairs") -> str:
    return ", ".join(f"{name}={_word(value)}" for name, value in dict(chosen).items())


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
            points = judge(asserted.parsed, asserted.claim, found.table, found.axis_groups)
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
