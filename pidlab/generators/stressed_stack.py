"""Samples and views of stacked generators under stress dials."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from pidlab.generators.dials import Dials
from pidlab.generators.generator import Generator, Sample, Stack, stack_samples
from pidlab.generators.parameters import check_sample
from pidlab.seeds import child, torch_generator

if TYPE_CHECKING:
    from pidlab.generators.stressed import Stressed

# Latents of a stressed sample are those of the base generator and, with these prefixes, those of the rows
# that supply the second modality of broken pairs, and the clean labels of both.
OTHER, CLEAN = "other ", "clean "
BROKEN, MISSING = "broken", ("missing 1", "missing 2")


class StressedStack(Stack):
    """Stressed generators of equal `shape_key`, drawn together.

    Every dial of every target has a separate random stream, seeded by the sample's seed. So members of equal
    seed transform the same uniform draws, and no dial changes the draws of another or of the base generator.

    Args:
        generators: The members.
    """

    def __init__(self, generators: Sequence[Stressed]) -> None:
        super().__init__(generators)
        first = generators[0]
        self._dials = [g.dials for g in generators]
        self._bases = [g.base for g in generators]
        self._base = type(first.base).stack(self._bases)
        self._subclasses = first.dials.subclasses
        self._is_broken = first.dials.broken_pairs > 0.0
        # The symbols of a modality, and of its ingredient of a target, without the one of a missing modality.
        self._cells = next((law.shape[:2] for law in first.base.cell_laws.values()), (0, 0))
        self._ingredients = {name: law.shape[:2] for name, law in first.base.pair_laws.items()}

    def sample(
        self, n: int, seeds: Sequence[int], split: str = "eval", device: torch.device | str = "cpu"
    ) -> Sample:
        sample = self._draw(n, seeds, split, device)
        latents = {**sample.latents, **{CLEAN + name: y for name, y in sample.targets.items()}}
        if self._is_broken:
            other = self._draw(n, [child(seed, "other rows") for seed in seeds], split, device)
            latents |= {OTHER + name: latent for name, latent in other.latents.items()}
            latents |= {OTHER + CLEAN + name: y for name, y in other.targets.items()}
            latents[BROKEN] = self._events("broken pairs", seeds, lambda d: d.broken_pairs, n, device)
            sample = _with_second_of(other, sample, latents[BROKEN])
        for m, name in enumerate(MISSING):
            if self._dials[0].missing[m]:
                latents[name] = self._events(name, seeds, lambda d, m=m: d.missing[m], n, device)
        targets, classes = {}, {}
        for name, y in sample.targets.items():
            targets[name] = self._relabel(y, name, sample.classes[name], seeds)
            classes[name] = sample.classes[name] * self._subclasses
        return self._hide(replace(sample, latents=latents, targets=targets, classes=classes))

    def view(self, sample: Sample, policy: str, seeds: Sequence[int]) -> Sample:
        view = self._base.view(self._clean(sample, ""), policy, seeds)
        if self._is_broken:
            others = [child(seed, "other rows") for seed in seeds]
            other = self._base.view(self._clean(sample, OTHER), policy, others)
            view = _with_second_of(other, view, sample.latents[BROKEN])
        return self._hide(
            replace(view, latents=sample.latents, targets=sample.targets, classes=sample.classes)
        )

    def _clean(self, sample: Sample, prefix: str) -> Sample:
        """Return rows of the base generator: those of the first modality, or with `OTHER` of the second."""
        return replace(
            sample,
            latents={
                name.removeprefix(prefix): latent
                for name, latent in sample.latents.items()
                if name.startswith(prefix) and not name.removeprefix(prefix).startswith((OTHER, CLEAN))
                if name not in (BROKEN, *MISSING)
            },
            targets={name: sample.latents[prefix + CLEAN + name] for name in sample.targets},
            classes={name: k // self._subclasses for name, k in sample.classes.items()},
        )

    def _draw(self, n: int, seeds: Sequence[int], split: str, device: torch.device | str) -> Sample:
        """Draw rows of the base generators with the class probabilities of `rare_class`."""
        if self._dials[0].rare_class is None:
            return self._base.sample(n, seeds, split, device)
        # How many rows have to be drawn depends on the member, so each is drawn separately.
        members = zip(self._bases, self._dials, seeds, strict=True)
        return stack_samples(
            [_draw_rare(base, dials, n, seed, split, device) for base, dials, seed in members]
        )

    def _events(
        self,
        name: str,
        seeds: Sequence[int],
        share: Callable[[Dials], float],
        n: int,
        device: torch.device | str,
    ) -> Bool[Tensor, "members n"]:
        """Draw in which rows something happens."""
        rows = [
            torch.rand(n, generator=torch_generator(child(seed, name), device), device=device) < share(dials)
            for seed, dials in zip(seeds, self._dials, strict=True)
        ]
        return torch.stack(rows)

    def _relabel(self, y: Tensor, target: str, classes: int, seeds: Sequence[int]) -> Tensor:
        n, device = y.shape[1], y.device
        if classes > 1:
            wrong = self._events(f"label noise {target}", seeds, lambda d: d.label_noise, n, device)
            steps = torch.stack(
                [_integers(1, classes, n, child(seed, "class", target), device) for seed in seeds]
            )
            y = torch.where(wrong, (y + steps) % classes, y)
        if self._subclasses == 1:
            return y
        parts = [_integers(0, self._subclasses, n, child(seed, "subclass", target), device) for seed in seeds]
        return y * self._subclasses + torch.stack(parts)

    def _hide(self, sample: Sample) -> Sample:
        """Replace missing modalities by zeros, and their symbols by the last symbol of `Dials.apply`."""
        for m, name in enumerate(MISSING):
            if name in sample.latents:
                auxiliary = {f"{target}:{m + 1}": shape[m] for target, shape in self._ingredients.items()}
                symbols = dict.fromkeys(sample.symbols, 0)
                sample = _replace_modality(
                    sample, m, sample.latents[name], 0.0, symbols, self._cells[m], auxiliary
                )
        return sample


def _with_second_of(other: Sample, sample: Sample, rows: Bool[Tensor, "members n"]) -> Sample:
    """Return a sample with the second modality of another one in some rows."""
    symbols = {target: parts[1] for target, parts in other.symbols.items()}
    auxiliary = {name: y for name, y in other.auxiliary_targets.items() if name.endswith(":2")}
    cells = other.cells[1] if other.cells else 0
    return _replace_modality(sample, 1, rows, other.x[1], symbols, cells, auxiliary)


def _replace_modality(
    sample: Sample,
    m: int,
    rows: Bool[Tensor, "members n"],
    x: Any,
    symbols: Mapping[str, Any],
    cells: Any,
    auxiliary: Mapping[str, Any],
) -> Sample:
    """Replace all that a sample has of modality `m` in some rows.

    Args:
        sample: Rows with a member axis.
        m: Index of the modality.
        rows: Rows to change.
        x: Its observations, a tensor or a number.
        symbols: Its symbols of each target.
        cells: Its cells.
        auxiliary: Its auxiliary targets by name.
    """

    def merge(new: Any, old: Tensor) -> Tensor:
        return torch.where(rows.reshape(len(rows), *[1] * (old.ndim - 2), -1), new, old)

    def put(parts: tuple[Tensor, ...], part: Tensor) -> tuple[Tensor, ...]:
        return (*parts[:m], part, *parts[m + 1 :])

    # The sample axis of observations is the second, and that of all other tensors the last.
    observed = torch.where(rows.reshape(*rows.shape, *[1] * (sample.x[m].ndim - 2)), x, sample.x[m])
    return replace(
        sample,
        x=put(sample.x, observed),
        symbols={t: put(parts, merge(symbols[t], parts[m])) for t, parts in sample.symbols.items()},
        cells=put(sample.cells, merge(cells, sample.cells[m])) if sample.cells else (),
        auxiliary_targets=sample.auxiliary_targets
        | {name: merge(new, sample.auxiliary_targets[name]) for name, new in auxiliary.items()},
    )


def _draw_rare(
    base: Generator, dials: Dials, n: int, seed: int, split: str, device: torch.device | str
) -> Sample:
    """Draw rows and keep each with a probability in proportion to the weight of its class.

    Args:
        base: Generator of one target.
        dials: Dials with `rare_class`.
        n: Number of rows.
        seed: Seed of the draw.
        split: Distribution to draw from.
        device: Device of the tensors.

    Returns:
        Rows with p'(x, y) = p(x|y) p'(y).
    """
    check_sample(n, split)
    (target,) = base.target_specs.values()
    weights = torch.as_tensor(dials.class_weights(np.array(target.prior)), device=device)
    # One row in `largest` is kept; a tenth more rows, so that mostly one attempt is enough.
    largest = float(weights.max())
    pool = math.ceil(1.1 * largest * n) + 64
    for attempt in count():
        drawn = base.sample(pool, child(seed, "pool", attempt), split, device)
        generator = torch_generator(child(seed, "kept", attempt), device)
        keep = torch.rand(pool, generator=generator, device=device) * largest < weights[drawn.y]
        if int(keep.sum()) >= n:
            return drawn.take(keep.nonzero()[:n, 0])
        pool *= 2
    raise AssertionError("unreachable")


def _integers(low: int, high: int, n: int, seed: int, device: torch.device | str) -> Tensor:
    return torch.randint(low, high, (n,), generator=torch_generator(seed, device), device=device)
