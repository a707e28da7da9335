"""The profile: what an objective captures of a world with a bit of everything, and of synergy alone."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import pandas as pd
from scipy import stats

from pidlab.analysis.capture import capture_cohort
from pidlab.decomposition import TERMS
from pidlab.defaults import Training
from pidlab.generators import Atoms
from pidlab.objectives import load_objective
from pidlab.objectives.base import MakeObjective
from pidlab.seeds import child
from pidlab.training import Member, train

FLOOR, CEILING = "untrained", "supervised"
BESIDE = (FLOOR, "cross", "factorcl-sup", "comm", CEILING)
SEEDS = 3

# The standard worlds.
EVERYTHING, SYNERGY_ALONE = Atoms(), Atoms(redundant=0.0, unique1=0.0, unique2=0.0)

# Either of the objective's own two trainings is cut to about this many seconds.
SECONDS = 20.0
TRIAL_STEPS = 10

# Bits: nearly all of a term, and more than a random network lets one read.
ALL, MORE = 0.9, 0.1


@dataclass(frozen=True)
class Profile:
    """What was captured of R = U1 = U2 = S = 1 bit, and what that means.

    Args:
        table: a row per objective and term: captured (mean over seeds), low, high (95 % t-interval over
            seeds), truth, seeds; bits of z12, by the probe that validation chose.
        verdict: in words.
        steps: how long the objective was trained.
    """

    table: pd.DataFrame
    verdict: str
    steps: int

    def terms(self, objective: str) -> dict[str, dict[str, float]]:
        """Captured bits, truth and interval per term of one objective."""
        rows = self.table[self.table["objective"] == objective]
        keys = ["captured", "truth", "low", "high"]
        return {str(row["term"]): {key: float(row[key]) for key in keys} for _, row in rows.iterrows()}


def profile(
    make: MakeObjective,
    name: str,
    *,
    beside: Sequence[str] = BESIDE,
    training: Training | None = None,
    on_objective: Callable[[str], None] = lambda _: None,
) -> Profile:
    """Trains an objective on the standard worlds and says what it captured, beside others.

    One world holds a bit of each term, the other a bit of synergy and nothing else.

    Args:
        make: makes the objective from encoders.
        name: what to call it.
        beside: references of the others.
        training: settings; the defaults otherwise. Steps are fewer where the objective is so slow that
            they would not fit in the time a check may take.
        on_objective: told whose turn it is.
    """
    training = training or Training()
    frames, steps = [], training.steps
    for other in beside:
        on_objective(other)
        frames.append(_examined(load_objective(other), other, training))
    on_objective(name)
    members = _members(EVERYTHING)
    began = time.perf_counter()
    train(make, members, replace(training, steps=TRIAL_STEPS))
    per_step = (time.perf_counter() - began) / TRIAL_STEPS
    steps = min(training.steps, max(TRIAL_STEPS, int(SECONDS / per_step)))
    frames.append(_examined(make, name, replace(training, steps=steps)))
    table = pd.concat(frames, ignore_index=True)
    lone = _examined(make, name, replace(training, steps=steps), SYNERGY_ALONE)
    alone = float(lone.loc[lone["term"] == "synergy", "captured"].iloc[0])
    return Profile(table, _verdict(table, name, alone, steps, training.steps), steps)


def _members(generator: Atoms) -> list[Member]:
    return [Member(replace(generator, world=child(seed, "world")), seed) for seed in range(SEEDS)]


def _examined(
    make: MakeObjective, name: str, training: Training, generator: Atoms = EVERYTHING
) -> pd.DataFrame:
    members = _members(generator)
    fitted = train(make, members, training)
    if fitted.failed:
        step = min(fitted.failed.values())
        raise ValueError(f"{name}: the loss is not finite from step {step} on")
    found = capture_cohort(
        fitted.represent, [m.generator for m in members], [m.seed for m in members], "standard"
    )
    rows = pd.concat([pd.DataFrame(member) for member in found], ignore_index=True)
    rows = rows[rows["headline"] & (rows["readout"] == "z12") & rows["term"].isin(TERMS)]
    records = []
    for term, group in rows.groupby("term", sort=False):
        captured = group["captured"]
        half = stats.t.ppf(0.975, len(captured) - 1) * captured.std() / len(captured) ** 0.5
        records.append(
            {
                "objective": name,
                "term": term,
                "truth": group["truth"].iloc[0],
                "captured": captured.mean(),
                "low": captured.mean() - half,
                "high": captured.mean() + half,
                "seeds": len(captured),
            }
        )
    return pd.DataFrame(records)


def _verdict(table: pd.DataFrame, name: str, alone: float, steps: int, asked: int) -> str:
    def captured(objective: str) -> dict[str, float]:
        rows = table[table["objective"] == objective]
        return dict(zip(rows["term"], rows["captured"], strict=True))

    own, floor = captured(name), captured(FLOOR)
    letters: dict[str, str] = dict(zip(TERMS, ("R", "U1", "U2", "S"), strict=True))
    terms = list(letters)
    full = [t for t in terms if own[t] >= ALL]
    some = [t for t in terms if t not in full and own[t] > floor[t] + MORE]
    none = [t for t in terms if t not in full and t not in some]
    parts = []
    if full:
        parts.append(f"captures {_listed(letters[t] for t in full)}")
    if some:
        parts.append("part of " + _listed(f"{letters[t]} ({own[t]:.2f} of 1 bit)" for t in some))
    if none:
        parts.append(
            f"of {_listed(letters[t] for t in none)} no more than an untrained network lets one read"
        )
    parts.append(f"of synergy without R and U beside it {alone:.2f} of 1 bit")
    if steps < asked:
        parts.append(f"trained for {steps} of {asked} steps, to keep the check short")
    return "; ".join(parts)


def _listed(words: Iterable[str]) -> str:
    listed = list(words)
    return listed[0] if len(listed) == 1 else f"{', '.join(listed[:-1])} and {listed[-1]}"
