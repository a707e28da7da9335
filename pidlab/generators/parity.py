"""Modalities, one of which is the XOR of the others: Symile's XOR and the XNOR of Gated Symile."""

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from pidlab.decomposition import Planted
from pidlab.defaults import ATOMS
from pidlab.errors import InvalidRequest
from pidlab.generators.generator import Sample, Target, target_from_law
from pidlab.generators.latent import Rendered, truncated_normal
from pidlab.generators.parameters import check_nonnegative, check_probability, check_whole
from pidlab.seeds import child, torch_generator

MOST_SOURCES = 8  # a target lists the information of every set of modalities
MOST_BITS = 5  # of a word; the law has 8^bits cells


@dataclass(frozen=True)
class Parity(Rendered):
    """Y is a word of fair bits that the first modality shows, and the XOR of the words of all others.

    Distribution: the words W_2, ..., W_{n-1} and Y are uniform and independent, W_1 = Y, and
    W_n = Y xor W_2 xor ... xor W_{n-1}. A modality shows its word with its reliability r and otherwise an
    independent uniform word, which looks like a valid one. Views: `task`, `noise`, `generic`.

    Truth: the informations I(X_B;Y), which need no lattice and no measure of redundancy. Words of fewer than
    all of X_2, ..., X_n are independent of Y. The XOR of all of them is Y with probability r^(n-1) and
    otherwise uniform, so for one bit, with h the binary entropy,

        I(X1;Y) = 1 - h((1 - r1) / 2),   I(X2,...,Xn;Y) = 1 - h((1 - r^(n-1)) / 2).

    I(X1,...,Xn;Y) follows from the exact law of these two channels, which are independent given Y.

    With three modalities and reliability 1, these are Symile's data at p_hat = 1, and with eight modalities
    those of its released example. With XNOR in place of XOR they are the data of Gated Symile; XNOR relabels
    a symbol and changes no information. There one of X2 and X3 shows a swapped signal with probability p,
    which is r^2 = 1 - p here; here both can be swapped in one row.

    Args:
        sources: Number n of modalities, 3 to 8.
        reliability1: Probability r1 that the first modality shows its word.
        reliability: Probability r that each other modality shows its word.
        bits: Bits of a word; Y has 2^bits classes.
        noise: Standard deviation of a coordinate's noise before truncation, in units of half its gap.
        nuisance: Number of private normal coordinates of each modality.
        depth: Number of leaky ReLU layers of the rendering.
        slope: Slope of the leaky ReLU on negative numbers.
        width: Numbers in an observation.
        world: Seed of the rendering.

    Raises:
        InvalidRequest: If a value is out of range.

    Source:
        A. Saporta, A. Puli, M. Goldstein, R. Ranganath, Contrasting with Symile, NeurIPS 2024, section 5.1,
        and examples/binary_xor.py of the released code; T. Rheude, S. Hegselmann, R. Eils, B. Wild, Hidden
        in the Multiplicative Interaction, arXiv 2604.05834, and datasets/synthetic_xnor.py of its code.

    Example:
        >>> parity = Parity(reliability1=0, reliability=0.9)
        >>> round(parity.target_specs["y"].information[1, 2], 3)
        0.547
    """

    name: ClassVar[str] = "parity"

    sources: int = 3
    reliability1: float = 1.0
    reliability: float = 1.0
    bits: int = 1
    noise: float = ATOMS["noise"]

    def __post_init__(self) -> None:
        check_whole(self, sources=3, bits=1)
        check_probability(self, "reliability1", "reliability")
        check_nonnegative(self, "noise")
        for name, most in (("sources", MOST_SOURCES), ("bits", MOST_BITS)):
            if getattr(self, name) > most:
                raise InvalidRequest(f"{name} = {getattr(self, name)}: expected {most} or fewer")
        super().__post_init__()

    @property
    def coordinates(self) -> tuple[int, ...]:
        return (self.bits,) * self.sources

    @cached_property
    def _target(self) -> Target:
        words = 2**self.bits
        first, xor = (
            r * np.eye(words) + (1.0 - r) / words
            for r in (self.reliability1, self.reliability ** (self.sources - 1))
        )
        # p(word of X1, XOR of the other words, y): two channels from y.
        pair = target_from_law("y", np.einsum("ay,by->aby", first, xor) / words)
        others = set(range(1, self.sources))
        information = {}
        for size in range(1, self.sources + 1):
            for held in combinations(range(self.sources), size):
                seen = (*([0] if 0 in held else []), *([1] if others <= set(held) else []))
                information[held] = pair.information[seen] if seen else 0.0
        return replace(pair, information=information)

    @property
    def target_specs(self) -> dict[str, Target]:
        return {"y": self._target}

    @property
    def truth(self) -> Planted:
        return Planted({"y": max(self._target.information.values())})

    def draw(
        self, n: int, seed: int, split: str = "eval", device: torch.device | str = "cpu"
    ) -> dict[str, Tensor]:
        generator = torch_generator(child(seed, "labels"), device)
        return self._draw_words(torch.randint(2**self.bits, (n,), generator=generator, device=device), seed)

    def _draw_words(self, y: Tensor, seed: int) -> dict[str, Tensor]:
        """Draw the words that the modalities show, given the labels."""
        generator = torch_generator(child(seed, "words"), y.device)
        size = (self.sources, len(y))
        words, fresh = (
            torch.randint(2**self.bits, size, generator=generator, device=y.device) for _ in range(2)
        )
        words[0] = words[-1] = y
        for word in words[1:-1]:
            words[-1] ^= word
        reliability = torch.tensor([self.reliability1, *[self.reliability] * (self.sources - 1)])
        shown = torch.rand(size, generator=generator, device=y.device) < reliability[:, None].to(y.device)
        return {"y": y, "words": torch.where(shown, words, fresh)}

    def labels(self, latents: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"y": latents["y"]}

    def redraw(self, sample: Sample, seed: int) -> dict[str, Tensor]:
        """Draw all words given y."""
        return self._draw_words(sample.y, seed)

    def symbols(self, latents: dict[str, Tensor]) -> dict[str, tuple[Tensor, ...]]:
        return {"y": tuple(self._encode(word) for word in latents["words"])}

    def show(self, m: int, latents: dict[str, Tensor], generator: torch.Generator) -> Tensor:
        clean = self._encode(latents["words"][m])
        uniform = torch.rand(clean.shape, generator=generator, device=clean.device)
        return clean + truncated_normal(uniform, self.noise)

    def _encode(self, word: Tensor) -> Tensor:
        """Return one coordinate in {-1, 1} per bit of the word."""
        places = torch.arange(self.bits, device=word.device)[:, None]
        return 2.0 * (word >> places & 1) - 1.0
