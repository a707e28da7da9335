"""Interface of an objective: a loss with its encoders and heads, written for one model."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NoReturn, Protocol, TypeVar, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from pidlab.encoders import Encoders, mlp
from pidlab.errors import nearest

Views = tuple[tuple[Tensor, ...], ...]
T = TypeVar("T")
NEEDS = ("views", "view", "labels", "random")
# Longest name of a readout, in characters.
LONGEST_NAME = 40


_NOT_A_TUPLE = "a batch is neither a tuple nor a dictionary; use batch.x1, batch.x2, batch.views and batch.y"


class UndeclaredNeedError(ValueError):
    """An objective reads a part of the batch that its `needs` do not declare."""


class Batch:
    """A minibatch of one model, the argument of every loss.

    Args:
        x: Observations of the modalities, each (n, ...).
        views: Two views of every modality, `(a1, a2), (b1, b2) = batch.views`, for objectives whose `needs`
            contain `"views"`; only the first, `((a1, a2),)`, if they contain `"view"`.
        y: Joint label, shape (n,), for objectives whose `needs` contain `"labels"`.
        targets: Label of each target by name, each (n,), under the same condition.
        keys: Random integer of each sample, shape (n,), for objectives whose `needs` contain `"random"`.

    Example:
        >>> batch = Batch((torch.zeros(4, 3), torch.ones(4, 3)))
        >>> batch.x2.mean()
        tensor(1.)
    """

    def __init__(
        self,
        x: tuple[Tensor, ...],
        views: Views | None = None,
        y: Int[Tensor, "*member n"] | None = None,
        targets: dict[str, Int[Tensor, "*member n"]] | None = None,
        keys: Int[Tensor, "*member n"] | None = None,
    ) -> None:
        self.x = x
        self._views, self._y, self._targets, self._keys = views, y, targets, keys
        self._drawn = 0

    @property
    def x1(self) -> Tensor:
        """First modality, (n, ...)."""
        return self.x[0]

    @property
    def x2(self) -> Tensor:
        """Second modality, (n, ...)."""
        return self.x[1]

    @property
    def views(self) -> Views:
        """Two views of every modality, or one."""
        return _declared(self._views, "views", "views")

    @property
    def y(self) -> Int[Tensor, "*member n"]:
        """Joint label, (n,)."""
        return _declared(self._y, "y", "labels")

    @property
    def targets(self) -> dict[str, Int[Tensor, "*member n"]]:
        """Label of each target by name, each (n,)."""
        return _declared(self._targets, "targets", "labels")

    def __iter__(self) -> NoReturn:
        raise TypeError(_NOT_A_TUPLE)

    def __getitem__(self, key: object) -> NoReturn:
        raise TypeError(_NOT_A_TUPLE)

    def uniform(self, *shape: int, per_sample: bool = True) -> Float[Tensor, "..."]:
        """Draw random numbers from [0, 1): shape (n, *shape), or `shape` for the whole batch.

        The numbers are a hash of the sample's key and a counter (SplitMix64, Steele et al. 2014). They are
        seeded by the run, and `torch.vmap` supports them, unlike the generators of torch. Each call gives
        other numbers.

        Args:
            shape: Shape of the numbers of one sample.
            per_sample: Whether each sample gets its own numbers; otherwise the batch shares them, and they do
                not depend on the order of its samples.

        Raises:
            UndeclaredNeedError: If `needs` does not contain `"random"`.

        Example:
            >>> batch = Batch((torch.zeros(2, 1),), keys=torch.tensor([3, 4]))
            >>> batch.uniform(5).shape
            torch.Size([2, 5])
        """
        keys = _declared(self._keys, "uniform", "random")
        keys = keys if per_sample else keys.sum(0, keepdim=True)
        count = math.prod(shape)
        index = torch.arange(self._drawn + 1, self._drawn + count + 1, device=keys.device)
        self._drawn += count
        # 64-bit arithmetic wraps around, as the algorithm requires; constants are those of SplitMix64,
        # signed.
        x = keys[:, None] + index * -7046029254386353131
        x = (x ^ _shift(x, 30)) * -4658895280553007687
        x = (x ^ _shift(x, 27)) * -7723592293110705685
        x = x ^ _shift(x, 31)
        # The upper 24 bits fill the mantissa of a float32.
        numbers = _shift(x, 40).float() * 2.0**-24
        return numbers.reshape(-1, *shape) if per_sample else numbers.reshape(shape)

    def normal(self, *shape: int) -> Float[Tensor, "..."]:
        """Draw standard normal numbers, shape (n, *shape), from those of `uniform` (Box-Muller).

        Args:
            shape: Shape of the numbers of one sample.

        Raises:
            UndeclaredNeedError: If `needs` does not contain `"random"`.

        Example:
            >>> batch = Batch((torch.zeros(2, 1),), keys=torch.tensor([3, 4]))
            >>> batch.normal(5).shape
            torch.Size([2, 5])
        """
        u, v = self.uniform(2, *shape).unbind(1)
        # 1 - u keeps the argument of the logarithm above 0.
        return (-2 * (1 - u).log()).sqrt() * (2 * math.pi * v).cos()


def _shift(x: Int[Tensor, "n k"], bits: int) -> Int[Tensor, "n k"]:
    """Shift bits to the right and fill with zeros; torch fills with the sign."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def _declared(value: T | None, name: str, need: str) -> T:
    if value is None:
        raise UndeclaredNeedError(f'the objective reads batch.{name}: give its class needs = ("{need}",)')
    return value


@dataclass(frozen=True)
class Phase:
    """One step of an alternating optimization, with its own optimizer.

    Args:
        name: Name in reports.
        loss: Name of the method that computes the loss of this phase from a batch.
        train: Prefixes of the names of the parameters that this phase trains. All other parameters are
            constants in this phase. An empty tuple trains every parameter.
        fresh_batch: Whether each repetition draws a new batch.
        repeat: Number of optimizer steps of this phase in each training step.

    Example:
        >>> Phase("critic", loss="critic_loss", train=("critics",)).moves("critics.0.weight")
        True
    """

    name: str
    loss: str = "forward"
    train: tuple[str, ...] = ()
    fresh_batch: bool = False
    repeat: int = 1

    def moves(self, parameter: str) -> bool:
        """Return whether this phase trains the parameter with the given dotted name."""
        return not self.train or any(
            parameter == prefix or parameter.startswith(f"{prefix}.") for prefix in self.train
        )


@runtime_checkable
class Objective(Protocol):
    """A loss with encoders. The attributes `needs`, `phases` and `represent` are optional."""

    encoders: Encoders

    def __call__(self, batch: Batch) -> Float[Tensor, ""]:
        """Compute the loss of one minibatch."""
        ...


MakeObjective = Callable[[Encoders], nn.Module]


class BuiltIn(nn.Module):
    """Base class of the registered objectives. User-defined objectives do not need it.

    Args:
        encoders: One encoder for each modality.

    Attributes:
        stackable: Whether the losses also accept parameters and batches with a leading member axis and then
            return one loss per member, shape (members,). Such losses name axes from the end, and need no
            vmap. Each class states it for itself (see `pidlab.training.program.is_stackable`).
    """

    stackable: ClassVar[bool] = False
    needs: tuple[str, ...] = ()
    phases: tuple[Phase, ...] = (Phase("main"),)

    def __init__(self, encoders: Encoders) -> None:
        super().__init__()
        self.encoders = encoders

    def make_heads(self) -> nn.ModuleList:
        """Return a projection head g_i for each modality."""
        return nn.ModuleList(projection(self.encoders.dim) for _ in self.encoders)

    def encode(self, x: Sequence[Tensor]) -> list[Float[Tensor, "*member n dim"]]:
        """Compute the embedding e_i(x_i) of every modality."""
        return encode(self.encoders, x)

    def project(self, x: Sequence[Tensor]) -> list[Float[Tensor, "*member n outputs"]]:
        """Compute the projection g_i(e_i(x_i)) of every modality."""
        # One modality after the other: results depend on the order of operations in the last bits.
        heads: Any = self.heads
        networks = zip(heads, self.encoders, x, strict=True)
        return [head(encoder(xi)) for head, encoder, xi in networks]


def encode(encoders: Iterable[nn.Module], x: Sequence[Tensor]) -> list[Tensor]:
    """Compute the embedding of every modality by its own encoder."""
    return [encoder(xi) for encoder, xi in zip(encoders, x, strict=True)]


def join_rows(parts: Sequence[Tensor]) -> Tensor:
    """Concatenate samples of one modality: vectors, with or without a leading member axis, or images.

    Args:
        parts: Sets of samples, each (n, d), (members, n, d) or (n, channels, height, width).
    """
    return torch.cat([*parts], dim=0 if parts[0].ndim == 4 else -2)


def name_readouts(z: Sequence[Tensor]) -> dict[str, Tensor]:
    """Return the readouts z1, z2, ... of the modalities, and z12: all of them concatenated."""
    return {**{f"z{i + 1}": zi for i, zi in enumerate(z)}, "z12": torch.cat([*z], dim=-1)}


def projection(inputs: int, hidden: int = 64, outputs: int = 32) -> nn.Sequential:
    """Return a projection head. Losses act on its output, readouts are taken from its input."""
    return mlp(inputs, hidden, outputs)


def check_option(name: str, value: str, known: Iterable[str]) -> None:
    """Check that a constructor's argument is one of the known words.

    Args:
        name: Name of the argument.
        value: Value of the argument.
        known: Accepted values.

    Raises:
        ValueError: If it is not one of them.
    """
    if value not in known:
        raise ValueError(f"{name} {value!r}: expected one of {', '.join(known)}")


def needs_of(objective: Any) -> tuple[str, ...]:
    """Return what the objective reads from a batch in addition to the observations.

    Raises:
        ValueError: If it declares something that a batch does not have.
    """
    needs = getattr(objective, "needs", ())
    needs = (needs,) if isinstance(needs, str) else tuple(needs)
    for need in needs:
        if need not in NEEDS:
            raise ValueError(f"needs {need!r}: {nearest(str(need), NEEDS)}")
    return needs


def phases_of(objective: Any) -> tuple[Phase, ...]:
    """Return the phases of the objective: by default one phase that trains every parameter."""
    return tuple(getattr(objective, "phases", (Phase("main"),)))


def loss_of(objective: Any, method: str, batch: Batch) -> Any:
    """Compute the loss of a phase by the method of that name."""
    return objective(batch) if method == "forward" else getattr(objective, method)(batch)


def represent(objective: Any, x: tuple[Tensor, ...]) -> dict[str, Float[Tensor, "n _"]]:
    """Compute the readouts of the objective: by default the embeddings, and z12 = their concatenation.

    Args:
        objective: The objective.
        x: Observations of each modality, each (n, ...).

    Raises:
        ValueError: If the names or the shapes of the readouts are invalid.
    """
    if not hasattr(objective, "represent"):
        return name_readouts(encode(objective.encoders, x))
    readouts = objective.represent(*x)
    _check_readouts(readouts, len(x[0]))
    return readouts


def _check_readouts(readouts: Any, n: int) -> None:
    """Check names and shapes of readouts, which become rows of the results.

    Raises:
        ValueError: If they are not a dictionary of tensors (n, width) with printable names.
    """
    if not isinstance(readouts, dict) or not readouts:
        raise ValueError(
            f"represent() returned {readouts!r:.100}: expected a dictionary with a readout 'z12'"
        )
    for name, z in readouts.items():
        if not isinstance(name, str) or not name.isprintable() or not 0 < len(name) <= LONGEST_NAME:
            raise ValueError(
                f"represent() returned a readout named {name!r:.100}: expected a printable name of at most "
                f"{LONGEST_NAME} characters"
            )
        if not isinstance(z, Tensor) or z.ndim != 2 or z.shape[0] != n or not z.shape[1]:
            shape = tuple(z.shape) if isinstance(z, Tensor) else type(z).__name__
            raise ValueError(f"readout {name!r} has shape {shape}, not ({n}, width)")
        if not z.is_floating_point():
            raise ValueError(f"readout {name!r} has type {z.dtype}: expected floating-point numbers")
