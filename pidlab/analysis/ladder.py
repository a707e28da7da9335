"""The ladder of probes on one readout: linear, MLP and structured, each at its best temperature."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from pidlab.analysis.draw import Rows, labels_of, log_priors
from pidlab.analysis.features import Labels, log_posterior, whiten
from pidlab.analysis.levels import Level
from pidlab.analysis.linear import fit_linear
from pidlab.analysis.mlp import average_mlps
from pidlab.analysis.reading import Reading
from pidlab.analysis.rows import sees
from pidlab.analysis.structured import MOST_CLASSES, of_experts, of_pair
from pidlab.analysis.temperature import inverse_temperature, temper
from pidlab.errors import InvalidRequest
from pidlab.generators import Generator

HEADLINE = "z12"

# Of every target: rungs by name, each with ln q on validation and on test rows.
Rungs = dict[str, dict[str, tuple[Tensor, Tensor]]]


class Ladder:
    """Fits every rung of a level to a readout.

    Rungs: `linear` (softmax regression) and `mlp` on every target; on the headline readout, for targets
    that two ingredients make, `pair` and `experts` (see `pidlab.analysis.structured`; experts where
    z12 is z1 and z2 side by side), on linear posteriors, and with a level that affords it on those of
    MLPs (`pair-mlp`, `experts-mlp`).

    Args:
        splits: training, validation and test rows.
        generators: of every member.
        seeds: of every member.
        level: the effort.
    """

    def __init__(
        self, splits: Sequence[Rows], generators: Sequence[Generator], seeds: Sequence[int], level: Level
    ) -> None:
        self._splits, self._seeds, self._level = splits, seeds, level
        self._modalities = len(generators[0].modalities)
        self.labels = [labels_of([g.targets for g in generators], splits)]
        known = set(generators[0].beside) <= set(splits[0].labels)
        if level.beside and generators[0].beside and known:
            self.labels.append(labels_of([g.beside for g in generators], splits))
        self._pairs: dict[str, tuple[Labels, Tensor]] = {}
        self._cells: list[Labels] = []
        self._cell_laws: dict[str, Tensor] = {}
        if level.structured and known:
            self._name_ingredients(generators)
        self._white: dict[str, list[Tensor]] = {}

    @property
    def readouts(self) -> tuple[str, ...]:
        """Every readout by name."""
        return tuple(self._splits[0].readouts)

    def climb(self, readout: str, part: float = 1.0) -> dict[str, Reading]:
        """What every rung reads from a readout about every variable.

        Args:
            readout: which one.
            part: of the training rows, the first of which are used.

        Raises:
            InvalidRequest: the readout has values that are not finite.
        """
        n = round(part * next(iter(self._splits[0].readouts.values())).shape[1])
        headline = readout == HEADLINE
        # What stands beside the targets is read where it is asked about: of all, and of each modality.
        own = headline or len(sees(readout, self._modalities)) == 1
        read = self.labels if own or self._level.every_readout else self.labels[:1]
        rungs: Rungs = {name: {} for labels in read for name in labels.names}
        for i, labels in enumerate(read):
            self._add(rungs, "linear", labels, self._linear(readout, labels, n))
            if self._level.every_readout or (headline and i == 0):
                self._add(rungs, "mlp", labels, self._mlp(readout, labels, n))
        if headline:
            self._add_structured(rungs, n)
        return {
            name: self._reading(labels, i, rungs[name])
            for labels in read
            for i, name in enumerate(labels.names)
        }

    def _add_structured(self, rungs: Rungs, n: int) -> None:
        fits = {"": self._linear} | ({"-mlp": self._mlp} if self._level.every_readout else {})
        for suffix, fit in fits.items():
            for target, (labels, law) in self._pairs.items():
                found = [of_pair(log_q[:, 0], law) for log_q in fit(HEADLINE, labels, n)]
                self._add_one(rungs, f"pair{suffix}", target, found)
            if self._cells and self._side_by_side():
                experts = [fit(f"z{m + 1}", labels, n) for m, labels in enumerate(self._cells)]
                for target in self._pairs:
                    law = self._cell_laws[target]
                    found = [of_experts(q1[:, 0], q2[:, 0], law) for q1, q2 in zip(*experts, strict=True)]
                    self._add_one(rungs, f"experts{suffix}", target, found)

    def _linear(self, readout: str, labels: Labels, n: int) -> list[Tensor]:
        train, *held_out = self.white(readout)
        scores = fit_linear(train[:, :n], labels.first(n))
        return [log_posterior(scores(z), labels) for z in held_out]

    def _mlp(self, readout: str, labels: Labels, n: int) -> list[Tensor]:
        train, *held_out = self.white(readout)
        probe, count = self._level.mlp, self._level.seeds
        return average_mlps(train[:, :n], held_out, labels.first(n), self._seeds, probe, count)

    def white(self, readout: str) -> list[Float[Tensor, "members _ d"]]:
        """Whitened rows of every split."""
        if readout not in self._white:
            rows = [split.readouts[readout] for split in self._splits]
            if not all(bool(z.isfinite().all()) for z in rows):
                raise InvalidRequest(f"readout {readout!r} has values that are not finite: nothing to probe")
            change = whiten(rows[0])
            self._white[readout] = [change(z).float() for z in rows]
        return self._white[readout]

    def _add(self, rungs: Rungs, rung: str, labels: Labels, found: list[Tensor]) -> None:
        inverse = inverse_temperature(found[0], labels.validation, labels.log_prior)
        held_out = [temper(log_q, inverse, labels.log_prior) for log_q in found]
        for i, name in enumerate(labels.names):
            rungs[name][rung] = (held_out[0][:, i], held_out[1][:, i])

    def _add_one(self, rungs: Rungs, rung: str, target: str, found: list[Tensor]) -> None:
        i = self.labels[0].names.index(target)
        whole = self.labels[0]
        labels = Labels(
            (target,),
            whole.log_prior[:, [i], : found[0].shape[1]],
            whole.train[:, [i]],
            whole.validation[:, [i]],
            whole.test[:, [i]],
        )
        self._add(rungs, rung, labels, [log_q[:, None] for log_q in found])

    def _reading(self, labels: Labels, i: int, rungs: dict[str, tuple[Tensor, Tensor]]) -> Reading:
        # Labels are padded to one number of classes; a variable keeps those that some rung knows.
        classes = min(log_q.shape[1] for log_q, _ in rungs.values())
        return Reading(
            tuple(rungs),
            tuple(log_q[:, :classes] for log_q, _ in rungs.values()),
            tuple(log_q[:, :classes] for _, log_q in rungs.values()),
            labels.validation[:, i],
            labels.test[:, i],
            labels.log_prior[:, i, :classes],
        )

    def _name_ingredients(self, generators: Sequence[Generator]) -> None:
        first, device = generators[0], self.labels[0].train.device

        def stacked(laws: Sequence[Mapping[str, np.ndarray]], target: str) -> Tensor:
            return torch.stack([torch.as_tensor(law[target]) for law in laws]).float().to(device)

        for target in first.pair_laws:
            law = stacked([g.pair_laws for g in generators], target)
            _, a, b, _ = law.shape
            if a * b <= MOST_CLASSES:
                parts = [(s.labels[f"{target}:1"], s.labels[f"{target}:2"]) for s in self._splits]
                pairs = [(one * b + two)[:, None] for one, two in parts]
                self._pairs[target] = (_labels(law.sum(3).flatten(1), pairs), law)
        if self._pairs and first.cell_laws and self._splits[0].cells:
            self._cell_laws = {t: stacked([g.cell_laws for g in generators], t) for t in self._pairs}
            joint = next(iter(self._cell_laws.values())).sum(3)
            if max(joint.shape[1:]) <= MOST_CLASSES:
                cells = [[s.cells[m][:, None] for s in self._splits] for m in (0, 1)]
                self._cells = [_labels(joint.sum(2 - m), cells[m]) for m in (0, 1)]

    def _side_by_side(self) -> bool:
        test = self._splits[-1].readouts
        parts = [test.get("z1"), test.get("z2")]
        if any(z is None for z in parts):
            return False
        joined = torch.cat(parts, dim=-1)  # type: ignore[arg-type]
        return joined.shape == test[HEADLINE].shape and torch.equal(joined, test[HEADLINE])


def _labels(prior: Float[Tensor, "members classes"], splits: Sequence[Tensor]) -> Labels:
    log_prior = log_priors([[member] for member in prior.double().tolist()], prior.device)
    return Labels(("ingredients",), log_prior, *splits)
