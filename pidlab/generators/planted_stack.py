"""Stacked `PlantedFeatures`: symbols of a law, shown as rows of feature banks for many members at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from pidlab.generators.generator import Sample, Stack, draw_corruption
from pidlab.generators.parameters import check_policy, check_sample
from pidlab.seeds import child, torch_generator

if TYPE_CHECKING:
    from pidlab.generators.planted import PlantedFeatures

# "eval" is everything but "train".
SPLITS = ("train", "probe", "validation", "test", "eval")

# Every test row is kept of this many drawn rows, and of fewer, at least 2, for many test rows. The numbers
# do not depend on the number of members.
THINNED, MOST_DRAWN = 64, 2**15


class PlantedStack(Stack):
    """Several `PlantedFeatures` of equal `shape_key`, drawn together.

    Args:
        generators: The members.
    """

    def __init__(self, generators: Sequence[PlantedFeatures]) -> None:
        super().__init__(generators)
        first = generators[0]
        if any(g.shape_key != first.shape_key for g in generators):
            raise ValueError("only generators with equal shape keys can be stacked")
        laws = [g.symbol_generator for g in generators]
        self._first, self._laws = first, type(laws[0]).stack(laws)
        self._auxiliary = tuple(first.auxiliary_specs)
        self._x = [torch.as_tensor(bank.x) for bank in first.banks]
        # Symbol of every (member, cell); cells of probability 0, which have none, do not occur.
        self._symbols = [torch.as_tensor(np.stack([g.coding.symbols[m] for g in generators])) for m in (0, 1)]
        # Rows of every (member, symbol), by modality and split.
        self._rows = [
            [torch.as_tensor(np.stack([g.symbol_rows(m, split) for g in generators])) for split in SPLITS]
            for m in (0, 1)
        ]

    def sample(
        self, n: int, seeds: Sequence[int], split: str = "eval", device: torch.device | str = "cpu"
    ) -> Sample:
        check_sample(n, split, SPLITS)
        draw = self._draw_evenly if split == "test" else self._laws.sample
        symbols = draw(n, seeds, "eval", device)
        part = torch.full_like(symbols.cells[0], SPLITS.index(split))
        return self._show(symbols, part, seeds, once=split == "test")

    def view(self, sample: Sample, policy: str, seeds: Sequence[int]) -> Sample:
        check_policy(self._first, policy)
        if policy == "generic":
            return replace(sample, x=tuple(_corrupt(x, m, seeds) for m, x in enumerate(sample.x)))
        # The law redraws symbols from its latents and takes only the number of rows from the observations.
        rows = torch.zeros((*sample.cells[0].shape, 1), device=sample.cells[0].device)
        symbols = self._laws.view(replace(sample, x=(rows, rows)), policy, seeds)
        return self._show(symbols, sample.latents["part"], seeds, before=sample)

    def _draw_evenly(self, n: int, seeds: Sequence[int], split: str, device: torch.device | str) -> Sample:
        """Draw symbols whose counts are close to their expected numbers, each row with the exact law.

        Systematic sampling: many rows are drawn and sorted, and evenly spaced ones are kept, from a random
        first one. The order of the kept rows is random.
        """
        each = max(2, min(THINNED, MOST_DRAWN // n))
        many = self._laws.sample(each * n, [child(seed, "symbols") for seed in seeds], split, device)
        first, second = many.cells
        number = (first * (second.max() + 1) + second) * (many.y.max() + 1) + many.y
        kept = []
        for seed, order in zip(seeds, number.argsort(dim=-1, stable=True), strict=True):
            generator = torch_generator(child(seed, "even"), order.device)
            offset = torch.randint(each, (1,), generator=generator, device=order.device)
            places = torch.arange(n, device=order.device) * each + offset
            kept.append(order[places][torch.randperm(n, generator=generator, device=order.device)])
        return many.take(torch.stack(kept))

    def _show(
        self,
        symbols: Sample,
        part: Int[Tensor, "members n"],
        seeds: Sequence[int],
        once: bool = False,
        before: Sample | None = None,
    ) -> Sample:
        """Show symbols as rows of the banks.

        Args:
            symbols: Cells, targets and latents of the law.
            part: Index of the split of each row.
            seeds: Seed of each member.
            once: Use every row at most once, as far as there are enough.
            before: Sample whose rows must not be shown again.
        """
        x, latents, device = [], symbols.latents | {"part": part}, part.device
        for m, cell in enumerate(symbols.cells):
            symbol = self._symbols[m].to(device).gather(1, cell)
            generators = [torch_generator(child(seed, "rows", m), device) for seed in seeds]
            shape = (1 if once else cell.shape[1],)
            u = torch.stack([torch.rand(shape, generator=g, device=device) for g in generators])
            row = torch.empty_like(cell)
            for split, rows in enumerate(self._rows[m]):
                here = part == split
                if not here.any():
                    continue
                rows, count = rows.to(device), rows.shape[2]
                at = (
                    (u * count).long().clamp(max=count - 1).expand_as(symbol)
                )  # rounding can give u * count = count
                if once:
                    at = (at + _occurrence(symbol)) % count
                member = torch.arange(len(cell), device=device)[:, None]
                chosen = rows[member, symbol, at]
                if before is not None:
                    # The next row, where the draw repeats the row.
                    again = chosen == before.latents[f"row{m + 1}"]
                    chosen = torch.where(again, rows[member, symbol, (at + 1) % count], chosen)
                row = torch.where(here, chosen, row)
            latents[f"row{m + 1}"] = row
            x.append(self._x[m].to(device)[row])
        auxiliary = {name: symbols.auxiliary_targets[name] for name in self._auxiliary}
        return Sample(tuple(x), symbols.targets, symbols.classes, latents, {}, auxiliary, symbols.cells)


def _occurrence(values: Int[Tensor, "members n"]) -> Int[Tensor, "members n"]:
    """Return how many earlier elements of the row are equal to each element."""
    ordered, order = values.sort(dim=1, stable=True)
    first = torch.searchsorted(ordered, ordered)
    rank = torch.arange(values.shape[1], device=values.device) - first
    return torch.empty_like(rank).scatter_(1, order, rank)


def _corrupt(x: Tensor, m: int, seeds: Sequence[int]) -> Tensor:
    """Draw the `generic` view of one modality."""
    corruptions = [
        draw_corruption(x.shape[1:], torch_generator(child(seed, "generic", m), x.device)) for seed in seeds
    ]
    noise, kept = (torch.stack(parts) for parts in zip(*corruptions, strict=True))
    return (x + noise) * kept
