"""Results of a sweep that nobody ran, for tests of what is made of them."""

import itertools
from pathlib import Path

import pandas as pd

from pidlab.decomposition import TERMS
from pidlab.defaults import RESULT_VERSION
from pidlab.plots.capture import capture_figure
from pidlab.plots.style import save
from pidlab.results.folder import Results

OBJECTIVES = ("untrained", "supervised", "comm")


def results(directory=Path(), points=(0.0, 0.5, 1.0), seeds=(0, 1, 2), objectives=OBJECTIVES, **record):
    """A sweep along both unique terms, read by two probes, of which validation chose the MLP."""
    rows = []
    for u, objective, seed, term, probe in itertools.product(
        points, objectives, seeds, (*TERMS, "synergy:1"), ("linear", "mlp")
    ):
        truth = u if term.startswith("unique") else 1.0
        captured = truth * (0.5 + 0.1 * seed) * (0.5 if probe == "linear" else 1.0)
        about = {"run": f"{u}-{objective}-{seed}", "objective": objective, "seed": seed, "readout": "z12"}
        read = {"term": term, "quantity": "mi", "truth": truth, "captured": captured}
        interval = {"low": captured - 0.02, "high": captured + 0.02}
        flags = {"probe": probe, "headline": probe == "mlp", "converged": seed > 0 or None}
        rows.append(
            {**about, **read, **interval, **flags, **dict.fromkeys(TERMS, 1.0), "unique1": u, "unique2": u}
        )
    table = pd.DataFrame(rows)
    request = {
        "generator": "atoms",
        "axes": [{"names": ["unique1", "unique2"], "values": list(points)}],
        "objectives": list(objectives),
        "seeds": len(seeds),
        "training": {"views": "task", "steps": 600, "samples": None},
        "probes": "standard",
        "zipped": False,
    }
    made = {
        "command": ["pidlab", "sweep", "--objective", "comm(temperature=0.1)"],
        "request": request,
        "result_version": RESULT_VERSION,
        "versions": {"python": "3.11"},
        "axis_groups": [["unique1", "unique2"]],
        "truth": {"measure": ["broja"], "how": ["design"], "gap": 0.0},
        "runs": table["run"].nunique(),
        "failed": {},
        "failures": [],
        "cohorts": [{"objective": "comm", "members": 9, "program": "vmap", "seconds": {"training": 1.25}}],
        "seconds": {"training": 1.25, "drawing": 0.5},
    }
    return Results(table, made | record, directory)


def drawn(directory, **more):
    """Return `results` with its figure in the folder."""
    found = results(directory, **more)
    figure, _ = capture_figure(found.table, found.axis_groups)
    for suffix in ("svg", "png"):
        save(figure, directory / f"captured.{suffix}")
    return found
