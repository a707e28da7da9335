"""Results of the studies that come with pidlab."""

from dataclasses import replace
from pathlib import Path

import pandas as pd

from pidlab.errors import InvalidRequest, nearest
from pidlab.results.folder import RECORD, Results, read_results

_PACKAGE = Path(__file__).parents[1]
# An installed package has the results in `studies/shipped_results`, a checkout in `figures`.
PLACES = (_PACKAGE / "studies" / "shipped_results", _PACKAGE.parent / "figures")


def study_results(study: str) -> pd.DataFrame:
    """Return the results of a study that comes with pidlab, as one table.

    Args:
        study: Name of a study, such as `unique`.

    Returns:
        The rows of all its experiments, in bits, with the column `experiment`. The column `views` is the view
        policy, where there is one.

    Raises:
        InvalidRequest: If pidlab has no results of this study.

    Example:
        >>> import pidlab
        >>> table = pidlab.study_results("unique")
        >>> sorted(table["views"].unique())
        ['noise', 'task']
    """
    parts = [add_views(part) for part in stored_results(study)]
    return pd.concat([part.table.assign(experiment=part.directory.name) for part in parts], ignore_index=True)


def stored_results(study: str, folder: Path | str | None = None) -> list[Results]:
    """Return the results of every experiment of a study.

    Args:
        study: Name of a study.
        folder: Folder of the study's results; by default the one that comes with pidlab.

    Raises:
        InvalidRequest: If there are none.
    """
    for place in [Path(folder)] if folder is not None else [place / study for place in PLACES]:
        experiments = sorted(path.parent for path in place.glob(f"*/{RECORD}"))
        if experiments:
            return [read_results(experiment) for experiment in experiments]
    if folder is not None:
        raise InvalidRequest(f"{study}: no results in {folder}; run `pidlab study run {study}`")
    known = sorted({path.parents[1].name for place in PLACES for path in place.glob(f"*/*/{RECORD}")})
    raise InvalidRequest(f"no results of a study {study!r} come with pidlab: {nearest(study, known)}")


def add_views(results: Results) -> Results:
    """Add the column of the view policy, which a sweep with a single policy has in its record only.

    Args:
        results: Results of an experiment.
    """
    training = results.record["request"].get("training", {})
    if "views" in results.table or "views" not in training:
        return results
    return replace(results, table=results.table.assign(views=training["views"]))
