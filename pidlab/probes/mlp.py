"""The MLP probe: one trunk per representation, one head per target, all trained as one program."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from pidlab.encoders import aligned
from pidlab.probes.data import Labels, log_posterior, of_label
from pidlab.seeds import child, torch_generator

EVAL_ROWS = 4096


@dataclass(frozen=True)
class MLPProbe:
    """How the MLP probe is trained.

    Args:
        hidden: width of its two hidden layers.
        epochs: passes over the training rows.
        batch: rows in a step.
        rate: peak learning rate of AdamW, warmed up and annealed by the one-cycle rule.
        decay: weight decay.
        snapshots: how often validation is asked, evenly over what follows `since`; the best one counts.
        since: part of the training after which validation is asked.
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
    """Ln of the mean of q(y|z) over `count` MLPs that differ in their initial weights."""
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
    """Trains an MLP per member on every target together.

    Args:
        z: whitened training rows.
        held_out: validation rows first, then any others to score.
        labels: the targets.
        seeds: one per member, of its initial weights.
        probe: sizes and effort.

    Returns:
        For each held-out set, ln q(y|z) of the snapshot that validation likes best, chosen for each
        member and target on its own.
    """
    members, n, d = z.shape
    targets, classes = labels.log_prior.shape[1:]
    params = _initial(seeds, d, probe.hidden, targets * classes, z.device)
    batch = min(probe.batch, n)  # of rows that are few
    steps = probe.epochs * (n // batch)
    optimiser = torch.optim.AdamW(
        params, lr=probe.rate, weight_decay=probe.decay, fused=z.device.type in ("cpu", "cuda")
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, probe.rate, total_steps=steps + 1)
    span = (1.0 - probe.since) / probe.snapshots
    moments = {max(1, round(steps * (probe.since + i * span))) for i in range(1, probe.snapshots + 1)}
    best = torch.full((members, targets), math.inf, device=z.device)
    chosen: list[Tensor] = []
    for step in range(steps):
        start = step % (n // batch) * batch
        rows = slice(start, start + batch)  # rows are independent draws: their order is random
        log_q = log_posterior(_scores(params, z[:, rows], targets, classes), labels)
        optimiser.zero_grad()
        (-of_label(log_q, labels.train[:, :, rows]).sum() / batch).backward()
        optimiser.step()
        schedule.step()
        if step + 1 in moments:
            with torch.no_grad():
                snapshot = [_evaluate(params, rows, labels) for rows in held_out]
            loss = -of_label(snapshot[0], labels.validation).mean(-1)
            better = loss < best
            best = torch.where(better, loss, best)
            chosen = [
                torch.where(better[..., None, None], new, old)
                for new, old in zip(snapshot, chosen or snapshot, strict=True)
            ]
    return chosen


def _initial(seeds: Sequence[int], d: int, hidden: int, out: int, device: torch.device) -> list[Tensor]:
    out = aligned(out)
    shapes = [(d, hidden), (1, hidden), (hidden, hidden), (1, hidden), (out, hidden), (out, 1)]
    # He's scale in the trunk; biases and the head start at 0, so that the probe starts at the prior.
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
    w1, b1, w2, b2, w3, b3 = params
    h = F.silu(torch.baddbmm(b1, z, w1))
    h = F.silu(torch.baddbmm(b2, h, w2))
    return torch.baddbmm(b3, w3, h.mT)[:, : targets * classes].unflatten(1, (targets, classes))


def _evaluate(params: list[Tensor], z: Tensor, labels: Labels) -> Tensor:
    sizes = labels.log_prior.shape[1:]
    parts = [log_posterior(_scores(params, part, *sizes), labels) for part in z.split(EVAL_ROWS, 1)]
    return torch.cat(parts, dim=-1)
