"""Tuning of hyperparameters before the sweeps, with the same number of trials for every objective.

The trials of an objective are all combinations of its grid, exactly `budget` of them. Each is trained on the
seeds from `first_seed` on, which the study does not report, and probed at the level quick. Every seed has its
own world of the data, so that trials see other worlds than the sweeps; generators with finitely many rows
divide the same rows in another way. The trial with the most captured bits in z12 is chosen: of the headlines,
or of one probe, summed over targets, averaged over points and seeds. Ties go to the first trial. The
criterion uses labels, is the same for every objective, and is no objective's loss.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from pidlab import defaults
from pidlab.errors import InvalidRequest, nearest
from pidlab.registry import Reference, parse
from pidlab.results.means import is_reference
from pidlab.studies.experiments import build_request
from pidlab.studies.settings import PROFILES, AxisText, ByProfile, Profile, Settings
from pidlab.sweeps.axes import spread

if TYPE_CHECKING:
    from pidlab.sweeps.execute import Progress

# Larger than the seeds that studies report.
FIRST_SEED = 1000


class Budget(Settings):
    """Number of trials in one profile, and settings."""

    budget: int | None = Field(default=None, ge=2, description="Number of trials; the first of each grid.")


class Tune(Settings):
    """Hyperparameters of each objective and the trials that choose them."""

    budget: int = Field(default=4, ge=2, description="Number of trials of every objective.")
    grid: dict[str, dict[str, list[str | int | float | bool]]] = Field(
        min_length=1, description="Values of hyperparameters, by objective as the sweeps name it."
    )
    generator: str = Field(default=defaults.GENERATOR, description="Reference to the generator.")
    axes: dict[str, AxisText] = Field(default={}, description="Points of the trials; default: one point.")
    terms: list[str] | None = Field(default=None, description="Targets of the criterion; default: all.")
    probe: Literal["linear", "mlp"] | None = Field(
        default=None, description="Probe of the criterion; default: the headline of each target."
    )
    profiles: ByProfile[Budget] = ByProfile()

    @property
    def trials(self) -> dict[str, list[str]]:
        """References of all trials, by objective."""
        trials = {}
        for name, grid in self.grid.items():
            bare = parse(name)
            trials[str(bare)] = [
                str(
                    Reference(
                        bare.name, bare.arguments | dict(zip(grid, values, strict=True)), bare.positional
                    )
                )
                for values in itertools.product(*grid.values())
            ]
        return trials

    def specification(self, profile: Profile) -> dict[str, Any]:
        """Return the specification of a sweep, with the trials.

        Args:
            profile: The study's profile.
        """
        settings = {k: v for k, v in profile.settings.items() if k not in ("seeds", "probes", "track")}
        override: Budget = getattr(self.profiles, profile.name) or Budget()
        own = {"seeds": 1, "probes": "quick", "first_seed": FIRST_SEED} | self.effort | override.effort
        return {
            "generator": self.generator,
            "axes": [[list(names), text] for names, text in spread(self.axes.items())],
            "zip": False,
            "settings": settings | own,
            "trials": {name: trials[: override.budget] for name, trials in self.trials.items()},
            "terms": self.terms,
        } | ({"probe": self.probe} if self.probe else {})

    def problems(
        self, sweeps: Sequence[tuple[Profile, Mapping[str, Any]]]
    ) -> Iterator[tuple[tuple[str, ...], str]]:
        """Yield each problem with the path of its key.

        Args:
            sweeps: Specification of every sweep in every profile, each with its profile.
        """
        for profile in PROFILES:
            override: Budget | None = getattr(self.profiles, profile)
            if override and override.budget and override.budget > self.budget:
                problem = f"{override.budget} trials of {self.budget}; raise tune.budget and extend each grid"
                yield ("profiles", profile, "budget"), problem
        for profile, sweep in sweeps:
            trial_seeds = _seeds(self.specification(profile)["settings"])
            if shared := sorted(trial_seeds & _seeds(sweep["settings"])):
                problem = f"a sweep reports seed {shared[0]}, too (profile {profile.name}); choose others"
                yield ("first_seed",), problem
            world = parse(self.generator).arguments.get("world")
            if world is not None and world == parse(sweep["generator"]).arguments.get("world"):
                yield ("generator",), f"a sweep reports world {world}, too; choose another, or name none"
        known = list(dict.fromkeys(o for _, sweep in sweeps for o in sweep["objectives"]))
        for name, trials in self.trials.items():
            if name not in known:
                yield ("grid", name), f"no sweep has the objective {name!r}: {nearest(name, known)}"
            if len(trials) != self.budget:
                problem = (
                    f"{name} has {len(trials)} combinations and the budget is {self.budget}; make them equal"
                )
                yield ("grid", name), problem
        for name in known:
            if name not in self.trials and not is_reference(name):
                problem = f"no values for {name}; every compared objective needs the same number of trials"
                yield ("grid",), problem


def _seeds(settings: Mapping[str, Any]) -> set[int]:
    """Return the seeds of a sweep with these settings."""
    first = settings.get("first_seed", 0)
    return set(range(first, first + settings["seeds"]))


def tune(
    specification: Mapping[str, Any], directory: Path, device: str, progress: "Progress | None" = None
) -> dict[str, dict[str, Any]]:
    """Choose the hyperparameters of every objective.

    Args:
        specification: Result of `Tune.specification`.
        directory: Folder of the trials.
        device: Device type.
        progress: Receives the progress of the sweep.

    Returns:
        For each objective, the reference that was `chosen`, and the `bits` of every trial, None if it failed.

    Raises:
        InvalidRequest: If a trial is invalid, all trials of an objective failed, or a term does not exist.
    """
    from pidlab.sweeps import run_sweep

    # Two objectives may have a trial in common; it is trained once.
    trials = list(dict.fromkeys(trial for listed in specification["trials"].values() for trial in listed))
    request = build_request(specification, trials, device)
    table = run_sweep(request, directory, progress=progress).table
    probe = specification.get("probe")
    scored = table["probe"] == probe if probe else table["headline"]
    rows = table[(table["quantity"] == "mi") & (table["readout"] == "z12") & scored]
    terms = specification["terms"] or [term for term in dict.fromkeys(rows["term"]) if ":" not in term]
    for term in terms:
        if term not in set(rows["term"]):
            raise InvalidRequest(f"tune: no term {term!r}: {nearest(term, rows['term'].unique())}")
    runs = rows[rows["term"].isin(terms)].groupby(["objective", "run"], sort=False)["captured"].sum()
    bits = runs.groupby("objective").mean().to_dict()
    results = {}
    for name, listed in specification["trials"].items():
        scores = {trial: bits.get(trial) for trial in listed}
        finished = {trial: score for trial, score in scores.items() if score is not None}
        if not finished:
            raise InvalidRequest(f"tune: all trials of {name} failed; see {directory}")
        results[name] = {"chosen": max(finished, key=lambda trial: finished[trial]), "bits": scores}
    return results
