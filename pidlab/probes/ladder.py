"""The ladder of probes on one readout: linear, MLP and structured, each at its best temperature."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from pidlab.errors import InvalidRequest
from pidlab.generators import Generator
from pidlab.probes.data import (
    Labels,
    Rows,
    labels_of,
    log_posterior,
    log_priors,
    log_ratio_bits,
    modalities_of,
    of_label,
    whiten,
)
from pidlab.probes.levels import Level
from pidlab.probes.linear import fit_linear
from pidlab.probes.mlp import average_mlps


@dataclass(frozen=True)
class Reading:
    """Posteriors of every rung, and the labels of the rows they are for.

    There is no place for training rows here: a score is a held-out score.

    Args:
        rungs: names of the probes.
        validation: ln q(y|z) of each rung on validation rows.
        test: of each rung on test rows.
        y_validation: labels of the validation rows.
        y_test: labels of the test rows.
        log_prior: ln p(y), exact.
    """

    rungs: tuple[str, ...]
    validation: tuple[Float[Tensor, "members classes m"], ...]
    test: tuple[Float[Tensor, "members classes k"], ...]
    y_validation: Int[Tensor, "members m"]
    y_test: Int[Tensor, "members k"]
    log_prior: Float[Tensor, "members classes"]

    @cached_property
    def headline(self) -> Int[Tensor, " members"]:
        """The rung that is best on validation rows, for each member."""
        means = [_bits(q, self.y_validation, self.log_prior).mean(-1) for q in self.validation]
        return torch.stack(means).argmax(0)

    @cached_property
    def bits(self) -> Float[Tensor, "rungs members k"]:
        """log2 q(y|z)/p(y) of every test row; its mean is the captured bits."""
        return torch.stack([_bits(q, self.y_test, self.log_prior) for q in self.test])

    @property
    def headline_bits(self) -> Float[Tensor, "members k"]:
        """The believed rung's score of every test row."""
        return self.bits[self.headline, torch.arange(len(self.headline), device=self.headline.device)]

    def believed(self) -> tuple[Float[Tensor, "members classes m"], Float[Tensor, "members classes k"]]:
        """The believed rung's ln q(y|z) on validation and on test rows."""
        place = (self.headline, torch.arange(len(self.headline), device=self.headline.device))
        return torch.stack(self.validation)[place], torch.stack(self.test)[place]


def _bits(log_q: Tensor, y: Tensor, log_prior: Tensor) -> Tensor:
    return log_ratio_bits(log_q[:, None], y[:, None], log_prior[:, None])[:, 0].double()


# Four times the rows raised the score by more than this many bits, or by more than two standard errors
# of it and a visible amount: it has not converged.
RISE, VISIBLE = 0.02, 0.005


def converged(full: Reading, quarter: Reading) -> Bool[Tensor, "rungs members"]:
    """Whether each rung's score on test rows had stopped rising with its training rows.

    It can miss: a probe that sees nothing with either number of rows looks converged. What it could
    have seen is what the planted control says (`pidlab.probes.controls`).
    """
    rise = full.bits.mean(-1) - quarter.bits.mean(-1)
    error = full.bits.std(-1) / full.bits.shape[-1] ** 0.5
    return ~((rise > RISE) | (rise > torch.maximum(2.0 * error, torch.full_like(error, VISIBLE))))


# Larger alphabets have too few rows per class to be probed.
MOST_CLASSES = 64


def of_pair(
    log_q: Float[Tensor, "members pairs n"], law: Float[Tensor, "members a b classes"]
) -> Float[Tensor, "members classes n"]:
    """Ln q(y|z) = ln Σ_ab q(a, b|z) p(y|a, b): a softmax over pairs of ingredients, marginalised.

    A linear one reads an XOR from a representation in which both of its bits are linear.

    Args:
        log_q: ln q(a, b|z), the pair as one number a·|b| + b.
        law: p(a, b, y); pairs that cannot occur count nothing.
    """
    given = law / law.sum(-1, keepdim=True).clamp_min(torch.finfo(law.dtype).tiny)
    return _log(given.flatten(1, 2).mT @ log_q.exp())


def of_experts(
    log_q1: Float[Tensor, "members n1 n"],
    log_q2: Float[Tensor, "members n2 n"],
    law: Float[Tensor, "members n1 n2 classes"],
) -> Float[Tensor, "members classes n"]:
    """Ln q(y|z1, z2) with q ∝ Σ p(c1, c2, y) q(c1|z1)/p(c1) · q(c2|z2)/p(c2): a product of experts.

    Bayes' rule, exact for exact experts where z1 and z2 are independent given the cells c1, c2 of
    their modalities, and each depends on its own cell only. With c = (r, u, s) this is
    p(r,u1,s1|z1) p(r,u2,s2|z2) / p(r), marginalised. Wrong where noise is shared: validation decides.

    Args:
        log_q1: ln q(c1|z1).
        log_q2: ln q(c2|z2).
        law: p(c1, c2, y).
    """
    first = _over_prior(log_q1, law.sum((2, 3)))
    second = _over_prior(log_q2, law.sum((1, 3)))
    n2, classes = law.shape[2:]
    partial = law.flatten(2).mT @ first
    joint = (partial.unflatten(1, (n2, classes)) * second[:, :, None]).sum(1)
    return torch.log_softmax(_log(joint), dim=1)


def _over_prior(log_q: Tensor, prior: Tensor) -> Tensor:
    """q(c|z)/p(c), 0 for cells that cannot occur."""
    return torch.where(prior > 0, 1.0 / prior.clamp_min(1e-30), 0.0)[..., None] * log_q.exp()


def _log(q: Tensor) -> Tensor:
    return q.clamp_min(torch.finfo(q.dtype).tiny).log()


# Temperatures between 1/2 and 3; the search is over their inverse, in which the loss is convex.
COLDEST, HOTTEST = 0.5, 3.0
STEPS = 6
# A class that a probe excludes is taken for this unlikely, in nats, so that no row's loss is infinite.
LEAST_SCORE = -60.0


def temper(
    log_q: Float[Tensor, "members targets classes n"],
    inverse: Float[Tensor, "members targets"],
    log_prior: Float[Tensor, "members targets classes"],
) -> Float[Tensor, "members targets classes n"]:
    """Ln of q'(y|z) ∝ p(y) (q(y|z) / p(y))^(1/T): infinite T gives the prior back."""
    prior = log_prior[..., None]
    return torch.log_softmax(prior + inverse[..., None, None] * _scores(log_q, prior), dim=2)


def inverse_temperature(
    log_q: Float[Tensor, "members targets classes n"],
    y: Int[Tensor, "members targets n"],
    log_prior: Float[Tensor, "members targets classes"],
    hottest: float = HOTTEST,
) -> Float[Tensor, "members targets"]:
    """The 1/T of least cross-entropy on validation rows, T in [1/2, `hottest`], by Newton's method.

    1, which changes nothing, where no step is better than that.
    """
    prior = log_prior[..., None]
    scores = _scores(log_q, prior)
    own = of_label(scores, y)
    inverse = torch.ones_like(own[..., 0])
    losses, tried = [], []
    for _ in range(STEPS):
        logits = prior + inverse[..., None, None] * scores
        log_norm = torch.logsumexp(logits, dim=2)
        q = torch.exp(logits - log_norm[:, :, None])
        mean = (q * scores).sum(2)
        losses.append((log_norm - inverse[..., None] * own).double().mean(-1))
        tried.append(inverse)
        slope = (mean - own).mean(-1)
        curvature = ((q * scores.square()).sum(2) - mean.square()).mean(-1).clamp_min(1e-12)
        inverse = (inverse - slope / curvature).clamp(1.0 / hottest, 1.0 / COLDEST)
    best = torch.stack(losses).argmin(0)
    return torch.stack(tried).gather(0, best[None])[0]


def _scores(log_q: Tensor, log_prior: Tensor) -> Tensor:
    """Ln q/p, 0 for classes that cannot occur."""
    possible = log_prior > -torch.inf
    return torch.where(possible, log_q - torch.where(possible, log_prior, 0.0), 0.0).clamp_min(LEAST_SCORE)


HEADLINE = "z12"

# Of every target: rungs by name, each with ln q on validation and on test rows.
Rungs = dict[str, dict[str, tuple[Tensor, Tensor]]]


class Ladder:
    """Fits every rung of a level to a readout.

    Rungs: `linear` (softmax regression) and `mlp` on every target; on the headline readout, for targets
    that two ingredients make, `pair` and `experts` (see `pidlab.probes.ladder`; experts where
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
        self.labels = [labels_of([g.target_specs for g in generators], splits)]
        known = set(generators[0].auxiliary_specs) <= set(splits[0].labels)
        if level.auxiliary and generators[0].auxiliary_specs and known:
            self.labels.append(labels_of([g.auxiliary_specs for g in generators], splits))
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

    def fit_probes(self, readout: str, part: float = 1.0) -> dict[str, Reading]:
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
        own = headline or len(modalities_of(readout, self._modalities)) == 1
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
