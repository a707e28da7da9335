"""Structured probes: posteriors of a target from those of its ingredients, one ingredient per modality."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from pidlab.generators import Generator
from pidlab.probes.splits import Labels, Split, log_priors

# Names of structured probes start with one of these.
PREFIXES = ("pair", "experts")

# Larger alphabets have too few rows per class to be probed.
MAX_CLASSES = 64


def is_structured(probe: str) -> bool:
    """Return whether the probe of this name is a structured one."""
    return probe.startswith(PREFIXES)


def pair_posterior(
    log_q: Float[Tensor, "members pairs n"], law: Float[Tensor, "members a b classes"]
) -> Float[Tensor, "members classes n"]:
    """Compute ln q(y|z) = ln Σ_ab q(a, b|z) p(y|a, b).

    A linear posterior of the pair reads an XOR from a representation in which both bits are linear.

    Args:
        log_q: ln q(a, b|z), the pair numbered a·|b| + b, shape (members, pairs, n).
        law: p(a, b, y), shape (members, a, b, classes); impossible pairs have no weight.
    """
    conditional = law / law.sum(-1, keepdim=True).clamp_min(torch.finfo(law.dtype).tiny)
    return _log(conditional.flatten(1, 2).mT @ log_q.exp())


def experts_posterior(
    log_q1: Float[Tensor, "members n1 n"],
    log_q2: Float[Tensor, "members n2 n"],
    law: Float[Tensor, "members n1 n2 classes"],
) -> Float[Tensor, "members classes n"]:
    """Compute ln q(y|z1, z2) for q ∝ Σ p(c1, c2, y) q(c1|z1)/p(c1) · q(c2|z2)/p(c2), a product of experts.

    This is Bayes' rule. It is exact for exact experts if z1 and z2 are independent given the cells c1
    and c2 of their modalities and each depends on its own cell only. With c = (r, u, s) it is
    p(r,u1,s1|z1) p(r,u2,s2|z2) / p(r), marginalized. It is wrong if modalities share noise.

    Args:
        log_q1: ln q(c1|z1), shape (members, n1, n).
        log_q2: ln q(c2|z2), shape (members, n2, n).
        law: p(c1, c2, y), shape (members, n1, n2, classes).
    """
    first = _prior_ratio(log_q1, law.sum((2, 3)))
    second = _prior_ratio(log_q2, law.sum((1, 3)))
    n2, classes = law.shape[2:]
    # Sum over c1 as one matrix product, then over c2: no tensor of all cells and rows is built.
    partial = law.flatten(2).mT @ first
    joint = (partial.unflatten(1, (n2, classes)) * second[:, :, None]).sum(1)
    return torch.log_softmax(_log(joint), dim=1)


def _prior_ratio(log_q: Tensor, prior: Tensor) -> Tensor:
    """Return q(c|z)/p(c), and 0 for cells that cannot occur."""
    return torch.where(prior > 0, 1.0 / prior.clamp_min(1e-30), 0.0)[..., None] * log_q.exp()


def _log(q: Tensor) -> Tensor:
    """Return the logarithm, bounded from below."""
    return q.clamp_min(torch.finfo(q.dtype).tiny).log()


class Ingredients:
    """Labels and laws of the ingredients of targets that both modalities determine together.

    Args:
        splits: Training, validation and test rows.
        generators: One generator per member.

    Attributes:
        pairs: For each target, the labels of its pair of ingredients and the law p(a, b, y).
        cells: Labels of the cells of the first and of the second modality; empty if there are none.
        cell_laws: For each target, its law p(c1, c2, y) with the cells.
    """

    def __init__(self, splits: Sequence[Split], generators: Sequence[Generator]) -> None:
        first, device = generators[0], next(iter(splits[0].labels.values())).device

        def stacked(laws: Sequence[Mapping[str, np.ndarray]], target: str) -> Tensor:
            return torch.stack([torch.as_tensor(law[target]) for law in laws]).float().to(device)

        self.pairs: dict[str, tuple[Labels, Tensor]] = {}
        self.cells: list[Labels] = []
        self.cell_laws: dict[str, Tensor] = {}
        for target in first.pair_laws:
            law = stacked([g.pair_laws for g in generators], target)
            _, a, b, _ = law.shape
            if a * b <= MAX_CLASSES:
                parts = [(s.labels[f"{target}:1"], s.labels[f"{target}:2"]) for s in splits]
                pairs = [(one * b + two)[:, None] for one, two in parts]
                self.pairs[target] = (_labels(law.sum(3).flatten(1), pairs), law)
        if self.pairs and first.cell_laws and splits[0].cells:
            self.cell_laws = {t: stacked([g.cell_laws for g in generators], t) for t in self.pairs}
            joint = next(iter(self.cell_laws.values())).sum(3)
            if max(joint.shape[1:]) <= MAX_CLASSES:
                cells = [[s.cells[m][:, None] for s in splits] for m in (0, 1)]
                self.cells = [_labels(joint.sum(2 - m), cells[m]) for m in (0, 1)]


def _labels(prior: Float[Tensor, "members classes"], splits: Sequence[Tensor]) -> Labels:
    log_prior = log_priors([[member] for member in prior.double().tolist()], prior.device)
    return Labels(("ingredients",), log_prior, *splits)
