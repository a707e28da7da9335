"""A fair comparison: every objective's own hyperparameters, chosen with the same budget on other worlds.

The trials of an objective are all combinations of its grid, `budget` of them, no more and no fewer. Each is
fitted on the seeds from `first_seed` on, which the study does not report, and examined by the quick probes.
The one is chosen whose z12 holds most captured bits: the sum over targets, the mean over points and seeds; of
equals the first. That is a choice made with labels, the same for every objective, and no objective's loss.
"""

import itertools
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from pidlab import defaults
from pidlab.errors import InvalidRequest, nearest
from pidlab.registry import Reference, parse
from pidlab.studies.experiments import request_of
from pidlab.studies.settings import (
    AxisText,
    Profile,
    Settings,
    Strict,
)
from pidlab.sweeps.axes import spread

if TYPE_CHECKING:
    from pidlab.sweeps.execute import Progress

# Far from the seeds that anybody reports.
FIRST_SEED = 1000

Literals = str | int | float | bool


class Budget(Settings):
    """What tuning may cost in one profile."""

    budget: int | None = Field(
        default=None, ge=2, description="Trials of every objective, the first of them."
    )


class TuneProfiles(Strict):
    """What tuning asks in one profile only."""

    quick: Budget = Budget()
    laptop: Budget = Budget()
    paper: Budget = Budget()


class Tune(Settings):
    """Hyperparameters chosen before the sweeps, with the same number of trials for every objective."""

    budget: int = Field(default=4, ge=2, description="Trials of every objective.")
    grid: dict[str, dict[str, list[Literals]]] = Field(
        min_length=1,
        description="Of each objective, as the sweeps name it: hyperparameters and their values.",
    )
    generator: str = Field(default=defaults.GENERATOR, description="Reference to the generator.")
    axes: dict[str, AxisText] = Field(default={}, description="Where it is tuned; one point by default.")
    terms: list[str] | None = Field(default=None, description="Targets that count; all by default.")
    profiles: TuneProfiles = Field(default=TuneProfiles(), description="What holds in one profile only.")

    @property
    def trials(self) -> dict[str, list[str]]:
        """The references that are tried, by the objective as the sweeps name it."""
        found = {}
        for name, grid in self.grid.items():
            bare = parse(name)
            found[str(bare)] = [
                str(
                    Reference(
                        bare.name, bare.arguments | dict(zip(grid, values, strict=True)), bare.positional
                    )
                )
                for values in itertools.product(*grid.values())
            ]
        return found

    def asked(self, profile: Profile) -> dict[str, Any]:
        """As of a sweep, with the trials."""
        effort = {k: v for k, v in profile.settings.items() if k not in ("seeds", "probes", "track")}
        here: Budget = getattr(self.profiles, profile.name)
        own = {"seeds": 1, "probes": "quick", "first_seed": FIRST_SEED} | self.said | here.said
        return {
            "generator": self.generator,
            "axes": [[list(names), text] for names, text in spread(self.axes.items())],
            "zip": False,
            "settings": effort | own,
            "trials": {name: trials[: here.budget] for name, trials in self.trials.items()},
            "terms": self.terms,
        }

    def wrongs(self, objectives: Iterable[str]) -> Iterator[tuple[tuple[str, ...], str]]:
        """What is wrong with it beside `objectives`, those of the sweeps; each with its place."""
        for profile in TuneProfiles.model_fields:
            here = getattr(self.profiles, profile).budget
            if here is not None and here > self.budget:
                yield (
                    ("profiles", profile, "budget"),
                    f"{here} trials of {self.budget}: give every objective that many, and budget = {here}",
                )
        known = list(objectives)
        for name, trials in self.trials.items():
            if name not in known:
                yield ("grid", name), f"no sweep has an objective {name!r}: {nearest(name, known)}"
            if len(trials) != self.budget:
                yield (
                    ("grid", name),
                    f"{name} has {len(trials)} combinations and the budget is {self.budget}: give every "
                    "objective as many",
                )


def tune(
    asked: Mapping[str, Any], directory: Path, device: str, progress: "Progress | None" = None
) -> dict[str, dict[str, Any]]:
    """Chooses the hyperparameters of every objective.

    Args:
        asked: what `Tune.asked` gave.
        directory: where its runs stand.
        device: device type.
        progress: who is told how far it is.

    Returns:
        By objective: the one that is `chosen`, and of every trial its `bits`, None where it failed.

    Raises:
        InvalidRequest: a trial that cannot be, no trial of an objective that came to its end, or a term that
            is not there.
    """
    from pidlab.sweeps import run_sweep

    # A combination may be the same for two objectives of the study; it is tried once.
    trials = list(dict.fromkeys(t for listed in asked["trials"].values() for t in listed))
    request = request_of(asked, trials, device)
    table = run_sweep(request, directory, progress=progress).table
    rows = table[(table["quantity"] == "mi") & (table["readout"] == "z12") & table["headline"]]
    terms = asked["terms"] or [t for t in dict.fromkeys(rows["term"]) if ":" not in t]
    for term in terms:
        if term not in set(rows["term"]):
            raise InvalidRequest(f"tune: no term {term!r}: {nearest(term, rows['term'].unique())}")
    runs = rows[rows["term"].isin(terms)].groupby(["objective", "run"], sort=False)["captured"].sum()
    bits = runs.groupby("objective").mean().to_dict()
    found = {}
    for name, listed in asked["trials"].items():
        scores = {trial: bits.get(trial) for trial in listed}
        sound = {trial: score for trial, score in scores.items() if score is not None}
        if not sound:
            raise InvalidRequest(f"tune: every trial of {name} failed: see {directory}")
        found[name] = {"chosen": max(sound, key=lambda trial: sound[trial]), "bits": scores}
    return found
