"""Evaluation of a claim on the rows of an experiment, point by point."""

import math
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from pidlab.errors import InvalidRequest, nearest
from pidlab.registry import parse
from pidlab.results.means import count_successes, half_width, has_bounds, p_value_above
from pidlab.studies.claims import FLOOR, Call, Claim, Expression, Operation, invalid_claim

_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
}
_COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}
# Columns that usually distinguish several rows of one seed; the error names the first that does.
_SELECTORS = ("objective", "term", "readout", "probe", "quantity", "step")
_MEASUREMENTS = ("run", "seed", "captured", "low", "high", "truth")


class MissingRows(InvalidRequest):
    """A claim about rows that the table lacks.

    Args:
        message: The error message.
        objective: The objective of the missing rows, None if the claim names none.
    """

    def __init__(self, message: str, objective: str | None) -> None:
        super().__init__(message)
        self.objective = objective


@dataclass(frozen=True)
class JudgedPoint:
    """Result of a claim at one point.

    Args:
        at: Values of the parameters at the point.
        left: Mean of the left side over seeds, in bits unless the claim reads another unit.
        right: Mean of the right side over seeds, in the same unit.
        met: Whether the comparison holds for the means.
        margin: Distance to the bound; negative if the claim is not met.
        low: Lower end of the 95 % t-interval of left - right, paired by seed; None for one seed.
        high: Upper end of the interval.
        seeds: Number of seeds; None if no function of the claim depends on the seed.
        doubt: Whether the interval contains a value with the other result; None for one seed.
        support: One-sided p-value of the null hypothesis that the comparison is false; None for one seed.
        refute: One-sided p-value of the null hypothesis that the comparison is true; None for one seed.
        reached: Number of seeds in which the first `captured(...)` of the left side is at least 90 % of its
            truth; None if there is none.
        reached_low: Lower end of the 95 % Clopper-Pearson interval of the rate of these seeds.
        reached_high: Upper end of this interval.
    """

    at: dict[str, Any]
    left: float
    right: float
    met: bool
    margin: float
    low: float | None = None
    high: float | None = None
    seeds: int | None = None
    doubt: bool | None = None
    support: float | None = None
    refute: float | None = None
    reached: int | None = None
    reached_low: float | None = None
    reached_high: float | None = None


def judge(
    claim: Claim, text: str, table: pd.DataFrame, axis_groups: Sequence[Sequence[str]] = ()
) -> list[JudgedPoint]:
    """Judge a claim at every point that it is about.

    Args:
        claim: The parsed claim.
        text: Its text, for error messages.
        table: Tidy rows of one experiment.
        axis_groups: Columns of the parameters that vary together.

    Returns:
        The result at each point.

    Raises:
        InvalidRequest: If a column or value does not exist, or if the claim selects several points or several
            rows per seed.
    """
    evaluation = _Evaluation(claim, text, table, axis_groups)
    return [evaluation.at(point) for point in evaluation.points()]


@dataclass(frozen=True)
class _Evaluation:
    claim: Claim
    text: str
    table: pd.DataFrame
    axis_groups: Sequence[Sequence[str]]

    def points(self) -> list[dict[str, Any]]:
        """Return the values of the parameters that some function of the claim does not set itself."""
        calls = self.claim.calls
        groups = [
            group
            for group in self.axis_groups
            if not all(set(group) & dict(call.arguments).keys() for call in calls)
        ]
        names = [name for group in groups for name in group]
        if not names:
            return [{}]
        selection = dict(self.claim.at)
        if "quantity" in self.table.columns:
            selection = {"quantity": _quantity(calls[0])} | selection
        rows = self.table
        for name, value in selection.items():
            rows = rows[self._equal(rows, name, value, 0)]
        if not len(rows):
            raise self._error(0, f"no results at {_listed(dict(self.claim.at))}")
        points: Any = rows[names].drop_duplicates().to_dict("records")
        if len(points) > 1 and not self.claim.at and not self.claim.everywhere:
            problem = f"there are {len(points)} points: add 'at {_listed(points[-1])}' or 'everywhere'"
            raise self._error(len(self.text), problem)
        return points

    def at(self, point: dict[str, Any]) -> JudgedPoint:
        """Judge the claim at a point."""
        claim = self.claim
        rows = {id(call): self._rows(call, point) for call in claim.calls}
        values = {id(call): self._values(call, rows[id(call)]) for call in claim.calls}
        means = {
            call: float(value.mean()) if isinstance(value, pd.Series) else value
            for call, value in values.items()
        }
        left, right = (self._compute(side, means) for side in (claim.left, claim.right))
        difference, within = left - right, claim.within or 0.0
        if claim.comparison == "==":
            met, margin = abs(difference) <= within, within - abs(difference)
        else:
            met = _COMPARISONS[claim.comparison](left, right)
            margin = -difference if claim.comparison[0] == "<" else difference
        with np.errstate(all="ignore"):
            # Series align by seed, so that the difference is paired.
            paired = self._compute(Operation("-", (claim.left, claim.right)), values)
        finite = paired.dropna().to_numpy(float) if isinstance(paired, pd.Series) else np.empty(0)
        statistics: dict[str, Any] = {}
        if len(finite) > 1 and np.isfinite(finite).all():
            mean, half = float(finite.mean()), half_width(finite)
            low, high = mean - half, mean + half
            support, refute = p_values(finite, claim.comparison, within)
            statistics = {"low": low, "high": high, "support": support, "refute": refute}
            statistics["doubt"] = any(low < bound < high for bound in {within, -within})
        seeds = min((len(value) for value in values.values() if isinstance(value, pd.Series)), default=None)
        first = next((call for call in self.claim.calls if call.function == "captured"), None)
        # A share of the truth cannot be stated if the truth is known up to bounds only.
        counts = {} if first is None or has_bounds(self.table) else _successes(rows[id(first)])
        return JudgedPoint(point, left, right, bool(met), margin, seeds=seeds, **statistics, **counts)

    def _rows(self, call: Call, point: Mapping[str, Any]) -> pd.DataFrame:
        """Select the rows of a function at a point."""
        rows, arguments = self.table, dict(call.rows)
        selection: dict[str, Any] = {"quantity": _quantity(call), "readout": "z12"}
        selection = {name: value for name, value in selection.items() if name in rows.columns}
        selection |= dict(self.claim.at)
        if call.function == "floor":
            selection["objective"] = FLOOR
        for group in self.axis_groups:
            # An argument that sets one parameter of a group replaces the point's values of the whole group.
            if set(group) & arguments.keys():
                selection = {name: value for name, value in selection.items() if name not in group}
            else:
                selection |= {name: point[name] for name in group if name in point}
        selection |= arguments
        if "probe" not in selection and "headline" in rows.columns:
            rows = rows[rows["headline"].astype(bool)]
        for name, value in selection.items():
            rows = rows[self._equal(rows, name, value, call.place)]
            if not len(rows):
                objective = selection.get("objective")
                message = f"no results of {call.function} at {_listed(selection)}; {self._known(name, value)}"
                raise MissingRows(
                    str(self._error(call.place, message)), objective and str(parse(str(objective)))
                )
        return rows

    def _known(self, name: str, value: Any) -> str:
        values = self.table[name].dropna().unique()
        if value in values:
            return f"other rows have {name}={_word(value)}"
        return f"known values of {name}: {', '.join(map(_word, values[:12]))}"

    def _equal(self, rows: pd.DataFrame, name: str, value: Any, place: int) -> Any:
        if name not in rows.columns:
            hint = nearest(name, map(str, rows.columns))
            raise self._error(place, f"no column {name!r} in the results: {hint}")
        column = rows[name]
        if isinstance(value, float | int) and pd.api.types.is_numeric_dtype(column):
            # Grid values are computed, so 0.3 may be stored as 0.30000000000000004.
            return np.isclose(column.to_numpy(float), value, rtol=1e-9, atol=1e-12)
        wanted = str(parse(value)) if name == "objective" else _word(value)
        return column.map(_word).to_numpy() == wanted

    def _values(self, call: Call, rows: pd.DataFrame) -> "pd.Series | float":
        """Return the value of a function for each seed, or one number if it does not depend on the seed."""
        if call.function == "truth":
            return self._truth(call, rows)
        if call.function == "reached":
            return self._reached(call, rows)
        column = "captured" if call.column is None else call.column
        if column not in rows.columns or not pd.api.types.is_numeric_dtype(rows[column]):
            numeric = [str(name) for name in rows if pd.api.types.is_numeric_dtype(rows[name])]
            raise self._error(
                call.place, f"value has no numeric column={column!r}: {nearest(column, numeric)}"
            )
        seeds = rows["seed"] if "seed" in rows.columns else pd.Series(0, index=rows.index)
        if seeds.duplicated().any():
            raise self._error(call.place, _several(call, rows))
        return rows.set_index(seeds)[column].astype(float)  # the mean of a Boolean column is a rate

    def _truth(self, call: Call, rows: pd.DataFrame) -> float:
        self._require_exact_truth(call)
        truths = rows["truth"].to_numpy(float)
        if np.isnan(truths).any():
            raise self._error(call.place, "the truth is not known there")
        if np.ptp(truths) > 1e-6 and rows["term"].nunique() > 1:
            terms = ", ".join(rows["term"].unique())
            raise self._error(call.place, f"truth has several terms; add term=, one of {terms}")
        return float(truths.mean())

    def _reached(self, call: Call, rows: pd.DataFrame) -> pd.Series:
        """Return, for each seed, the first tracked step whose bits are at least a share of the truth."""
        share = dict(call.arguments).get("share", 0.5)
        if isinstance(share, str) or not 0 < share <= 1:
            raise self._error(call.place, f"share={share!r}: must be above 0 and at most 1")
        self._require_exact_truth(call)
        steps = {}
        for seed, run in rows.groupby("seed"):
            if run["step"].duplicated().any():
                raise self._error(call.place, "reached has several rows per step; add objective= and term=")
            above = run[run["captured"] >= share * run["truth"]]
            steps[seed] = float(above["step"].min()) if len(above) else math.inf
        return pd.Series(steps)

    def _require_exact_truth(self, call: Call) -> None:
        if has_bounds(self.table):
            raise self._error(
                call.place,
                f"{call.function}: the truth is known up to bounds; compare with another objective",
            )

    def _compute(self, expression: Expression, values: Mapping[int, Any]) -> Any:
        if isinstance(expression, Call):
            return values[id(expression)]
        if not isinstance(expression, Operation):
            return expression
        operands = [self._compute(operand, values) for operand in expression.operands]
        if len(operands) == 1:
            return -operands[0]
        try:
            return _OPERATORS[expression.operator](*operands)
        except ZeroDivisionError:
            raise self._error(expression.place, "division by zero") from None

    def _error(self, place: int, problem: str) -> InvalidRequest:
        return invalid_claim(self.text, place, problem)


def p_values(differences: np.ndarray, comparison: str, within: float = 0.0) -> tuple[float, float]:
    """Compute one-sided t-test p-values for and against a comparison.

    Args:
        differences: Left side minus right side, paired by seed, shape (seeds,); at least 2 seeds.
        comparison: One of <= >= < > ==.
        within: Largest difference that counts as equal; only for ==.

    Returns:
        The p-value of the null hypothesis that the comparison is false, and that of the null hypothesis that
        it is true. For ==, the first is that of two one-sided tests (TOST).

    Example:
        >>> support, refute = p_values(np.array([0.09, 0.1, 0.11]), ">=")
        >>> round(support, 4), round(refute, 4)
        (0.0017, 0.9983)
    """
    above = partial(p_value_above, differences)

    def below(bound: float, *, strict: bool = True) -> float:
        return 1.0 - above(bound, strict=not strict)

    strict = comparison in ("<", ">")
    if comparison == "==":
        support = max(above(-within, strict=False), below(within, strict=False))
        return support, min(1.0, 2.0 * min(above(within), below(-within)))
    if comparison[0] == ">":
        return above(0.0, strict=strict), below(0.0, strict=not strict)
    return below(0.0, strict=strict), above(0.0, strict=not strict)


def _successes(rows: pd.DataFrame) -> dict[str, Any]:
    """Count the seeds that capture 90 % of the truth, with an exact binomial interval."""
    truth = rows["truth"].to_numpy(float)
    if ("quantity" in rows and set(rows["quantity"]) != {"mi"}) or not (truth > 0).all():
        return {}
    return count_successes(rows["captured"].to_numpy(float), truth)


def _quantity(call: Call) -> Any:
    return dict(call.rows).get("quantity", "tracked" if call.function == "reached" else "mi")


def _several(call: Call, rows: pd.DataFrame) -> str:
    """Return the error for several rows of one seed, with the column that distinguishes them."""
    for name in dict.fromkeys([*_SELECTORS, *map(str, rows.columns)]):
        if name in rows.columns and name not in _MEASUREMENTS:
            values = rows[name].dropna().map(_word).unique()
            if len(values) > 1:
                return (
                    f"{call.function} has several rows per seed; add {name}=, one of {', '.join(values[:6])}"
                )
    return f"{call.function} has several rows per seed"


def _word(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float | int) and not isinstance(value, bool) else str(value)


def _listed(values: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> str:
    return ", ".join(f"{name}={_word(value)}" for name, value in dict(values).items())
