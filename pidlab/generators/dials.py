"""Stress dials: what they do to a pmf, to a prior and to the entropy of a label."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import reduce
from typing import Any

import numpy as np
from jaxtyping import Float

from pidlab.errors import InvalidRequest
from pidlab.generators.parameters import check_probability, check_whole
from pidlab.info import entropy


@dataclass(frozen=True)
class Dials:
    """Stress that every generator accepts in addition to its own parameters.

    Args:
        label_noise: Share of labels that are replaced by another class, drawn uniformly; each target
            separately.
        subclasses: Number of subclasses of equal probability into which each class is divided at random. The
            information does not change; H(T) rises by log2(subclasses).
        rare_class: Probability of the last class; the other classes keep their proportions. None leaves the
            prior as it is. Only for generators of one target.
        broken_pairs: Share of rows whose second modality is that of an independent row. The targets remain
            those of the first row.
        missing_modality1: Share of rows whose first modality is missing, which is shown as zeros.
        missing_modality2: Share of rows whose second modality is missing.

    Raises:
        InvalidRequest: If a value is out of range.

    Example:
        >>> Dials(label_noise=0.1).active
        {'label_noise': 0.1}
    """

    label_noise: float = 0.0
    subclasses: int = 1
    rare_class: float | None = None
    broken_pairs: float = 0.0
    missing_modality1: float = 0.0
    missing_modality2: float = 0.0

    def __post_init__(self) -> None:
        check_probability(self, "label_noise", "broken_pairs", "missing_modality1", "missing_modality2")
        check_whole(self, subclasses=1)
        if self.rare_class is not None:
            check_probability(self, "rare_class")
            if self.rare_class in (0.0, 1.0):
                raise InvalidRequest(f"rare_class = {self.rare_class:g}: expected a number between 0 and 1")

    @property
    def active(self) -> dict[str, Any]:
        """Dials that differ from their default, by name."""
        values = {name: getattr(self, name) for name in DIALS}
        return {name: value for name, value in values.items() if value != DIALS[name]}

    @property
    def missing(self) -> tuple[float, float]:
        """Share of rows without each modality."""
        return (self.missing_modality1, self.missing_modality2)

    @property
    def changes_modalities(self) -> bool:
        """True if the modalities change, and not only the labels."""
        return self.broken_pairs > 0.0 or any(self.missing)

    @property
    def changes_truth(self) -> bool:
        """True if any information changes."""
        return bool(self.active.keys() - {"subclasses"})

    def apply(
        self, law: Float[np.ndarray, "n1 n2 y"], classes: Sequence[int]
    ) -> Float[np.ndarray, "m1 m2 y"]:
        """Compute the pmf of the stressed data from that of the generator, without subclasses.

        With q broken pairs, p'(x1, x2, y) = (1 - q) p(x1, x2, y) + q p(x1, y) p(x2). A missing modality has
        one more symbol, the last. The labels of the result passed a symmetric channel per target.

        Args:
            law: Joint pmf p(x1, x2, y).
            classes: Number of classes of each target whose labels y enumerates; their product is the length
                of the last axis.

        Returns:
            The joint pmf p'(x1, x2, y).

        Example:
            >>> xor = np.array([[[0.25, 0], [0, 0.25]], [[0, 0.25], [0.25, 0]]])
            >>> Dials(broken_pairs=1.0).apply(xor, [2])[0]
            array([[0.125, 0.125],
                   [0.125, 0.125]])
        """
        if self.rare_class is not None:
            law = law * self.class_weights(law.sum((0, 1)))
        if self.broken_pairs:
            apart = law.sum(1)[:, None, :] * law.sum((0, 2))[None, :, None]
            law = (1.0 - self.broken_pairs) * law + self.broken_pairs * apart
        for m, share in enumerate(self.missing):
            if share:
                law = np.concatenate([(1.0 - share) * law, share * law.sum(m, keepdims=True)], axis=m)
        return law @ reduce(np.kron, map(self._channel, classes)) if self.label_noise else law

    def _channel(self, classes: int) -> Float[np.ndarray, "k k"]:
        if classes < 2:
            return np.eye(classes)
        other = self.label_noise / (classes - 1)
        return (1.0 - self.label_noise - other) * np.eye(classes) + other

    def class_weights(self, prior: Float[np.ndarray, " k"]) -> Float[np.ndarray, " k"]:
        """Return p'(y) / p(y) of each class, where p' has the requested rare class."""
        if self.rare_class is None:
            return np.ones(len(prior))
        last = int(np.flatnonzero(prior)[-1])
        weights = np.full(len(prior), (1.0 - self.rare_class) / (1.0 - prior[last]))
        weights[last] = self.rare_class / prior[last]
        return weights

    def prior(self, prior: Float[np.ndarray, " k"]) -> Float[np.ndarray, " k"]:
        """Compute the prior of a target after rare class and label noise, without subclasses."""
        prior = prior * self.class_weights(prior)
        others = self.label_noise / max(len(prior) - 1, 1)
        return (1.0 - self.label_noise) * prior + others * (prior.sum() - prior)

    def divide(self, law: Float[np.ndarray, "*n k"]) -> Float[np.ndarray, "*n j"]:
        """Divide each class, on the last axis of a pmf, into its subclasses."""
        return np.repeat(law, self.subclasses, axis=-1) / self.subclasses


# Neutral value of every dial.
DIALS: dict[str, Any] = {f.name: f.default for f in fields(Dials)}


def noisy_label_entropy(weight: float, label_noise: float, classes: int) -> float:
    """Compute the entropy of a noisy label whose true value is one of two classes.

    With label noise e and K classes, the label is the first class with probability
    w (1 - e) + (1 - w) e / (K - 1), the second likewise with 1 - w, and each other class with e / (K - 1).

    Args:
        weight: Probability w of the first of the two classes; 1 if the true label is known.
        label_noise: Share e of labels that are replaced by another class.
        classes: Number K of classes.

    Returns:
        The entropy in bits.

    Example:
        >>> round(noisy_label_entropy(1.0, 0.1, 2), 3)
        0.469
    """
    other = label_noise / (classes - 1)
    pair = [w * (1.0 - label_noise) + (1.0 - w) * other for w in (weight, 1.0 - weight)]
    rest = -(classes - 2) * other * math.log2(other) if other and classes > 2 else 0.0
    # Not a pmf if there are other classes, but the sum of -p log2 p is what is needed.
    return float(entropy(np.array(pair))) + rest
