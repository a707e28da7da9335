"""What an objective is: a loss with its heads, written for one model."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from pidlab.encoders import Encoders, mlp
from pidlab.errors import nearest

Views = tuple[tuple[Tensor, ...], ...]
T = TypeVar("T")
NEEDS = ("views", "view", "labels")


class UndeclaredNeedError(ValueError):
    """An objective reads what its `needs` do not name."""


class Batch:
    """What a loss is given: one minibatch of one model.

    Args:
        x: the modalities, each (n, ...).
        views: two views of every modality, `(a1, a2), (b1, b2) = batch.views`; for objectives whose
            `needs` has `"views"`. Of those whose needs have `"view"` the first alone, `((a1, a2),)`.
        y: the joint label; for objectives whose `needs` has `"labels"`.
        targets: the label of every target by name; likewise.
    """

    def __init__(
        self,
        x: tuple[Tensor, ...],
        views: Views | None = None,
        y: Int[Tensor, " n"] | None = None,
        targets: dict[str, Int[Tensor, " n"]] | None = None,
    ) -> None:
        self.x = x
        self._views, self._y, self._targets = views, y, targets

    @property
    def x1(self) -> Tensor:
        """The first modality."""
        return self.x[0]

    @property
    def x2(self) -> Tensor:
        """The second modality."""
        return self.x[1]

    @property
    def views(self) -> Views:
        """Two views of every modality, or one."""
        return _declared(self._views, "views", "views")

    @property
    def y(self) -> Int[Tensor, " n"]:
        """The joint label."""
        return _declared(self._y, "y", "labels")

    @property
    def targets(self) -> dict[str, Int[Tensor, " n"]]:
        """The label of every target by name."""
        return _declared(self._targets, "targets", "labels")


def _declared(value: T | None, name: str, need: str) -> T:
    if value is None:
        raise UndeclaredNeedError(f'the objective reads batch.{name}: give its class needs = ("{need}",)')
    return value


@dataclass(frozen=True)
class Phase:
    """One step of an alternating optimisation, with an optimiser of its own.

    Args:
        name: for reports.
        loss: the method that computes this phase's loss from a batch.
        train: prefixes of the parameters it moves; all others are constants in this phase. Empty
            means every parameter.
        fresh_batch: whether each repetition draws a batch of its own.
        repeat: how often it runs in each training step.
    """

    name: str
    loss: str = "forward"
    train: tuple[str, ...] = ()
    fresh_batch: bool = False
    repeat: int = 1

    def moves(self, parameter: str) -> bool:
        """Whether this phase trains the parameter of that dotted name."""
        return not self.train or any(
            parameter == prefix or parameter.startswith(f"{prefix}.") for prefix in self.train
        )


@runtime_checkable
class Objective(Protocol):
    """A loss that has encoders. `needs`, `phases` and `represent` are optional."""

    encoders: Encoders

    def __call__(self, batch: Batch) -> Float[Tensor, ""]:
        """The loss of one minibatch."""
        ...


class BuiltIn(nn.Module):
    """Base of the registered objectives, which a user's own does not need."""

    needs: tuple[str, ...] = ()
    phases: tuple[Phase, ...] = (Phase("main"),)

    def __init__(self, encoders: Encoders) -> None:
        super().__init__()
        self.encoders = encoders


MakeObjective = Callable[[Encoders], nn.Module]


def projection(inputs: int, hidden: int = 64, outputs: int = 32) -> nn.Sequential:
    """A projection head: losses act behind it, readouts are taken in front of it."""
    return mlp(inputs, hidden, outputs)


def check_option(name: str, value: str, known: Iterable[str]) -> None:
    """Checks a constructor's choice among words.

    Raises:
        ValueError: it is none of them.
    """
    if value not in known:
        raise ValueError(f"{name} {value!r}: expected one of {', '.join(known)}")


def needs_of(objective: Any) -> tuple[str, ...]:
    """What the objective wants in a batch beside x.

    Raises:
        ValueError: something that no batch has.
    """
    needs = getattr(objective, "needs", ())
    needs = (needs,) if isinstance(needs, str) else tuple(needs)
    for need in needs:
        if need not in NEEDS:
            raise ValueError(f"needs {need!r}: {nearest(str(need), NEEDS)}")
    return needs


def phases_of(objective: Any) -> tuple[Phase, ...]:
    """The objective's phases; one, of every parameter, unless it declares others."""
    return tuple(getattr(objective, "phases", (Phase("main"),)))


def loss_of(objective: Any, method: str, batch: Batch) -> Any:
    """What a phase's `loss` method computes from a batch."""
    return objective(batch) if method == "forward" else getattr(objective, method)(batch)


def represent(objective: Any, x: tuple[Tensor, ...]) -> dict[str, Float[Tensor, "n _"]]:
    """The objective's readouts; by default every tower's code, and z12 = the codes side by side."""
    if hasattr(objective, "represent"):
        return objective.represent(*x)
    codes = [tower(xi) for tower, xi in zip(objective.encoders, x, strict=True)]
    return {**{f"z{i + 1}": z for i, z in enumerate(codes)}, "z12": torch.cat(codes, dim=-1)}
