"""`pidlab status`: how far a sweep is, and what failed."""

import json

import typer

from pidlab.cli.folder import Folder, reading
from pidlab.cli.options import AsJson

MOST_REASONS = 20


def status(directory: Folder, as_json: AsJson = False) -> None:
    """Count what is planned, done and failed in a sweep, with reasons and seconds; also while it runs."""
    from pidlab.sweeps.store import total_seconds

    with reading(directory) as store:
        counts, reasons, cohorts = store.counts(), store.reasons(), store.seconds()
    seconds = total_seconds(cohorts)
    if as_json:
        document = {
            "directory": str(directory),
            "runs": sum(counts.values()),
            **counts,
            "cohorts": len(cohorts),
            "seconds": seconds,
            "failures": reasons,
        }
        typer.echo(json.dumps(document))
        return
    states = ", ".join(f"{count} {state}" for state, count in counts.items())
    typer.echo(f"{sum(counts.values())} runs: {states}; {len(cohorts)} cohorts")
    if seconds:
        typer.echo("seconds: " + ", ".join(f"{activity} {spent:.1f}" for activity, spent in seconds.items()))
    for failure in reasons[:MOST_REASONS]:
        runs = (
            f"run {failure['run']}"
            if failure["runs"] == 1
            else f"{failure['runs']} runs, one {failure['run']}"
        )
        typer.echo(f"failed: {failure['objective']} ({runs}): {failure['reason']}")
    if len(reasons) > MOST_REASONS:
        typer.echo(f"and {len(reasons) - MOST_REASONS} more reasons: --json has all")
