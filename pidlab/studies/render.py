"""Figures and report of a study, made from its stored results."""

from collections.abc import Collection, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from pidlab.errors import InvalidRequest, nearest
from pidlab.io import write_csv, write_independently
from pidlab.plots.kinds import KINDS, caption, draw
from pidlab.plots.style import FORMATS, save
from pidlab.registry import look_up
from pidlab.report import Claim, Picture, write_report
from pidlab.results.folder import merge_axis_groups, merge_results
from pidlab.studies.folders import NamedStudy, read_experiment
from pidlab.studies.schema import Figure, Study
from pidlab.studies.verdicts import JudgedClaim

# Options of every kind of figure.
_COMMON = ("objectives", "terms", "at", "venue")


def check_figure(figure: Figure) -> None:
    """Check the kind and the options of a figure before there are results.

    Args:
        figure: The figure.

    Raises:
        InvalidRequest: If the kind or an option does not exist; the message names the nearest one.
    """
    known = [*look_up("kind of figure", figure.kind, KINDS).options, *_COMMON]
    for name in figure.options:
        if name not in known:
            hint = nearest(name, [*known, "name", "kind", "sweeps"])
            raise InvalidRequest(
                f"figure {figure.name!r}: a {figure.kind} figure has no option {name!r}: {hint}"
            )


def draw_figures(study: Study, directory: Path) -> dict[str, list[str]]:
    """Draw every figure, and write a table of its numbers.

    Args:
        study: The study.
        directory: Folder of its results.

    Returns:
        Why figures or files of them could not be written, by name of the figure.
    """
    problems: dict[str, list[str]] = {}
    for figure in study.figure:
        names = figure.sweeps or [one.name for one in study.experiments]
        try:
            drawn, numbers = _draw(figure, names, directory)
        except InvalidRequest as error:
            problems[figure.name] = [f"figure {figure.name!r}: {error}"]
            continue
        outputs = {directory / f"{figure.name}.{suffix}": partial(save, drawn) for suffix in FORMATS}
        outputs[directory / f"{figure.name}.csv"] = partial(write_csv, numbers)
        if failed := write_independently(outputs):
            problems[figure.name] = [f"{path.name}: {why}" for path, why in failed.items()]
    return problems


def _draw(figure: Figure, names: Sequence[str], directory: Path) -> tuple[Any, pd.DataFrame]:
    results = [read_experiment(directory, name) for name in names]
    table = results[0].table if len(results) == 1 else merge_results(results)
    axis_groups = merge_axis_groups(results)
    tables = {}
    for stem in (Path(file).stem for file in KINDS[figure.kind].files[1:]):
        # A second table of this kind of figure is stored as the rows of one quantity.
        rows = table["quantity"] == stem
        tables[stem] = table[rows].rename(columns={"captured": stem})
        table = table[~rows]
    return draw(figure.kind, table, axis_groups, **tables, **figure.options)


def write_study_report(
    named: NamedStudy,
    profile: str,
    claims: Sequence[JudgedClaim],
    directory: Path,
    without: Collection[str] = (),
) -> Path:
    """Write report.html.

    Args:
        named: The study.
        profile: Profile of the results.
        claims: The claims with their verdicts.
        directory: Folder of the results.
        without: Names of figures that are not shown.

    Returns:
        The path of the report.

    Raises:
        InvalidRequest: If results cannot be read.
        OSError: If the folder cannot be written to.
    """
    study = named.study
    pictures = []
    for figure in study.figure:
        if figure.name in without:
            continue
        numbers = pd.read_csv(directory / f"{figure.name}.csv")
        picture = Picture(directory / f"{figure.name}.svg", caption(figure.kind, numbers), figure.name)
        pictures.append(picture)
    return write_report(
        {one.name: read_experiment(directory, one.name) for one in study.experiments},
        directory,
        title=study.title,
        about=f"{study.about}\n\nProfile: {profile}.",
        sources=study.sources,
        claims=[_report_claim(claim) for claim in claims],
        pictures=pictures,
    )


def _report_claim(claim: JudgedClaim) -> Claim:
    worst, source, note = claim.worst, claim.stated.source, f"{claim.verdict}: {claim.note}"
    if worst is None:
        return Claim(claim.label, source, None, note=note)
    return Claim(claim.label, source, claim.met, worst.left, worst.right, worst.margin, note)
