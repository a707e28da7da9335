"""Tables as sweeps write them, of numbers that a test can know."""

import itertools
import json

import pandas as pd

from pidlab import defaults
from pidlab.decomposition import TERMS

OBJECTIVES = ("untrained", "supervised", "cross", "comm")
DIRECTIONS = [["unique1", "unique2"]]


def captured(truth, seed):
    return truth * (0.5 + 0.1 * seed)


def table(points=(0.0, 0.5, 1.0), seeds=(0, 1, 2), objectives=OBJECTIVES, readouts=("z12",), **more):
    """Headlines in which seed s captures 0.5 + 0.1 s of the truth, and half a bit of nuisance of one."""
    rows = []
    terms = (*TERMS, "nuisance:1")
    for u, objective, seed, readout, term in itertools.product(points, objectives, seeds, readouts, terms):
        truth = u if term.startswith("unique") else 1.0
        rows.append(
            {
                "run": f"{u}{objective}{seed}{sorted(more.items())}",
                "objective": objective,
                "seed": seed,
                "readout": readout,
                "term": term,
                "quantity": "mi",
                "truth": truth,
                "captured": 0.5 if ":" in term else captured(truth, seed),
                "low": 0.0,
                "high": 0.0,
                "probe": "mlp",
                "headline": True,
                "converged": None,
                "redundant": 1.0,
                "unique1": u,
                "unique2": u,
                "synergy": 1.0,
                **more,
            }
        )
    return pd.DataFrame(rows)


def tracked(steps=(0, 1, 10, 100), **more):
    """Rows along training: the last step captures what `table` does, the others less in proportion."""
    parts = [
        table(**more).assign(
            quantity="tracked", step=step, captured=lambda t, s=step: t["captured"] * s / 100
        )
        for step in steps
    ]
    return pd.concat(parts, ignore_index=True)


def run_and_draw(request, directory, **options):
    """Run a sweep and write its figure and page, as the command line does."""
    from pidlab.api import write_sweep_files
    from pidlab.sweeps import run_sweep

    result = run_sweep(request, directory, **options)
    write_sweep_files(result)
    return result


def write(directory, rows, axis_groups=DIRECTIONS, version=defaults.RESULT_VERSION, **training):
    """A folder as a sweep leaves it."""
    directory.mkdir(parents=True)
    rows.to_csv(directory / "results.csv", index=False)
    record = {
        "command": ["pidlab", "sweep"],
        "request": {"generator": "atoms", "training": {"steps": 600, **training}, "probes": "standard"},
        "result_version": version,
        "axis_groups": axis_groups,
        "failed": {},
    }
    (directory / "provenance.json").write_text(json.dumps(record))
    return directory
