"""Objective and optimiser told apart, as an experiment of a study."""

import dataclasses
import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from pidlab import defaults
from pidlab.decomposition import TERMS
from pidlab.defaults import Training
from pidlab.errors import InvalidRequest
from pidlab.generators import Generator, load_generator
from pidlab.generators.parameters import check_policy
from pidlab.objectives.base import MakeObjective
from pidlab.objectives.load import load_objective, source_digest
from pidlab.probes.capture import HEADLINE, capture_cohort
from pidlab.probes.levels import get_level
from pidlab.probes.row import Z95
from pidlab.registry import parse
from pidlab.results.panels import (
    OWN_FUSION,
    REPRESENTATIONS,
    SCRATCH,
    TRAINED,
    WARM,
    WHOLE,
)
from pidlab.seeds import child
from pidlab.studies.oracle_symbols import (
    Oracle,
    Regression,
    has_fusion,
    heads_only,
    on_oracle,
    taught_by,
)
from pidlab.sweeps.request import digest
from pidlab.training import FittedCohort, Member, train
from pidlab.training.cohort import build
from pidlab.training.fit import fresh_losses

if TYPE_CHECKING:
    pass


Unit = tuple[str, int]  # a representation's name and a seed


def oracle(
    objectives: Sequence[str],
    generator: str = "atoms",
    seeds: int = defaults.SEEDS,
    *,
    representations: Sequence[str] = REPRESENTATIONS,
    regression: int = 400,
    fitting: int | None = None,
    batches: int = 64,
    probes: str = "quick",
    device: str = "cpu",
    directory: Path | None = None,
    say: Callable[[str], None] = lambda _: None,
    **settings: Any,
) -> pd.DataFrame:
    """Every objective's loss on representations made of the true symbols, and after training.

    An oracle's encoders (and its fusion, where the objective has one: see `Fused`) tell the symbols that
    its name says and are held still; heads and critics are fitted by the objective's own phases. The loss
    is then the mean over fresh batches. If it is lowest for what its paper says it seeks, the objective is
    sound; if training from scratch ends higher, the optimiser is at fault.

    Args:
        objectives: references.
        generator: a reference to `atoms`, whose symbols an observation tells exactly.
        seeds: how many; each has a rendering, data and initial weights of its own.
        representations: of R, U, U1, U2, S, nuisance, joined by `+`.
        regression: steps by which a warm start's networks are brought to the oracle's codes.
        fitting: steps by which heads and critics are fitted to codes that are held still; `steps` by default.
            A linear head, such as that of `supervised`, takes some thousands.
        batches: fresh ones, on which losses are scored.
        probes: effort of the probes.
        device: where to compute.
        directory: keeps what is finished, so that the same call goes on from there, and `oracle.csv`.
        say: told, in a line, what begins.
        settings: fields of `Training`: views, steps, batch, dim, ...

    Returns:
        A row per (objective, seed, representation): `views`; `loss` in the objective's own unit (nats),
        `low` and `high` (its mean's 95 % interval over batches, normal); `captured_redundant`, ... , the
        bits that the headline probe read from z12. Beside `representations` there are `scratch` (trained as
        always), `warm` (networks regressed onto the oracle of R+U+S, then heads fitted), `warm, trained`
        (all of that trained further) and, where the objective fuses codes, `R+U+S, own fusion` (oracle
        codes, the fusion trained with the heads).

    Raises:
        InvalidRequest: a generator that is not `atoms`, an unknown objective or representation, an
            objective with nothing to fit beside its encoders, a code too narrow for the symbols.
        FloatingPointError: a loss that is not finite.
    """
    about = {"representations": representations, "regression": regression, "fitting": fitting}
    about |= {"batches": batches, "probes": probes, "device": device}
    studies = tried(objectives, generator, seeds, **about, **settings)
    kept = _Kept(directory)
    rows: list[dict[str, Any]] = []
    for study in studies:
        parts: dict[str, tuple[Callable[[list[Unit]], list[dict[str, Any]]], Sequence[str]]] = {
            "oracles": (study.oracles, representations),
            "own fusion": (study.own_fusion, [OWN_FUSION] if study.fuses else []),
            "from scratch": (study.scratch, [SCRATCH]),
            "from a warm start": (partial(study.warm, steps=regression), [WARM]),
        }
        for title, (run, names) in parts.items():
            units = [(name, seed) for name in names for seed in range(seeds)]
            keys = {unit: study.key(*unit, regression) for unit in units}
            missing = [unit for unit in units if kept.rows(keys[unit]) is None]
            if missing:
                say(f"{study.objective}, {title}: {len(missing)} runs")
                found = run(missing)
                for unit in missing:
                    kept.keep(keys[unit], [row for row in found if _unit(row) == unit])
            rows += [row for unit in units for row in kept.rows(keys[unit]) or ()]
    table = pd.DataFrame(rows)
    if directory is not None:
        table.to_csv(directory / "oracle.csv", index=False)
    return table


def tried(
    objectives: Sequence[str],
    generator: str = "atoms",
    seeds: int = defaults.SEEDS,
    *,
    representations: Sequence[str] = REPRESENTATIONS,
    regression: int = 400,
    fitting: int | None = None,
    batches: int = 64,
    probes: str = "quick",
    device: str = "cpu",
    **settings: Any,
) -> "list[_Study]":
    """Makes sure of everything that `oracle` is asked, before anything is trained.

    Returns:
        What is to be done, by objective.

    Raises:
        InvalidRequest: as of `oracle`.
    """
    training = Training(**settings)
    for name, value, least in (("seeds", seeds, 1), ("regression", regression, 1), ("batches", batches, 2)):
        if value < least:
            raise InvalidRequest(f"{name} = {value}: expected {least} or more")
    heads = dataclasses.replace(training, steps=training.steps if fitting is None else fitting)
    get_level(probes)
    own_world = "world" in parse(generator).arguments
    worlds = [{} if own_world else {"world": child(seed, "world")} for seed in range(seeds)]
    generators = [load_generator(generator, **world) for world in worlds]
    check_policy(generators[0], training.views)
    studies = []
    for objective in _different(objectives):
        make = load_objective(objective)
        for name in (*representations, WHOLE):
            member = Member(generators[0], 0, Oracle(generators[0], name))
            build(heads_only(on_oracle(make)), member, training, "cpu")
        studies.append(_Study(objective, make, generators, training, heads, probes, device, batches))
    return studies


def _different(objectives: Sequence[str]) -> list[str]:
    canonical = [str(parse(o)) for o in objectives]
    for objective in canonical:
        if canonical.count(objective) > 1:
            raise InvalidRequest(f"objective {objective!r} is asked for twice")
    return canonical


def _unit(row: dict[str, Any]) -> Unit:
    """What a row was trained for; a warm start gives a second one, after training."""
    name = row["representation"]
    return WARM if name == TRAINED else name, row["seed"]


@dataclasses.dataclass(frozen=True)
class _Study:
    """One objective's part of the experiment."""

    objective: str
    make: MakeObjective
    generators: Sequence[Generator]
    training: Training
    heads: Training
    probes: str
    device: str
    batches: int

    @property
    def fuses(self) -> bool:
        """Whether it has a fusion of its own."""
        return has_fusion(build(self.make, Member(self.generators[0], 0), self.training, "cpu"))

    def key(self, name: str, seed: int, regression: int) -> str:
        """A hash of everything that a unit's numbers depend on."""
        return digest(
            {
                "version": defaults.RESULT_VERSION,
                "objective": self.objective,
                "source": source_digest(self.objective),
                "generator": dataclasses.asdict(self.generators[seed]),  # type: ignore[call-overload]
                "seed": seed,
                "representation": name,
                "training": dataclasses.asdict(self.training),
                "fitting": self.heads.steps,
                "regression": regression if name == WARM else None,
                "scored": [self.batches, self.probes, self.device],
            }
        )

    def oracles(self, units: list[Unit]) -> list[dict[str, Any]]:
        """Heads and critics fitted on oracles."""
        return self._fitted(heads_only(on_oracle(self.make)), units, self._oracles(units), self.heads)

    def own_fusion(self, units: list[Unit]) -> list[dict[str, Any]]:
        """Fusion, heads and critics fitted on the codes of an oracle."""
        return self._fitted(self.make, units, self._oracles([(WHOLE, seed) for _, seed in units]), self.heads)

    def scratch(self, units: list[Unit]) -> list[dict[str, Any]]:
        """Trained as always."""
        members = [Member(self.generators[seed], seed) for _, seed in units]
        return self._fitted(self.make, units, members, self.training)

    def warm(self, units: list[Unit], steps: int) -> list[dict[str, Any]]:
        """Networks regressed onto an oracle, then heads fitted, then everything trained."""
        members = [
            Member(self.generators[seed], seed, taught_by(Oracle(self.generators[seed], WHOLE)))
            for _, seed in units
        ]
        towards = dataclasses.replace(self.training, steps=steps)
        regressed = self._train(partial(Regression, make=self.make), members, towards)
        start = Regression.of_objective(regressed.states)
        warm = self._train(heads_only(self.make), members, self.heads, start)
        trained = self._train(self.make, members, self.training, warm.states)
        rows = self._examined(warm, members, [WARM] * len(units))
        return rows + self._examined(trained, members, [TRAINED] * len(units))

    def _oracles(self, units: list[Unit]) -> list[Member]:
        generators = [(name, seed, self.generators[seed]) for name, seed in units]
        return [Member(g, seed, Oracle(g, name)) for name, seed, g in generators]

    def _fitted(
        self, make: MakeObjective, units: list[Unit], members: list[Member], training: Training
    ) -> list[dict[str, Any]]:
        fitted = self._train(make, members, training)
        return self._examined(fitted, members, [name for name, _ in units])

    def _train(
        self, make: MakeObjective, members: list[Member], training: Training, start: Any = ()
    ) -> FittedCohort:
        fitted = train(make, members, training, self.device, start=start)
        if fitted.failed:
            step = min(fitted.failed.values())
            raise FloatingPointError(f"{self.objective}: the loss is not finite from step {step} on")
        return fitted

    def _examined(
        self, fitted: FittedCohort, members: list[Member], names: Sequence[str]
    ) -> list[dict[str, Any]]:
        losses = fresh_losses(fitted, members, self.training, self.batches, self.device)
        means, errors = losses.mean(0).tolist(), (losses.std(0) / self.batches**0.5).tolist()
        generators, seeds = [m.generator for m in members], [m.seed for m in members]
        read = capture_cohort(fitted.represent, generators, seeds, self.probes, self.device)
        rows = []
        for name, seed, loss, error, found in zip(names, seeds, means, errors, read, strict=True):
            heads = {r["term"]: r for r in found if r["headline"] and r["readout"] == HEADLINE}
            rows.append(
                {
                    "objective": self.objective,
                    "seed": seed,
                    "representation": name,
                    "views": self.training.views,
                    "loss": loss,
                    "low": loss - Z95 * error,
                    "high": loss + Z95 * error,
                    **{f"captured_{term}": heads[term]["captured"] for term in TERMS},
                }
            )
        return rows


class _Kept:
    """Finished rows: in a folder, a file for each key, so that a killed run goes on; or in memory."""

    def __init__(self, directory: Path | None) -> None:
        self._folder = None if directory is None else directory / "finished"
        self._held: dict[str, list[dict[str, Any]]] = {}
        if self._folder is not None:
            try:
                self._folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise InvalidRequest(f"cannot write to {directory} ({error.strerror})") from None

    def rows(self, key: str) -> list[dict[str, Any]] | None:
        """The rows of a key; None where they are not finished."""
        path = None if self._folder is None else self._folder / f"{key}.json"
        if key not in self._held and path is not None and path.exists():
            self._held[key] = json.loads(path.read_text(encoding="utf-8"))
        return self._held.get(key)

    def keep(self, key: str, rows: list[dict[str, Any]]) -> None:
        """Keeps the rows of a key."""
        self._held[key] = rows
        if self._folder is not None:
            partial_ = self._folder / f".{key}.partial"
            partial_.write_text(json.dumps(rows), encoding="utf-8")
            partial_.replace(self._folder / f"{key}.json")
