"""Profile of an objective: captured bits where every term has one bit, and where only synergy has."""

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import pandas as pd

from pidlab import defaults
from pidlab.check.contract import default_generator
from pidlab.defaults import Training
from pidlab.errors import InvalidRequest
from pidlab.generators import Atoms, Generator
from pidlab.generators.parameters import default_policy
from pidlab.generators.three import Three
from pidlab.objectives import load_objective
from pidlab.objectives.load import LoadedObjective, guard_of
from pidlab.objectives.objective import MakeObjective, needs_of
from pidlab.probes.capture import capture_cohort
from pidlab.results.means import half_width
from pidlab.seeds import child
from pidlab.training import Member, train
from pidlab.training.cohort import build
from pidlab.workers import available_cores, compute_all

FLOOR, CEILING = "untrained", "supervised"
BASELINES = (FLOOR, "cross", "factorcl-sup", "comm", CEILING)
TWO_MODALITIES = {"factorcl-sup"}  # objectives that take no third modality
SEEDS = 3

# Data with nothing but synergy, by number of modalities.
SYNERGY_ONLY: dict[int, Generator] = {
    2: Atoms(redundant=0.0, unique1=0.0, unique2=0.0),
    3: Three(redundant=None, unique1=None, unique2=None, unique3=None),
}

# Steps that are timed if the time is limited.
TIMED_STEPS = 10
# View policies of the verdict: a perfect augmentation of each modality, and an idealized joint one.
VIEWS = ("noise", "task")

# A target is captured completely with this fraction of its bits, and in part with more bits than the
# untrained baseline by this margin.
ALL, MORE = 0.9, 0.1
SYMBOLS = {"redundant": "R", "unique1": "U1", "unique2": "U2", "synergy": "S"}


@dataclass(frozen=True)
class Profile:
    """Captured bits of each target and their interpretation.

    Args:
        table: One row per objective and variable (`term`; auxiliary targets have a colon in their name), with
            captured (mean over seeds), low, high (95 % t-interval over seeds), truth and seeds: bits of z12
            by the probe that validation chose. `linear` is the linear probe, and `plain` the better of the
            linear and the MLP probe.
        verdict: The interpretation in words.
        steps: Number of training steps of the objective.
        views: View policy of the table.
    """

    table: pd.DataFrame
    verdict: str
    steps: int
    views: str

    def terms(self, objective: str) -> dict[str, dict[str, float]]:
        """Return captured bits, truth and interval per term of one objective."""
        rows = self.table[(self.table["objective"] == objective) & ~self.table["term"].str.contains(":")]
        keys = ["captured", "truth", "low", "high"]
        return {str(row["term"]): {key: float(row[key]) for key in keys} for _, row in rows.iterrows()}


@dataclass(frozen=True)
class Measured:
    """What was read from an objective.

    Args:
        rows: Its rows in `Profile.table`.
        trained: Whether the loss of every member left its initial value.
    """

    rows: pd.DataFrame
    trained: bool


def profile(
    make: MakeObjective,
    name: str,
    generator: Generator | None = None,
    *,
    baselines: Sequence[str] = BASELINES,
    training: Training | None = None,
    probes: str = defaults.PROBES,
    budget: float | None = None,
    on_objective: Callable[[str], None] = lambda _: None,
) -> Profile:
    """Train an objective and compare its captured bits with those of other objectives.

    The default data are those of `Atoms` with one bit of each term, and with one bit of synergy only. For an
    objective of three modalities they are those of `Three`.

    Args:
        make: Builds the objective from encoders.
        name: Name of the objective.
        generator: A generator that replaces the default.
        baselines: References of the other objectives.
        training: Training settings.
        probes: Effort of the probes: quick, standard or thorough.
        budget: Limit of the time of each training of the objective, in seconds. With fewer steps than the
            others the verdict is "undecided".
        on_objective: Called with the names of the objectives before they are trained.

    Returns:
        The table and the verdict.

    Raises:
        InvalidRequest: If the truth of the generator is unknown.
        ValueError: If a loss is not finite or a readout cannot be probed.
    """
    world = generator or default_generator(make)
    training = training or Training(views=default_policy(world.policies))
    if not math.isfinite(world.truth.total):
        raise InvalidRequest(
            f"--generator {world.name}: its truth is unknown; choose a generator with a known one"
        )
    left_out = {name} if len(world.modalities) == 2 else {name, *TWO_MODALITIES}
    others = [other for other in baselines if other not in left_out]
    steps = training.steps if budget is None else _affordable_steps(make, world, training, budget)
    cut = replace(training, steps=steps)
    with guard_of(make):
        model = build(make, _members(world)[0], cut, "cpu")
    uses_views = bool({"views", "view"} & {*needs_of(model)})
    # Data and settings for the objective: those of the table, other views, and nothing but synergy.
    trials = {"table": (world, cut)}
    for views in (policy for policy in VIEWS if uses_views and policy != training.views):
        if views in world.policies:
            trials[views] = world, replace(cut, views=views)
    if generator is None:
        trials["alone"] = SYNERGY_ONLY[len(world.modalities)], cut
    on_objective(", ".join([name, *others]))
    loaded, source = (make.reference, make.source) if isinstance(make, LoadedObjective) else (make, None)
    calls = [partial(_measure, loaded, source, name, *trial, probes) for trial in trials.values()]
    calls += [partial(_measure, other, None, other, world, training, probes) for other in others]
    # A user's code has processes of its own.
    owner = "" if isinstance(loaded, str) and source is None else name
    owners = [owner] * len(trials) + [""] * len(others)
    measured: list[Measured] = compute_all(calls, min(available_cores(), len(calls)), owners)
    own = dict(zip(trials, measured, strict=False))
    frames = [one.rows for one in measured[len(trials) :]]
    table = pd.concat([*frames, own["table"].rows], ignore_index=True)
    verdict = _verdict(table, name)
    if uses_views:
        verdict[0] = f"with {training.views} views: {verdict[0]}"
    else:
        verdict[0] = f"(views are not used) {verdict[0]}"
    if steps < training.steps:
        verdict.insert(0, f"undecided: {steps} of {training.steps} steps within {budget:g} s")
    if not own["table"].trained:
        verdict.insert(0, "the loss never left its initial value")
    for views in (policy for policy in VIEWS if policy in own):
        parts = _verdict(pd.concat([*frames, own[views].rows], ignore_index=True), name)
        verdict.append(f"with {views} views: {', '.join(parts)}")
    if "alone" in own:
        synergy = own["alone"].rows.set_index("term").loc["synergy"]
        verdict.append(f"{synergy['captured']:.2f} of 1 bit of synergy if the data contain nothing else")
    return Profile(table, "; ".join(verdict), steps, training.views)


def _affordable_steps(make: MakeObjective, generator: Generator, training: Training, budget: float) -> int:
    """Return the number of steps that take about `budget` seconds, at most those of the settings."""
    began = time.perf_counter()
    train(make, _members(generator), replace(training, steps=TIMED_STEPS))
    per_step = (time.perf_counter() - began) / TIMED_STEPS
    return min(training.steps, max(TIMED_STEPS, int(budget / per_step)))


def _members(generator: Generator) -> list[Member]:
    worlds = [generator.in_world(child(seed, "world")) for seed in range(SEEDS)]  # type: ignore[type-var]
    return [Member(world, seed) for seed, world in enumerate(worlds)]


def _measure(
    make: str | MakeObjective,
    source: str | None,
    name: str,
    generator: Generator,
    training: Training,
    probes: str,
) -> Measured:
    """Train an objective and probe it.

    Args:
        make: The objective, or its reference.
        source: Digest of the user's code, if `make` is a reference to such code.
        name: Name for the table.
        generator: The data.
        training: Training settings.
        probes: Effort of the probes.

    Raises:
        ValueError: If a loss is not finite or a readout cannot be probed.
    """
    objective = load_objective(make, source) if isinstance(make, str) else make
    members = _members(generator)
    fitted = train(objective, members, training)
    if fitted.failed:
        raise ValueError(f"{name}: the loss is not finite from step {min(fitted.failed.values())} on")
    try:
        found = capture_cohort(
            fitted.represent, [m.generator for m in members], [m.seed for m in members], probes
        )
    except InvalidRequest as error:  # a fault of the objective and not of the request
        raise ValueError(f"{name}: {error}") from None
    rows = pd.concat([pd.DataFrame(member) for member in found], ignore_index=True)
    rows = rows[(rows["readout"] == "z12") & (rows["quantity"] == "mi")]
    plain = rows[rows["probe"].isin(["linear", "mlp"])].groupby(["term", "probe"])["captured"].mean()
    records = []
    for term, group in rows[rows["headline"]].groupby("term", sort=False):
        captured = group["captured"]
        half = half_width(captured.to_numpy())
        records.append(
            {
                "objective": name,
                "term": term,
                "truth": group["truth"].iloc[0],
                "captured": captured.mean(),
                "low": captured.mean() - half,
                "high": captured.mean() + half,
                "seeds": len(captured),
                "plain": plain[term].max() if term in plain.index else captured.mean(),
                "linear": plain[term, "linear"] if (term, "linear") in plain.index else captured.mean(),
            }
        )
    return Measured(pd.DataFrame(records), trained=False not in fitted.trained)


def _verdict(table: pd.DataFrame, name: str) -> list[str]:
    """Describe which targets were captured completely, in part or not at all."""

    def column(objective: str, key: str) -> dict[str, float]:
        rows = table[table["objective"] == objective]
        return dict(zip(rows["term"], rows[key], strict=True))

    everything, plain, linear, truth = (column(name, key) for key in ("captured", "plain", "linear", "truth"))
    floor = column(FLOOR, "captured")
    own = {term: bits for term, bits in everything.items() if ":" not in term}
    full = [t for t in own if own[t] >= ALL * truth[t] > 0]
    some = [t for t in own if t not in full and own[t] > floor[t] + MORE]
    none = [t for t in own if t not in full and t not in some]
    parts = []
    if full:
        parts.append(f"captures {_listed(SYMBOLS.get(t, t) for t in full)}")
    if some:
        parts.append(
            "part of " + _listed(f"{SYMBOLS.get(t, t)} ({own[t]:.2f} of {truth[t]:.2g} bits)" for t in some)
        )
    if none:
        words = _listed(SYMBOLS.get(t, t) for t in none)
        parts.append(f"no more {words} than the untrained baseline")
    if hidden := [t for t in (*full, *some) if linear[t] < min(own[t], plain[t]) - MORE]:
        texts = (f"{SYMBOLS.get(t, t)} ({max(linear[t], 0.0):.2f} bits)" for t in hidden)
        parts.append(f"less with the linear probe: {_listed(texts)}")
    for t in own:
        if f"{t}:1" not in everything:
            continue
        made = SYMBOLS.get(t, t)
        if t not in none and plain[t] < own[t] - MORE:
            parts.append(
                f"{made} only with structured probes ({plain[t]:.2f} bits with linear and MLP probes)"
            )
        elif t in none:
            one, two = everything[f"{t}:1"], everything[f"{t}:2"]
            parts.append(f"{one:.2f} and {two:.2f} bits of the two ingredients of {made}")
    return parts


def _listed(words: Iterable[str]) -> str:
    listed = list(words)
    return listed[0] if len(listed) == 1 else f"{', '.join(listed[:-1])} and {listed[-1]}"
