"""A study's page: its question, claims, figures and every number that it keeps."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from pidlab.plots.kinds import caption
from pidlab.report import Claim, Picture, write_report
from pidlab.studies.check import Checked, sides
from pidlab.studies.stored import Named, results_of


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
