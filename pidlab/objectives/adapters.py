"""Objectives made from losses of embeddings: those of lightly, pytorch-metric-learning and open_clip."""

import copy
import inspect
import math
import warnings
from collections.abc import Callable
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch._C._functorch import is_batchedtensor

from pidlab.encoders import Encoders
from pidlab.errors import InvalidRequest, message_of
from pidlab.objectives.objective import Batch, BuiltIn

# Names of a second argument that holds class labels, and of one that may hold labels or embeddings.
LABELS, TARGETS = {"label", "labels", "y"}, {"target", "targets"}
# Losses of torch that are defined for embeddings. The others take probabilities or binary targets, and would
# return numbers without a meaning.
TORCH_LOSSES = {
    "CrossEntropyLoss", "MultiMarginLoss", "MSELoss", "L1Loss", "SmoothL1Loss", "HuberLoss",
    "cross_entropy", "multi_margin_loss", "mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss",
}  # fmt: skip
TORCH_MODULES = {"torch.nn.modules.loss", "torch.nn.functional", "torch.functional"}
# Width of the projected embeddings that losses get.
WIDTH = 32


class UnfitLossError(ValueError):
    """A loss does not accept the embeddings that its adapter passes."""


class AdaptedLoss(BuiltIn):
    """Base class of objectives around a loss, with encoders and projection heads.

    The readouts are the outputs of the encoders.

    Args:
        encoders: The encoders e1 and e2.
        loss: The loss. A module is copied, so that models do not share its state.

    Raises:
        ValueError: If the number of modalities is not two.
    """

    # Its code is not tested to give equal numbers with vmap and in a loop.
    wraps_user_code: ClassVar[bool] = True

    def __init__(self, encoders: Encoders, loss: Callable[..., Any]) -> None:
        super().__init__(encoders)
        if len(encoders) != 2:
            raise ValueError(f"{_name_of(loss)}: takes two modalities, got {len(encoders)}")
        self.heads = self.make_heads()
        self.loss = copy.deepcopy(loss)

    def call(self, *args: Tensor) -> Any:
        """Call the loss; an exception for embeddings on their own shows the class to write instead.

        Args:
            args: Arguments of the loss; embeddings come first.

        Raises:
            UnfitLossError: If the loss raises an exception.
        """
        try:
            return self.loss(*args)
        except Exception as error:
            # With vmap, or on the meta device, the exception may be about these and not about the loss.
            if is_batchedtensor(args[0]) or args[0].device.type == "meta":
                raise
            shape = tuple(args[0].shape)
            raise UnfitLossError(
                f"{_name_of(self.loss)}: does not accept embeddings of shape {shape} ({message_of(error)}); "
                f"{_write_a_class(self.loss)}"
            ) from error


class PairLoss(AdaptedLoss):
    """A loss of two sets of embeddings: loss(g1(e1(x1)), g2(e2(x2))), such as those of lightly.

    Args:
        encoders: The encoders e1 and e2.
        loss: Maps two sets of embeddings, each (n, 32), to a 0-d tensor.
    """

    def forward(self, batch: Batch) -> Float[Tensor, ""]:
        """Compute the loss of the projected embeddings of a batch."""
        z1, z2 = self.project(batch.x)
        return self.call(z1, z2)


class LabelLoss(AdaptedLoss):
    """A loss of embeddings and class labels, such as those of pytorch-metric-learning.

    The embeddings of both modalities are concatenated along the rows, with the joint label of each sample.

    Args:
        encoders: The encoders e1 and e2.
        loss: Maps embeddings (2n, 32) and labels (2n,) to a 0-d tensor.
    """

    needs = ("labels",)

    def forward(self, batch: Batch) -> Float[Tensor, ""]:
        """Compute the loss of the projected embeddings of a labeled batch."""
        return self.call(torch.cat(self.project(batch.x)), torch.cat([batch.y, batch.y]))


class ScaledPairLoss(AdaptedLoss):
    """A loss of two sets of unit vectors and a learned scale, such as those of open_clip.

    As in open_clip, the scale starts at 1 / 0.07. If the loss requires a bias, the scale starts at 10 and the
    bias at -10, as for SigLIP.

    Args:
        encoders: The encoders e1 and e2.
        loss: Maps `image_features` and `text_features`, each (n, 32), `logit_scale` and possibly `logit_bias`
            to a 0-d tensor.
    """

    def __init__(self, encoders: Encoders, loss: Callable[..., Any]) -> None:
        super().__init__(encoders, loss)
        has_bias = "logit_bias" in _required(loss)
        self.log_scale = nn.Parameter(torch.tensor(math.log(10.0 if has_bias else 1.0 / 0.07)))
        self.bias = nn.Parameter(torch.tensor(-10.0)) if has_bias else None

    def forward(self, batch: Batch) -> Float[Tensor, ""]:
        """Compute the loss of the projected embeddings of a batch."""
        z1, z2 = (F.normalize(z, dim=-1) for z in self.project(batch.x))
        terms = [z1, z2, self.log_scale.exp()]
        return self.call(*terms) if self.bias is None else self.call(*terms, self.bias)


def adapter_of(
    loss: Callable[..., Any], name: str, make: Callable[[], Callable[..., Any]] | None = None
) -> type[AdaptedLoss]:
    """Return the objective class that fits the arguments of a loss.

    Args:
        loss: A class of losses, a loss module, or a function.
        name: Name of the loss in messages.
        make: Builds the loss, if it is a class with arguments.

    Raises:
        InvalidRequest: If no adapter fits; the message shows a class that the user can write.
    """
    try:
        required, accepted = _required(loss), _accepted(loss)
    except (TypeError, ValueError):
        raise InvalidRequest(
            f"{name}: its arguments cannot be read; write a function loss(z1, z2) that calls it"
        ) from None
    target = getattr(loss, "func", loss)
    if getattr(target, "__module__", "") in TORCH_MODULES and _name_of(loss) not in TORCH_LOSSES:
        raise InvalidRequest(
            f"{name}: its inputs ({', '.join(required)}) are not two sets of embeddings, or embeddings and "
            f"labels; {_write_a_class(loss)}"
        )
    if len(accepted) >= 2 and len(required) <= 2:
        if accepted[1] in LABELS:
            return LabelLoss
        if accepted[1] in TARGETS:
            made: Any = make or loss
            made = made() if inspect.isclass(loss) else loss
            return LabelLoss if _accepts_labels(made) else PairLoss
    if required[2:3] == ["logit_scale"] and set(required[3:]) <= {"logit_bias"}:
        return ScaledPairLoss
    if len(required) == 2 and not any(_is_sequence(p) for p in _parameters(loss)[:2]):
        return PairLoss
    given = ", ".join(required) or "no argument"
    raise InvalidRequest(
        f"{name}: the loss takes ({given}), expected (z1, z2), (embeddings, labels) or (image_features, "
        f"text_features, logit_scale); {_write_a_class(loss)}"
    )


def _accepts_labels(loss: Callable[..., Any]) -> bool:
    """Return whether a loss of embeddings and a target accepts class labels as the target."""
    samples = 6  # differs from the width, so that labels do not broadcast to the shape of the embeddings
    z = torch.linspace(-1.0, 1.0, samples * WIDTH).view(samples, WIDTH)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of shapes before it raises
            copy.deepcopy(loss)(z, torch.arange(samples) % 3)
    except Exception:
        return False
    return True


def check_forward(target: Any, name: str) -> None:
    """Check that a class of objectives computes its loss from a batch.

    Args:
        target: The class, or a function that returns an objective, which is not checked.
        name: Name of the class in messages.

    Raises:
        InvalidRequest: If `forward` is missing or takes other arguments; the message shows a class.
    """
    if not inspect.isclass(target) or not issubclass(target, nn.Module) or hasattr(target, "phases"):
        return
    if target.forward is nn.Module.forward:
        fault = "it has no method forward(self, batch)"
    else:
        required, accepted = _required(target), _accepted(target)
        if len(required) <= 1 <= len(accepted) or any(
            p.kind == p.VAR_POSITIONAL for p in _parameters(target)
        ):
            return
        fault = f"its method forward takes ({', '.join(required)}), expected (batch)"
    raise InvalidRequest(f"{name}: {fault}; write a class such as\n{_example_of_a_class()}")


def data_arguments(loss: Callable[..., Any]) -> int:
    """Return the number of arguments of a loss function that hold data and not settings."""
    required = _required(loss)
    return 2 if required[2:3] != ["logit_scale"] else 3 + (required[3:4] == ["logit_bias"])


def _example_of_a_class() -> str:
    """Return the six lines of the smallest class of objectives."""
    return "\n".join(
        [
            "    class MyLoss(torch.nn.Module):",
            "        def __init__(self, encoders):",
            "            super().__init__()",
            "            self.encoders = encoders",
            "        def forward(self, batch):  # batch.x1, batch.x2, batch.views, batch.y",
            "            return loss(self.encoders[0](batch.x1), self.encoders[1](batch.x2))  # one number",
        ]
    )


def _write_a_class(loss: Callable[..., Any]) -> str:
    """Return advice to write a class around a loss, with its six lines."""
    return f"write a class in a file such as my_loss.py:\n{_example(loss)}"


def _example(loss: Callable[..., Any]) -> str:
    """Return the six lines of a class around a loss."""
    given = ", ".join(_required(loss))
    made = inspect.isclass(loss) or isinstance(loss, nn.Module)
    name = f"{_name_of(loss)}()" if made else _name_of(loss)
    return "\n".join(
        [
            "    class MyLoss(torch.nn.Module):",
            "        def __init__(self, encoders):",
            "            super().__init__()",
            f"            self.encoders, self.loss = encoders, {name}",
            "        def forward(self, batch):  # batch.x1, batch.x2, batch.views, batch.y",
            f"            return self.loss({given})  # from self.encoders[0](batch.x1), ...",
        ]
    )


def _name_of(loss: Any) -> str:
    return getattr(getattr(loss, "func", loss), "__name__", type(loss).__name__)


def _parameters(loss: Callable[..., Any]) -> list[inspect.Parameter]:
    """Return the parameters of the call of a loss: of `forward` for a module or a class of modules."""
    call: Any = loss
    if inspect.isclass(loss):
        call = loss.forward if issubclass(loss, nn.Module) else getattr(loss, "__call__", loss)  # noqa: B004
        return list(inspect.signature(call).parameters.values())[1:]
    if isinstance(loss, nn.Module):
        call = loss.forward
    return list(inspect.signature(call).parameters.values())


def _accepted(loss: Callable[..., Any]) -> list[str]:
    return [p.name for p in _parameters(loss) if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]


def _required(loss: Callable[..., Any]) -> list[str]:
    """Return the names of the arguments without a default; a loss of any arguments takes two."""
    parameters = _parameters(loss)
    if any(p.kind == p.VAR_POSITIONAL for p in parameters):
        return ["z1", "z2"]
    return [p.name for p in parameters if p.default is p.empty and p.kind != p.VAR_KEYWORD]


def _is_sequence(parameter: inspect.Parameter) -> bool:
    """Return whether an argument is annotated as several tensors, or can only be given by name."""
    text = str(parameter.annotation).lower()
    return parameter.kind == parameter.KEYWORD_ONLY or any(k in text for k in ("list", "sequence", "tuple"))
