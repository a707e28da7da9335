"""MLP probe: one trunk per readout and one head per target, trained as one tensor program."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from pidlab.encoders import aligned
from pidlab.probes.posteriors import at_label, log_posterior
from pidlab.probes.splits import Labels
from pidlab.seeds import child, torch_generator

# Rows per forward pass on held-out rows, to bound memory.
EVAL_ROWS = 4096


@dataclass(frozen=True)
class MLPProbe:
    """Settings of the MLP probe.

    Args:
        hidden: Width of the two hidden layers.
        epochs: Number of passes over the training rows.
        batch: Number of rows per step.
        rate: Peak learning rate of AdamW; the one-cycle rule warms it up and anneals it.
        decay: Weight decay.
        snapshots: Number of validation checks; the best snapshot is used.
        since: Fraction of the training after which the checks begin, evenly spaced.
    """

    hidden: int = 64
    epochs: int = 12
    batch: int = 512
    rate: float = 5e-3
    decay: float = 1e-2
    snapshots: int = 3
    since: float = 0.5


def average_mlps(
    z: Float[Tensor, "members n d"],
    held_out: Sequence[Float[Tensor, "members _ d"]],
    labels: Labels,
    seeds: Sequence[int],
    probe: MLPProbe,
    count: int,
) -> list[Float[Tensor, "members targets classes _"]]:
    """Train MLPs that differ in their initial weights and average their probabilities.

    Args:
        z: Whitened training rows, shape (members, n, d).
        held_out: Validation rows, then other rows to score, each of shape (members, m, d).
        labels: Labels of all rows.
        seeds: One seed per member.
        probe: Settings of the probe.
        count: Number of MLPs.

    Returns:
        Natural log of the mean of q(y|z), for each held-out set.
    """
    fits = [
        fit_mlp(z, held_out, labels, [child(seed, "mlp", i) for seed in seeds], probe) for i in range(count)
    ]
    return [torch.stack(each).logsumexp(0) - math.log(count) for each in zip(*fits, strict=True)]


def fit_mlp(
    z: Float[Tensor, "members n d"],
    held_out: Sequence[Float[Tensor, "members _ d"]],
    labels: Labels,
    seeds: Sequence[int],
    probe: MLPProbe,
) -> list[Float[Tensor, "members targets classes _"]]:
    """Train one MLP per member on all targets.

    Args:
        z: Whitened training rows, shape (members, n, d).
        held_out: Validation rows, then other rows to score, each of shape (members, m, d).
        labels: Labels of all rows.
        seeds: One seed per member, for its initial weights.
        probe: Settings of the probe.

    Returns:
        For each held-out set, ln q(y|z) of the snapshot with the lowest validation loss. The snapshot is
        selected separately for each member and target.
    """
    members, n, d = z.shape
    targets, classes = labels.log_prior.shape[1:]
    params = _initial(seeds, d, probe.hidden, targets * classes, z.device)
    batch = min(probe.batch, n)
    steps = probe.epochs * (n // batch)
    optimizer = torch.optim.AdamW(
        params, lr=probe.rate, weight_decay=probe.decay, fused=z.device.type in ("cpu", "cuda")
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, probe.rate, total_steps=steps + 1)
    span = (1.0 - probe.since) / probe.snapshots
    check_steps = {max(1, round(steps * (probe.since + i * span))) for i in range(1, probe.snapshots + 1)}
    best = torch.full((members, targets), math.inf, device=z.device)
    selected: list[Tensor] = []
    for step in range(steps):
        start = step % (n // batch) * batch
        # Rows are independent draws, so batches need no shuffling.
        rows = slice(start, start + batch)
        log_q = log_posterior(_scores(params, z[:, rows], targets, classes), labels)
        optimizer.zero_grad()
        (-at_label(log_q, labels.train[:, :, rows]).sum() / batch).backward()
        optimizer.step()
        schedule.step()
        if step + 1 in check_steps:
            with torch.no_grad():
                snapshot = [_evaluate(params, rows, labels) for rows in held_out]
            loss = -at_label(snapshot[0], labels.validation).mean(-1)
            better = loss < best
            best = torch.where(better, loss, best)
            selected = [
                torch.where(better[..., None, None], new, old)
                for new, old in zip(snapshot, selected or snapshot, strict=True)
            ]
    return selected


def _initial(seeds: Sequence[int], d: int, hidden: int, out: int, device: torch.device) -> list[Tensor]:
    """Return the stacked initial parameters; members of one seed share them."""
    out = aligned(out)
    shapes = [(d, hidden), (1, hidden), (hidden, hidden), (1, hidden), (out, hidden), (out, 1)]
    # He initialization in the trunk; zero biases and head, so that the probe starts at the prior.
    gains = [math.sqrt(2.0 / d), 0.0, math.sqrt(2.0 / hidden), 0.0, 0.0, 0.0]
    drawn: dict[int, list[Tensor]] = {}
    for seed in dict.fromkeys(seeds):
        generator = torch_generator(seed, device)
        drawn[seed] = [
            torch.randn(shape, generator=generator, device=device) * gain
            for shape, gain in zip(shapes, gains, strict=True)
        ]
    return [torch.stack(parts).requires_grad_() for parts in zip(*(drawn[s] for s in seeds), strict=True)]


def _scores(
    params: list[Tensor], z: Float[Tensor, "members n d"], targets: int, classes: int
) -> Float[Tensor, "members targets classes n"]:
    """Return the scores of a batch."""
    w1, b1, w2, b2, w3, b3 = params
    h = F.silu(torch.baddbmm(b1, z, w1))
    h = F.silu(torch.baddbmm(b2, h, w2))
    return torch.baddbmm(b3, w3, h.mT)[:, : targets * classes].unflatten(1, (targets, classes))


def _evaluate(params: list[Tensor], z: Tensor, labels: Labels) -> Tensor:
    """Return ln q(y|z) of held-out rows."""
    sizes = labels.log_prior.shape[1:]
    parts = [log_posterior(_scores(params, part, *sizes), labels) for part in z.split(EVAL_ROWS, 1)]
    return torch.cat(parts, dim=-1)
