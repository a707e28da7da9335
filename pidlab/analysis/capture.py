"""Captured bits: what probes read from frozen readouts about every target, against the truth."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from pidlab.analysis.features import Labels, log_posterior, log_ratio_bits, whiten
from pidlab.analysis.linear import fit_linear
from pidlab.analysis.mlp import MLPProbe, fit_mlp
from pidlab.clock import Clock
from pidlab.errors import InvalidRequest
from pidlab.generators import Generator, Sample, Target
from pidlab.modality import rows_at_once
from pidlab.seeds import child

# Two-sided 95 % of a normal.
Z95 = 1.959963984540054

# Rows drawn at once, fewer of large images (`rows_at_once`).
DRAW_ROWS = 4096

# What rows are for, and the split that they come from where a generator has but so many.
PARTS = {"train": "probe", "validation": "validation", "test": "test"}


@dataclass(frozen=True)
class Level:
    """An effort of probing.

    Args:
        train: rows that probes are fitted on.
        validation: rows that choose between probes and snapshots.
        test: rows that are scored.
        mlp: the MLP probe on z12.
    """

    train: int
    validation: int
    test: int
    mlp: MLPProbe


LEVELS = {
    "quick": Level(8192, 4096, 12288, MLPProbe(epochs=8)),
    "standard": Level(20480, 8192, 20480, MLPProbe()),
}

HEADLINE = "z12"


@runtime_checkable
class Represents(Protocol):
    """Anything that maps observations to named readouts."""

    def represent(self, *x: Tensor) -> dict[str, Tensor]:
        """Every readout of x1, x2, ..."""
        ...


def sees(readout: str, modalities: int) -> tuple[int, ...]:
    """The modalities that a readout is computed from: `z1` the first, `z2` the second, else all."""
    single = {f"z{i + 1}": (i,) for i in range(modalities)}
    return single.get(readout, tuple(range(modalities)))


def capture(
    fitted: Represents | Callable[..., dict[str, Tensor]],
    generator: Generator,
    seed: int = 0,
    probes: str = "standard",
    device: torch.device | str = "cpu",
) -> pd.DataFrame:
    """Bits about every target that probes read from every readout.

    captured = mean over fresh test rows of log2 q(y|z)/p(y), p the exact prior and q a probe fitted
    on other rows: a lower bound on I(readout; target), in expectation (CAPTURE protocol; Xu et al.
    2020, predictive V-information). `low`, `high` bound its expectation with 95 % confidence (normal,
    over test rows), not I. Values are never clipped: a null may read slightly below 0.

    Args:
        fitted: a fitted model, or a function of (x1, x2) that returns readouts by name.
        generator: what the data and the truth come from.
        seed: seeds the probes and their data, which no encoder of this seed has seen.
        probes: `"quick"` or `"standard"`.
        device: where to compute.

    Returns:
        A row per (readout, target, probe): readout, term, quantity, truth, captured, low, high (bits),
        probe, headline (one per readout and term: the best on validation), converged (None: not
        examined).

    Raises:
        InvalidRequest: an unknown level; a readout with values that are not finite.
    """
    represent: Any = getattr(fitted, "represent", fitted)

    def stacked(x: Sequence[Tensor]) -> dict[str, Tensor]:
        with torch.no_grad():
            return {name: z[None] for name, z in represent(*(xi[0] for xi in x)).items()}

    (rows,) = capture_cohort(stacked, [generator], [seed], probes, device)
    return pd.DataFrame(rows)


def capture_cohort(
    represent: Callable[[Sequence[Tensor]], dict[str, Float[Tensor, "members n _"]]],
    generators: Sequence[Generator],
    seeds: Sequence[int],
    probes: str = "standard",
    device: torch.device | str = "cpu",
    clock: Clock | None = None,
) -> list[list[dict[str, Any]]]:
    """`capture` for many members at once; one list of rows per member."""
    if probes not in LEVELS:
        raise InvalidRequest(f"unknown probes {probes!r}: expected one of {', '.join(LEVELS)}")
    if len(generators) == 1:  # as in training: one alone would take other kernels than two

        def doubled(x: Sequence[Tensor]) -> dict[str, Tensor]:
            return {name: torch.cat([z, z]) for name, z in represent([xi[:1] for xi in x]).items()}

        twice = capture_cohort(doubled, [*generators] * 2, [*seeds] * 2, probes, device, clock)
        return twice[:1]
    level, clock = LEVELS[probes], clock or Clock()
    draw = _Draw(represent, generators, seeds, torch.device(device), clock)
    parts = [draw(split, getattr(level, split)) for split in PARTS]
    with clock("probing"):
        return _probe(parts, generators, seeds, level)


class _Draw:
    """Fresh rows of a split: readouts and labels of every member."""

    def __init__(
        self,
        represent: Callable[[Sequence[Tensor]], dict[str, Tensor]],
        generators: Sequence[Generator],
        seeds: Sequence[int],
        device: torch.device,
        clock: Clock,
    ) -> None:
        self._represent, self._seeds, self._device, self._clock = represent, seeds, device, clock
        self._stack = type(generators[0]).stack(generators)
        self._modalities = generators[0].modalities

    def __call__(self, split: str, n: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        readouts: dict[str, list[Tensor]] = {}
        labels: dict[str, list[Tensor]] = {}
        part, most = "eval", rows_at_once(self._modalities, DRAW_ROWS)
        if (rows := self._stack.generators[0].rows(PARTS[split])) is not None:
            # No row is met twice: not in two parts, nor within one.
            part, n, most = PARTS[split], min(n, rows), n
        for c, start in enumerate(range(0, n, most)):
            with self._clock("data"):
                sample: Sample = self._stack.sample(
                    min(most, n - start),
                    [child(seed, "probes", split, c) for seed in self._seeds],
                    part,
                    self._device,
                )
            with self._clock("representing"):
                for name, z in self._represent(sample.x).items():
                    readouts.setdefault(name, []).append(z)
            for name, y in sample.targets.items():
                labels.setdefault(name, []).append(y)
        joined = {name: torch.cat(z, dim=1) for name, z in readouts.items()}
        return joined, {name: torch.cat(y, dim=1) for name, y in labels.items()}


def _probe(
    parts: Sequence[tuple[dict[str, Tensor], dict[str, Tensor]]],
    generators: Sequence[Generator],
    seeds: Sequence[int],
    level: Level,
) -> list[list[dict[str, Any]]]:
    (train, _), (validation, _), (test, _) = parts
    targets = [g.targets for g in generators]
    labels = _labels(targets, [y for _, y in parts])
    rows: list[list[dict[str, Any]]] = [[] for _ in generators]
    for readout, z in train.items():
        if not bool(z.isfinite().all()):
            raise InvalidRequest(f"readout {readout!r} has values that are not finite: nothing to probe")
        white = whiten(z)
        z_train, z_val, z_test = white(z), white(validation[readout]), white(test[readout])
        scores = fit_linear(z_train, labels)
        fitted = {"linear": [log_posterior(scores(z), labels) for z in (z_val, z_test)]}
        if readout == HEADLINE:
            fitted["mlp"] = fit_mlp(z_train, [z_val, z_test], labels, seeds, level.mlp)
        _score(rows, readout, fitted, labels, targets)
    return rows


def _labels(targets: Sequence[dict[str, Target]], splits: Sequence[dict[str, Tensor]]) -> Labels:
    names = tuple(targets[0])
    classes = max(target.classes for target in targets[0].values())
    stacked = [torch.stack([y[name] for name in names], dim=1) for y in splits]
    prior = torch.zeros(len(targets), len(names), classes, dtype=torch.float64)
    for k, member in enumerate(targets):
        for t, target in enumerate(member.values()):
            prior[k, t, : target.classes] = torch.tensor(target.prior, dtype=torch.float64)
    log_prior = prior.log().float().to(stacked[0].device)
    return Labels(names, log_prior, stacked[0], stacked[1], stacked[2])


def _score(
    rows: list[list[dict[str, Any]]],
    readout: str,
    fitted: dict[str, list[Tensor]],
    labels: Labels,
    targets: Sequence[dict[str, Target]],
) -> None:
    """Appends a row per member, target and probe."""
    chosen_by, bits, errors = [], [], []
    for log_q_val, log_q_test in fitted.values():
        chosen_by.append(log_ratio_bits(log_q_val, labels.validation, labels.log_prior).double().mean(-1))
        points = log_ratio_bits(log_q_test, labels.test, labels.log_prior).double()
        bits.append(points.mean(-1))
        errors.append(points.std(-1) / points.shape[-1] ** 0.5)
    headline = torch.stack(chosen_by).argmax(0).tolist()
    table = torch.stack([torch.stack(bits), torch.stack(errors)]).tolist()
    for k, member in enumerate(targets):
        for t, (term, target) in enumerate(member.items()):
            seen = sees(readout, max(len(key) for key in target.information))
            for p, probe in enumerate(fitted):
                captured, error = table[0][p][k][t], table[1][p][k][t]
                rows[k].append(
                    {
                        "readout": readout,
                        "term": term,
                        "quantity": "mi",
                        "truth": target.information[seen],
                        "captured": captured,
                        "low": captured - Z95 * error,
                        "high": captured + Z95 * error,
                        "probe": probe,
                        "headline": headline[k][t] == p,
                        "converged": None,
                    }
                )
