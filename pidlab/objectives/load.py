"""Objectives by reference: `comm`, `"comm(temperature=0.1)"`, `my_loss.py:MyLoss`, `pkg.mod:loss`."""

import copy
import importlib
import inspect
from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from pidlab.encoders import Encoders
from pidlab.errors import InvalidRequest
from pidlab.objectives import user as own
from pidlab.objectives.base import Batch, BuiltIn, MakeObjective, projection
from pidlab.registry import Reference, look_up, parse, scan


class PairLoss(BuiltIn):
    """loss(g1(e1(x1)), g2(e2(x2))) with a projection head g_i for each tower.

    Takes a loss of `lightly` or `pytorch-metric-learning` as it is. Readouts are the towers' codes.

    Args:
        encoders: the towers e1, e2.
        loss: from two sets of embeddings, one row a sample, to one number; a module is copied, so that
            models do not share its state.

    Raises:
        ValueError: more or fewer than two modalities.
    """

    def __init__(self, encoders: Encoders, loss: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__(encoders)
        if len(encoders) != 2:
            raise ValueError(f"a loss(z1, z2) takes two modalities, got {len(encoders)}")
        self.heads = nn.ModuleList(projection(encoders.dim) for _ in encoders)
        self.loss = copy.deepcopy(loss)

    def forward(self, batch: Batch) -> Float[Tensor, ""]:
        """The loss of a batch of pairs."""
        triples = zip(self.heads, self.encoders, batch.x, strict=True)
        z1, z2 = (head(tower(x)) for head, tower, x in triples)
        return self.loss(z1, z2)


@cache
def objectives() -> Mapping[str, type[nn.Module]]:
    """Every registered objective by name."""
    return scan(importlib.import_module("pidlab.objectives"), nn.Module)


def load_objective(reference: str) -> MakeObjective:
    """What makes the objective that `reference` names from encoders.

    A name of the registry, `file.py:Name` or `package.module:Name`. What is named is an objective's class
    (or a function) that takes `encoders`; a class of losses of (z1, z2), such as those of `lightly`; or a
    bare function loss(z1, z2). The latter two get encoders and projection heads (`PairLoss`).

    Raises:
        InvalidRequest: no such objective, one that takes no such argument or lacks one.
    """
    asked = parse(reference)
    found = find(asked)
    if _takes_encoders(found):
        return partial(found, **_arguments(asked, found, skip=1))
    if inspect.isclass(found):
        make_loss: Any = partial(found, **_arguments(asked, found))
        return lambda encoders: PairLoss(encoders, make_loss())
    arguments = _arguments(asked, found, skip=2)
    return as_objective(partial(found, **arguments) if arguments else found)


def find(asked: Reference) -> Callable[..., Any]:
    """The class or function that a reference names, arguments aside."""
    return own.find(asked.name) if own.is_own(asked.name) else look_up("objective", asked.name, objectives())


def source_digest(reference: str) -> str | None:
    """A digest of the file behind an objective that is not one of pidlab's; None for those that are."""
    name = parse(reference).name
    if not own.is_own(name):
        module = look_up("objective", name, objectives()).__module__
        if module.startswith("pidlab."):
            return None
        name = f"{module}:{name}"
    return own.source_digest(name)


def as_objective(made_from: Callable[..., Any]) -> MakeObjective:
    """What makes an objective: itself if it takes encoders, else a `PairLoss` around a loss(z1, z2)."""
    if _takes_encoders(made_from):
        return made_from

    def make(encoders: Encoders) -> nn.Module:
        return PairLoss(encoders, made_from)

    return make


def _takes_encoders(found: Callable[..., Any]) -> bool:
    # By name or, whatever it is called, as the only thing a maker is given.
    parameters = [p for p in _parameters(found) if p.kind is not inspect.Parameter.VAR_KEYWORD]
    required = [p for p in parameters if p.default is inspect.Parameter.empty]
    return any(p.name == "encoders" for p in parameters) or (
        not inspect.isclass(found) and len(required) == 1
    )


def _parameters(found: Callable[..., Any]) -> list[inspect.Parameter]:
    if isinstance(found, nn.Module):
        found = found.forward
    return list(inspect.signature(found).parameters.values())


def _arguments(asked: Reference, found: Callable[..., Any], skip: int = 0) -> dict[str, Any]:
    """The reference's arguments by name, the first `skip` parameters being none of the user's."""
    open_ended = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    accepted = {p.name: p.default for p in _parameters(found)[skip:] if p.kind not in open_ended}
    arguments = asked.bind(list(accepted))
    lacking = [k for k, v in accepted.items() if v is inspect.Parameter.empty and k not in arguments]
    if lacking:
        raise InvalidRequest(
            f'{asked.name} needs {", ".join(lacking)}: write "{asked.name}({lacking[0]}=...)" '
            "(an objective calls what it is built from `encoders`)"
        )
    for key, value in arguments.items():
        expected = _kind(accepted[key])
        if expected and _kind(value) and _kind(value) != expected:
            raise InvalidRequest(f"{asked.name}({key}={value!r}): expected {expected} like {accepted[key]!r}")
    return arguments


def _kind(value: Any) -> str | None:
    # None and everything that is no plain value is for the constructor to judge.
    if isinstance(value, bool):
        return "a yes or no"
    return "a number" if isinstance(value, (int, float)) else "a word" if isinstance(value, str) else None
