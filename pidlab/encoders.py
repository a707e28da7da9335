"""Networks made from the specification of the modalities."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, TypeAlias

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from pidlab.errors import InvalidRequest


@dataclass(frozen=True)
class Vector:
    """A modality whose samples are vectors of `dim` numbers."""

    dim: int

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one sample."""
        return (self.dim,)


@dataclass(frozen=True)
class Image:
    """A modality whose samples are images, numbers from 0 to 1."""

    channels: int
    height: int
    width: int

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one sample."""
        return (self.channels, self.height, self.width)


Modality: TypeAlias = Vector | Image


def rows_at_once(modalities: tuple[Modality, ...], most: int) -> int:
    """How many rows to draw at once: `most`, or fewer where they would take more than 64 MiB.

    A function of the specification alone, because draws, and so results, follow from it.
    """
    numbers = sum(math.prod(m.shape) for m in modalities)
    return max(1, min(most, 2**24 // numbers))


class SmallCNN(nn.Module):
    """For small images: convolutions of stride 2, down to 4 to 7 places a side; then pooled.

    The first has 5 x 5 pixels and half the channels, the others 3 x 3 pixels and all of them.

    Args:
        image: what it reads.
        channels: of all convolutions but the first.

    Raises:
        InvalidRequest: an image of less than 8 pixels a side.
    """

    LEAST: ClassVar[int] = 8

    def __init__(self, image: Image, channels: int) -> None:
        super().__init__()
        side = _side(image, self.LEAST)
        halvings = int(math.log2(side / 4))
        widths = [max(1, channels // 2), *[channels] * (halvings - 1)]
        layers: list[nn.Module] = []
        inputs = image.channels
        for i, width in enumerate(widths):
            kernel = 5 if i == 0 else 3
            layers += convolution(inputs, width, kernel, stride=2, padding=kernel // 2)
            inputs = width
        self.layers = nn.Sequential(*layers)
        self.outputs = 2 * inputs

    def forward(self, x: Float[Tensor, "n channels height width"]) -> Float[Tensor, "n features"]:
        return pooled(self.layers(x))


class AlexNet(nn.Module):
    """For large images: the five convolutions of AlexNet (Krizhevsky 2014), then pooled.

    They have 1, 3, 6, 4 and 4 times the given channels; 64 make AlexNet's own.

    Args:
        image: what it reads.
        channels: of the first convolution.

    Raises:
        InvalidRequest: an image of less than 128 pixels a side.
    """

    LEAST: ClassVar[int] = 128

    def __init__(self, image: Image, channels: int) -> None:
        super().__init__()
        _side(image, self.LEAST)
        first, second, third, last = (k * channels for k in (1, 3, 6, 4))
        self.outputs = 2 * last
        self.layers = nn.Sequential(
            *convolution(image.channels, first, 11, stride=4, padding=2),
            nn.MaxPool2d(3, 2),
            *convolution(first, second, 5, padding=2),
            nn.MaxPool2d(3, 2),
            *convolution(second, third, 3, padding=1),
            *convolution(third, last, 3, padding=1),
            *convolution(last, last, 3, padding=1),
        )

    def forward(self, x: Float[Tensor, "n channels height width"]) -> Float[Tensor, "n features"]:
        return pooled(self.layers(x))


def convolution(
    inputs: int, outputs: int, kernel: int, *, stride: int = 1, padding: int = 0
) -> list[nn.Module]:
    """A convolution, normalised over the batch, and a ReLU; its weights start at He's scale."""
    made = nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False)
    with torch.no_grad():
        nn.init.kaiming_normal_(made.weight, nonlinearity="relu")
    return [made, nn.BatchNorm2d(outputs), nn.ReLU()]


def pooled(features: Float[Tensor, "n channels height width"]) -> Float[Tensor, "n twice_channels"]:
    """Mean and maximum over places, side by side: a texture is everywhere, a corner is somewhere."""
    return torch.cat([features.mean((-2, -1)), features.amax((-2, -1))], dim=-1)


def _side(image: Image, least: int) -> int:
    side = min(image.height, image.width)
    if side < least:
        raise InvalidRequest(
            f"an image of {image.height} x {image.width}: encoders need {least} pixels a side or more"
        )
    return side


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
