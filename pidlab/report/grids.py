"""Tables of the report page: captured bits as means over seeds, every probe, and the truth."""

import base64
import json
import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from pidlab.decomposition import TERMS
from pidlab.errors import InvalidRequest
from pidlab.report.words import plain
from pidlab.results.folder import Results
from pidlab.results.formatting import format_bits, format_objective, format_value
from pidlab.results.means import (
    ACCURACIES,
    BASELINES,
    FLOOR,
    READING,
    RUN,
    above_floor,
    count_trained,
    half_width,
    has_bounds,
    is_reference,
    mean_over_seeds,
    point_columns,
    point_key,
    thin_grid,
)
from pidlab.results.panels import headlines, is_auxiliary, panels

# Rows that the page contains as HTML. The script adds the others from JSON.
STATIC_ROWS = 60
# A page with more rows opens slowly; fewer points of the sweep are shown then.
MOST_ROWS = 10_000
# Number of seeds up to which bits are listed seed by seed.
MOST_SEEDS = 5
DECIMALS = 3
HEADLINE = "z12"
# Columns that have a filter on the page.
FILTERS = ("objective", "readout", "term")


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Args:
        label: Text of its head.
        kind: `number` or `text`, which determines how it is sorted, or `list`, which cannot be sorted.
        filter: Filter that applies to it: objective, readout or term.
        names: Parameters whose values it holds, so that a search for `noise=0.1` finds them.
        hint: Explanation of the head.
    """

    label: str
    kind: str = "number"
    filter: str = ""
    names: tuple[str, ...] = ()
    hint: str = ""


@dataclass(frozen=True)
class Grid:
    """A table of text.

    Args:
        id: Identifier of the table in the page.
        caption: What it shows, with units.
        columns: Its columns; the first one is the head of each row.
        rows: One cell per column.
        note: What it omits.
    """

    id: str
    caption: str
    columns: Sequence[Column]
    rows: list[list[str]]
    note: str = ""

    @property
    def static_rows(self) -> list[list[str]]:
        """Rows that are shown without the script."""
        return self.rows[:STATIC_ROWS]

    @property
    def data(self) -> str:
        """Content for the script of the page: JSON, compressed to an eighth and written in base64."""
        columns = [{"kind": c.kind, "filter": c.filter, "names": list(c.names)} for c in self.columns]
        text = json.dumps({"columns": columns, "rows": self.rows}, separators=(",", ":"))
        return base64.b64encode(zlib.compress(text.encode(), 9)).decode()


SEEDS = Column("±\u00a0seeds", hint="half the 95 % t-interval over seeds; empty for a single seed")
ROWS = Column("±\u00a0rows", hint="half the 95 % interval of the score over its test rows, mean over seeds")
CONVERGED = Column(
    "converged", "text", hint="seeds in which four times as many probe rows raised the score only a little"
)
READOUT, TERM = Column("readout", "text", filter="readout"), Column("term", "text", filter="term")
OBJECTIVE = Column("objective", "text", filter="objective")


def is_sweep(results: Results) -> bool:
    """Return whether the rows are those of a sweep."""
    return {*RUN, *READING} - {*ACCURACIES} <= set(results.table)


def raw_grid(results: Results, id_: str) -> Grid:
    """Return the rows of a table that is not a sweep's, unchanged."""
    table = results.table.dropna(axis="columns", how="all")
    note = (
        f"The first {MOST_ROWS} of {len(table)} rows; the file has all of them."
        if len(table) > MOST_ROWS
        else ""
    )
    table = table[:MOST_ROWS]
    columns = []
    for name in map(str, table):
        numeric = pd.api.types.is_numeric_dtype(table[name]) and not pd.api.types.is_bool_dtype(table[name])
        names = (name,) if numeric else ()
        columns.append(Column(name, "number" if numeric else "text", name if name in FILTERS else "", names))
    cells = [[_raw_cell(value) for value in row] for row in table.itertuples(index=False, name=None)]
    return Grid(id_, "All rows; information in bits unless stated otherwise", columns, cells, note)


def _raw_cell(value: object) -> str:
    if value is None or value is pd.NA:
        return ""
    return f"{value:.4g}" if isinstance(value, float) and value == value else format_value(value)


class Points:
    """Points of a sweep: the columns that distinguish them, and the choice of points to show.

    Args:
        results: Results of the sweep.
        labels: Names of objectives, by reference.
    """

    def __init__(self, results: Results, labels: Mapping[str, str] | None = None):
        """Find the points of a sweep."""
        self.labels = labels
        self.table = results.table
        groups = [[name for name in group if name in results.table] for group in results.axis_groups]
        self.axis_groups = [group for group in groups if group]
        names = list(dict.fromkeys(name for group in self.axis_groups for name in group))
        self.all = self.table[names].drop_duplicates()
        self.total = max(results.points, len(self.all))

    @cached_property
    def columns(self) -> list[str]:
        """One of each set of columns with equal values."""
        return [names[0] for names in self._equal_columns]

    def label(self, objective: str) -> str:
        """Return the name of an objective."""
        return format_objective(objective, self.labels)

    @property
    def heads(self) -> list[Column]:
        """Heads of these columns."""
        return [
            Column(
                " =\u00a0".join(names),
                "number" if pd.api.types.is_numeric_dtype(self.all[names[0]]) else "text",
                names=tuple(names),
            )
            for names in self._equal_columns
        ]

    def thin(self, rows: pd.DataFrame, most: int) -> tuple[pd.DataFrame, str]:
        """Select the rows of at most `most` points, spread evenly along every axis.

        Args:
            rows: Rows as in results.csv.
            most: Largest number of points.

        Returns:
            The rows, and a note on what is omitted.
        """
        mask, count = np.ones(len(rows), dtype=bool), len(self.all)
        if self.axis_groups and count > most:
            values = [
                self.all[group[0]].drop_duplicates().reset_index(drop=True) for group in self.axis_groups
            ]
            positions = thin_grid([len(v) for v in values], most)
            for group, value, chosen in zip(self.axis_groups, values, positions, strict=True):
                mask &= rows[group[0]].isin(value.iloc[chosen]).to_numpy()
            count = math.prod(map(len, positions))
        if count >= self.total:
            return rows, ""
        note = f"About {count} of {self.total} points, spread evenly along each axis; results.csv has all."
        return rows[mask], note

    @cached_property
    def _equal_columns(self) -> list[list[str]]:
        sets: list[list[str]] = []
        for group in self.axis_groups:
            for name in group:
                equal = (s for s in sets if s[0] in group and self.all[s[0]].equals(self.all[name]))
                if (names := next(equal, None)) is not None:
                    names.append(name)
                else:
                    sets.append([name])
        return sets


def truth_grid(results: Results, points: Points, id_: str) -> Grid | None:
    """Return the ground truth of every point in bits, or None if it is unknown."""
    table, note = points.thin(results.table, MOST_ROWS // 10)
    if table.empty:
        return None
    by = points.columns
    known = table.drop_duplicates(by) if by else table.iloc[:1]
    columns: dict[str, pd.Series] = {
        term: known[term].astype(float).reset_index(drop=True) for term in TERMS if known[term].notna().any()
    }
    try:
        rows, divided = panels(table)
    except InvalidRequest:
        rows, divided = table, []
    for panel in divided:
        if panel.term not in columns:
            selected = panel.rows(rows)
            truth = selected.drop_duplicates(by) if by else selected.iloc[:1]
            aligned = known[by].merge(truth[[*by, "truth"]], "left", by) if by else truth
            columns[f"I({panel.readout};{panel.term})"] = aligned["truth"].reset_index(drop=True)
    columns = {name: values for name, values in columns.items() if values.notna().any()}
    if not columns:
        return None
    heads = points.heads or [Column("point", "text")]
    values = known[by].itertuples(index=False, name=None) if by else [("all",)]
    cells = zip(*(column.map(_bits) for column in columns.values()), strict=True)
    return Grid(
        id_,
        "Planted information in bits, by point: upper bounds of the information in the data"
        if has_bounds(table)
        else "Information in the data in bits, by point",
        [*heads, *map(Column, columns)],
        [[*map(format_value, point), *line] for point, line in zip(values, cells, strict=True)],
        note,
    )


@dataclass(frozen=True)
class Verdict:
    """Part of a term that an objective captured.

    Args:
        share: Share of the true information over all points, in percent.
        kind: `above` or `within` the floor at all points, `mixed`, or `reference` for floor and ceiling. A
            single seed is never `above`.
        hint: Number of points above the floor.
    """

    share: str
    kind: str
    hint: str


def verdicts(results: Results, points: Points) -> tuple[list[str], list[tuple[str, list[Verdict]]]] | None:
    """Return the share of each term that each objective captured.

    Points without true information do not count.

    Returns:
        The names of the terms, and the verdicts by objective; None if the truth is unknown or 0.
    """
    try:
        rows, divided = panels(results.table)
        by = point_columns(rows, points.axis_groups)
        means = mean_over_seeds(rows, by).assign(above=above_floor(rows, by))
    except InvalidRequest:
        return None
    means = means[means["truth"] > 0]
    divided = [panel for panel in divided if len(panel.rows(means))]
    if not divided:
        return None
    table = []
    for objective, group in means.groupby("objective", sort=False):
        cells = [_verdict(panel.rows(group), is_reference(str(objective))) for panel in divided]
        table.append((points.label(str(objective)), cells))
    return [plain(panel.title) for panel in divided], table


def _verdict(means: pd.DataFrame, reference: bool) -> Verdict:
    if means.empty:
        return Verdict("", "reference", "")
    above, n = int(means["above"].sum()), len(means)
    certain = above == n and means["seeds"].min() > 1
    kind = "above" if certain else "mixed" if above else "within"
    share = max(means["mean"].sum() / means["truth"].sum(), 0.0)
    hint = "" if reference else f"above the floor at {above} of {n} points"
    return Verdict(f"{100 * share:.0f} %", "reference" if reference else kind, hint)


def captured_grid(results: Results, points: Points, id_: str) -> Grid:
    """Return the bits captured by headline probes: a row per point, objective, readout and term."""
    rows = results.table[(results.table["quantity"] == "mi") & ~is_auxiliary(results.table)]
    identity = ["objective", "readout", "term"]
    heads = headlines(rows)
    most = _most_points(heads, identity)
    heads, note = points.thin(heads, most)
    by = [*points.columns, *identity]
    means = _summary(_headline_first(heads), by)[:MOST_ROWS]
    linear = points.thin(rows[rows["probe"] == "linear"], most)[0]
    means["linear"] = _aligned_means(linear, by, means)
    untrained = heads[heads["objective"] == FLOOR]
    means["untrained"] = _aligned_means(untrained, [*points.columns, "readout", "term"], means)
    columns = [
        OBJECTIVE,
        *points.heads,
        READOUT,
        TERM,
        Column("planted" if has_bounds(results.table) else "truth"),
        Column("captured", hint="mean over seeds of the bits read by the best probe on validation rows"),
        SEEDS,
        ROWS,
        Column("%\u00a0of planted" if has_bounds(results.table) else "%\u00a0of truth"),
        Column("floor", hint="the objective's own architecture before training, best probe"),
        Column("ceiling", hint="the objective's own architecture trained with the labels, best probe"),
        Column("untrained", hint="two untrained encoders at the same point, readout and term"),
        Column("linear", hint="bits read by the linear probe"),
        Column("best probe", "text", hint="the best probe on validation rows, with the number of seeds"),
        CONVERGED,
        Column(
            "trained",
            "text",
            hint="seeds whose loss ended away from its initial value and from chance by more than noise",
        ),
        Column("single seeds", "list", hint="bits by seed; smallest and largest for many seeds"),
    ]
    probes, trained = _count_values(heads, by, "probe"), count_trained(heads, [*points.columns, "objective"])
    cells = [
        [
            points.label(str(row["objective"])),
            *(format_value(row[name]) for name in points.columns),
            str(row["readout"]),
            str(row["term"]),
            *(_bits(row[name]) for name in ("truth", "mean", "seeds", "rows")),
            f"{100 * row['mean'] / row['truth']:.0f}" if row["truth"] > 0 else "",
            *(_bits(row[name]) for name in (*BASELINES, "untrained", "linear")),
            probes[tuple(row[name] for name in by)],
            _converged(row),
            trained.get(point_key(row[name] for name in (*points.columns, "objective")), ""),
            _single_seeds(row["single"]),
        ]
        for row in means.to_dict("records")
    ]
    return _without_empty_columns(id_, "Captured information in bits, means over seeds", columns, cells, note)


def probes_grid(results: Results, points: Points, id_: str) -> Grid:
    """Return the bits read by every probe, also about auxiliary targets: a row per probe."""
    rows = results.table[results.table["quantity"] != "tracked"]
    rows, note = points.thin(rows, _most_points(rows, ["quantity", "probe", "objective", "readout", "term"]))
    identity = ["readout", "term", "quantity", "probe"]
    means = _summary(_headline_first(rows), [*points.columns, "objective", *identity])[:MOST_ROWS]
    columns = [
        OBJECTIVE,
        *points.heads,
        READOUT,
        TERM,
        Column(
            "quantity",
            "text",
            hint="mi: bits read; broja: the term of the representation's own decomposition; "
            "control: a check; bounds: a lower bound of the truth, whose upper bound is in the column truth",
        ),
        Column("probe", "text"),
        Column("truth"),
        Column("bits", hint="mean over seeds"),
        SEEDS,
        ROWS,
        Column("accuracy", hint="accuracy of the probe on test rows, mean over seeds"),
        Column("balanced", hint="balanced accuracy of the probe on test rows, mean over seeds"),
        Column("chosen", "text", hint="seeds in which this probe was the best on validation rows"),
        CONVERGED,
    ]
    cells = [
        [
            points.label(str(row["objective"])),
            *(format_value(row[name]) for name in points.columns),
            *(str(row[name]) for name in identity),
            *(_bits(row[name]) for name in ("truth", "mean", "seeds", "rows", *ACCURACIES)),
            f"{row['chosen']} of {row['n']}",
            _converged(row),
        ]
        for row in means.to_dict("records")
    ]
    caption = "Information in bits read by every probe, and other contents of each readout"
    return _without_empty_columns(id_, caption, columns, cells, note)


def _without_empty_columns(
    id_: str, caption: str, columns: list[Column], cells: list[list[str]], note: str
) -> Grid:
    shown = [i for i in range(len(columns)) if not i or any(row[i] for row in cells)]
    return Grid(id_, caption, [columns[i] for i in shown], [[row[i] for i in shown] for row in cells], note)


def _most_points(rows: pd.DataFrame, identity: Sequence[str]) -> int:
    """Return how many points fit on the page, given the number of rows per point."""
    return MOST_ROWS // max(len(rows[list(identity)].drop_duplicates()), 1) or 1


def _headline_first(rows: pd.DataFrame) -> pd.DataFrame:
    """Sort the headline readout to the front; the order is otherwise unchanged."""
    return rows.iloc[np.argsort((rows["readout"] != HEADLINE).to_numpy(), kind="stable")]


def _summary(rows: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Return the mean and the interval over seeds of every group, in order of appearance."""
    rows = rows.assign(
        half=(rows["high"] - rows["low"]) / 2,
        examined=rows["converged"].notna(),
        settled=rows["converged"].isin([True, "True"]).astype(int),
        chosen=rows["headline"].astype(int),
        **{name: pd.to_numeric(rows.get(name, np.nan)) for name in (*ACCURACIES, *BASELINES)},
    )
    means = (
        rows.groupby(by, sort=False, dropna=False)
        .agg(
            truth=("truth", "first"),
            mean=("captured", "mean"),
            n=("captured", "size"),
            rows=("half", "mean"),
            examined=("examined", "sum"),
            settled=("settled", "sum"),
            chosen=("chosen", "sum"),
            floor=("floor", "mean"),
            ceiling=("ceiling", "mean"),
            accuracy=("accuracy", "mean"),
            balanced_accuracy=("balanced_accuracy", "mean"),
            single=("captured", list),
        )
        .reset_index()
    )
    means["seeds"] = [half_width(np.array(values)) for values in means["single"]]
    return means


def _aligned_means(rows: pd.DataFrame, by: list[str], means: pd.DataFrame) -> pd.Series:
    """Return mean captured bits by `by`, aligned with the rows of `means`; NaN where there are none."""
    averages = rows.groupby(by, sort=False, dropna=False)["captured"].mean().reset_index()
    return means[by].merge(averages, "left", by)["captured"]


def _count_values(rows: pd.DataFrame, by: list[str], column: str) -> dict[tuple[Any, ...], str]:
    """Return the values of a column in every group: `mlp`, or `mlp 2, pair 1` if seeds differ."""
    sizes = rows.groupby([*by, column], sort=False, dropna=False).size()
    counts: dict[tuple[Any, ...], dict[str, int]] = {}
    for (*key, value), size in sizes.items():  # pyright: ignore[reportGeneralTypeIssues]
        counts.setdefault(tuple(key), {})[str(value)] = int(size)
    return {
        key: ", ".join(values if len(values) == 1 else (f"{name} {n}" for name, n in values.items()))
        for key, values in counts.items()
    }


def _bits(value: Any) -> str:
    return format_bits(value, DECIMALS)


def _converged(row: Mapping[Any, Any]) -> str:
    return f"{int(row['settled'])} of {int(row['examined'])}" if row["examined"] else ""


def _single_seeds(values: list[float]) -> str:
    if len(values) > MOST_SEEDS:
        return f"{_bits(min(values))} … {_bits(max(values))} ({len(values)})"
    return ", ".join(map(_bits, values))
