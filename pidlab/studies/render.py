"""A study's page: its question, claims, figures and every number that it keeps."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from pidlab.errors import InvalidRequest, nearest
from pidlab.plots.kinds import KINDS, caption, draw
from pidlab.plots.style import FORMATS, save
from pidlab.registry import look_up
from pidlab.report import Claim, Picture, write_report
from pidlab.results.folder import merge_axis_groups, merge_results
from pidlab.studies.evaluate import Checked, sides
from pidlab.studies.schema import Figure, Study
from pidlab.studies.store import Named, results_of

_COMMON = ("objectives", "terms", "at", "venue")


def check_figure(figure: Figure) -> None:
    """Makes sure of a figure's kind and options, before there is anything to draw.

    Raises:
        InvalidRequest: one is not there; the nearest is named.
    """
    known = [*look_up("kind of figure", figure.kind, KINDS).options, *_COMMON]
    for name in figure.options:
        if name not in known:
            hint = nearest(name, [*known, "name", "kind", "sweeps"])
            raise InvalidRequest(
                f"figure {figure.name!r}: a {figure.kind} figure has no option {name!r}: {hint}"
            )


def draw_figures(study: Study, directory: Path) -> None:
    """Draws every figure, and writes beside it the numbers in it.

    Raises:
        InvalidRequest: nothing to draw of one; the others are drawn.
    """
    wrong: list[str] = []
    for figure in study.figure:
        names = figure.sweeps or [one.name for one in study.experiments]
        try:
            made, shown = _drawn(figure, names, directory)
        except InvalidRequest as error:
            wrong.append(f"figure {figure.name!r}: {error}")
            continue
        for suffix in FORMATS:
            save(made, directory / f"{figure.name}.{suffix}")
        shown.to_csv(directory / f"{figure.name}.csv", index=False)
    if wrong:
        raise InvalidRequest("; ".join(wrong))


def _drawn(figure: Figure, names: Sequence[str], directory: Path) -> tuple[Any, pd.DataFrame]:
    found = [results_of(directory, name) for name in names]
    table = found[0].table if len(found) == 1 else merge_results(found)
    axis_groups = merge_axis_groups(found)
    beside = {}
    for stem in (Path(file).stem for file in KINDS[figure.kind].files[1:]):
        # A table of its own that a kind is drawn from stands in ours as a quantity.
        rows = table["quantity"] == stem
        beside[stem] = table[rows].rename(columns={"captured": stem})
        table = table[~rows]
    return draw(figure.kind, table, axis_groups, **beside, **figure.options)


def report_study(named: Named, profile: str, checked: Sequence[Checked], directory: Path) -> Path:
    """Writes report.html of what stands in figures/NAME.

    Raises:
        InvalidRequest: results that cannot be read.
        OSError: the directory cannot be written to.
    """
    study = named.study
    pictures = [
        Picture(
            directory / f"{figure.name}.svg",
            caption(figure.kind, pd.read_csv(directory / f"{figure.name}.csv")),
            figure.name,
        )
        for figure in study.figure
    ]
    return write_report(
        {one.name: results_of(directory, one.name) for one in study.experiments},
        directory,
        title=study.title,
        about=f"{study.about}\n\nRun with the profile {profile}.",
        sources=study.sources,
        claims=[_claim(one) for one in checked],
        pictures=pictures,
    )


def _claim(one: Checked) -> Claim:
    asserted, worst = one.asserted, one.worst
    note = one.why if worst is None else sides(worst)
    if asserted.finding and not one.met:
        note = f"{note}. Found: {asserted.finding}"
    claim = asserted.claim + one.where
    if worst is None:
        return Claim(claim, asserted.source, None, note=note)
    return Claim(claim, asserted.source, one.met, worst.left, worst.right, worst.margin, note)
