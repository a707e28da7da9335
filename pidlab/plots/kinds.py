"""The kinds of figures by name; a kind is loaded when it is drawn."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from pidlab.errors import InvalidRequest, nearest
from pidlab.registry import look_up
from pidlab.results.means import axis_groups_of
from pidlab.results.panels import select


@dataclass(frozen=True)
class Kind:
    """A kind of figure.

    Args:
        home: `module:function` within `pidlab.plots`; the function takes a table, directions, `venue=` and
            options of its own, and returns a figure and the tidy table of every number in it.
        about: what it shows, a sentence for help and captions.
        files: tables of its own that it is drawn from, where that is not results.csv; those after the
            first are options, by their stem.
    """

    home: str
    about: str
    files: tuple[str, ...] = ()

    @property
    def function(self) -> Callable[..., tuple[Figure, pd.DataFrame]]:
        """What draws it."""
        module, name = self.home.split(":")
        return getattr(import_module(f"pidlab.plots.{module}"), name)

    @property
    def options(self) -> list[str]:
        """Names of its own options."""
        parameters = inspect.signature(self.function).parameters.values()
        return [p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.name not in ("venue", "terms")]


KINDS = {
    "capture": Kind(
        "capture:capture_figure",
        "Captured against true bits, term by term; dots are single seeds, the thin grey line is the truth.",
    ),
    "profile": Kind(
        "profile:profile_figure",
        "Captured bits of every objective, stacked, beside the truth; intervals are those of a term alone.",
    ),
    "leakage": Kind(
        "leakage:leakage_figure",
        "Which term, and which nuisance, is found where, in bits; the truth is on top or in brackets.",
    ),
    "tradeoff": Kind(
        "tradeoff:tradeoff_figure",
        "Captured bits of one term against those of another; marks grow along the sweep.",
    ),
    "learning": Kind(
        "learning:learning_figure",
        "Captured bits along training; hairlines are single seeds, the thin grey line is the truth.",
    ),
    "decomposition": Kind(
        "decomposition:decomposition_figure", "Decompositions of known distributions, in bits."
    ),
    "oracle": Kind(
        "oracle:oracle_figure",
        "Losses on representations made of the true symbols and, hollow, on trained ones with the "
        "synergistic bits read from them; right of the grey line, lower losses exist than training found.",
        ("oracle.csv",),
    ),
    "readability": Kind(
        "readability:readability_figure",
        "Bits that survive noise on the whitened representation, and that few rows suffice to read.",
        ("readability.csv",),
    ),
    "known-answers": Kind(
        "examination:known_answers_figure",
        "Captured against true bits of known representations, and how often intervals hold the truth.",
        ("table.csv", "coverage.csv"),
    ),
}


def draw(
    kind: str,
    table: pd.DataFrame,
    axis_groups: Sequence[Sequence[str]] = (),
    *,
    venue: str = "neurips",
    objectives: Sequence[str] = (),
    terms: Sequence[str] = (),
    at: Mapping[str, Any] | None = None,
    **options: Any,
) -> tuple[Figure, pd.DataFrame]:
    """Draws a figure.

    Args:
        kind: which, one of `KINDS`.
        table: rows as in results.csv, or the table that the kind is drawn from.
        axis_groups: columns of parameters that move together (`Results.axis_groups`); what else varies in
            the table follows.
        venue: whose page it is for: neurips, iclr, icml, icml-column.
        objectives: subset and order; all where none is named.
        terms: subset and order, also of what stands beside the targets (`nuisance:1`).
        at: chooses a point: rows where a column has the value.
        options: of that kind, such as `readout`.

    Returns:
        The figure, and the tidy table of every number in it (bits).

    Raises:
        InvalidRequest: an unknown kind, option or venue, or nothing to draw.
    """
    chosen = look_up("kind of figure", kind, KINDS)
    known = chosen.options
    for name in options:
        if name not in known:
            common = ["objectives", "terms", "at", "venue"]
            raise InvalidRequest(f"a {kind} figure has no option {name!r}: {nearest(name, known + common)}")
    rows = select(table, objectives, terms, at)
    if "terms" in inspect.signature(chosen.function).parameters:
        options["terms"] = tuple(terms)
    return chosen.function(rows, axis_groups_of(rows, axis_groups), venue=venue, **options)


def caption(kind: str, shown: pd.DataFrame) -> str:
    """What to write beneath a figure: what it shows, what its bands are, over how many seeds.

    Args:
        kind: one of `KINDS`.
        shown: the table that `draw` returned.
    """
    words = [look_up("kind of figure", kind, KINDS).about]
    if "seeds" in shown and len(shown):
        least, most = int(shown["seeds"].min()), int(shown["seeds"].max())
        n = f"{least}" if least == most else f"{least} to {most}"
        words.append(
            f"Means over n = {n} seeds with 95 % t-intervals." if most > 1 else "One seed: no interval."
        )
    if "readout" in shown and shown["readout"].nunique() == 1:
        words.append(
            "Captured: bits that the best probe by validation reads from the frozen "
            f"{shown['readout'].iloc[0]}, a lower bound."
        )
    if "objective" in shown:
        grey = [name for name in ("untrained", "supervised") if name in set(shown["objective"])]
        if grey:
            meaning = {"untrained": "untrained floor", "supervised": "supervised ceiling"}
            words.append(f"Grey: {' and '.join(meaning[name] for name in grey)}.")
    return " ".join(words)
