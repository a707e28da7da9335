"""The numbers of a sweep as the page's tables: means over seeds with t-intervals, in bits."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from pidlab.decomposition import TERMS
from pidlab.errors import InvalidRequest
from pidlab.plots.style import FLOOR
from pidlab.results.folder import Results
from pidlab.results.means import READING, RUN, thin_grid
from pidlab.results.panels import headlines, is_auxiliary, panels

# Rows that stand in the page itself; the others are drawn from its data when they are asked for.
AT_ONCE = 500


@dataclass(frozen=True)
class Column:
    """A column.

    Args:
        label: its head.
        kind: `number` or `text`, for sorting, or `list`, which has no order.
        filter: the choice that it answers to: objective, readout or term.
        names: parameters whose value it holds, so that `noise=0.1` is found.
        hint: what it means, at length.
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
        id: of the table in the page.
        caption: what it shows, with units.
        columns: the first of them heads the row.
        rows: a cell per column.
        note: what it leaves out.
    """

    id: str
    caption: str
    columns: Sequence[Column]
    rows: list[list[str]]
    note: str = ""

    @property
    def at_once(self) -> list[list[str]]:
        """The rows that need no script."""
        return self.rows[:AT_ONCE]

    @property
    def data(self) -> dict[str, Any]:
        """What the page's script needs."""
        columns = [{"kind": c.kind, "filter": c.filter, "names": list(c.names)} for c in self.columns]
        return {"columns": columns, "rows": self.rows}


def bits(value: Any) -> str:
    """Three decimals, no minus before a zero; nothing where nothing is known."""
    number = float(value)
    if number != number:
        return ""
    text = f"{number:.3f}"
    return "0.000" if text == "-0.000" else text


def plain(value: Any) -> str:
    """A parameter's value, as short as it is."""
    if isinstance(value, float):
        return "" if value != value else f"{value:g}"
    return str(value)


FILTERS = ("objective", "readout", "term")


def is_sweep(found: Results) -> bool:
    """Whether the rows are those of a sweep."""
    return {*RUN, *READING} <= set(found.table)


def standing_grid(found: Results, id_: str) -> Grid:
    """The rows as they stand."""
    table = found.table.dropna(axis="columns", how="all")
    note = (
        f"The first {MOST_ROWS} of {len(table)} rows; the file has them all."
        if len(table) > MOST_ROWS
        else ""
    )
    table = table[:MOST_ROWS]
    columns = [
        Column(
            str(name),
            "number" if _is_number(table[name]) else "text",
            filter=str(name) if name in FILTERS else "",
            names=(str(name),) if _is_number(table[name]) else (),
        )
        for name in table
    ]
    cells = [[_cell(value) for value in row] for row in table.itertuples(index=False, name=None)]
    return Grid(id_, "Every row, bits where not said otherwise", columns, cells, note)


def _is_number(values: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)


def _cell(value: object) -> str:
    if value is None or value is pd.NA:
        return ""
    return f"{value:.4g}" if isinstance(value, float) and value == value else plain(value)


# A page of more rows is slow to open: fewer points of the sweep are shown, and the page says so.
MOST_ROWS = 10_000
# Seeds whose bits are listed singly; of more the least and the greatest.
MOST_SEEDS = 5
HEADLINE = "z12"

KEY = ("objective", "readout", "term")
SEEDS = Column("±\u00a0seeds", hint="half the 95 % t-interval over seeds; empty for one seed")
ROWS = Column(
    "±\u00a0rows", hint="half the 95 % interval of the probe's score over its test rows, mean over seeds"
)
CONVERGED = Column(
    "converged", "text", hint="seeds in which four times the probe's rows raised the score by little"
)


class Points:
    """The points of a sweep: which columns tell them apart, and which of them the page shows.

    Args:
        found: the sweep.
    """

    def __init__(self, found: Results):
        self.table = found.table
        self.axis_groups = [[name for name in d if name in found.table] for d in found.axis_groups]
        self.axis_groups = [d for d in self.axis_groups if d]
        self.all = self.table[list(dict.fromkeys(n for d in self.axis_groups for n in d))].drop_duplicates()
        self.total = max(found.points, len(self.all))

    @cached_property
    def columns(self) -> list[str]:
        """One column of those that are equal throughout, for every direction."""
        return [group[0] for group in self._groups()]

    def heads(self) -> list[Column]:
        """The heads of those columns."""
        return [
            Column(
                " =\u00a0".join(group),
                "number" if pd.api.types.is_numeric_dtype(self.all[group[0]]) else "text",
                names=tuple(group),
            )
            for group in self._groups()
        ]

    def few(self, rows: pd.DataFrame, most: int) -> tuple[pd.DataFrame, str]:
        """The rows of at most so many points, evenly along every direction, and a note on what is left."""
        here, count = np.ones(len(rows), dtype=bool), len(self.all)
        if self.axis_groups and count > most:
            values = [self.all[d[0]].drop_duplicates().reset_index(drop=True) for d in self.axis_groups]
            places = thin_grid([len(v) for v in values], most)
            for direction, value, kept in zip(self.axis_groups, values, places, strict=True):
                here &= rows[direction[0]].isin(value.iloc[kept]).to_numpy()
            count = math.prod(map(len, places))
        if count >= self.total:
            return rows, ""
        note = f"About {count} of {self.total} points, evenly along every axis; results.csv has them all."
        return rows[here], note

    def _groups(self) -> list[list[str]]:
        groups: list[list[str]] = []
        for direction in self.axis_groups:
            for name in direction:
                same = (g for g in groups if g[0] in direction and self.all[g[0]].equals(self.all[name]))
                if (group := next(same, None)) is not None:
                    group.append(name)
                else:
                    groups.append([name])
        return groups


def truth_grid(found: Results, points: Points, id_: str) -> Grid | None:
    """Bits that the data hold at every point, or None where nobody knows them."""
    table, note = points.few(found.table, MOST_ROWS // 10)
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
            at = panel.of(rows).drop_duplicates(by) if by else panel.of(rows).iloc[:1]
            aligned = known[by].merge(at[[*by, "truth"]], "left", by)["truth"] if by else at["truth"]
            columns[f"I({panel.readout};{panel.term})"] = aligned.reset_index(drop=True)
    columns = {name: values for name, values in columns.items() if values.notna().any()}
    if not columns:
        return None
    heads = points.heads() or [Column("point", "text")]
    places = known[by].itertuples(index=False, name=None) if by else [("everywhere",)]
    cells = zip(*(values.map(bits) for values in columns.values()), strict=True)
    return Grid(
        id_,
        "Bits that the data hold, a row per point",
        [*heads, *(Column(name) for name in columns)],
        [[*map(plain, place), *line] for place, line in zip(places, cells, strict=True)],
        note,
    )


def captured_grid(found: Results, points: Points, id_: str) -> Grid:
    """Captured bits by the headline probes: a row per point, objective, readout and term."""
    rows = found.table[(found.table["quantity"] == "mi") & ~is_auxiliary(found.table)]
    heads = headlines(rows)
    heads, note = points.few(heads, _most_points(heads, list(KEY)))
    by = [*points.columns, *KEY]
    shown = _summary(_ordered(heads), by)[:MOST_ROWS]
    linear = rows[rows["probe"] == "linear"]
    place = [*points.columns, "readout", "term"]
    shown["linear"] = _means_at(points.few(linear, _most_points(heads, list(KEY)))[0], by, shown)
    shown["floor"] = _means_at(heads[heads["objective"] == FLOOR], place, shown)
    columns = [
        Column("objective", "text", filter="objective"),
        *points.heads(),
        Column("readout", "text", filter="readout"),
        Column("term", "text", filter="term"),
        Column("truth"),
        Column("captured", hint="mean over seeds of the bits read by the probe that validation chose"),
        SEEDS,
        ROWS,
        Column("%\u00a0of truth"),
        Column("untrained", hint="the floor: an untrained network at the same point, readout and term"),
        Column("linear", hint="what the linear probe alone reads"),
        Column("read by", "text", hint="the probe that validation chose, with the number of seeds"),
        CONVERGED,
        Column("single seeds", "list", hint="bits seed by seed; the least and the greatest of many"),
    ]
    read_by = _counted(heads, by, "probe")
    cells = []
    for row in shown.to_dict("records"):
        key = tuple(row[name] for name in by)
        share = 100 * row["mean"] / row["truth"] if row["truth"] > 0 else math.nan
        cells.append(
            [
                str(row["objective"]),
                *(plain(row[name]) for name in points.columns),
                str(row["readout"]),
                str(row["term"]),
                *(bits(row[name]) for name in ("truth", "mean", "seeds", "rows")),
                "" if share != share else f"{share:.0f}",
                bits(row["floor"]),
                bits(row["linear"]),
                read_by[key],
                _converged(row),
                _singly(row["singly"]),
            ]
        )
    caption = "Captured bits: means over seeds of the probe that validation chose"
    return _grid(id_, caption, columns, cells, note)


def rungs_grid(found: Results, points: Points, id_: str) -> Grid:
    """Every rung of the probe ladder, and what else a readout holds: a row per probe."""
    table = found.table
    rows = table[table["quantity"] != "tracked"]
    about = ["quantity", "probe", *KEY]
    rows, note = points.few(rows, _most_points(rows, about))
    by = [*points.columns, "objective", "readout", "quantity", "term", "probe"]
    shown = _summary(_ordered(rows), by)[:MOST_ROWS]
    columns = [
        Column("objective", "text", filter="objective"),
        *points.heads(),
        Column("readout", "text", filter="readout"),
        Column("term", "text", filter="term"),
        Column("quantity", "text", hint="mi: bits read; broja: the representation's own term; control"),
        Column("probe", "text"),
        Column("truth"),
        Column("bits", hint="mean over seeds"),
        SEEDS,
        ROWS,
        Column("chosen", "text", hint="seeds in which validation chose this probe"),
        CONVERGED,
    ]
    cells = [
        [
            str(row["objective"]),
            *(plain(row[name]) for name in points.columns),
            *(str(row[name]) for name in ("readout", "term", "quantity", "probe")),
            *(bits(row[name]) for name in ("truth", "mean", "seeds", "rows")),
            f"{row['chosen']} of {row['n']}",
            _converged(row),
        ]
        for row in shown.to_dict("records")
    ]
    caption = "Every rung of the probe ladder, and what else each readout holds, in bits"
    return _grid(id_, caption, columns, cells, note)


def _grid(id_: str, caption: str, columns: list[Column], cells: list[list[str]], note: str) -> Grid:
    """A grid without the columns that say nothing: no seeds to compare, nothing examined."""
    kept = [i for i in range(len(columns)) if not i or any(row[i] for row in cells)]
    return Grid(id_, caption, [columns[i] for i in kept], [[row[i] for i in kept] for row in cells], note)


def _most_points(rows: pd.DataFrame, about: Sequence[str]) -> int:
    """How many points of so many rows each a page has room for."""
    return MOST_ROWS // max(len(rows[list(about)].drop_duplicates()), 1) or 1


def _ordered(rows: pd.DataFrame) -> pd.DataFrame:
    """The headline readout first; otherwise as they stand."""
    return rows.iloc[np.argsort((rows["readout"] != HEADLINE).to_numpy(), kind="stable")]


def _summary(rows: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Mean and interval over seeds of every group, in order of appearance."""
    rows = rows.assign(
        half=(rows["high"] - rows["low"]) / 2,
        examined=rows["converged"].notna(),
        settled=rows["converged"].isin([True, "True"]).astype(int),
        chosen=rows["headline"].astype(int),
    )
    groups = rows.groupby(by, sort=False, dropna=False)
    found = groups.agg(
        truth=("truth", "first"),
        mean=("captured", "mean"),
        deviation=("captured", "std"),
        n=("captured", "size"),
        rows=("half", "mean"),
        examined=("examined", "sum"),
        settled=("settled", "sum"),
        chosen=("chosen", "sum"),
        singly=("captured", list),
    ).reset_index()
    n = found["n"].to_numpy(dtype=float)
    with np.errstate(invalid="ignore"):
        quantile = stdtrit(np.where(n > 1, n - 1, np.nan), 0.975)
    found["seeds"] = quantile * found["deviation"].to_numpy(dtype=float) / np.sqrt(n)
    return found


def _means_at(rows: pd.DataFrame, by: list[str], shown: pd.DataFrame) -> pd.Series:
    """The mean captured bits of `rows`, grouped by `by`, aligned with `shown`; NaN where there are none."""
    means = rows.groupby(by, sort=False, dropna=False)["captured"].mean().reset_index()
    return shown[by].merge(means, "left", by)["captured"]


def _counted(rows: pd.DataFrame, by: list[str], column: str) -> dict[tuple[Any, ...], str]:
    """What a column says in every group: `mlp`, or `mlp 2, pair 1` where seeds differ."""
    sizes = rows.groupby([*by, column], sort=False, dropna=False).size()
    counted: dict[tuple[Any, ...], dict[str, int]] = {}
    for (*key, value), size in sizes.items():  # pyright: ignore[reportGeneralTypeIssues]
        counted.setdefault(tuple(key), {})[str(value)] = int(size)
    return {
        key: ", ".join(values if len(values) == 1 else (f"{name} {n}" for name, n in values.items()))
        for key, values in counted.items()
    }


def _converged(row: Mapping[Any, Any]) -> str:
    return f"{int(row['settled'])} of {int(row['examined'])}" if row["examined"] else ""


def _singly(values: list[float]) -> str:
    if len(values) > MOST_SEEDS:
        return f"{bits(min(values))} … {bits(max(values))} ({len(values)})"
    return ", ".join(map(bits, values))
