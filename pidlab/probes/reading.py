"""Predictions of the probes of one readout about one target on held-out rows."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from pidlab.probes.posteriors import log_ratio_bits
from pidlab.probes.splits import Labels

# The score has not converged if four times the rows raise it by more than MAX_RISE bits, or by more
# than two standard errors and at least MIN_RISE bits.
MAX_RISE, MIN_RISE = 0.02, 0.005

# Posteriors of one probe: ln q on validation and on test rows.
HeldOut = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Reading:
    """Posteriors of every probe on held-out rows, with the labels of these rows.

    Training rows have no place here, so that every score is a held-out score.

    Args:
        probes: Names of the probes.
        validation: ln q(y|z) of each probe on validation rows, each of shape (members, classes, m).
        test: ln q(y|z) of each probe on test rows, each of shape (members, classes, k).
        y_validation: Class indices of validation rows, shape (members, m).
        y_test: Class indices of test rows, shape (members, k).
        log_prior: Natural log of the exact prior, shape (members, classes).
        no_headline: Probes that are reported but never the headline.
        absent: Members without a posterior of a probe, by its name; their posterior is the prior.
    """

    probes: tuple[str, ...]
    validation: tuple[Float[Tensor, "members classes m"], ...]
    test: tuple[Float[Tensor, "members classes k"], ...]
    y_validation: Int[Tensor, "members m"]
    y_test: Int[Tensor, "members k"]
    log_prior: Float[Tensor, "members classes"]
    no_headline: frozenset[str] = frozenset()
    absent: Mapping[str, Collection[int]] = field(default_factory=dict)

    @classmethod
    def of(
        cls, labels: Labels, i: int, probes: Mapping[str, HeldOut], no_headline: Collection[str] = ()
    ) -> "Reading":
        """Return the reading of target `i` of `labels`.

        Args:
            labels: Labels of the rows.
            i: Position of the target in `labels`.
            probes: Posteriors of each probe by name.
            no_headline: Probes that are reported but never the headline.
        """
        # Targets have different numbers of classes, and the tensors of labels are padded to the largest one.
        # Drop the padding: every probe scores the classes of this target only.
        classes = min(validation.shape[1] for validation, _ in probes.values())
        return cls(
            tuple(probes),
            tuple(validation[:, :classes] for validation, _ in probes.values()),
            tuple(test[:, :classes] for _, test in probes.values()),
            labels.validation[:, i],
            labels.test[:, i],
            labels.log_prior[:, i, :classes],
            frozenset(no_headline),
        )

    @cached_property
    def headline(self) -> Int[Tensor, " members"]:
        """Index of the probe with the best validation score, for each member."""
        scores = self.validation_bits.mean(-1)
        for p, probe in enumerate(self.probes):
            if probe in self.no_headline:
                scores[p] = -torch.inf
            scores[p, list(self.absent.get(probe, ()))] = -torch.inf
        return scores.argmax(0)

    def with_probe(self, probe: str, members: Sequence[int], posteriors: HeldOut) -> "Reading":
        """Return the reading with a further probe, which only some members have.

        Args:
            probe: Name of the probe.
            members: Members that have it.
            posteriors: ln q(y|z) on validation and on test rows, each of shape (len(members), classes, _).
        """
        parts = []
        for rows, log_q in zip((self.validation[0], self.test[0]), posteriors, strict=True):
            filled = self.log_prior[..., None].expand_as(rows).clone()
            filled[list(members)] = log_q[:, : filled.shape[1]]
            parts.append(filled)
        absent = sorted(set(range(len(self.log_prior))) - set(members))
        return replace(
            self,
            probes=(*self.probes, probe),
            validation=(*self.validation, parts[0]),
            test=(*self.test, parts[1]),
            absent={**self.absent, probe: absent},
        )

    def renamed(self, rename: Callable[[str], str]) -> "Reading":
        """Return the reading with other names of the probes."""
        return replace(self, probes=tuple(map(rename, self.probes)))

    @cached_property
    def validation_headline(self) -> Float[Tensor, " members"]:
        """Mean score of the headline probe on validation rows, in bits."""
        return self.validation_bits.mean(-1)[self.headline, self._members]

    @property
    def validation_bits(self) -> Float[Tensor, "probes members m"]:
        """log2 q(y|z)/p(y) of every validation row, in bits."""
        return torch.stack([_bits(q, self.y_validation, self.log_prior) for q in self.validation])

    @cached_property
    def bits(self) -> Float[Tensor, "probes members k"]:
        """log2 q(y|z)/p(y) of every test row, in bits; the mean is the captured bits."""
        return torch.stack([_bits(q, self.y_test, self.log_prior) for q in self.test])

    @property
    def accuracies(self) -> Float[Tensor, "probes members 2"]:
        """Accuracy and balanced accuracy on test rows.

        A row is classified as its most probable class. Balanced accuracy is the mean recall over the classes
        that occur in the test rows.
        """
        # `max` gives the first of equal classes, and is several times as fast as `argmax` here.
        is_right = torch.stack([log_q.max(1).indices == self.y_test for log_q in self.test]).double()
        shape = (*self.y_test.shape[:-1], self.log_prior.shape[1])
        counts = torch.zeros(shape, dtype=torch.float64, device=is_right.device)
        counts.scatter_add_(-1, self.y_test, torch.ones_like(is_right[0]))
        hits = counts.new_zeros((len(self.probes), *shape))
        hits.scatter_add_(-1, self.y_test.expand_as(is_right), is_right)
        # Classes without test rows have no recall.
        recall = (hits / counts.clamp_min(1.0)).sum(-1) / (counts > 0).sum(-1)
        return torch.stack([is_right.mean(-1), recall], dim=-1)

    @property
    def headline_bits(self) -> Float[Tensor, "members k"]:
        """Score of every test row by the headline probe, in bits."""
        return self.bits[self.headline, self._members]

    def headline_posteriors(
        self,
    ) -> tuple[Float[Tensor, "members classes m"], Float[Tensor, "members classes k"]]:
        """Return ln q(y|z) of the headline probe on validation and on test rows."""
        place = (self.headline, self._members)
        return torch.stack(self.validation)[place], torch.stack(self.test)[place]

    @property
    def _members(self) -> Tensor:
        return torch.arange(len(self.headline), device=self.headline.device)


def _bits(log_q: Tensor, y: Tensor, log_prior: Tensor) -> Tensor:
    return log_ratio_bits(log_q[:, None], y[:, None], log_prior[:, None])[:, 0].double()


def has_converged(full: Reading, quarter: Reading) -> Bool[Tensor, "probes members"]:
    """Return whether the test score of each probe stopped rising with the number of training rows.

    The check has false positives: a probe that reads nothing from either number of rows seems
    converged. The planted control (`pidlab.probes.controls`) shows what such a probe could read.

    Args:
        full: Reading with all training rows.
        quarter: Reading with a quarter of the training rows, on the same test rows.
    """
    return is_settled(full.bits, quarter.bits)


def is_settled(full: Float[Tensor, "*batch n"], quarter: Float[Tensor, "*batch n"]) -> Bool[Tensor, "*batch"]:
    """Return whether scores of all training rows are close to those of a quarter; see `has_converged`.

    Args:
        full: Scores of test rows by probes that were fitted on all training rows, in bits.
        quarter: The same by probes that were fitted on a quarter.
    """
    rise = full.mean(-1) - quarter.mean(-1)
    error = full.std(-1) / full.shape[-1] ** 0.5
    return ~((rise > MAX_RISE) | (rise > torch.maximum(2.0 * error, torch.full_like(error, MIN_RISE))))
