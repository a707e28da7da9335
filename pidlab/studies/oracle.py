"""Oracle experiment: does a loss reward the true symbols, and does training reach them?"""

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from pidlab import defaults
from pidlab.decomposition import TERMS
from pidlab.defaults import Training, training_specification
from pidlab.errors import InvalidRequest
from pidlab.generators import Generator, load_generator
from pidlab.generators.parameters import check_policy
from pidlab.io import ensure_writable, write_csv
from pidlab.objectives.load import load_objective, source_digest
from pidlab.objectives.objective import MakeObjective
from pidlab.probes.capture import HEADLINE, capture_cohort
from pidlab.probes.levels import get_level
from pidlab.probes.row import Z95
from pidlab.registry import parse
from pidlab.results.panels import OWN_FUSION, REPRESENTATIONS, SCRATCH, TRAINED, WARM, WHOLE
from pidlab.seeds import child
from pidlab.studies.oracle_symbols import (
    Oracle,
    Regression,
    has_fusion,
    heads_only,
    paired_with,
    with_oracle_fusion,
)
from pidlab.studies.resumable import Parts
from pidlab.training import FittedCohort, Member, train
from pidlab.training.cohort import build
from pidlab.training.fit import fresh_losses

Unit = tuple[str, int]  # a representation's name and a seed
Row = dict[str, Any]


def oracle(
    objectives: Sequence[str],
    generator: str = "atoms",
    seeds: int = defaults.SEEDS,
    *,
    directory: Path | None = None,
    note: Callable[[str], None] = lambda _: None,
    **options: Any,
) -> pd.DataFrame:
    """Compute each objective's loss on representations made of the true symbols, and after training.

    The encoders of an oracle (and its fusion, see `Fused`) compute the symbols that its name states, and are
    frozen. The phases of the objective fit its heads and critics. The loss is then averaged over fresh
    batches. If it is lowest for the representation that the paper describes, the loss rewards it; if training
    from scratch ends higher, training does not reach it.

    Args:
        objectives: References to objectives.
        generator: Reference to `atoms`, whose symbols are functions of the observation.
        seeds: Number of seeds; each has its own rendering, data and initial weights.
        directory: Folder that keeps finished rows, from which the same call resumes, and `oracle.csv`.
        note: Receives a line when a part begins.
        **options: Arguments of `plan_oracles`.

    Returns:
        One row per (objective, seed, representation): `views`; `loss` in the objective's own unit (nats),
        with `low` and `high`, the normal 95 % interval of its mean over batches; `captured_redundant`, ...,
        the bits that the headline probe reads from z12. In addition to `representations` there are `scratch`
        (usual training), `warm` (networks regressed onto the oracle R+U+S, then heads fitted), `warm,
        trained` (everything trained further) and, for an objective with a fusion, `R+U+S, own fusion`
        (oracle codes, the objective's fusion trained with the heads).

    Raises:
        InvalidRequest: If the arguments are invalid, as for `plan_oracles`.
        FloatingPointError: If a loss is not finite.
    """
    plans = plan_oracles(objectives, generator, seeds, **options)
    if directory is not None:
        ensure_writable(directory)
    rows = [row for plan in plans for row in plan.rows(Parts(directory), note)]
    table = pd.DataFrame(rows)
    if directory is not None:
        write_csv(table, directory / "oracle.csv")
    return table


def plan_oracles(
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
) -> "list[OraclePlan]":
    """Validate the arguments of `oracle` before anything is trained.

    Args:
        objectives: References to objectives.
        generator: Reference to `atoms`.
        seeds: Number of seeds.
        representations: R, U, U1, U2, S, nuisance, joined by `+`.
        regression: Steps that regress the networks of a warm start onto the oracle's codes.
        fitting: Steps that fit heads and critics to frozen codes; default: `steps`. A linear head, such as
            that of `supervised`, needs some thousands.
        batches: Number of fresh batches that a loss is averaged over.
        probes: Effort of the probes.
        device: Device type.
        **settings: Fields of `Training`: views, steps, batch, dim, ...

    Returns:
        A plan for each objective.

    Raises:
        InvalidRequest: If the generator is not `atoms`, an objective or representation is unknown, an
            objective has no parameters outside its encoders, or the code has too few coordinates.
    """
    training = Training(**settings)
    for name, value, least in (("seeds", seeds, 1), ("regression", regression, 1), ("batches", batches, 2)):
        if value < least:
            raise InvalidRequest(f"{name} = {value}: must be at least {least}")
    heads = dataclasses.replace(training, steps=training.steps if fitting is None else fitting)
    get_level(probes)
    fixed_world = "world" in parse(generator).arguments
    worlds = [{} if fixed_world else {"world": child(seed, "world")} for seed in range(seeds)]
    generators = [load_generator(generator, **world) for world in worlds]
    check_policy(generators[0], training.views)
    canonical = [str(parse(objective)) for objective in objectives]
    plans = []
    for objective in canonical:
        if canonical.count(objective) > 1:
            raise InvalidRequest(f"objective {objective!r}: is listed twice; remove one")
        make = load_objective(objective)
        for name in (*representations, WHOLE):
            member = Member(generators[0], 0, Oracle(generators[0], name))
            build(heads_only(with_oracle_fusion(make)), member, training, "cpu")
        scoring = (batches, probes, device)
        plan = OraclePlan(
            objective, make, generators, training, heads, tuple(representations), regression, scoring
        )
        plans.append(plan)
    return plans


@dataclasses.dataclass(frozen=True)
class OraclePlan:
    """Experiment for one objective.

    Args:
        objective: Reference to the objective.
        make: Makes the objective.
        generators: The generator of each seed.
        training: Settings of the training.
        heads: Settings of fitting heads and critics.
        representations: Names of the oracles.
        regression: Steps of the regression of a warm start.
        scoring: Number of batches, effort of the probes, and device.
    """

    objective: str
    make: MakeObjective
    generators: Sequence[Generator]
    training: Training
    heads: Training
    representations: tuple[str, ...]
    regression: int
    scoring: tuple[int, str, str]

    def rows(self, parts: Parts, note: Callable[[str], None]) -> list[Row]:
        """Return the rows of all representations and seeds, and train the missing ones.

        Args:
            parts: Finished rows.
            note: Receives a line when a part begins.
        """
        stages: dict[str, tuple[Callable[[list[Unit]], list[Row]], Sequence[str]]] = {
            "oracles": (self._fit_oracles, self.representations),
            "own fusion": (self._fit_own_fusion, [OWN_FUSION] if self._has_fusion() else []),
            "from scratch": (self._train_from_scratch, [SCRATCH]),
            "from a warm start": (self._train_from_warm_start, [WARM]),
        }
        rows: list[Row] = []
        for title, (run, names) in stages.items():
            units = [(name, seed) for name in names for seed in range(len(self.generators))]
            specifications = {unit: self._specification(*unit) for unit in units}
            stored = {unit: parts.load("oracle", specifications[unit]) for unit in units}
            finished = {unit: table for unit, table in stored.items() if table is not None}
            missing = [unit for unit in units if unit not in finished]
            if missing:
                note(f"{self.objective}, {title}: {len(missing)} runs")
                computed = run(missing)
                for unit in missing:
                    finished[unit] = pd.DataFrame([row for row in computed if _unit_of(row) == unit])
                    parts.save("oracle", specifications[unit], finished[unit])
            rows += [dict(row) for unit in units for _, row in finished[unit].iterrows()]
        return rows

    def _has_fusion(self) -> bool:
        return has_fusion(build(self.make, Member(self.generators[0], 0), self.training, "cpu"))

    def _specification(self, name: str, seed: int) -> dict[str, Any]:
        """Return everything that the rows of a unit depend on."""
        return {
            "objective": self.objective,
            "source": source_digest(self.objective),
            "generator": dataclasses.asdict(self.generators[seed]),  # type: ignore[call-overload]
            "seed": seed,
            "representation": name,
            "training": training_specification(self.training),
            "fitting": self.heads.steps,
            "regression": self.regression if name == WARM else None,
            "scored": [*self.scoring],
        }

    def _fit_oracles(self, units: list[Unit]) -> list[Row]:
        """Fit heads and critics to oracles."""
        return self._fit(heads_only(with_oracle_fusion(self.make)), units, self._oracles(units), self.heads)

    def _fit_own_fusion(self, units: list[Unit]) -> list[Row]:
        """Fit fusion, heads and critics to the codes of an oracle."""
        return self._fit(self.make, units, self._oracles([(WHOLE, seed) for _, seed in units]), self.heads)

    def _train_from_scratch(self, units: list[Unit]) -> list[Row]:
        members = [Member(self.generators[seed], seed) for _, seed in units]
        return self._fit(self.make, units, members, self.training)

    def _train_from_warm_start(self, units: list[Unit]) -> list[Row]:
        """Train everything from a warm start."""
        members, warm = self.warm_start([seed for _, seed in units])
        trained = self.train(self.make, members, self.training, warm.states)
        rows = self._score(warm, members, [WARM] * len(units))
        return rows + self._score(trained, members, [TRAINED] * len(units))

    def warm_start(self, seeds: Sequence[int]) -> tuple[list[Member], FittedCohort]:
        """Regress networks onto the oracle R+U+S, then fit heads.

        Args:
            seeds: Seeds of the members.

        Returns:
            The members, and their models.

        Raises:
            FloatingPointError: If a loss is not finite.
        """
        members = [
            Member(self.generators[seed], seed, paired_with(Oracle(self.generators[seed], WHOLE)))
            for seed in seeds
        ]
        regression = dataclasses.replace(self.training, steps=self.regression)
        regressed = self.train(partial(Regression, make=self.make), members, regression)
        start = Regression.objective_states(regressed.states)
        return members, self.train(heads_only(self.make), members, self.heads, start)

    def _oracles(self, units: list[Unit]) -> list[Member]:
        return [
            Member(self.generators[seed], seed, Oracle(self.generators[seed], name)) for name, seed in units
        ]

    def _fit(
        self, make: MakeObjective, units: list[Unit], members: list[Member], training: Training
    ) -> list[Row]:
        return self._score(self.train(make, members, training), members, [name for name, _ in units])

    def train(
        self,
        make: MakeObjective,
        members: list[Member],
        training: Training,
        start: Any = (),
        snapshots: Sequence[int] = (),
    ) -> FittedCohort:
        """Train the members, see `pidlab.training.train`.

        Raises:
            FloatingPointError: If a loss is not finite.
        """
        fitted = train(make, members, training, self.scoring[2], start=start, snapshots=snapshots)
        if fitted.failed:
            step = min(fitted.failed.values())
            raise FloatingPointError(f"{self.objective}: the loss is not finite from step {step} on")
        return fitted

    def _score(self, fitted: FittedCohort, members: list[Member], names: Sequence[str]) -> list[Row]:
        batches, probes, device = self.scoring
        losses = fresh_losses(fitted, members, self.training, batches, device)
        means, errors = losses.mean(0).tolist(), (losses.std(0) / batches**0.5).tolist()
        generators, seeds = [m.generator for m in members], [m.seed for m in members]
        captured = capture_cohort(fitted.represent, generators, seeds, probes, device)
        rows = []
        for name, seed, loss, error, readings in zip(names, seeds, means, errors, captured, strict=True):
            bits = {r["term"]: r for r in readings if r["headline"] and r["readout"] == HEADLINE}
            rows.append(
                {
                    "objective": self.objective,
                    "seed": seed,
                    "representation": name,
                    "views": self.training.views,
                    "loss": loss,
                    "low": loss - Z95 * error,
                    "high": loss + Z95 * error,
                    **{f"captured_{term}": bits[term]["captured"] for term in TERMS},
                }
            )
        return rows


def _unit_of(row: Row) -> Unit:
    """Return the unit of a row; a warm start gives a second row, after training."""
    name = row["representation"]
    return WARM if name == TRAINED else name, row["seed"]
