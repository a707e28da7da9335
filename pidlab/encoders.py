"""Networks made from the specification of the modalities."""

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from pidlab.convolutions import AlexNet, SmallCNN
from pidlab.modality import Image, Modality

# Matrix products of widths divisible by this give a member the same bits in every cohort.
ALIGN = 8


def aligned(width: int) -> int:
    """The least width that is divisible by `ALIGN` and holds this one."""
    return -(-width // ALIGN) * ALIGN


class Linear(nn.Module):
    """x W + b with W stored (in, out), which batches over members faster than `nn.Linear`.

    Widths are padded to multiples of 8 inside; the padding meets zeros and stays out of sight.

    Args:
        inputs: width of x.
        outputs: width of the result.
        fan_in: inputs that the result is a sum over, where others are added to it later.
        bias: whether b is there.
    """

    def __init__(self, inputs: int, outputs: int, *, fan_in: int | None = None, bias: bool = True) -> None:
        super().__init__()
        self.inputs, self.outputs = inputs, outputs
        weight = torch.zeros(aligned(inputs), aligned(outputs))
        weight[:inputs, :outputs] = torch.randn(inputs, outputs) * math.sqrt(2.0 / (fan_in or inputs))
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(torch.zeros(aligned(outputs))) if bias else None

    def forward(self, x: Float[Tensor, "n inputs"]) -> Float[Tensor, "n outputs"]:
        short = self.weight.shape[0] - self.inputs
        x = F.pad(x, (0, short)) if short else x
        x = x @ self.weight if self.bias is None else torch.addmm(self.bias, x, self.weight)
        return x if x.shape[-1] == self.outputs else x[:, : self.outputs]


def mlp(*widths: int) -> nn.Sequential:
    """Linear layers of the given widths with ReLUs between them."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        layers += [Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def tower(modality: Modality, *widths: int) -> nn.Module:
    """The network of one modality: an MLP on a vector or on what convolutions make of an image.

    Args:
        modality: what it reads.
        widths: of its hidden layers, and last of its code; without hidden layers convolutions have as
            many channels as the code is wide.
    """
    if not isinstance(modality, Image):
        return mlp(modality.dim, *widths)
    features, width = stem(modality, widths[0])
    return nn.Sequential(features, mlp(width, *widths))


def stem(modality: Modality, channels: int) -> tuple[nn.Module, int]:
    """What stands in front of an MLP, and the width that it hands on: nothing for a vector."""
    if not isinstance(modality, Image):
        return nn.Identity(), modality.dim
    kind = AlexNet if min(modality.height, modality.width) >= AlexNet.LEAST else SmallCNN
    features = kind(modality, channels)
    return features, features.outputs


class Encoders(nn.Module):
    """One network per modality, and one on everything.

    `encoders[i]` maps modality i, (n, ...), to (n, dim). `encoders.joint(x1, x2)` maps all modalities
    to (n, dim * modalities), the width of the separate codes side by side.

    Args:
        modalities: what the networks read.
        classes: number of classes of every target, for objectives that are given labels.
        dim: width of a code.
        hidden: width of a hidden layer.
        layers: number of hidden layers.
    """

    def __init__(
        self,
        modalities: Sequence[Modality],
        classes: Mapping[str, int],
        *,
        dim: int,
        hidden: int,
        layers: int,
    ) -> None:
        super().__init__()
        self.modalities, self.classes = tuple(modalities), dict(classes)
        self.dim, self.hidden, self.layers = dim, hidden, layers
        n = len(modalities)
        self.towers = nn.ModuleList(tower(m, *[hidden] * layers, dim) for m in modalities)
        # Images meet as features, vectors as they are.
        stems = [stem(m, hidden) for m in modalities]
        wide = sum(width for _, width in stems)
        self.joint = Joint([s for s, _ in stems], mlp(wide, *[hidden * n] * layers, dim * n))

    def fresh(self, dim: int) -> "Encoders":
        """Other networks for the same modalities, with codes of width `dim`."""
        sizes = {"dim": dim, "hidden": self.hidden, "layers": self.layers}
        return Encoders(self.modalities, self.classes, **sizes)

    def __len__(self) -> int:
        return len(self.towers)

    def __getitem__(self, i: int) -> nn.Module:
        return self.towers[i]

    def __iter__(self) -> Iterator[nn.Module]:
        return iter(self.towers)


class Joint(nn.Module):
    """A network on the concatenation of all modalities, each behind its stem."""

    def __init__(self, stems: Sequence[nn.Module], network: nn.Module) -> None:
        super().__init__()
        self.stems, self.network = nn.ModuleList(stems), network

    def forward(self, *x: Float[Tensor, "n ..."]) -> Float[Tensor, "n k"]:
        return self.network(torch.cat([stem(xi) for stem, xi in zip(self.stems, x, strict=True)], dim=-1))
