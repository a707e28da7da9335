"""Many `Atoms` drawn as one tensor program: (members, symbols, samples)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from pidlab.generators.atoms_law import values_shown
from pidlab.generators.base import Sample, Stack
from pidlab.generators.checks import check_sample
from pidlab.generators.noise import corruption, independent_draws, independent_view, truncated_normal
from pidlab.generators.rendering import Rendering, stack_maps
from pidlab.seeds import child, torch_generator

if TYPE_CHECKING:
    from pidlab.generators.atoms import Atoms

PRESENT = (("redundant", "unique1", "synergy", "shared"), ("redundant", "unique2", "synergy", "shared"))


class AtomsStack(Stack):
    """`Atoms` of one signature side by side.

    A symbol draws from a stream of its own, seeded by the sample's seed and the symbol's place in its
    term. So neither the other terms nor the other members change a symbol, and members of equal seed
    differ only in what their bits make of the same draws (common random numbers).
    """

    def __init__(self, generators: Sequence[Atoms]) -> None:
        super().__init__(generators)
        first = generators[0]
        if any(g.signature != first.signature for g in generators):
            raise ValueError("only generators of one signature can be stacked")
        slots = first.slots
        self._nuisance, self._noise, self._slots = first.nuisance, first.noise, slots
        self._paired, self._celled = bool(first.pair_laws), bool(first.cell_laws)
        self._terms = [slot.term for slot in slots]
        self._places = [self._terms[:i].count(term) for i, term in enumerate(self._terms)]
        self._classes = {name: target.classes for name, target in first.targets.items()}
        self._present = [[i for i, t in enumerate(self._terms) if t in held] for held in PRESENT]

        def column(value: Callable[[int, Atoms], float]) -> Tensor:
            return torch.tensor(
                [[value(i, g) for i in range(len(slots))] for g in generators], dtype=torch.float64
            ).float()[..., None]

        self._p = column(lambda i, g: g.slots[i].p)
        self._keep = column(lambda i, g: g.slots[i].keep)
        self._flip = column(lambda i, g: g.slots[i].flip)
        self._missing = column(lambda i, g: 0.0 if g.slots[i].term == "shared" else g.redraws)
        self._half_gap = torch.tensor([[[slot.gap / 2.0]] for slot in slots])
        self._split = torch.tensor([[term == "synergy"] for term in self._terms])
        self._shared = torch.tensor([[term == "shared"] for term in self._terms])
        worlds = [g.world for g in generators]
        self._rendering = [
            Rendering(
                stack_maps(worlds, m, first.depth, first.width),
                len(held) + first.nuisance,
                first.slope,
            )
            for m, held in enumerate(self._present)
        ]

    def sample(
        self, n: int, seeds: Sequence[int], split: str = "eval", device: torch.device | str = "cpu"
    ) -> Sample:
        check_sample(n, split)
        self._to(device)
        draws, member = self._uniforms(seeds, 6, n, device)
        symbol = draws[:, :, 0][member] < self._p
        first = draws[:, :, 1][member] < 0.5  # the first bit of an XOR; the second is first ^ symbol
        shown = draws[:, :, 2][member] < self._keep
        flipped = draws[:, :, 3][member] < self._flip
        latents = {"first": first, "symbol": symbol, "shown": shown}
        noise = self._noise_of(draws[:, :, 4:])
        return self._sample(latents, noise, member, seeds, self._labels(symbol ^ flipped))

    def view(self, sample: Sample, policy: str, seeds: Sequence[int]) -> Sample:
        device = sample.x[0].device
        self._to(device)
        if policy in ("generic", "independent"):
            on_observation = self._corrupt if policy == "generic" else self._rearrange
            return replace(sample, x=tuple(on_observation(x, m, seeds) for m, x in enumerate(sample.x)))
        n = sample.x[0].shape[-2]
        draws, member = self._uniforms(seeds, 6, n, device)
        anew = draws[:, :, 3][member]
        symbol = torch.where(anew < self._missing, anew < self._missing * self._p, sample.latents["symbol"])
        latents = sample.latents | {"symbol": symbol}
        if policy in ("task", "unique"):
            # A label given the symbol, then a symbol given the label: the channel, twice.
            once, again = (draws[:, :, row][member] < self._flip for row in (0, 1))
            redrawn = draws[:, :, 2][member]
            symbol = torch.where(self._shared, redrawn < self._p, latents["symbol"] ^ once ^ again)
            first = redrawn < 0.5
            if policy == "unique":  # the second bit of an XOR stays, whatever became of the first
                symbol = torch.where(self._split, symbol ^ latents["first"] ^ first, symbol)
            latents |= {"symbol": symbol, "first": first}
        return self._sample(latents, self._noise_of(draws[:, :, 4:]), member, seeds, sample.targets)

    def _sample(
        self,
        latents: dict[str, Tensor],
        noise: Tensor,
        member: Tensor,
        seeds: Sequence[int],
        targets: dict[str, Tensor],
    ) -> Sample:
        symbol, first, shown = latents["symbol"], latents["first"], latents["shown"]
        # Both modalities show the symbol itself, but for an XOR: there each shows one of its parts,
        # and only the second can be erased.
        values = (
            _signed(torch.where(self._split, first, symbol), shown | self._split),
            _signed(torch.where(self._split, first ^ symbol, symbol), shown),
        )
        x, beside = [], {}
        for m, held in enumerate(self._present):
            clean = values[m][:, held] + noise[:, held, m][member]
            nuisance = self._normals(seeds, m, symbol.shape[-1], symbol.device)[member]
            if self._nuisance:
                beside[f"nuisance:{m + 1}"] = (nuisance[:, 0] > 0).long()
            x.append(self._rendering[m](torch.cat([clean, nuisance], dim=1)))
        symbols = {
            term: tuple(
                v[:, [i for i in held if self._terms[i] == term]]
                for v, held in zip(values, self._present, strict=True)
            )
            for term in dict.fromkeys(self._terms)
        }
        cells = ()
        if self._paired:
            of_pair = self._cells(values, [i for i, term in enumerate(self._terms) if term == "synergy"])
            beside |= dict(zip(("synergy:1", "synergy:2"), of_pair, strict=True))
        if self._celled:
            cells = self._cells(values, [i for i, term in enumerate(self._terms) if term != "shared"])
        if "shared" in self._terms:
            beside["nuisance:shared"] = self._digits(symbol, "shared")
        return Sample(tuple(x), targets, self._classes, latents, symbols, beside, cells)

    def _cells(self, values: tuple[Tensor, ...], slots: Sequence[int]) -> tuple[Tensor, ...]:
        """What each modality shows of some symbols as one number (see `atoms_law.cell_law`)."""
        cells = []
        for m, value in enumerate(values):
            radix, number = 1, torch.zeros_like(value[:, 0], dtype=torch.int64)
            for i in slots:
                shown = values_shown(self._slots[i], m)
                if len(shown) > 1:
                    digit = value[:, i].long() + 1  # -1, 0, 1
                    number = number + radix * (digit if len(shown) == 3 else digit // 2)
                radix *= len(shown)
            cells.append(number)
        return tuple(cells)

    def _labels(self, bits: Tensor) -> dict[str, Tensor]:
        return {term: self._digits(bits, term) for term in self._classes}

    def _digits(self, bits: Tensor, term: str) -> Tensor:
        """The bits of a term as one number."""
        held = [i for i, t in enumerate(self._terms) if t == term]
        weights = torch.tensor([[1 << self._places[i]] for i in held], device=bits.device)
        return (bits[:, held] * weights).sum(1)

    def _noise_of(self, uniforms: Float[Tensor, "s slots 2 n"]) -> Float[Tensor, "s slots 2 n"]:
        return truncated_normal(uniforms, self._noise, self._half_gap)

    def _corrupt(self, x: Tensor, m: int, seeds: Sequence[int]) -> Tensor:
        unique, member = _distinct(seeds, x.device)
        drawn = [
            corruption(x.shape[1:], torch_generator(child(seed, "generic", m), x.device)) for seed in unique
        ]
        noise, kept = (torch.stack(parts)[member] for parts in zip(*drawn, strict=True))
        return (x + noise) * kept

    def _rearrange(self, x: Tensor, m: int, seeds: Sequence[int]) -> Tensor:
        unique, member = _distinct(seeds, x.device)
        _, n, width = x.shape
        drawn = [
            independent_draws(n, width, torch_generator(child(seed, "independent", m), x.device))
            for seed in unique
        ]
        choice, noise, kept = (torch.stack(parts)[member] for parts in zip(*drawn, strict=True))
        return independent_view(x, choice, noise, kept)

    def _uniforms(
        self, seeds: Sequence[int], rows: int, n: int, device: torch.device | str
    ) -> tuple[Float[Tensor, "distinct slots rows n"], Tensor]:
        """Uniform draws of every distinct seed, and each member's place among them."""
        unique, member = _distinct(seeds, device)
        draws = torch.empty(len(unique), len(self._terms), rows, n, device=device)
        for s, seed in enumerate(unique):
            for i, (term, place) in enumerate(zip(self._terms, self._places, strict=True)):
                torch.rand(
                    (rows, n), generator=torch_generator(child(seed, term, place), device), out=draws[s, i]
                )
        return draws, member

    def _normals(
        self, seeds: Sequence[int], m: int, n: int, device: torch.device
    ) -> Float[Tensor, "distinct nuisance n"]:
        unique, _ = _distinct(seeds, device)
        normals = torch.empty(len(unique), self._nuisance, n, device=device)
        for s, seed in enumerate(unique):
            generator = torch_generator(child(seed, "nuisance", m), device)
            torch.randn((self._nuisance, n), generator=generator, out=normals[s])
        return normals

    def _to(self, device: torch.device | str) -> None:
        for name in ("_p", "_keep", "_flip", "_missing", "_half_gap", "_split", "_shared"):
            setattr(self, name, getattr(self, name).to(device))


def _signed(bit: Tensor, shown: Tensor) -> Tensor:
    return (bit.float() * 2.0 - 1.0) * shown


def _distinct(seeds: Sequence[int], device: torch.device | str) -> tuple[list[int], Tensor]:
    unique = list(dict.fromkeys(seeds))
    place = {seed: i for i, seed in enumerate(unique)}
    return unique, torch.tensor([place[seed] for seed in seeds], device=device)
