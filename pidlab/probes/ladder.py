"""Ladder of probes on one readout: linear, MLP and structured, each at its best temperature."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from pidlab.errors import InvalidRequest
from pidlab.generators import Generator
from pidlab.probes.levels import Level
from pidlab.probes.linear import fit_linear
from pidlab.probes.mlp import average_mlps
from pidlab.probes.posteriors import inverse_temperature, log_posterior, temper
from pidlab.probes.reading import HeldOut, Reading
from pidlab.probes.row import modalities_of
from pidlab.probes.splits import Labels, Split, stack_labels
from pidlab.probes.structured import Ingredients, experts_posterior, is_structured, pair_posterior
from pidlab.probes.whitening import whiten

HEADLINE = "z12"

# Posteriors by target and probe.
Posteriors = dict[str, dict[str, HeldOut]]

# A function of (readout, labels, number of training rows) that returns ln q on validation and test rows.
Fit = Callable[[str, Labels, int], list[Tensor]]


class Ladder:
    """Probes of one level, fitted to the readouts of all members at once.

    `linear` (softmax regression) and `mlp` read every target. On the headline readout, `pair` and
    `experts` read targets with two ingredients (`pidlab.probes.structured`) from linear posteriors;
    levels with `every_readout` add `pair-mlp` and `experts-mlp`, from posteriors of MLPs. The experts
    need a z12 that is the concatenation of z1 and z2. Structured probes are never the headline unless
    the level allows it.

    Args:
        splits: Training, validation and test rows.
        generators: One generator per member.
        seeds: One seed per member, for the initial weights of MLPs.
        level: Effort of the probes.
    """

    def __init__(
        self, splits: Sequence[Split], generators: Sequence[Generator], seeds: Sequence[int], level: Level
    ) -> None:
        self._splits, self.seeds, self.level = splits, seeds, level
        self._modalities = len(generators[0].modalities)
        self.labels = [stack_labels([g.target_specs for g in generators], splits)]
        labeled = set(generators[0].auxiliary_specs) <= set(splits[0].labels)
        if level.auxiliary and generators[0].auxiliary_specs and labeled:
            self.labels.append(stack_labels([g.auxiliary_specs for g in generators], splits))
        self._ingredients = Ingredients(splits, generators) if level.structured and labeled else None
        self._whitened: dict[str, list[Tensor]] = {}
        self._generators = generators

    @property
    def readouts(self) -> tuple[str, ...]:
        """Names of the readouts."""
        return tuple(self._splits[0].readouts)

    def of_features(self, members: Sequence[int], features: Sequence[Tensor]) -> "Ladder":
        """Return probes that read features of the headline readout, for some members and their targets.

        Args:
            members: Members, in this order.
            features: Training, validation and test rows of these members, of about unit variance; they are
                not whitened again.
        """
        splits = [
            Split({HEADLINE: z}, {name: y[list(members)] for name, y in split.labels.items()}, ())
            for z, split in zip(features, self._splits, strict=True)
        ]
        level = replace(self.level, auxiliary=False, structured=False)
        generators, seeds = [self._generators[k] for k in members], [self.seeds[k] for k in members]
        ladder = Ladder(splits, generators, seeds, level)
        ladder._whitened[HEADLINE] = list(features)
        return ladder

    def fit_probes(
        self, readout: str, fraction: float = 1.0, probes: Collection[str] = ("linear", "mlp")
    ) -> dict[str, Reading]:
        """Fit every probe of the level to a readout.

        Args:
            readout: Name of the readout.
            fraction: Fraction of the training rows to use; the first rows are used.
            probes: Probes to fit, apart from structured ones.

        Returns:
            The reading of each target.

        Raises:
            InvalidRequest: If the readout has values that are not finite.
        """
        n = round(fraction * next(iter(self._splits[0].readouts.values())).shape[1])
        is_headline = readout == HEADLINE
        # Auxiliary targets are read from single modalities and from the headline readout.
        has_auxiliary = is_headline or len(modalities_of(readout, self._modalities)) == 1
        labels_read = self.labels if has_auxiliary or self.level.every_readout else self.labels[:1]
        posteriors: Posteriors = {name: {} for labels in labels_read for name in labels.names}
        for i, labels in enumerate(labels_read):
            if "linear" in probes:
                _add(posteriors, "linear", labels, self._fit_linear(readout, labels, n))
            if "mlp" in probes and (self.level.every_readout or (is_headline and i == 0)):
                _add(posteriors, "mlp", labels, self._fit_mlp(readout, labels, n))
        if is_headline and self._ingredients is not None:
            self._add_structured(posteriors, self._ingredients, n)
        excluded: set[str] = set()
        if not self.level.structured_headline:
            excluded = {probe for probes in posteriors.values() for probe in probes if is_structured(probe)}
        return {
            name: Reading.of(labels, i, posteriors[name], excluded)
            for labels in labels_read
            for i, name in enumerate(labels.names)
        }

    def _fit_linear(self, readout: str, labels: Labels, n: int) -> list[Tensor]:
        train, *held_out = self.whitened(readout)
        scores = fit_linear(train[:, :n], labels.with_first_rows(n))
        return [log_posterior(scores(z), labels) for z in held_out]

    def _fit_mlp(self, readout: str, labels: Labels, n: int) -> list[Tensor]:
        train, *held_out = self.whitened(readout)
        probe, count = self.level.mlp, self.level.seeds
        return average_mlps(train[:, :n], held_out, labels.with_first_rows(n), self.seeds, probe, count)

    def whitened(self, readout: str) -> list[Float[Tensor, "members _ d"]]:
        """Return the whitened rows of every split."""
        if readout not in self._whitened:
            rows = [split.readouts[readout] for split in self._splits]
            if not all(bool(z.isfinite().all()) for z in rows):
                raise InvalidRequest(
                    f"readout {readout!r}: has values that are not finite; check the objective for divergence"
                )
            whitening = whiten(rows[0])
            self._whitened[readout] = [whitening(z).float() for z in rows]
        return self._whitened[readout]

    def _add_structured(self, posteriors: Posteriors, ingredients: Ingredients, n: int) -> None:
        fits: dict[str, Fit] = {"": self._fit_linear}
        if self.level.every_readout:
            fits["-mlp"] = self._fit_mlp
        for suffix, fit in fits.items():
            for target, (labels, law) in ingredients.pairs.items():
                held_out = [pair_posterior(log_q[:, 0], law) for log_q in fit(HEADLINE, labels, n)]
                self._add_target(posteriors, f"pair{suffix}", target, held_out)
            if ingredients.cells and self._is_concatenation():
                experts = [fit(f"z{m + 1}", labels, n) for m, labels in enumerate(ingredients.cells)]
                for target in ingredients.pairs:
                    law = ingredients.cell_laws[target]
                    held_out = [
                        experts_posterior(a[:, 0], b[:, 0], law) for a, b in zip(*experts, strict=True)
                    ]
                    self._add_target(posteriors, f"experts{suffix}", target, held_out)

    def _add_target(self, posteriors: Posteriors, probe: str, target: str, held_out: list[Tensor]) -> None:
        labels = self.labels[0].select(target, held_out[0].shape[1])
        _add(posteriors, probe, labels, [log_q[:, None] for log_q in held_out])

    def _is_concatenation(self) -> bool:
        """Return whether z12 is z1 and z2 concatenated."""
        test = self._splits[-1].readouts
        parts = [test.get("z1"), test.get("z2")]
        if any(z is None for z in parts):
            return False
        joined = torch.cat(parts, dim=-1)  # type: ignore[arg-type]
        return joined.shape == test[HEADLINE].shape and torch.equal(joined, test[HEADLINE])


def _add(posteriors: Posteriors, probe: str, labels: Labels, held_out: list[Tensor]) -> None:
    """Add the posteriors of a probe on validation and test rows, at the best validation temperature."""
    inverse = inverse_temperature(held_out[0], labels.validation, labels.log_prior)
    validation, test = (temper(log_q, inverse, labels.log_prior) for log_q in held_out)
    for i, name in enumerate(labels.names):
        posteriors[name][probe] = (validation[:, i], test[:, i])
