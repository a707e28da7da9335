"""Selection of result rows, and their division into the panels of a figure or the columns of a table."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from pidlab.errors import InvalidRequest, nearest
from pidlab.results.baseline_columns import with_best_baselines
from pidlab.results.formatting import format_objective, format_value
from pidlab.results.means import ACCURACIES, BASELINES, parameters

SYMBOLS = {
    "redundant": "$R$",
    "unique1": "$U_1$",
    "unique2": "$U_2$",
    "synergy": "$S$",
    "nuisance:1": "$N_1$",
    "nuisance:2": "$N_2$",
    "nuisance:shared": "$N_{12}$",
    "total:y": "$Y$",
}
_WORDS = {"redundant": "redundancy", "unique": "unique information", "synergy": "synergy"}
# Readouts of the first modality, of the second modality and of both.
READOUTS = ("z1", "z2", "z12")

# The probe with the best validation score, and the quantity that is shown by default.
BEST, BITS = "best", "bits"
# The probe that papers report.
LINEAR = "linear"

# Names of the representations in `pidlab oracle`: made of true symbols, or trained.
REPRESENTATIONS = ("S", "R", "R+U", "R+U+S", "R+U+S+nuisance")
WHOLE = "R+U+S"
OWN_FUSION, SCRATCH, WARM, TRAINED = f"{WHOLE}, own fusion", "scratch", "warm", "warm, trained"
# Those whose networks were fitted.
FITTED = (SCRATCH, WARM, TRAINED)


def symbol_of(term: str) -> str | None:
    """Return the symbol of a term as mathtext, or None for a target that is no term.

    Args:
        term: Name of a term; digits after it name modalities.

    Example:
        >>> symbol_of("synergy"), symbol_of("synergy13"), symbol_of("digit")
        ('$S$', '$S_{13}$', None)
    """
    parts = _split_term(term)
    if term in SYMBOLS or parts is None:
        return SYMBOLS.get(term)
    return f"${parts[0][0].upper()}_{{{parts[1]}}}$"


def describe_term(term: str) -> str:
    """Return the name of a term in words with its symbol; any other target keeps its name.

    Args:
        term: Name of a term or of another target.

    Example:
        >>> describe_term("redundant"), describe_term("unique1")
        ('redundancy $R$', 'unique information $U_1$')
    """
    parts = _split_term(term)
    return f"{_WORDS[parts[0]]} {symbol_of(term)}" if parts else symbol_of(term) or term


def is_synergy(term: str) -> bool:
    """Return whether a term is a synergy, as `synergy` or `synergy13`."""
    parts = _split_term(term)
    return parts is not None and parts[0] == "synergy"


def _split_term(term: str) -> tuple[str, str] | None:
    parts = re.fullmatch(r"(redundant|unique|synergy)(\d*)", term)
    return (parts[1], parts[2]) if parts else None


@dataclass(frozen=True)
class Panel:
    """A target as read from one readout: a panel of a figure, or a column of a table.

    Args:
        readout: Name of the readout.
        term: Name of the target.
        title: Name in words, with mathtext.
        symbol: Symbol, as mathtext.
        probe: Probe whose scores are shown, in a table with several probes; else empty.
    """

    readout: str
    term: str
    title: str
    symbol: str
    probe: str = ""

    def rows(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return the rows of a table that belong to this panel."""
        mask = (table["readout"] == self.readout) & (table["term"] == self.term)
        return table[mask & (table["probe"] == self.probe)] if self.probe else table[mask]


def panels(
    table: pd.DataFrame, readout: str = "z12", terms: Sequence[str] = (), quantity: str = "mi"
) -> tuple[pd.DataFrame, list[Panel]]:
    """Select the headline rows to show and divide them into panels.

    If every target is a term, there is one panel per term, and all show the same readout. Otherwise
    there is one panel per target and readout, I(z1;T), I(z2;T) and I(z12;T), because the share of a
    single modality is then of interest; a readout other than z12 is shown alone.

    Args:
        table: Rows as in results.csv.
        readout: Readout to show.
        terms: Targets that are shown in addition to the terms, such as `nuisance:1`.
        quantity: `mi`, or `tracked` for bits during training.

    Returns:
        The selected rows and the panels.

    Raises:
        InvalidRequest: If the table has no headline rows of that readout.
    """
    rows = headlines(table, quantity)
    rows = rows[~is_auxiliary(rows) | rows["term"].isin(list(terms))]
    selected = rows[rows["readout"] == readout]
    if selected.empty:
        available = ", ".join(dict.fromkeys(rows["readout"].astype(str)))
        remedy = f"there are {available}" if available else f"no rows of quantity {quantity!r} have a readout"
        raise InvalidRequest(
            f"--readout {readout}: no headline of readout {readout!r} in the results; {remedy}"
        )
    names = [str(name) for name in dict.fromkeys(selected["term"])]
    if all(map(symbol_of, names)):
        return selected, [Panel(readout, name, describe_term(name), symbol_of(name) or "") for name in names]
    asked = READOUTS if readout == READOUTS[-1] else (readout,)
    readouts = [name for name in asked if name in set(rows["readout"])]
    divided = []
    for term in dict.fromkeys(rows["term"].astype(str)):
        for name in readouts:
            symbol = f"$I(z_{{{name[1:]}}};{_in_formula(term.upper())})$"
            divided.append(Panel(name, term, symbol, symbol))
    return rows[rows["readout"].isin(readouts)], divided


def _in_formula(text: str) -> str:
    """Escape or drop the characters of a user's target name that have a meaning in a formula."""
    return re.sub(r"[\\^#~$%_{}|]", lambda found: f"\\{found[0]}" if found[0] in "$%_{}|" else " ", text)


def headlines(table: pd.DataFrame, quantity: str = "mi") -> pd.DataFrame:
    """Return the rows of the probe with the best validation score for each (run, readout, target).

    Floors and ceilings of mutual information are those of the best probe, too (`with_best_baselines`).
    """
    rows = table[table["headline"].astype(bool) & (table["quantity"] == quantity)]
    return with_best_baselines(rows, table) if quantity == "mi" else rows


def read_by(table: pd.DataFrame, probe: str = BEST, quantity: str = BITS) -> pd.DataFrame:
    """Return a table whose headlines are the rows of one probe, and whose `captured` is one quantity.

    Args:
        table: Rows as in results.csv.
        probe: Name of a probe, or `best` for the best probe on validation rows.
        quantity: `bits`, `accuracy` or `balanced_accuracy`. Accuracies have no truth.

    Raises:
        InvalidRequest: If no row has the probe or the quantity.
    """
    is_information = table["quantity"] == "mi"
    if probe != BEST:
        is_probe = table["probe"] == probe
        if not (is_probe & is_information).any():
            known = [BEST, *dict.fromkeys(table[is_information]["probe"].astype(str))]
            raise InvalidRequest(f"--probe {probe}: no such probe in the results; {nearest(probe, known)}")
        table = table[is_probe | ~is_information].assign(headline=lambda rows: rows["probe"] == probe)
    if quantity == BITS:
        return table
    if quantity not in ACCURACIES:
        raise InvalidRequest(f"--quantity {quantity}: {nearest(quantity, [BITS, *ACCURACIES])}")
    if quantity not in table or table[quantity].isna().all():
        raise InvalidRequest(
            f"--quantity {quantity}: these results have no accuracies; run the sweep in a new folder to "
            "measure them"
        )
    measured = table[table[quantity].notna()]
    in_bits = ("truth", "low", "high", *BASELINES)
    return measured.assign(captured=measured[quantity], **dict.fromkeys(in_bits, np.nan))


def is_auxiliary(table: pd.DataFrame) -> pd.Series:
    """Return which rows are about an auxiliary variable; a colon marks them, as in `nuisance:1`."""
    return table["term"].astype(str).str.contains(":")


def select(
    table: pd.DataFrame,
    objectives: Sequence[str] = (),
    terms: Sequence[str] = (),
    at: Mapping[str, Any] | None = None,
    order: Sequence[str] = (),
) -> pd.DataFrame:
    """Select rows by objective, term and point, and sort them in the requested order.

    Args:
        table: Rows as in results.csv.
        objectives: Subset and order of the objectives; all if empty.
        terms: Subset and order of the terms; all if empty.
        at: Values of parameters; `unique` sets both unique terms. Text is converted to the column's type.
        order: Objectives that come first; the others follow in their order.

    Raises:
        InvalidRequest: If no row has one of the objectives, terms or values.
    """
    if table.empty:
        raise InvalidRequest("results: the table has no rows; run the sweep again to fill it")
    for name, value in (at or {}).items():
        table = table[_has_value(table, name, value)]
    known = objectives_of(table)
    objectives, order = find_objectives(objectives, known), find_objectives(order, known)
    if order and not objectives:
        objectives = list(dict.fromkeys([*order, *known]))
    # Sorting by objective last makes objectives the outer order and terms the inner one.
    for column, names in (("term", terms), ("objective", objectives)):
        table = _select_names(table, column, names)
    return table.reset_index(drop=True)


def objectives_of(table: pd.DataFrame) -> list[str]:
    """Return the references of the objectives of a table, each once; none if it has no such column."""
    return list(map(str, table["objective"].unique())) if "objective" in table else []


def find_objectives(names: Iterable[str], known: Sequence[str], option: str = "") -> list[str]:
    """Find objectives by their references, or by the names that tables and figures show.

    Args:
        names: References such as `my_loss.py:MyLoss`, or names such as `MyLoss`.
        known: References of the objectives of the results.
        option: Option that the names were given to, for the message.

    Returns:
        The reference of each name.

    Raises:
        InvalidRequest: If no objective or more than one has a name.

    Example:
        >>> find_objectives(["MyLoss", "comm"], ["comm", "losses/mine.py:MyLoss"])
        ['losses/mine.py:MyLoss', 'comm']
    """
    found: list[str] = []
    for name in names:
        matches = [name] if name in known else [one for one in known if format_objective(one) == name]
        if len(matches) > 1:
            raise InvalidRequest(
                f"{option}{name}: {len(matches)} objectives have this name; write {' or '.join(matches)}"
            )
        if not matches:
            shown = [format_objective(one) for one in known if ":" in one]
            hint = nearest(name, {*known, *shown}) if known else "the table has no column 'objective'"
            raise InvalidRequest(f"{option}{name}: no results of this objective; {hint}")
        found += matches
    return found


def find_labels(labels: Mapping[str, str], known: Sequence[str]) -> dict[str, str]:
    """Return labels of objectives by reference; see `find_objectives`.

    Args:
        labels: Labels by reference or by the name that tables show.
        known: References of the objectives of the results.

    Raises:
        InvalidRequest: If no objective or more than one has a name, or two would have the same label.
    """
    found = dict(zip(find_objectives(labels, known, "--label "), labels.values(), strict=True))
    # The other objectives are known by their reference and by the name that tables show.
    others = {name for one in known if one not in found for name in (one, format_objective(one))}
    for label in found.values():
        if label in others or list(found.values()).count(label) > 1:
            raise InvalidRequest(f"--label: two objectives have the name {label!r}; give each its own")
    return found


def _has_value(table: pd.DataFrame, name: str, value: Any) -> np.ndarray:
    known = parameters(table)
    if name == "unique" and name not in known and {"unique1", "unique2"} <= set(known):
        return _has_value(table, "unique1", value) & _has_value(table, "unique2", value)
    if name not in known:
        raise InvalidRequest(f"--at {name}: no such parameter in the results; {nearest(name, known)}")
    column = table[name]
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        try:
            # A tolerance, because 0.3 may be stored as 0.30000000000000004 in a range of values.
            mask = np.isclose(column.to_numpy(dtype=float), float(value), rtol=1e-9, atol=1e-12)
        except (TypeError, ValueError):
            raise InvalidRequest(f"--at {name}={value}: expected a number; {name} is numeric") from None
    else:
        mask = (column.astype(str) == str(value)).to_numpy()
    if not mask.any():
        values = ", ".join(format_value(v) for v in sorted(column.dropna().unique()))
        raise InvalidRequest(f"--at {name}={value}: no results have this value; there are {values or 'none'}")
    return mask


def _select_names(table: pd.DataFrame, column: str, names: Sequence[str]) -> pd.DataFrame:
    if not names:
        return table
    known = list(dict.fromkeys(table[column].astype(str))) if column in table else []
    for name in names:
        if name not in known:
            hint = nearest(name, known) if known else f"the table has no column {column!r}"
            raise InvalidRequest(f"{name}: no such {column} in the results; {hint}")
    rank = table[column].astype(str).map({name: i for i, name in reversed(list(enumerate(names)))})
    return table[rank.notna()].iloc[np.argsort(rank.dropna().to_numpy(), kind="stable")]


def require_columns(table: pd.DataFrame, columns: Sequence[str], what: str) -> None:
    """Check that a table has rows and all columns that a figure needs.

    Args:
        table: The table.
        columns: Required columns.
        what: Name of the figure, for the message.

    Raises:
        InvalidRequest: If columns are missing or there are no rows.
    """
    missing = [name for name in columns if name not in table]
    if missing:
        raise InvalidRequest(
            f"{what}: the table lacks {', '.join(missing)}; it must have {', '.join(columns)}"
        )
    if table.empty:
        raise InvalidRequest(f"{what}: the table has no rows; there is nothing to draw")
