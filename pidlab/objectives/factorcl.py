"""FactorCL: six bounds on mutual information, with separate heads for shared and unique information."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pidlab.encoders import Encoders
from pidlab.objectives import bounds
from pidlab.objectives.bounds import CRITICS, every_class, one_hot
from pidlab.objectives.objective import (
    Batch,
    BuiltIn,
    Phase,
    check_option,
    join_rows,
    name_readouts,
    projection,
)


@dataclass(frozen=True)
class Term:
    """One bound of the objective.

    Args:
        name: Name of its critic, where y is the label or the view that replaces it.
        bound: `"nce"` (a lower bound, maximized) or `"club"` (an upper bound, minimized).
        factor: `"shared"` or `"unique"`, the kind of information.
        modalities: One modality, compared with y, or both, compared with each other.
        given: Whether the bound is conditional on y.
        counted: Weight in S + U1 + U2.
    """

    name: str
    bound: str
    factor: str
    modalities: tuple[int, ...]
    given: bool = False
    counted: int = 1


# S = I(X1;X2) - I(X1;X2|Y) and U_i = I(X_i;Y) - I(X1;X2) + I(X1;X2|Y). An information with a positive sign
# is replaced by its lower bound, one with a negative sign by its upper bound.
TERMS = (
    Term("nce_12", "nce", "shared", (0, 1)),
    Term("club_12_given_y", "club", "shared", (0, 1), given=True),
    Term("nce_1y", "nce", "unique", (0,)),
    Term("nce_2y", "nce", "unique", (1,)),
    Term("club_12", "club", "unique", (0, 1), counted=2),
    Term("nce_12_given_y", "nce", "unique", (0, 1), given=True, counted=2),
)

Heads = dict[str, dict[int, Tensor]]


class FactorCL(BuiltIn):
    """Base class of factorized contrastive learning (Liang et al. 2023, arXiv 2306.05268).

    loss = -(S + U1 + U2), in nats, with the terms of `TERMS` (Algorithm 2). The subclasses define y. Each
    step is followed by one step of the CLUB critics, which maximize InfoNCE on a new batch. In the main
    phase these critics are constants.

    Readouts: `z1`, `z2` and `z12` are the outputs of the heads of both factors; `shared` and `unique` those
    of one factor; `encoder` is the concatenation of the embeddings.

    Args:
        encoders: The encoders e1, e2.
        critic: `"separable"` or `"concat"`.
        temperature: Temperature of separable critics, at least 0.0125.
        sum: `"algorithm2"` or `"appendix"`.
        heads: `"factor"` or `"term"`.
        keep: Parts of z12: `"all"`, `"shared"`, `"unique1"` or `"unique2"`.

    Raises:
        ValueError: If an option is unknown, if dim is 1, or if there are not two modalities.
    """

    phases: tuple[Phase, ...] = (
        Phase("main", train=("encoders.towers", "heads", "critics.nce")),
        Phase("club", loss="club_loss", train=("critics.club",), fresh_batch=True),
    )

    def __init__(
        self,
        encoders: Encoders,
        *,
        critic: str = "separable",
        temperature: float = 0.2,
        sum: str = "algorithm2",
        heads: str = "factor",
        keep: str = "all",
    ) -> None:
        super().__init__(encoders)
        check_option("critic", critic, CRITICS)
        check_option("sum", sum, ("algorithm2", "appendix"))
        check_option("heads", heads, ("factor", "term"))
        check_option("keep", keep, ("all", "shared", "unique1", "unique2"))
        if len(encoders) != 2:
            raise ValueError(f"FactorCL: expected two modalities, got {len(encoders)}")
        if encoders.dim < 2:
            raise ValueError(f"FactorCL: expected a dim of 2 or more, which it halves, got {encoders.dim}")
        self.keep, self.per_term = keep, heads == "term"
        self.weights = {term.name: term.counted if sum == "algorithm2" else 1 for term in TERMS}
        width = {"shared": encoders.dim // 2, "unique": encoders.dim - encoders.dim // 2}
        self.heads = nn.ModuleDict()
        self.critics = nn.ModuleDict({"nce": nn.ModuleDict(), "club": nn.ModuleDict()})
        settings: dict[str, Any] = {"hidden": encoders.hidden}
        if critic == "separable":
            settings["temperature"] = temperature
        for term in TERMS:
            name = self._head_name(term)
            if name not in self.heads:
                sides = term.modalities if self.per_term else (0, 1)
                made = {str(i): projection(encoders.dim, outputs=width[term.factor]) for i in sides}
                self.heads[name] = nn.ModuleDict(made)
            self._critics(term.bound)[term.name] = CRITICS[critic](
                *self._widths(term, width[term.factor]), **settings
            )

    def terms(self, batch: Batch) -> dict[str, Float[Tensor, "*member"]]:
        """Compute the six bounds, in nats, by their names in `TERMS`."""
        z, values = self._encode(batch), {}
        for term in TERMS:
            critic: Any = self._critics(term.bound)[term.name]
            a, b = self._sides(term, z, batch)
            if term.bound == "nce":
                values[term.name] = self._infonce(term, critic, a, b, batch)
            elif (allowed := self._allowed(term, batch)) is None:
                values[term.name] = critic.club(a, b)
            else:
                values[term.name] = bounds.club(critic(a, b), allowed)
        return values

    def forward(self, batch: Batch) -> Float[Tensor, "*member"]:
        """Compute minus the sum of S, U1 and U2."""
        values = self.terms(batch)
        signs = {"nce": -1.0, "club": 1.0}
        return torch.stack([signs[t.bound] * self.weights[t.name] * values[t.name] for t in TERMS]).sum(0)

    def club_loss(self, batch: Batch) -> Float[Tensor, "*member"]:
        """Compute minus InfoNCE of the CLUB critics. At its minimum their CLUB value is an upper bound."""
        z = self._encode(batch)
        values = [
            self._infonce(term, self._critics("club")[term.name], *self._sides(term, z, batch), batch)
            for term in TERMS
            if term.bound == "club"
        ]
        return -torch.stack(values).sum(0)

    def represent(self, *x: Tensor) -> dict[str, Tensor]:
        """Compute all readouts; `keep` selects the factors in z12."""
        codes = self.encode(x)
        z = self._through_heads(codes)
        factors = {
            (factor, i): torch.cat([z[name][i] for name in self._head_names(factor) if i in z[name]], dim=-1)
            for factor in ("shared", "unique")
            for i in (0, 1)
        }
        shared, unique = ([factors[factor, i] for i in (0, 1)] for factor in ("shared", "unique"))
        z1, z2 = (torch.cat([shared[i], unique[i]], dim=-1) for i in (0, 1))
        kept = {"all": [z1, z2], "shared": shared, "unique1": unique[:1], "unique2": unique[1:]}[self.keep]
        readouts = {"z1": [z1], "z2": [z2], "z12": kept, "shared": shared, "unique": unique, "encoder": codes}
        return {name: torch.cat(parts, dim=-1) for name, parts in readouts.items()}

    def _encode(self, batch: Batch) -> Heads:
        """Compute the output of every head."""
        raise NotImplementedError

    def _widths(self, term: Term, width: int) -> tuple[int, int]:
        """Return the widths of the two inputs of a critic."""
        raise NotImplementedError

    def _sides(self, term: Term, z: Heads, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the two inputs of a critic."""
        raise NotImplementedError

    def _allowed(self, term: Term, batch: Batch) -> Tensor | None:
        """Return the pairs that a conditional bound uses, or None for all pairs."""
        return None

    def _infonce(self, term: Term, critic: Any, a: Tensor, b: Tensor, batch: Batch) -> Tensor:
        if (allowed := self._allowed(term, batch)) is None:
            return critic.infonce(a, b)
        return bounds.infonce(critic(a, b), allowed)

    def _through_heads(self, codes: Sequence[Tensor]) -> Heads:
        return {
            name: {int(i): head(codes[int(i)]) for i, head in heads.items()}  # type: ignore[operator]
            for name, heads in self.heads.items()
        }

    def _head_name(self, term: Term) -> str:
        return term.name if self.per_term else term.factor

    def _head_names(self, factor: str) -> list[str]:
        return list(dict.fromkeys(self._head_name(term) for term in TERMS if term.factor == factor))

    def _critics(self, bound: str) -> nn.ModuleDict:
        critics = self.critics[bound]
        assert isinstance(critics, nn.ModuleDict)
        return critics


class FactorCLSup(FactorCL):
    """FactorCL with labels: y is the label (arXiv 2306.05268, Algorithm 2, Eqs. 13-16), in nats.

    S = N(x1, x2) - CLUB(x1, x2 given y) and U_i = N(x_i, y) - CLUB(x1, x2) + N(x1, x2 given y), where N is
    InfoNCE. U_i contains synergy. The first input of the critic of a conditional bound is [x1, y]. With
    `conditional="class"` the candidates are the rows of the same class, and the log of their number limits
    the bound.

    Args:
        encoders: The encoders e1, e2.
        critic: `"separable"`: g(a)·h(b) (section 3.2 of the paper). `"concat"`: an MLP on every pair (its
            appendix and released code).
        temperature: Temperature of separable critics, whose vectors have unit length; at least 0.0125.
        conditional: `"class"`: negatives from p(x2|y). `"concat"`: all negatives, as in the released code,
            which estimates I(X1,Y;X2) instead.
        sum: `"algorithm2"`: S + U1 + U2. `"appendix"` (Eqs. 94-99): CLUB(x1, x2) and N(x1, x2 given y) once
            each.
        heads: `"factor"`: one per factor and modality, half the width of an embedding (Eqs. 6-7). `"term"`:
            one per term and modality (appendix D.1); z12 is then 2.5 times as wide as the embeddings.
        keep: Parts of z12: `"all"`, or the paper's ablation `"shared"`, `"unique1"`, `"unique2"`.

    Departures from the released code (github.com/pliang279/FactorCL): N(x_i, y) reads the one-hot label,
    where the code reads its index as a number; the CLUB critics train on training rows, where the code draws
    from all rows. The defaults follow the paper's main text; `critic="concat"`, `conditional="concat"`,
    `sum="appendix"` and `heads="term"` give the code's loss up to the label. The vectors of separable critics
    have unit length and a temperature, where those of the code are unbounded. Heads have one hidden layer, in
    the code's synthetic_model.py two.

    Raises:
        ValueError: If an option is unknown or if dim is 1.
    """

    name = "factorcl-sup"
    stackable = True
    needs = ("labels",)

    def __init__(
        self,
        encoders: Encoders,
        *,
        critic: str = "separable",
        temperature: float = 0.2,
        conditional: str = "class",
        sum: str = "algorithm2",
        heads: str = "factor",
        keep: str = "all",
    ) -> None:
        super().__init__(encoders, critic=critic, temperature=temperature, sum=sum, heads=heads, keep=keep)
        check_option("conditional", conditional, ("class", "concat"))
        self.conditional = conditional

    def _encode(self, batch: Batch) -> Heads:
        return self._through_heads(self.encode(batch.x))

    def _widths(self, term: Term, width: int) -> tuple[int, int]:
        codes = sum(self.encoders.classes.values())
        if len(term.modalities) == 1:
            return width, codes
        return width + codes * term.given, width

    def _sides(self, term: Term, z: Heads, batch: Batch) -> tuple[Tensor, Tensor]:
        sides = z[self._head_name(term)]
        if len(term.modalities) == 1:
            few = self._few_classes(batch)
            codes = self._codes(batch)
            if few:
                every = every_class(self.encoders.classes, batch.x1)
                codes = every.expand(*codes.shape[:-2], -1, -1)
            return sides[term.modalities[0]], codes
        first = torch.cat([sides[0], self._codes(batch)], dim=-1) if term.given else sides[0]
        return first, sides[1]

    def _allowed(self, term: Term, batch: Batch) -> Tensor | None:
        return bounds.same_class(batch.y) if term.given and self.conditional == "class" else None

    def _infonce(self, term: Term, critic: Any, a: Tensor, b: Tensor, batch: Batch) -> Tensor:
        if len(term.modalities) == 1 and self._few_classes(batch):
            return bounds.infonce_of_classes(critic(a, b), batch.y)
        return super()._infonce(term, critic, a, b, batch)

    def _codes(self, batch: Batch) -> Float[Tensor, "*member n codes"]:
        return one_hot(batch.targets, self.encoders.classes, batch.x1)

    def _few_classes(self, batch: Batch) -> bool:
        return math.prod(self.encoders.classes.values()) <= batch.x1.shape[-2]


class FactorCLSSL(FactorCL):
    """FactorCL without labels: a view of each modality replaces y (arXiv 2306.05268, section 3.3), in nats.

    Differences from `factorcl-sup`: N(x_i, x_i′) replaces N(x_i, y), with one head for x_i and x_i′. The
    condition is the pair (x1′, x2′), with critics g([x1, x1′])·h([x2, x2′]) and all negatives.

    Args:
        encoders: The encoders e1, e2.
        critic: `"separable"` or `"concat"` (see `FactorCLSup`).
        temperature: Temperature of separable critics, at least 0.0125.
        sum: `"algorithm2"` or `"appendix"`.
        heads: `"factor"` or `"term"`.
        keep: `"all"`, `"shared"`, `"unique1"` or `"unique2"`.

    Departures from the released code: the conditional CLUB reads the view, where the code reads x_i twice;
    the other departures are those of `FactorCLSup`, without the label.

    Raises:
        ValueError: If an option is unknown or if dim is 1.
    """

    name = "factorcl-ssl"
    stackable = True
    needs = ("view",)

    def _encode(self, batch: Batch) -> Heads:
        pairs = zip(batch.x, batch.views[0], strict=True)
        return self._through_heads(self.encode([join_rows(pair) for pair in pairs]))

    def _widths(self, term: Term, width: int) -> tuple[int, int]:
        return (2 * width, 2 * width) if term.given else (width, width)

    def _sides(self, term: Term, z: Heads, batch: Batch) -> tuple[Tensor, Tensor]:
        sides = [z[self._head_name(term)][i].chunk(2, dim=-2) for i in term.modalities]
        if len(sides) == 1:
            x, view = sides[0]
            return x, view
        if term.given:
            first, second = (torch.cat(side, dim=-1) for side in sides)
            return first, second
        return sides[0][0], sides[1][0]


class OurCL(FactorCL):
    """FactorCL with the encoders' outputs as readouts instead of the outputs of the heads."""

    def represent(self, *x: Tensor) -> dict[str, Tensor]:
        """Return z1, z2 (the embeddings) and z12 (their concatenation)."""
        return name_readouts(self.encode(x))


class OurCLSup(OurCL, FactorCLSup):
    """`factorcl-sup` with the encoders' outputs as readouts."""

    name = "ourcl-sup"
    stackable = True


class OurCLSSL(OurCL, FactorCLSSL):
    """`factorcl-ssl` with the encoders' outputs as readouts."""

    name = "ourcl-ssl"
    stackable = True
