"""Kinds of figures by name, and their captions."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from pidlab.errors import InvalidRequest, nearest
from pidlab.plots.drawing import LEAST_SEEDS
from pidlab.plots.style import Page, on_page
from pidlab.registry import look_up
from pidlab.results.means import BASELINES, CEILING, FLOOR, find_axis_groups
from pidlab.results.panels import (
    BEST,
    describe_term,
    find_labels,
    objectives_of,
    read_by,
    select,
    symbol_of,
)


@dataclass(frozen=True)
class Kind:
    """A kind of figure.

    Args:
        home: `module:function` in `pidlab.plots`. The function takes a table, axis groups, `venue=` and
            its options, and returns a figure and a tidy table of all its numbers.
        about: What the figure shows, as a sentence for help texts and captions.
        files: Files that it is drawn from instead of results.csv. Those after the first are options, named
            by their stems.
    """

    home: str
    about: str
    files: tuple[str, ...] = ()

    @property
    def function(self) -> Callable[..., tuple[Figure, pd.DataFrame]]:
        """Function that draws the figure."""
        module, name = self.home.split(":")
        return getattr(import_module(f"pidlab.plots.{module}"), name)

    @property
    def options(self) -> list[str]:
        """Names of the options of this kind."""
        parameters = inspect.signature(self.function).parameters.values()
        return [
            p.name
            for p in parameters
            if p.kind is p.KEYWORD_ONLY and p.name not in ("venue", "terms", "probes")
        ]


# Left out of a caption if no truth is known.
TRUTH_LINES = ", grey lines are the truth"

NUISANCE = {
    "nuisance:1": "N1 of modality 1",
    "nuisance:2": "N2 of modality 2",
    "nuisance:shared": "N12 shared by both modalities",
}

KINDS = {
    "capture": Kind(
        "capture:capture_figure",
        f"Captured against true information, term by term; dots are single seeds{TRUTH_LINES}. "
        "Where objectives coincide, the mark on top alternates.",
    ),
    "profile": Kind(
        "profile:profile_figure",
        f"Captured information of each objective by term; dots are single seeds{TRUTH_LINES}. "
        "Of more than three points, the first, the middle and the last are shown.",
    ),
    "leakage": Kind(
        "leakage:leakage_figure",
        "Information about each term and each nuisance variable in bits; the truth is in the first row or "
        "in parentheses. Where there is room, ± is half of the 95 % t-interval over seeds.",
    ),
    "tradeoff": Kind(
        "tradeoff:tradeoff_figure",
        "Captured bits of one term against those of another; dots are single seeds, the grey line is the "
        "truth, and arrows follow the sweep. The shaded region holds the pairs of bits that the data allow "
        "at some point of the sweep; on the dotted line both terms have equal bits.",
    ),
    "learning": Kind(
        "learning:learning_figure",
        f"Captured information during training; dots are single seeds{TRUTH_LINES}. Where "
        "objectives coincide, the mark on top alternates.",
    ),
    "loss": Kind(
        "loss:loss_figure",
        "Training loss by objective, in the unit of each loss; thin lines are single seeds.",
        ("losses.csv",),
    ),
    "decomposition": Kind(
        "decomposition:decomposition_figure", "Decompositions of known distributions, in bits."
    ),
    "oracle": Kind(
        "oracle:oracle_figure",
        "Losses of representations made of the true symbols (filled) and of trained representations "
        "(hollow; at the right, the bits of synergy S that a probe reads from them). The grey line is the "
        "lowest mean loss of an oracle; training did not find it where marks lie to its right. Shaded rows "
        "are the representations that papers predict: R for CLIP and R+U for FactorCL (arXiv 2306.05268), "
        "R+U+S for CoMM (arXiv 2409.07402).",
        ("oracle.csv",),
    ),
    "readability": Kind(
        "readability:readability_figure",
        "Bits that are read under noise on the whitened representation, and with fewer rows for the probes.",
        ("readability.csv",),
    ),
    "known-answers": Kind(
        "known_answers:known_answers_figure",
        "Captured against true bits of known representations, and coverage of the intervals.",
        ("table.csv", "coverage.csv"),
    ),
    "estimation": Kind(
        "estimation:estimation_figure",
        "Estimates of mutual information on normal variables. The grey line is the truth, the dashed line "
        "the Jeffreys divergence, to which CLUB and NCE-CLUB converge. The critic of hollow marks is the log "
        "ratio of the densities; those of filled marks are trained.",
        ("results.csv",),
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
    order: Sequence[str] = (),
    at: Mapping[str, Any] | None = None,
    probes: Sequence[str] = (),
    page: Page | None = None,
    **options: Any,
) -> tuple[Figure, pd.DataFrame]:
    """Draw a figure.

    Args:
        kind: One of `KINDS`.
        table: Rows as in results.csv, or of the file that the kind is drawn from.
        axis_groups: Columns of the parameters that vary together (`Results.axis_groups`). Other columns
            that vary are added.
        venue: Page that the figure is for: neurips, iclr, icml or icml-column.
        objectives: Subset and order of the objectives; all if empty.
        terms: Subset and order of the terms, including auxiliary targets such as `nuisance:1`.
        order: Objectives to draw first; the others follow.
        at: Values of parameters, to select points.
        probes: Probes to show, `best` for the best one on validation rows; a `capture` figure shows several
            side by side.
        page: Width, font and names of objectives.
        options: Options of the kind, such as `readout`.

    Returns:
        The figure, and a tidy table of all its numbers (bits).

    Raises:
        InvalidRequest: If the kind, an option or the venue is unknown, or there is nothing to draw.
    """
    chosen = look_up("kind of figure", kind, KINDS)
    known = chosen.options
    for name in options:
        if name not in known:
            common = ["objectives", "terms", "at", "venue"]
            raise InvalidRequest(
                f"--{name}: a {kind} figure has no option {name!r}; {nearest(name, known + common)}"
            )
    rows = select(table, objectives, terms, at, order)
    page = page or Page()
    page = replace(page, labels=find_labels(page.labels, objectives_of(table)))
    if "terms" in inspect.signature(chosen.function).parameters:
        options["terms"] = tuple(terms)
    if chosen.files and probes:
        raise InvalidRequest(f"--probe: a {kind} figure has no choice of probes; leave it out")
    if kind == "capture":
        options["probes"] = tuple(dict.fromkeys(probes))
    elif len(probes) > 1:
        raise InvalidRequest(f"--probe: a {kind} figure shows one probe; give one, or use --kind capture")
    elif probes:
        rows = read_by(rows, probes[0])
    with on_page(page):
        return chosen.function(rows, find_axis_groups(rows, axis_groups), venue=venue, **options)


def caption(kind: str, shown: pd.DataFrame) -> str:
    """Return a caption: what the figure shows, its intervals, and the number of seeds.

    Args:
        kind: One of `KINDS`.
        shown: The table that `draw` returned.
    """
    about = look_up("kind of figure", kind, KINDS).about
    if "truth" in shown and shown["truth"].isna().all():
        about = about.replace(TRUTH_LINES, "")
    sentences = [about]
    if "seeds" in shown and len(shown):
        least, most = int(shown["seeds"].min()), int(shown["seeds"].max())
        n = f"{least}" if least == most else f"{least} to {most}"
        has_interval = most >= LEAST_SEEDS and kind not in ("leakage", "tradeoff")
        interval = " with 95 % t-intervals" if has_interval else ""
        sentences.append(
            f"Means over n = {n} seeds{interval}." if most > 1 else "A single seed, hence no interval."
        )
    if "readout" in shown and shown["readout"].nunique() == 1:
        probes = list(dict.fromkeys(shown["probe"])) if "probe" in shown else [BEST]
        names = [
            "the best probe on validation rows" if probe == BEST else f"the {probe} probe" for probe in probes
        ]
        sentences.append(
            f"Captured information is a lower bound: the bits that {' or '.join(names)} "
            f"reads from the frozen readout {shown['readout'].iloc[0]}."
        )
    if "objective" in shown:
        references = {FLOOR: "untrained floor", CEILING: "supervised ceiling"}
        grey = [about for name, about in references.items() if name in set(shown["objective"])]
        if grey and kind != "leakage":
            sentences.append(f"Grey markers: {' and '.join(grey)}.")
    if kind == "capture" and any(name in shown and shown[name].notna().any() for name in BASELINES):
        sentences.append(
            "Hollow grey marks: floor and ceiling of each objective's own architecture, untrained and "
            "trained with the labels."
        )
    if "term" in shown:
        nuisance = [name for name in dict.fromkeys(shown["term"].astype(str)) if name.startswith("nuisance:")]
        if names := [NUISANCE.get(name) or symbol_of(name) for name in nuisance]:
            sentences.append(f"Nuisance variables: {', '.join(filter(None, names)).replace('$', '')}.")
    if kind in ("capture", "profile") and (omitted := _omitted(shown)):
        where = " at the points shown" if kind == "profile" else ""
        sentences.append(f"Not drawn, since truth and captured bits are 0{where}: {omitted}.")
    return " ".join(sentences)


def _omitted(shown: pd.DataFrame) -> str:
    from pidlab.plots.capture import empty_targets

    empty = empty_targets(shown)
    drawn = len(shown[["readout", "term"]].drop_duplicates()) > len(empty)
    # A target that is no term has a panel per readout.
    names = [
        describe_term(term) if symbol_of(term) else f"I({readout};{term})" for readout, term in sorted(empty)
    ]
    return ", ".join(dict.fromkeys(names)).replace("$", "") if drawn else ""
